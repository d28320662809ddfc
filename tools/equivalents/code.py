"""Scripts and library of one commit: their top-level definitions, and what a name stands for."""

import ast
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tools.equivalents.plain import parse
from tools.equivalents.scopes import Imported, Scope, bound_names, imported_names, scope_of_body

LIBRARY = "lung4d"
NOT_CODE = "__all__"


@dataclass(eq=False)
class Definition:
    """Top-level statements of a module that bind `names` together: a function, a class, a value, or a value and what is
    added to it later."""

    module: "Module"
    names: list[str]
    statements: list[ast.stmt]

    @property
    def name(self) -> str:
        return self.names[0]


@dataclass(frozen=True)
class Part:
    """One name of a definition."""

    definition: Definition
    index: int


@dataclass(frozen=True)
class Foreign:
    """Something outside the library, by its dotted name; a name that nothing binds, such as a builtin, has no dot."""

    name: str
    is_free: bool = False


@dataclass(eq=False)
class Module:
    """A file of the library, or a script. The statements of a script run one after the other (`sequence`, whose names
    are in `scope`); those of the library's modules are definitions, but for `effects`, which bind nothing."""

    name: str
    path: Path
    is_script: bool = False
    defined: dict[str, Definition] = field(default_factory=dict)
    imports: dict[str, Imported] = field(default_factory=dict)
    effects: list[ast.stmt] = field(default_factory=list)
    sequence: list[ast.stmt] = field(default_factory=list)
    scope: Scope = field(default_factory=Scope)

    def read(self) -> "Module":
        statements = [single for statement in parse(self.path) for single in _singles(statement)]
        if self.is_script:
            often = Counter(bound_names(statements))
            apart = [s for s in statements if _is_apart(s, often)]
            self.sequence = [s for s in statements if s not in apart]
            self.scope = scope_of_body(self.sequence)
            statements = apart
        for statement in statements:
            self._take(statement)
        return self

    def _take(self, statement: ast.stmt) -> None:
        if imported := imported_names(statement):
            self.imports.update(imported)
            return
        names = list(dict.fromkeys(bound_names([statement])))
        if names == [NOT_CODE]:
            return
        if not names:
            self.effects.append(statement)
            return
        known = [self.defined[name] for name in names if name in self.defined]
        definition = known[0] if known else Definition(self, [], [])
        definition.statements.append(statement)
        definition.names.extend(name for name in names if name not in definition.names)
        self.defined.update(dict.fromkeys(names, definition))


class Code:
    """The code in a folder of scripts, which holds the library too. Modules are read when they are asked for."""

    def __init__(self, scripts: Path):
        self.scripts = scripts
        self._modules: dict[str, Module | None] = {}

    def module(self, name: str) -> Module | None:
        """The library's module of this dotted name, None where there is none."""
        if name not in self._modules:
            stem = self.scripts.joinpath(*name.split("."))
            files = [path for path in (stem / "__init__.py", stem.with_suffix(".py")) if path.is_file()]
            inside = name.split(".")[0] == LIBRARY and files
            self._modules[name] = Module(name, files[0]).read() if inside else None
        return self._modules[name]

    def script(self, stage: str) -> Module:
        key = f"{stage}.py"
        if key not in self._modules:
            self._modules[key] = Module(stage, self.scripts / key, is_script=True).read()
        return self._modules[key]

    @cached_property
    def all_modules(self) -> list[Module]:
        """Every script and every module of the library."""
        library = [path.relative_to(self.scripts) for path in sorted((self.scripts / LIBRARY).rglob("*.py"))]
        names = [path.parent if path.name == "__init__.py" else path.with_suffix("") for path in library]
        scripts = [self.script(path.stem) for path in sorted(self.scripts.glob("*.py"))]
        return [*(self.module(".".join(name.parts)) for name in names), *scripts]

    def lookup(self, module: Module, name: str) -> Part | Module | Foreign:
        """What `name` stands for among the module's own names."""
        if definition := module.defined.get(name):
            return Part(definition, definition.names.index(name))
        if imported := module.imports.get(name):
            return self.imported(imported)
        return Foreign(name, is_free=True)

    def imported(self, what: Imported) -> Part | Module | Foreign:
        """What an import stands for; what a module itself imported is followed to where it is defined."""
        module = self.module(what.module)
        if module is None:
            return Foreign(what.module if what.name is None else f"{what.module}.{what.name}")
        return module if what.name is None else self.attribute(module, what.name)

    def attribute(self, owner: Module | Foreign, name: str) -> Part | Module | Foreign:
        """What `owner.name` stands for."""
        if isinstance(owner, Foreign):
            return Foreign(f"{owner.name}.{name}")
        if name in owner.defined or name in owner.imports:
            return self.lookup(owner, name)
        return self.module(f"{owner.name}.{name}") or Foreign(f"{owner.name}.{name}")


def _singles(statement: ast.stmt) -> list[ast.stmt]:
    """`a, b = 1, 2` as two statements, any other as itself."""
    match statement:
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)) if len(names) == len(values):
            if all(isinstance(name, ast.Name) for name in names) and all(map(_is_literal, values)):
                pairs = zip(names, values, strict=True)
                return [ast.copy_location(ast.Assign([name], value), statement) for name, value in pairs]
    return [statement]


def _is_apart(statement: ast.stmt, often: Counter) -> bool:
    """Whether it does not matter when a script's statement runs: imports, functions, classes and constants."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return often[name] == 1 and _is_literal(value)
    return isinstance(statement, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


def _is_literal(value: ast.expr) -> bool:
    """Numbers, text and tuples of them."""
    parts = (ast.Constant, ast.Tuple, ast.UnaryOp, ast.unaryop, ast.expr_context)
    return all(isinstance(node, parts) for node in ast.walk(value))
