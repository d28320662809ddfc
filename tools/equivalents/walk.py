"""Two definitions side by side: equal but for what their names stand for, which is left to the caller to compare."""

import ast
from collections.abc import Iterator
from contextlib import contextmanager

from tools.equivalents.code import Code, Foreign, Module, Part
from tools.equivalents.outcome import (
    NEW,
    OLD,
    Found,
    Frame,
    LoneMethod,
    Mismatch,
    Outcome,
    Reference,
    aligned,
    named,
    shown,
)
from tools.equivalents.scopes import (
    Comprehension,
    Function,
    Scope,
    imported_names,
    parameters_of,
    scope_of_body,
    scope_of_comprehension,
)


class Walk:
    """Through an old and a new definition (or script) together; `frame` holds the names of the scripts around them."""

    def __init__(self, codes: tuple[Code, Code], modules: tuple[Module, Module], frame: Frame, name: str):
        self.codes, self.modules, self.name = codes, modules, name
        self.frames = [frame]
        self.outcome = Outcome()
        self.lines = (1, 1)

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
        if old or new:
            self._meet(old, new)
        elif type(a) is not type(b):
            raise Mismatch(f"{shown(a)} became {shown(b)}")
        elif isinstance(a, Function):
            self._function(a, b)
        elif isinstance(a, Comprehension):
            self._comprehension(a, b)
        elif isinstance(a, ast.ClassDef):
            self._class(a, b)
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
                self._values(a, b, name, old, new)

    def _values(self, a: ast.AST, b: ast.AST, name: str, old: object, new: object) -> None:
        if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
            for one, other in zip(old, new, strict=True):
                self._values(a, b, name, one, other)
        elif isinstance(old, ast.AST) and isinstance(new, ast.AST):
            self.nodes(old, new)
        elif isinstance(old, str) and isinstance(new, str) and not isinstance(a, ast.Constant):
            self._text(a, name, old, new)
        elif repr(old) != repr(new):
            raise Mismatch(f"{shown(a)} became {shown(b)}")

    def _text(self, node: ast.AST, field_name: str, old: str, new: str) -> None:
        """Names that the syntax holds as text."""
        if isinstance(node, ast.Attribute | ast.keyword | ast.MatchClass):
            self._member(old, new)
        elif isinstance(node, ast.arg):
            if old != new:
                raise Mismatch(f"parameter {old} became {new}")
        else:  # of an exception, a pattern, `global`
            self._bound(old, new)

    def _function(self, a: Function, b: Function) -> None:
        if parameters_of(a) != parameters_of(b):
            raise Mismatch(f"parameters ({', '.join(parameters_of(a))}) became ({', '.join(parameters_of(b))})")
        self._fields(a.args, b.args)
        if isinstance(a, ast.Lambda):
            scopes = Scope(frozenset(parameters_of(a))), Scope(frozenset(parameters_of(b)))
            with self._inside(scopes, parameters_of(a)):
                self.nodes(a.body, b.body)
            return
        self._values(a, b, "decorator_list", a.decorator_list, b.decorator_list)
        self._bound(a.name, b.name)
        with self._inside(tuple(scope_of_body(f.body, parameters_of(f)) for f in (a, b)), parameters_of(a)):
            self.body(a.body, b.body)

    def _comprehension(self, a: Comprehension, b: Comprehension) -> None:
        self.nodes(a.generators[0].iter, b.generators[0].iter)  # the first is looked up outside
        with self._inside((scope_of_comprehension(a), scope_of_comprehension(b))):
            if len(a.generators) != len(b.generators):
                raise Mismatch(f"{shown(a)} became {shown(b)}")
            for i, (one, other) in enumerate(zip(a.generators, b.generators, strict=True)):
                for name in ("target", "ifs", "is_async", *(["iter"] if i else [])):
                    self._values(one, other, name, getattr(one, name), getattr(other, name))
            for name in set(a._fields) - {"generators"}:
                self.nodes(getattr(a, name), getattr(b, name))

    def _class(self, a: ast.ClassDef, b: ast.ClassDef) -> None:
        for name in ("decorator_list", "bases", "keywords"):
            self._values(a, b, name, getattr(a, name), getattr(b, name))
        self._bound(a.name, b.name)
        with self._inside(tuple(scope_of_body(c.body, is_class=True) for c in (a, b))):
            self.body(*([s for s in c.body if not isinstance(s, ast.FunctionDef)] for c in (a, b)))
            self._methods(a, b)

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

    def _bound(self, old: str, new: str) -> None:
        a, b = self._resolved(old, OLD), self._resolved(new, NEW)
        if not (isinstance(a, int) and isinstance(b, int)):
            self._meet(*(None if isinstance(what, int) else what for what in (a, b)))
        elif a != b:
            raise Mismatch(f"{old} became {new}, of another function")
        elif self.frames[a].scopes[OLD].is_class:
            self._member(old, new)
        elif not self.frames[a].same(old, new):
            raise Mismatch(f"the name {old} became {new}, but not everywhere")

    def _member(self, old: str, new: str) -> None:
        if old != new:
            self.outcome.renames.append((old, new, self._found(f"{old} became {new}")))

    def _meet(self, old: Reference | None, new: Reference | None) -> None:
        """Note that two references must stand for equal things."""
        match old, new:
            case Part(), Part() if old.index == new.index:
                self.outcome.meets.append((old.definition, new.definition))
            case Module(), Module() if set(old.defined) == set(new.defined):  # the module itself, as a value
                for name in old.defined:
                    self.outcome.meets.append((old.defined[name], new.defined[name]))
            case Foreign(), Foreign() if old == new:
                if old == Foreign("__file__", is_free=True) and self._path(OLD) != self._path(NEW):
                    raise Mismatch("__file__ in a file that was moved")
            case _:
                raise Mismatch(f"{named(old)} became {named(new)}")

    def _reference(self, node: ast.AST, side: int) -> Reference | None:
        """What a name or a dotted name outside the walked functions stands for, None for all else."""
        if isinstance(node, ast.Name):
            what = self._resolved(node.id, side)
            return None if isinstance(what, int) else what
        if isinstance(node, ast.Attribute):
            owner = self._reference(node.value, side)
            if isinstance(owner, Module) or (isinstance(owner, Foreign) and not owner.is_free):
                return self.codes[side].attribute(owner, node.attr)
        return None

    def _resolved(self, name: str, side: int) -> int | Reference:
        """The number of the frame that binds `name`, or what it stands for outside."""
        for depth in reversed(range(len(self.frames))):
            scope = self.frames[depth].scopes[side]
            if scope.is_class and depth < len(self.frames) - 1:
                continue  # a method does not see the names of its class
            if name in scope.names:
                return depth
            if name in scope.imports:
                return self.codes[side].imported(scope.imports[name])
        return self.codes[side].lookup(self.modules[side], name)

    @contextmanager
    def _inside(self, scopes: tuple[Scope, Scope], parameters: list[str] | None = None) -> Iterator[None]:
        known = {name: name for name in parameters or []}
        self.frames.append(Frame(scopes, known, dict(known)))
        try:
            yield
        finally:
            self.frames.pop()

    def _is_import(self, statement: ast.stmt, side: int) -> bool:
        """Of names that nothing else binds here, so that they say by themselves what they are."""
        names = imported_names(statement)
        return bool(names) and self.frames[-1].scopes[side].names.isdisjoint(names)

    def _path(self, side: int) -> str:
        return self.modules[side].path.relative_to(self.codes[side].scripts).as_posix()

    def _found(self, what: str, nowhere: tuple[bool, bool] = (False, False)) -> Found:
        places = (f"{self._path(side)}:{self.lines[side]}" for side in (OLD, NEW))
        return Found(
            *("-" if none else place for none, place in zip(nowhere, places, strict=True)), f"{self.name}: {what}"
        )


def _methods_of(node: ast.ClassDef) -> dict[str, list[ast.FunctionDef]]:
    """Functions of a class by name; a property and its setter have one name."""
    methods: dict[str, list[ast.FunctionDef]] = {}
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef):
            methods.setdefault(statement.name, []).append(statement)
    return methods
