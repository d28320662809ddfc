"""`make equivalents`: what of an old and a new code is the same, and which results are equal."""

import json
from pathlib import Path

import pytest

from helpers.running import ROOT
from tools.equivalents.checkout import Checkout
from tools.equivalents.code import Code
from tools.equivalents.results import differences, stages_in
from tools.equivalents.stages import Comparison
from tools.equivalents.table import Row, read_rows, reasons, with_rows, write_rows

SCRIPT = """
from lung4d import scans
from lung4d.models import Model

LIMIT = 3
model = Model(snakemake.params.size)
values = scans.read(snakemake.input[0])
kept = [value for value in values if value < LIMIT]
scans.write(model.forecast(kept), snakemake.output[0])
"""
SCANS = '''
"""Reading and writing."""
import numpy as np

SCALE = 2.0
OFFSET, UNUSED = 1.0, 4.0


def read(path, limit=10):
    """Values of a file."""
    found = np.loadtxt(path)
    return np.minimum(found, limit) * SCALE + OFFSET


def write(values, path):
    with open(path, "w") as stream:
        stream.write(str(values))


def dead(values):
    return max(values)
'''
MODELS = '''
from dataclasses import dataclass

from lung4d.scans import SCALE


def _up(value):
    return value + SCALE


def _down(value):
    return value - SCALE


@dataclass
class Model:
    """Forecasts."""

    size: int

    def forecast(self, values):
        total = 0.0
        for value in values:
            total = total + self.step(value)
        return max(total, _up(_down(total)))

    def step(self, value: float) -> float:
        return value / self.size
'''
BEFORE = {"stage.py": SCRIPT, "lung4d/__init__.py": "", "lung4d/scans.py": SCANS, "lung4d/models.py": MODELS}


def code_in(folder: Path, files: dict[str, str]) -> Code:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Code(folder)


