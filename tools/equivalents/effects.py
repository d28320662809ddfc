"""What a stage's modules do when they are imported, and the files that they carry."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tools.equivalents.code import Code, Module, Part
from tools.equivalents.outcome import Found

if TYPE_CHECKING:
    from tools.equivalents.stages import StagePair


def changed_effects(run: "StagePair", old_files: set[Path], new_files: set[Path]) -> Iterator[Found]:
    """Statements that run at import. One that is gone is none where the new code has it in a module that does not
    count, such as one that draws."""
    old, new = run.comparison.codes
    before, after = list(_effects(old, old_files)), list(_effects(new, new_files))
    elsewhere = {ast.dump(s) for _, s in _effects(new, {module.path for module in new.all_modules} - new_files)}
    for module, statement in after:
        text = ast.dump(statement)
        match = next((pair for pair in before if ast.dump(pair[1]) == text), None)
        if match:
            before.remove(match)
            run.walk((match[0], module), [match[1]], [statement])
        else:
            yield Found("-", f"{module.path.relative_to(new.scripts)}:{statement.lineno}", "runs at import")
    for module, statement in before:
        if ast.dump(statement) not in elsewhere:
            yield Found(f"{module.path.relative_to(old.scripts)}:{statement.lineno}", "-", "ran at import")


def _effects(code: Code, files: set[Path]) -> Iterator[tuple[Module, ast.stmt]]:
    """What runs in these modules when they are imported, besides definitions: calls, and decorators of the library,
    which may keep what they decorate."""
    for module in code.all_modules:
        if module.path in files and not module.is_script:
            yield from ((module, statement) for statement in module.effects)
            for statement in (s for definition in module.defined.values() for s in definition.statements):
                decorators = getattr(statement, "decorator_list", [])
                names = [node.id for d in decorators for node in ast.walk(d) if isinstance(node, ast.Name)]
                if any(isinstance(code.lookup(module, name), Part) for name in names):
                    yield module, statement


def changed_data(old_files: set[Path], new_files: set[Path]) -> Iterator[Found]:
    """Files beside the modules, by content."""
    old, new = (
        {path.read_bytes(): path.name for path in files if path.suffix != ".py"} for files in (old_files, new_files)
    )
    yield from (Found(name, "-", "its content is not there any more") for data, name in old.items() if data not in new)
    yield from (Found("-", name, "its content is new") for data, name in new.items() if data not in old)
