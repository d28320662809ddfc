"""What a script's code imports from outside the project: its own and the library's modules, read and not run."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from helpers.running import ROOT
from lung4d.pipeline.digest import imported_modules

SCRIPTS = ROOT / "workflow/scripts"
CALL_SNAKEMAKE = {"preflight", "shard"}  # in the environment `snakemake`
SCRIPT_NAMES = sorted({path.stem for path in SCRIPTS.glob("*.py")} - CALL_SNAKEMAKE)


def files_of(*first: Path) -> set[Path]:
    """These files and the library modules that they import, directly or not."""
    seen, queue = set(), list(first)
    while queue:
        path = queue.pop()
        if path not in seen:
            seen.add(path)
            queue.extend(imported_modules(path, SCRIPTS / "lung4d"))
    return seen


def modules_of(script: str) -> set[str]:
    """Modules outside the standard library and the project that must be there, those of functions too."""
    return outside(files_of(SCRIPTS / f"{script}.py"))


def modules_of_rules() -> set[str]:
    """The same of what the Snakefile and its rules import from the library."""
    text = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    statements = re.findall(r"from (lung4d[\w.]*) import (.+)", text)
    names = [name for module, given in statements for name in (module, *(f"{module}.{n}" for n in given.split(", ")))]
    files = ((SCRIPTS / name.replace(".", "/")).with_suffix(".py") for name in names)
    return outside(files_of(*filter(Path.is_file, files)))


def outside(files: set[Path]) -> set[str]:
    found = set()
    for path in files:
        for node in required(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module)
    known = {*sys.stdlib_module_names, "lung4d", "snakemake"}
    return {name for name in found if name.split(".")[0] not in known}


def required(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below `node`, without what is tried and may be missing."""
    if isinstance(node, ast.Try) and any("ImportError" in ast.unparse(handler) for handler in node.handlers):
        return
    yield node
    for inner in ast.iter_child_nodes(node):
        yield from required(inner)
