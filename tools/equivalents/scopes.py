"""Names that a function, a class, a comprehension or a script binds, by what binds them."""

import ast
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(frozen=True)
class Imported:
    """What an import statement binds: a module, or what is called `name` in it."""

    module: str
    name: str | None = None


@dataclass(frozen=True)
class Scope:
    """`names` are bound here by anything but imports; `imports` by imports alone."""

    names: frozenset[str] = frozenset()
    imports: dict[str, Imported] = field(default_factory=dict)
    is_class: bool = False


def imported_names(node: ast.AST) -> dict[str, Imported]:
    """What an import statement binds, by name; empty for any other."""
    if isinstance(node, ast.Import):
        return {
            alias.asname or alias.name.split(".")[0]: Imported(alias.name if alias.asname else alias.name.split(".")[0])
            for alias in node.names
        }
    if isinstance(node, ast.ImportFrom):
        return {alias.asname or alias.name: Imported(node.module or "", alias.name) for alias in node.names}
    return {}


def bound_names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Names that these nodes bind in the scope that they stand in, imports aside."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, Comprehension):  # binds nothing outside but by :=
            yield from (n.target.id for n in ast.walk(node) if isinstance(n, ast.NamedExpr))
        elif not isinstance(node, ast.Lambda):
            yield from _own_names(node)
            yield from bound_names(ast.iter_child_nodes(node))


def _own_names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest


def scope_of_body(body: list[ast.stmt], parameters: Iterable[str] = (), is_class: bool = False) -> Scope:
    """The scope of a function, a class or a script with this body. A field without a value is no name of its class."""
    body = [statement for statement in body if not isinstance(statement, ast.AnnAssign) or statement.value]
    inside = list(_same_scope(body))
    elsewhere = {name for node in inside if isinstance(node, ast.Global | ast.Nonlocal) for name in node.names}
    imported = {binding for node in inside for binding in imported_names(node).items()}
    often = Counter(name for name, _ in imported)
    unclear = {name for name in often if often[name] > 1}  # one thing or another
    names = {*bound_names(body), *parameters, *unclear} - elsewhere
    return Scope(frozenset(names), {name: what for name, what in imported if name not in names}, is_class)


def _same_scope(nodes: Iterable[ast.AST]) -> Iterator[ast.stmt]:
    """The statements below `nodes` that are not in a function or a class of their own."""
    for node in nodes:
        if isinstance(node, ast.stmt):
            yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr):
            yield from _same_scope(ast.iter_child_nodes(node))


def parameters_of(function: Function) -> list[str]:
    """Names of all parameters, in order."""
    arguments = function.args
    singles = [one for one in (arguments.vararg, arguments.kwarg) if one]
    return [arg.arg for arg in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *singles]]


def scope_of_comprehension(node: Comprehension) -> Scope:
    """Of its targets."""
    return Scope(frozenset(bound_names(generator.target for generator in node.generators)))
