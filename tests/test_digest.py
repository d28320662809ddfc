import re
import shutil
from functools import cache
from pathlib import Path

import pytest

from helpers.running import ROOT
from lung4d.pipeline import digest
from lung4d.pipeline.digest import Digests, code_digest, imported_modules, settings_digest, significant_tokens

SCRIPT = '''"""Docstring."""
from lung4d.outer import value  # comment

print(f"{value:.2f} {'nested'}")
'''


@pytest.fixture
def tree(tmp_path):
    library = tmp_path / "lung4d"
    library.mkdir()
    (library / "__init__.py").write_text('__version__ = "0.1"\n')
    (library / "templates").mkdir()
    (library / "templates/page.html").write_text("<p>a page</p>")
    (library / "outer.py").write_text("from lung4d import inner\n\n\nvalue = inner.one()\n")
    (library / "inner.py").write_text('def one():\n    """One."""\n    return 1\n')
    (library / "unused.py").write_text("x = 1\n")
    script = tmp_path / "stage.py"
    script.write_text(SCRIPT)
    return script, library


def changed(tree, path: Path, old: str, new: str) -> bool:
    script, library = tree
    before = fresh_digest(script, library)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    return fresh_digest(script, library) != before


def fresh_digest(script, library):
    for known in (digest._digest, digest._tokens_of, digest.imported_modules):
        known.cache_clear()
    return code_digest(script, library)


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("stage.py", "# comment", "# another", False),
        ("stage.py", "Docstring.", "Other words.", False),
        ("stage.py", "print(f", "\n\nprint(  f", False),
        ("stage.py", ":.2f", ":.3f", True),
        ("lung4d/inner.py", '"""One."""', '"""Uno.\n\n    More.\n    """', False),
        ("lung4d/inner.py", "return 1", "return 2", True),
        ("lung4d/inner.py", "    return 1", "    # a comment\n    return 1", False),
        ("lung4d/outer.py", "value = inner.one()", "value = inner.one()\nother = 2", True),
        ("lung4d/unused.py", "x = 1", "x = 2", False),
        ("lung4d/templates/page.html", "a page", "another page", True),
        ("lung4d/__init__.py", "0.1", "0.2", False),
    ],
)
def test_the_digest_changes_with_logic_alone(tree, name, old, new, expected):
    assert changed(tree, tree[0].parent / name, old, new) is expected


def test_a_touch_changes_nothing(tree):
    script, library = tree
    before = fresh_digest(script, library)
    script.touch()
    assert fresh_digest(script, library) == before


def test_indentation_that_changes_the_logic_changes_the_tokens():
    inside = "if a:\n    b()\n    c()\n"
    outside = "if a:\n    b()\nc()\n"
    assert significant_tokens(inside) != significant_tokens(outside)


@pytest.mark.parametrize(
    "source",
    [
        "import lung4d.inner as alias",
        "from lung4d import (\n    inner,  # a comment\n)",
        "if True: from lung4d.inner import one",
        "x = {1: 2}; import lung4d.inner",
        "def late():\n    import lung4d.inner\n",
    ],
)
def test_an_import_is_found_wherever_it_stands(tree, source):
    script, library = tree
    script.write_text(source + "\n")
    assert imported_modules(script, library) == (library / "__init__.py", library / "inner.py")


def test_words_about_imports_are_none(tree):
    script, library = tree
    script.write_text('"""import lung4d.inner"""\n# from lung4d import inner\nraise ValueError from error\n')
    assert imported_modules(script, library) == ()


def test_settings_digest_sees_two_keys_that_swap_values():
    assert settings_digest({"a": 1, "b": 2}) != settings_digest({"a": 2, "b": 1})
    assert settings_digest({"a": 1, "b": 2}) == settings_digest({"b": 2, "a": 1})


def test_digests_are_remembered_until_a_file_changes(tree, tmp_path_factory, monkeypatch):
    script, library = tree
    memory = tmp_path_factory.mktemp("memory") / "digests.json"
    table = memory.with_name("equivalents.tsv")

    def digested():
        fresh_digest(script, library)  # as in a new process, nothing is known
        return Digests(script.parent, library, memory, table).of("stage")

    first = digested()
    assert first == code_digest(script, library)
    with monkeypatch.context() as patch:
        patch.setattr("lung4d.pipeline.digest.code_digest", None)  # not asked again
        assert digested() == first
    script.write_text(SCRIPT.replace("nested", "changed"))
    assert digested() != first
    memory.write_text("half a fi")
    second = digested()
    assert second == fresh_digest(script, library)
    table.write_text(f"stage\tdigest\tstands_for\twhy\nstage\t{second}\t{first}\tmoved\nother\t{first}\tx\t\n")
    assert digested() == first  # a new row counts at once, whatever is remembered
    script.write_text(SCRIPT.replace("nested", "changed again"))
    assert digested() == fresh_digest(script, library) != first  # a later change is seen as ever


# The real tree: what counts for which stage

SCRIPTS = ROOT / "workflow" / "scripts"
LIBRARY = SCRIPTS / "lung4d"
NUMBERS = ("train_vqgan", "train_ode", "extract_latents", "generate_trajectories", "register")
FILES = sorted(path.relative_to(LIBRARY).as_posix() for path in LIBRARY.rglob("*") if path.suffix in (".py", ".j2"))
COUNT_FOR_TRAININGS = ("vqgan/", "ode/", "training/")


def stages_that_notice(name: str) -> set[str]:
    """The stages whose digest changes with one more token in this file of the library."""
    changed = LIBRARY / name
    before = {stage: code_digest(SCRIPTS / f"{stage}.py", LIBRARY) for stage in (*NUMBERS, "report")}
    real = digest._digest
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digest, "_digest", lambda path: real(path) + (b"CHANGED" if path == changed else b""))
        return {stage for stage in before if code_digest(SCRIPTS / f"{stage}.py", LIBRARY) != before[stage]}


@pytest.mark.parametrize("name", FILES)
def test_a_token_in_a_file_is_seen_by_the_stages_whose_numbers_it_can_change(name):
    noticed = stages_that_notice(name)
    if name.startswith(("figures/", "report/", "pipeline/")) or name in ("logs.py", "training/launch.py"):
        assert not noticed - {"report"}
    used = {stage for stage in NUMBERS if LIBRARY / name in imported_by(stage)}
    if name.startswith(COUNT_FOR_TRAININGS) and name != "training/launch.py":
        assert noticed >= used
    if name.startswith(("figures/", "report/")) or name == "logs.py":
        assert ("report" in noticed) == (LIBRARY / name in imported_by("report"))


@cache
def imported_by(stage: str) -> set[Path]:
    """Files of the library that the stage's script imports, directly or not, and what their packages carry."""
    seen, queue = set(), [SCRIPTS / f"{stage}.py"]
    while queue:
        path = queue.pop()
        if path not in seen:
            seen.add(path)
            queue.extend(imported_modules(path, LIBRARY))
    return seen | {file for path in seen for file in digest._data_files(path)}


def test_another_version_changes_no_stage(tmp_path):
    copy = tmp_path / "scripts"
    shutil.copytree(SCRIPTS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    start = copy / "lung4d/__init__.py"
    assert "__version__ = " in start.read_text()
    start.write_text(re.sub(r'__version__ = ".*"', '__version__ = "99.0"', start.read_text()))
    for script in copy.glob("*.py"):
        assert code_digest(script, copy / "lung4d") == code_digest(SCRIPTS / script.name, LIBRARY)
