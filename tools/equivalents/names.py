"""Members of classes (methods, fields, attributes) that were renamed, dropped or added.

Whose attribute `x.name` is cannot be read from the code, so the rules ask for more than they would need to: a renamed
member has a name that the old code alone uses and then one that the new code alone uses, anywhere.
"""

import ast
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tools.equivalents.code import Code, Module, Part
from tools.equivalents.outcome import NEW, OLD, Found, LoneMethod

PLAIN_DECORATORS = {"property", "cached_property", "staticmethod", "classmethod"}
AS_DATA = {"asdict", "astuple", "vars", "fields", "__dict__"}  # make data of the names of fields


@dataclass(frozen=True)
class Names:
    """Names in some code: `members` of its classes, `fields` of dataclasses among them, and all that are `used` as a
    member, a keyword or text."""

    members: set[str]
    fields: set[str]
    used: set[str]

    @classmethod
    def of(cls, statements: Iterable[ast.AST], without: Iterable[ast.AST] = ()) -> "Names":
        """Of these statements, `without` the functions given."""
        names = cls(set(), set(), set())
        queue, left_out = list(statements), set(map(id, without))
        while queue:
            node = queue.pop()
            if id(node) not in left_out:
                names._take(node, left_out)
                queue.extend(ast.iter_child_nodes(node))
        return names

    def _take(self, node: ast.AST, left_out: set[int]) -> None:
        match node:
            case ast.ClassDef():
                body = [statement for statement in node.body if id(statement) not in left_out]
                found = {s.name for s in body if isinstance(s, ast.FunctionDef)}
                targets = [t for s in body if isinstance(s, ast.Assign) for t in s.targets]
                found |= {target.id for target in targets if isinstance(target, ast.Name)}
                annotated = {s.target.id for s in body if isinstance(s, ast.AnnAssign)}
                self.fields.update(annotated)
                self.members.update(found | annotated)
                self.used.update(found | annotated)
            case ast.Attribute(attr=name, ctx=context):
                self.used.add(name)
                self.members.update([name] if isinstance(context, ast.Store) else [])
            case ast.keyword(arg=str(name)) | ast.Constant(value=str(name)) | ast.Name(id=name) if (
                not isinstance(node, ast.Name) or name in AS_DATA
            ):
                self.used.add(name)


def names_of(code: Code) -> Names:
    """Of all scripts and the whole library."""
    statements = [s for m in code.all_modules for d in m.defined.values() for s in d.statements]
    return Names.of([*statements, *(s for m in code.all_modules for s in [*m.sequence, *m.effects])])


def wrong_renames(renames: list[tuple[str, str, Found]], names: tuple[Names, Names], reached: Names) -> list[Found]:
    """The renames that may be more than that: `names` of the whole old and new code, `reached` of the old code behind
    the stage."""
    there, back = defaultdict(set), defaultdict(set)
    for old, new, _ in renames:
        there[old].add(new)
        back[new].add(old)
    wrong = {}
    for old, new, found in renames:
        is_member = old in names[OLD].members and new in names[NEW].members
        is_gone = old not in names[NEW].used and new not in names[OLD].used
        is_data = old in names[OLD].fields and not AS_DATA.isdisjoint(reached.used)
        if len(there[old]) > 1 or len(back[new]) > 1 or not is_member or not is_gone or is_data:
            wrong.setdefault((old, new), found)
    return list(wrong.values())


def wrong_keywords(keywords: list[tuple[str, str, Found]], parameters: set[tuple[str, str]]) -> list[Found]:
    """The keywords that may name another parameter than before, of all that the stage's functions have."""
    before = defaultdict(set)
    for old, new in parameters:
        before[new].add(old)
    return [found for old, new, found in keywords if before[new] != {old}]


def is_dead(method: LoneMethod, code: Code, reached: Names) -> bool:
    """Whether nothing that the stage uses can call the method: no code that is `reached` says its name, and its class
    has no base outside the library that could."""
    decorators = [ast.unparse(d) for statement in method.statements for d in statement.decorator_list]
    if method.name.startswith("__") or not PLAIN_DECORATORS.issuperset(decorators):
        return False
    return method.name not in reached.used and _bases_are_known(method.owner, method.module, code)


def _bases_are_known(owner: ast.ClassDef, module: Module, code: Code) -> bool:
    for base in owner.bases:
        what = code.lookup(module, base.id) if isinstance(base, ast.Name) else None
        if not isinstance(what, Part) or not isinstance(parent := what.definition.statements[0], ast.ClassDef):
            return False
        if not _bases_are_known(parent, what.definition.module, code):
            return False
    return True
