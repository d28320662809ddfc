"""Two definitions side by side: equal but for what their names stand for, which is left to the caller to compare."""

import ast

from tools.equivalents.bindings import Bindings
from tools.equivalents.code import Part
from tools.equivalents.outcome import NEW, OLD, Found, LoneMethod, Mismatch, Outcome, aligned, shown
from tools.equivalents.scopes import (
    Comprehension,
    Function,
    Scope,
    imported_names,
    parameters_of,
    scope_of_body,
    scope_of_comprehension,
)

AS_TEXT = {"__name__", "__qualname__"}


class Walk(Bindings):
    """Through an old and a new definition (or script) together; `frame` holds the names of the scripts around them."""

    def whole(self, old: list[ast.stmt], new: list[ast.stmt]) -> Outcome:
        """Compare all statements of two definitions, or scripts."""
        self.body(old, new)
        if any(isinstance(n, ast.Attribute) and n.attr in AS_TEXT for statement in old for n in ast.walk(statement)):
            renamed = [pair for pair in self.outcome.meets if pair[OLD].name != pair[NEW].name]
            texts = (f"{a.name} became {b.name}, where names are read" for a, b in renamed)
            self.outcome.problems.extend(map(self._found, texts))
        return self.outcome

    def body(self, old: list[ast.stmt], new: list[ast.stmt], with_imports: bool = False) -> None:
        """Compare statement by statement; what differs is noted, and the next one is looked at."""
        kept = ([s for s in (old, new)[side] if with_imports or not self._is_import(s, side)] for side in (OLD, NEW))
        for a, b in aligned(*kept):
            before = self.lines
            self.lines = tuple(line if s is None else s.lineno for s, line in zip((a, b), before, strict=True))
            try:
                if a is None or b is None:
                    raise Mismatch("a statement more" if a is None else "a statement less")
                self.nodes(a, b)
            except Mismatch as difference:
                self.outcome.problems.append(self._found(str(difference), nowhere=(a is None, b is None)))
            self.lines = before

    def nodes(self, a: ast.AST, b: ast.AST) -> None:
        """Raise Mismatch where two nodes differ."""
        old, new = self._reference(a, OLD), self._reference(b, NEW)
        if old and new:
            self._meet(old, new)
        elif old or new or type(a) is not type(b):
            raise Mismatch(f"{shown(a)} became {shown(b)}")
        elif isinstance(a, Function):
            self._function(a, b)
        elif isinstance(a, ast.Call):
            self._call(a, b)
        elif isinstance(a, Comprehension):
            self._comprehension(a, b)
        elif isinstance(a, ast.ClassDef):
            self._class(a, b)
        elif isinstance(a, ast.AnnAssign):
            self._field(a, b)
        elif isinstance(a, ast.Name):
            self._bound(a.id, b.id)
        elif isinstance(a, ast.Import | ast.ImportFrom):
            self._imports(a, b)
        else:
            self._fields(a, b)

    def _fields(self, a: ast.AST, b: ast.AST) -> None:
        for name in a._fields:
            old, new = getattr(a, name), getattr(b, name)
            if name in ("kind", "type_comment", "type_ignores"):
                continue
            if isinstance(old, list) and any(isinstance(node, ast.stmt) for node in [*old, *new]):
                self.body(old, new, with_imports=isinstance(a, ast.Try) and name == "body")
            else:
                self._values(a, b, old, new)

    def _values(self, a: ast.AST, b: ast.AST, old: object, new: object) -> None:
        if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
            for one, other in zip(old, new, strict=True):
                self._values(a, b, one, other)
        elif isinstance(old, ast.AST) and isinstance(new, ast.AST):
            self.nodes(old, new)
        elif isinstance(old, str) and isinstance(new, str) and not isinstance(a, ast.Constant):
            self._text(a, old, new)
        elif repr(old) != repr(new):
            raise Mismatch(f"{shown(a)} became {shown(b)}")

    def _text(self, node: ast.AST, old: str, new: str) -> None:
        """Names that the syntax holds as text."""
        if isinstance(node, ast.Attribute | ast.MatchClass):
            self._member(old, new)
        elif isinstance(node, ast.keyword):
            if old != new:
                raise Mismatch(f"keyword {old} became {new}")
        elif not isinstance(node, ast.arg):  # of an exception, a pattern, `global`
            self._bound(old, new)

    def _function(self, a: Function, b: Function) -> None:
        old, new = parameters_of(a), parameters_of(b)
        renamed = [(one, other) for one, other in zip(old, new, strict=False) if one != other]
        # With names that are new to it, a call that does not know them fails; it does not give another number.
        mixed_up = any(one in new or other in old for one, other in renamed)
        if len(old) != len(new) or mixed_up or (renamed and a.args.kwarg):
            raise Mismatch(f"parameters ({', '.join(old)}) became ({', '.join(new)})")
        self.outcome.parameters.extend(zip(old, new, strict=True))
        self._fields(a.args, b.args)
        if isinstance(a, ast.Lambda):
            with self._inside((Scope(frozenset(old)), Scope(frozenset(new))), old, new):
                self.nodes(a.body, b.body)
            return
        self._values(a, b, a.decorator_list, b.decorator_list)
        self._bound(a.name, b.name)
        with self._inside(tuple(scope_of_body(f.body, parameters_of(f)) for f in (a, b)), old, new):
            self.body(a.body, b.body)

    def _call(self, a: ast.Call, b: ast.Call) -> None:
        self.nodes(a.func, b.func)
        self._values(a, b, a.args, b.args)
        callees = tuple(self._parameters_called(call.func, side) for side, call in ((OLD, a), (NEW, b)))
        if [k.arg is None for k in a.keywords] != [k.arg is None for k in b.keywords]:
            raise Mismatch(f"{shown(a)} became {shown(b)}")
        for one, other in zip(a.keywords, b.keywords, strict=True):
            if one.arg:
                self._keyword(one.arg, other.arg, callees)
            self.nodes(one.value, other.value)

    def _keyword(self, old: str, new: str, callees: tuple[list[str], list[str]]) -> None:
        places = [names.index(name) if name in names else None for name, names in zip((old, new), callees, strict=True)]
        if places[OLD] != places[NEW]:
            raise Mismatch(f"keyword {old} became {new}, which is another parameter")
        if old != new and places[OLD] is None:
            self.outcome.keywords.append((old, new, self._found(f"keyword {old} became {new}")))

    def _parameters_called(self, called: ast.expr, side: int) -> list[str]:
        """Parameters of the function that is called, where it is one of the library."""
        what = self._reference(called, side)
        function = what.definition.statements[0] if isinstance(what, Part) else None
        return parameters_of(function) if isinstance(function, ast.FunctionDef) else []

    def _comprehension(self, a: Comprehension, b: Comprehension) -> None:
        self.nodes(a.generators[0].iter, b.generators[0].iter)  # the first is looked up outside
        with self._inside((scope_of_comprehension(a), scope_of_comprehension(b))):
            if len(a.generators) != len(b.generators):
                raise Mismatch(f"{shown(a)} became {shown(b)}")
            for i, (one, other) in enumerate(zip(a.generators, b.generators, strict=True)):
                for name in ("target", "ifs", "is_async", *(["iter"] if i else [])):
                    self._values(one, other, getattr(one, name), getattr(other, name))
            for name in (name for name in a._fields if name != "generators"):
                self.nodes(getattr(a, name), getattr(b, name))

    def _class(self, a: ast.ClassDef, b: ast.ClassDef) -> None:
        for name in ("decorator_list", "bases", "keywords"):
            self._values(a, b, getattr(a, name), getattr(b, name))
        self._bound(a.name, b.name)
        with self._inside(tuple(scope_of_body(c.body, is_class=True) for c in (a, b))):
            self.body(*([s for s in c.body if not isinstance(s, ast.FunctionDef)] for c in (a, b)))
            self._methods(a, b)

    def _field(self, a: ast.AnnAssign, b: ast.AnnAssign) -> None:
        """Of a dataclass, and so a parameter of its constructor."""
        self.outcome.parameters.append((a.target.id, b.target.id))
        self._member(a.target.id, b.target.id)
        self._values(a, b, [a.annotation, a.value], [b.annotation, b.value])

    def _methods(self, *classes: ast.ClassDef) -> None:
        """By name; as many as are left on both sides are taken for renamed, in their order."""
        old, new = map(_methods_of, classes)
        lone = [name for name in old if name not in new], [name for name in new if name not in old]
        pairs = [(name, name) for name in old if name in new]
        if len(lone[OLD]) == len(lone[NEW]):
            pairs += zip(*lone, strict=True)
            lone = [], []
        owner = self.name
        for a, b in pairs:
            self.name = f"{owner}.{b}"
            self.body(old[a], new[b])
        self.name = owner
        for side, methods in enumerate((old, new)):
            for name in lone[side]:
                place = f"{self._path(side)}:{methods[name][0].lineno}"
                places = (place, "-") if side == OLD else ("-", place)
                found = Found(*places, f"{classes[side].name}: method {name}")
                lone_method = LoneMethod(side, self.modules[side], classes[side], methods[name], found)
                self.outcome.lone_methods.append(lone_method)

    def _imports(self, a: ast.AST, b: ast.AST) -> None:
        old, new = (imported_names(node) for node in (a, b))
        if len(old) != len(new):
            raise Mismatch(f"{shown(a)} became {shown(b)}")
        for one, other in zip(old, new, strict=True):
            self._bound(one, other)
            self._meet(self.codes[OLD].imported(old[one]), self.codes[NEW].imported(new[other]))

    def _is_import(self, statement: ast.stmt, side: int) -> bool:
        """Of names that nothing else binds here, so that they say by themselves what they are."""
        names = imported_names(statement)
        return bool(names) and self.frames[-1].scopes[side].names.isdisjoint(names)


def _methods_of(node: ast.ClassDef) -> dict[str, list[ast.FunctionDef]]:
    """Functions of a class by name; a property and its setter have one name."""
    methods: dict[str, list[ast.FunctionDef]] = {}
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef):
            methods.setdefault(statement.name, []).append(statement)
    return methods
