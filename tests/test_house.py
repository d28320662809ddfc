"""The house itself, read and not run: its sizes, its names, and who knows what (docs/architecture.md)."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from helpers.running import ROOT

SCRIPTS = ROOT / "workflow" / "scripts"
LIBRARY = SCRIPTS / "lung4d"
MODULES = sorted(LIBRARY.rglob("*.py"))
PACKAGES = sorted(path for path in LIBRARY.iterdir() if (path / "__init__.py").is_file())
WITHIN = [
    LIBRARY / name
    for name in (
        "convert/dicom",
        "convert/tree",
        "convert/volumes",
        "evaluate/calls",
        "evaluate/unet",
        "evaluate/volume",
        "pipeline/door",
        "pipeline/tables",
    )
]
# Who may name Snakemake and places below the folder of results.
KNOW_RESULTS = ("pipeline/", "report/folder_map.py")
# The list of packages whose versions the methods text tells names Snakemake as one of them.
LISTS_PACKAGES = "report/methods_text.py"
SHARED_NAMES = 12


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def place(path: Path) -> str:
    return path.relative_to(LIBRARY).as_posix()


def test_a_map_that_one_reads_at_a_glance():
    modules = [path.name for path in LIBRARY.glob("*.py") if path.name != "__init__.py"]
    assert len(PACKAGES) <= 17 and len(modules) <= 4


@pytest.mark.parametrize("package", [*PACKAGES, *WITHIN], ids=place)
def test_a_package_says_in_a_line_what_each_of_its_modules_holds_and_imports_nothing(package):
    start = tree_of(package / "__init__.py")
    assert [type(node) for node in start.body] == [ast.Expr]
    told = [line.split()[0] for line in ast.get_docstring(start).splitlines() if line and "  " in line.strip()]
    modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
    assert sorted(told) == sorted(modules) and len(modules) <= 22


@pytest.mark.parametrize("path", [*MODULES, *sorted(SCRIPTS.glob("*.py"))], ids=lambda path: path.stem)
def test_modules_and_functions_fit(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 335
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno + 1 <= 45, node.name


def docstrings_of(tree: ast.Module) -> set[ast.Constant]:
    """Strings that are statements of their own."""
    return {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def names_results(text: str) -> bool:
    return "results/" in text or text.split("/")[0] == "results" or "--force" in text


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_snakemake_and_the_layout_of_the_results_are_known_in_one_place(path):
    if place(path).startswith(KNOW_RESULTS):
        return
    tree = tree_of(path)
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    said = [node.value for node in strings if node not in docstrings_of(tree)]
    assert not [text for text in said if names_results(text)]
    assert place(path) == LISTS_PACKAGES or not [text for text in said if "snakemake" in text.lower()]


def test_a_public_name_means_one_thing():
    homes = defaultdict(list)
    for path in MODULES:
        for node in tree_of(path).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(place(path))
    shared = {name: modules for name, modules in homes.items() if len(modules) > 1}
    assert len(shared) <= SHARED_NAMES, shared