def changes_between(folder: Path, before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What is found between two versions of the script `stage.py` and its library, of which all files count."""
    codes = code_in(folder / "old", before), code_in(folder / "new", after)
    every = (set(filter(Path.is_file, code.scripts.rglob("*"))) for code in codes)
    return list(map(str, Comparison(*codes).changes("stage", *every)))


@pytest.fixture
def changes(tmp_path):
    """What is found between the code above and one with other files, or with one piece of text replaced in a file."""

    def found(*edits: tuple[str, str, str], files: dict[str, str | None] | None = None) -> list[str]:
        after = {**BEFORE, **(files or {})}
        for name, old, new in edits:
            assert old in after[name]
            after[name] = after[name].replace(old, new)
        return changes_between(tmp_path, BEFORE, {name: text for name, text in after.items() if text is not None})

    return found


def test_the_same_code_is_the_same(changes):
    assert changes() == []


def test_comments_docstrings_and_annotations_change_nothing(changes):
    assert changes(("lung4d/models.py", '"""Forecasts."""', '"""Better words."""  # a comment')) == []
    assert changes(("lung4d/models.py", "value: float) -> float", "value)")) == []


def test_a_moved_function_is_the_same(changes):
    moved = SCANS[SCANS.index("def write") : SCANS.index("def dead")]
    files = {
        "lung4d/io/__init__.py": "",
        "lung4d/io/writing.py": moved,
        "lung4d/scans.py": SCANS.replace(moved, ""),
        "stage.py": SCRIPT.replace("scans.write", "write").replace(
            "LIMIT =", "from lung4d.io.writing import write\n\nLIMIT ="
        ),
    }
    assert changes(files=files) == []


def test_a_renamed_module_is_the_same(changes):
    files = {
        "lung4d/scans.py": None,
        "lung4d/visits/scans_of_patients.py": SCANS,
        "lung4d/models.py": MODELS.replace("lung4d.scans", "lung4d.visits.scans_of_patients"),
        "stage.py": SCRIPT.replace("from lung4d import scans", "import lung4d.visits.scans_of_patients as scans"),
    }
    assert changes(files=files) == []


def test_a_renamed_class_is_the_same(changes):
    edits = ("lung4d/models.py", "class Model", "class Forecaster"), ("stage.py", "Model", "Forecaster")
    assert changes(*edits) == []


def test_a_field_may_have_the_name_of_the_module_that_its_type_is_from(tmp_path):
    files = {
        "lung4d/__init__.py": "",
        "stage.py": "from lung4d.a import Pair\n\nprint(Pair)\n",
        "lung4d/a.py": "from lung4d import b\n\n\n@dataclass\nclass Pair:\n    b: b.One\n    other: b.One\n",
        "lung4d/b.py": "class One(Exception): ...\n",
    }
    renamed = {name: text.replace("One", "Renamed") for name, text in files.items()}
    assert changes_between(tmp_path, files, renamed) == []


def test_a_renamed_method_is_the_same_where_both_names_are_used_for_nothing_else(changes):
    assert changes(("lung4d/models.py", "step(", "one_step(")) == []
    edits = ("lung4d/models.py", "step(", "one_step("), ("lung4d/scans.py", "str(values)", "str(values.step)")
    assert "step became one_step" in changes(*edits)[0]


def test_a_method_that_is_called_by_another_name_but_not_renamed_is_named(changes):
    added = MODELS.replace("    def step", "    def other(self, value):\n        return 0\n\n    def step")
    assert changes(files={"lung4d/models.py": added}) == []  # nothing calls it
    called = changes(files={"lung4d/models.py": added.replace("self.step(", "self.other(")})
    assert any("step became other" in line for line in called)


def test_a_split_module_is_the_same(changes):
    constants = "SCALE = 2.0\nOFFSET, UNUSED = 1.0, 4.0\n"
    files = {
        "lung4d/constants.py": "OFFSET = 1.0\nSCALE = 2.0\n",
        "lung4d/scans.py": SCANS.replace(constants, "from lung4d.constants import OFFSET, SCALE\n"),
    }
    assert changes(files=files) == []  # models still takes SCALE from scans, where it is only imported


def test_dead_code_may_come_and_go(changes):
    gone = SCANS[SCANS.index("def dead") :]
    assert changes(("lung4d/scans.py", gone, "\ndef new(values):\n    return min(values)\n")) == []


def test_a_renamed_local_is_the_same_and_a_mixed_up_one_is_not(changes):
    assert changes(("lung4d/models.py", "total", "summed"), ("stage.py", "kept", "those_kept")) == []
    mixed_up = MODELS.replace("max(total, _up(_down(total)))", "max(total, _up(_down(value)))")
    assert changes(files={"lung4d/models.py": mixed_up}) != []
    assert changes(("lung4d/scans.py", "return np.minimum(found, limit)", "return np.minimum(limit, limit)")) != []


def test_a_renamed_parameter_is_the_same_where_calls_follow(changes, tmp_path):
    called = ("stage.py", "scans.read(snakemake.input[0])", "scans.read(snakemake.input[0], limit=4)")
    assert (
        "parameters (path, limit) became (limit, path)"
        in changes(("lung4d/scans.py", "path, limit=10", "limit, path=10"))[0]
    )
    assert changes(("lung4d/scans.py", "limit", "most")) == []
    before = {**BEFORE, "stage.py": SCRIPT.replace(*called[1:])}
    after = {name: text.replace("limit", "most") for name, text in before.items()}
    mixed_up = {**before, "stage.py": before["stage.py"].replace("limit=4", "path=4")}

    assert changes_between(tmp_path / "followed", before, after) == []
    assert "keyword limit became path" in changes_between(tmp_path / "mixed up", before, mixed_up)[0]


@pytest.mark.parametrize(
    ("name", "old", "new", "definition"),
    [
        ("lung4d/scans.py", "SCALE = 2.0", "SCALE = 2", "SCALE"),
        ("lung4d/scans.py", "limit=10", "limit=11", "read"),
        ("lung4d/scans.py", "np.minimum(found, limit)", "np.minimum(limit, found)", "read"),
        ("lung4d/scans.py", "np.minimum", "np.maximum", "read"),
        ("lung4d/scans.py", "import numpy as np", "import cupy as np", "read"),
        ("lung4d/scans.py", "(values)", "(path)", "write"),
        ("lung4d/models.py", "max(total", "min(total", "Model"),
        ("lung4d/models.py", "value + SCALE", "SCALE + value", "_up"),
        ("lung4d/models.py", "_up(_down(total))", "_down(_up(total))", "_"),
        ("lung4d/models.py", "size: int", "size: int = 3", "Model"),
        ("lung4d/models.py", "@dataclass\n", "@dataclass(order=True)\n", "Model"),
        ("lung4d/models.py", "value: float", "amount: float", "Model"),
        ("lung4d/models.py", "        return max(", "            return max(", "Model.forecast"),
        ("stage.py", "LIMIT = 3", "LIMIT = 4", "LIMIT"),
        ("stage.py", "value < LIMIT", "value <= LIMIT", "stage"),
        ("stage.py", "for value in values", "for value in model", "stage"),
    ],
)  # fmt: skip
def test_a_changed_statement_is_named(changes, name, old, new, definition):
    found = changes((name, old, new))
    assert found and all(f"{name}:" in line for line in found)
    assert any(f": {definition}" in line for line in found)


def test_a_name_that_stands_for_something_else_is_named(changes):
    other = changes(("lung4d/models.py", "import SCALE", "import OFFSET as SCALE"))
    assert other == ["lung4d/scans.py:5 -> lung4d/scans.py:6: OFFSET: `2.0` became `1.0`"]


def test_a_change_is_named_by_its_lines(changes):
    line = MODELS.splitlines().index("    return value + SCALE") + 1
    edits = (("lung4d/models.py", "value + SCALE", "value * SCALE"), ("lung4d/models.py", "def _up", "\ndef _up"))
    assert changes(*edits) == [f"lung4d/models.py:{line} -> lung4d/models.py:{line + 1}: _up: `add` became `mult`"]


def test_two_functions_that_swap_names_are_not_the_same(changes):
    swapped = MODELS.replace("def _up", "def _x").replace("def _down", "def _up").replace("def _x", "def _down")
    assert changes(files={"lung4d/models.py": swapped}) != []
    both = swapped.replace("_up(_down(total))", "_down(_up(total))")
    assert changes(files={"lung4d/models.py": both}) == []  # with those who call them


def test_the_order_of_a_scripts_statements_counts(changes):
    first, second = SCRIPT.splitlines()[5:7]
    assert changes(("stage.py", f"{first}\n{second}", f"{second}\n{first}")) != []


def test_two_equal_functions_may_become_one_but_not_two_classes(changes, tmp_path):
    twice = "def a(x):\n    return x\ndef b(x):\n    return x\nclass A(Exception): ...\nclass B(Exception): ...\n"
    script = "from lung4d.x import {}\nprint({}, {})\n"

    def found(before, after):
        versions = [
            {
                "stage.py": script.format(", ".join(sorted(set(names))), *names),
                "lung4d/__init__.py": "",
                "lung4d/x.py": twice,
            }
            for names in (before, after)
        ]
        return changes_between(tmp_path / "".join(before), *versions)

    assert found(("a", "b"), ("a", "a")) == []
    assert found(("A", "B"), ("A", "A")) != []


def test_a_function_may_not_be_renamed_where_its_name_is_read(tmp_path):
    script = "from lung4d.x import first\n\nprint({} for method in (first,))\n"
    files = {"lung4d/__init__.py": "", "lung4d/x.py": "def first():\n    return 1\n"}

    def found(read):
        before = {**files, "stage.py": script.format(read)}
        after = {name: text.replace("first", "second") for name, text in before.items()}
        return changes_between(tmp_path / read, before, after)

    assert found("method") == []
    assert found("method.__name__") == ["stage.py:1 -> stage.py:1: stage: first became second, where names are read"]


def test_an_import_of_one_thing_or_another_counts(tmp_path):
    text = (
        "def f(fast):\n    if fast:\n        from {} import g\n    else:\n        from slow import g\n    return g()\n"
    )
    files = {"lung4d/__init__.py": "", "stage.py": "from lung4d.x import f\n\nprint(f(True))\n"}
    versions = [{**files, "lung4d/x.py": text.format(name)} for name in ("fast", "fast", "faster")]
    assert changes_between(tmp_path / "same", *versions[:2]) == []
    assert "fast.g became faster.g" in changes_between(tmp_path / "other", *versions[1:])[0]


def test_what_runs_at_import_counts(changes):
    found = changes(("lung4d/scans.py", "SCALE = 2.0\n", "SCALE = 2.0\nnp.seterr(all='raise')\n"))
    assert len(found) == 1 and "runs at import" in found[0]


def test_what_counts_neither_before_nor_now_may_change(tmp_path):
    drawing = "def draw(values):\n    return {}\n"
    script = "from lung4d.figures import draw\n\ndraw(snakemake.input)\n"
    old = code_in(tmp_path / "old", {"stage.py": script, "lung4d/figures.py": drawing.format("values")})
    new = code_in(tmp_path / "new", {"stage.py": script, "lung4d/figures.py": drawing.format("-values")})
    every = tuple(set(code.scripts.rglob("*.py")) for code in (old, new))
    alone = {old.scripts / "stage.py"}, {new.scripts / "stage.py"}
    assert Comparison(old, new).changes("stage", *every) != []
    assert Comparison(old, new).changes("stage", every[0], alone[1]) != []  # else code that counted could go there
    assert Comparison(old, new).changes("stage", *alone) == []


def test_the_code_of_the_project_says_its_digests_and_is_the_same_as_itself():
    here = Checkout.at(ROOT)
    files = here.files("split")
    assert here.scripts / "split.py" in files and len(here.stages["split"].recorded) == 16
    assert Comparison(Code(here.scripts), Code(here.scripts)).changes("split", files, files) == []


@pytest.fixture
def results(tmp_path):
    """Two equal results folders."""
    summary = {"verdict": "in words", "rows": [{"value": 0.5, "name": "a"}], "none": None}
    for side, digest in (("old", "abc-1"), ("new", "def-2")):
        for name, content in {
            "evaluate/forecast.tsv": "a\tb\n1\t2\n",
            "evaluate/summary.json": json.dumps(summary),
            f"train_ode/checkpoints/step-00000004_digest-{digest}.pt": "weights",
            "logs/a.log": side,
            "report/index.html": side,
            "README.md": side,
        }.items():
            path = tmp_path / side / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    return tmp_path / "old", tmp_path / "new"


def test_results_are_equal_but_for_logs_words_and_digests_in_names(results):
    assert differences(*results) == []
    assert stages_in(results[0]) == {"evaluate", "train_ode"}


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("evaluate/forecast.tsv", "2", "3", ["evaluate/forecast.tsv: other content"]),
        ("evaluate/summary.json", "0.5", "0.25", ["evaluate/summary.json: rows[0].value was 0.5, is 0.25"]),
        ("evaluate/summary.json", "in words", "in other words", []),
        ("evaluate/summary.json", '"none"', '"more": 3, "none"', []),
        ("train_ode/checkpoints/step-00000004_digest-def-2.pt", "weights", "others",
         ["train_ode/checkpoints/step-00000004: other content"]),
    ],
)  # fmt: skip
def test_what_differs_in_results_is_named(results, name, old, new, said):
    path = results[1] / name
    path.write_text(path.read_text().replace(old, new))
    assert differences(*results) == said


def test_files_on_one_side_alone_are_named(results):
    (results[0] / "evaluate/coverage.tsv").write_text("a")
    checkpoint = results[1] / "train_ode/checkpoints/step-00000004_digest-def-2.pt"
    checkpoint.rename(checkpoint.with_name("step-00000008_digest-def-2.pt"))
    assert differences(*results) == [
        "evaluate/coverage.tsv: not made any more",
        "train_ode/checkpoints/step-00000004: not made any more",
        "train_ode/checkpoints/step-00000008: was not made before",
    ]


def test_the_table_keeps_rows_of_earlier_digests(tmp_path):
    table = tmp_path / "code_equivalents.tsv"
    assert read_rows(table) == []
    earlier = [Row("convert", "b", "a", "moves"), Row("convert", "c", "z", "wrong"), Row("split", "s", "r", "moves")]
    rows = with_rows(earlier, [Row("convert", "c", "a", "moves")], {("convert", "c"), ("split", "s")})
    assert rows == [Row("convert", "b", "a", "moves"), Row("convert", "c", "a", "moves")]
    write_rows(rows, table)
    assert read_rows(table) == rows
    assert table.read_text().splitlines()[0] == "stage\tdigest\tstands_for\twhy"


def test_reasons_are_given_by_stage(tmp_path):
    stages = {"convert", "split"}
    both = {"convert": "a reason: good", "split": "a reason: good"}
    assert reasons("convert, split: a reason: good", stages) == both
    (tmp_path / "same.txt").write_text("split: one\n\nconvert, split: two\n")
    assert reasons(str(tmp_path / "same.txt"), stages) == {"split": "one; two", "convert": "two"}
    assert reasons("", stages) == {}
    for wrong in ("convert", "convert:", "cnvert: x", "split: a\tb"):
        with pytest.raises(SystemExit):
            reasons(wrong, stages)
