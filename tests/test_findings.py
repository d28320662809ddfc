"""One judge and one wording: what the stages find is data, the page shows it, and nothing on the page judges again."""

import ast
import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from helpers.fake_results import bands, cohort, forecasts, found_of, rates, volumes
from helpers.running import ROOT
from lung4d.evaluate import findings
from lung4d.evaluate.baselines import BASELINES
from lung4d.evaluate.calls.called import call_patients, call_table
from lung4d.evaluate.change import change_table
from lung4d.evaluate.forecasting import ORACLES
from lung4d.evaluate.methods import BASELINE, FORECASTS, METHODS, MODEL, model_name, of_kind, sets_in_order
from lung4d.evaluate.records import (
    ALIKE,
    BETTER,
    NOT_SHOWN,
    SHOWN,
    TOO_FEW,
    WORSE,
    Choice,
    EvaluateFindings,
    Learned,
    ScanQuality,
    TrendChoice,
    TrendShare,
    Verdict,
    WeightingChoice,
    WeightingOfTask,
)
from lung4d.evaluate.summary import compare, groups, summarise
from lung4d.evaluate.volume.errors import volume_table
from lung4d.evaluate.wording import sentences
from lung4d.io.records import as_data, as_record
from lung4d.ode.decoding import MODES
from lung4d.report.chapters import autoencoder, forecasting, imaging, overview, survival
from lung4d.report.results import Images, Results, Tables
from lung4d.survival.records import (
    ChosenCode,
    FewEvents,
    Followed,
    Group,
    HazardsTested,
    Headline,
    LeftOut,
    ModelScore,
    Selection,
    SurvivalFindings,
    Unscored,
)

CHAPTERS = (  # that tell of findings
    overview.summary_section,
    imaging.registration_section,
    autoencoder.section,
    forecasting.section,
    survival.section,
)
LIBRARY = ROOT / "workflow/scripts/lung4d"


# ---- records on the page ---------------------------------------------------------------------------------------------


@cache
def evaluation() -> EvaluateFindings:
    """What the judge finds of 20 test patients, and of as many elsewhere, with every kind of record."""
    random = np.random.default_rng(0)
    table = forecasts(cohort(50, 1, random), random)
    table = pd.concat([table, table.assign(set="other site")])
    scans = pd.DataFrame({"subject": ["1", "2"], "session": "01", "split": "test", "dice": [0.97, 0.91]})
    errors = {"before_mean": 9.0, "after_mean": 1.2, "after_median": 0.9}
    regions = [scans.assign(region=region, mse=2e-3, psnr=28.0, ssim=0.8) for region in ("lung", "whole")]
    tables = {
        "reconstruction": pd.concat(regions),
        "codes": pd.DataFrame({"split": "test", "used": [True, False], "perplexity": 61.2}),
        "summary": summarise(table, 100, 0),
        "differences": compare(table, 100, 0),
        "change": change_table(groups(table), 100, 0),
        "coverage": bands(),
        "rates": (told := pd.concat([rates("val", random, 24), rates("test", random, 36)])),
        "calls": call_table(call_patients(told)),
        "volume": volume_table(volumes(random), 100, 0),
        "segmentation": scans,
        "registration": scans.assign(**errors),
    }
    choice, shares = Choice(0.5, "val", 3), (TrendShare("extrapolation", 0.8, 2.0),)
    weighting = WeightingChoice((WeightingOfTask("extrapolation", 0.3, 11.0),), "val", 3)
    learned = Learned(choice, choice, 17.0, 9, (TrendChoice("image", shares, "val", 3),), weighting, 16, 9)
    return replace(found_of(tables, {"test": 21, "other site": 20}), learned=learned)


def prognosis() -> SurvivalFindings:
    scores = [("codes", "real", 0.71), ("codes", "generated", 0.66), ("covariates only", "none", 0.6)]
    return SurvivalFindings(
        headline=Headline(
            "third scan", 6, 4, tuple(ModelScore(*score, 0.45, 0.9) for score in scores),
            -0.05, -0.2, 0.1, False, FewEvents(7, 8, 0.9),
        ),
        followed=(
            Followed("third scan", (Group("test", 6, 4),), (LeftOut("no outcome", 2),)),
        ),
        selection=Selection(8, 1, 2, (ChosenCode("code_003", 0.004, 0.1, 0.4),), ""),
        remarks=("age is missing in 1 of 9 patients",),
        hazards=(HazardsTested("first scan", "codes", ("age",)),),
        unscored=(Unscored("one-year change", "codes", "real", "too few events"),),
    )  # fmt: skip


def quality() -> tuple[Tables, ScanQuality]:
    """The tables of a baseline and two follow-ups, and what is found of their quality."""
    split = pd.DataFrame({"subject": "1", "session": ["01", "02", "03"], "years": [0.0, 1, 2], "split": "test"})
    qc = split.assign(ok=True, flags="", segment_volume_ml=[4000, 3000, 3500], register_dice_after=[1.0, 0.9, 0.95])
    found = findings.scan_quality(qc, ["segment_volume_ml", "register_dice_after"], {"1": ["01", "02", "03"]})
    return Tables(qc=qc, split=split), found


def shown(tables: Tables | None = None, **found: Any) -> str:
    """The chapters, before they are laid out, of a page that has these findings, and few tables or none."""
    results = Results("Title", 4, False, {}, [], [], tables or Tables(), Images(), **found)
    return str([chapter(results) for chapter in CHAPTERS])


NAMES = {  # what a record is about; contradicting that would make it another record
    "analysis", "code", "measure", "method", "model", "place", "reference", "region", "scan", "set", "split", "task",
}  # fmt: skip
OPPOSITE = {BETTER: WORSE, WORSE: BETTER, ALIKE: BETTER, TOO_FEW: WORSE, SHOWN: NOT_SHOWN, NOT_SHOWN: SHOWN}
OPPOSITE |= {"references": "skill", "skill": "references", "change": "still", "still": "change", "truth": "seen"}


def contradictions(found: Any) -> Iterator[tuple[str, Any]]:
    """What was said otherwise, and all of it with one value contradicted: every verdict, number, flag and word."""
    if is_dataclass(found):
        for field in fields(found):
            value = getattr(found, field.name)
            if field.name not in NAMES and value not in ("", None) and value == value:
                for path, other in contradictions(value):
                    yield f"{field.name} {path}", replace(found, **{field.name: other})
    elif isinstance(found, tuple):
        for number, value in enumerate(found):
            for path, other in contradictions(value):
                yield f"{number} {path}", (*found[:number], other, *found[number + 1 :])
    elif isinstance(found, bool):
        yield "", not found
    elif isinstance(found, str):
        yield "", OPPOSITE.get(found, "the contrary")
    else:
        yield "", found + 17


def test_every_record_of_the_evaluation_is_shown():
    found = evaluation()
    before = shown(evaluation=found)
    unseen = [path for path, other in contradictions(found) if shown(evaluation=other) == before]
    assert unseen == ["tasks 2 visits ", "tasks 3 visits "]  # of the other set; summary.tsv has them


def test_every_record_of_the_survival_analysis_is_shown():
    before = shown(prognosis=prognosis())
    unseen = [path for path, other in contradictions(prognosis()) if shown(prognosis=other) == before]
    assert unseen == []


def test_a_contradicted_verdict_or_claim_is_seen_in_the_headline():
    def headline(verdicts: list[str], claim: str, *lacking: str) -> str:
        (task, *_), ours = evaluation().tasks, model_name("expected")
        (model,) = (model for model in task.models if model.method == ours)
        against = (Verdict(**vars(one) | {"verdict": word}) for one, word in zip(model.against, verdicts, strict=True))
        changed = replace(task, models=(replace(model, against=tuple(against), claim=claim, lacking=lacking),))
        return shown(evaluation=EvaluateFindings(tasks=(changed,))).split("Section(name='registration'")[0]

    assert "The model is better than the last scan, better than that scan blurred, better than the cohort's mean" in (
        headline([BETTER] * 4, SHOWN)
    )
    assert "It has beaten all four, and what changed" in headline([BETTER] * 4, SHOWN)
    assert "is not shown: its skill is not above zero." in headline([BETTER] * 4, NOT_SHOWN, "skill")
    assert "worse than the last scan, not shown to differ from that scan" in headline(
        [WORSE, ALIKE, BETTER, BETTER], NOT_SHOWN
    )
    mixed = headline([WORSE, ALIKE, BETTER, BETTER], NOT_SHOWN, "references", "change")
    assert "it is not better than all four; patients' true changes are not shown to go with those foretold." in mixed
    assert "this cannot tell which is better" in headline([TOO_FEW] * 4, TOO_FEW)


def test_findings_come_back_from_the_file_as_they_were():
    for found in (evaluation(), prognosis()):
        data = as_data(found)
        again = as_record(type(found), data)
        assert as_data(again) == data
        assert str(again) == str(found)  # NaN, which equals nothing, included
    assert as_data((math.nan, math.inf)) == [None, "inf"]
    assert as_record(tuple[float, ...], [None, "inf"])[1] == math.inf


def test_quality_numbers_and_the_poorest_overlap_are_those_of_follow_ups():
    tables, found = quality()
    volume, overlap = found.spreads
    assert (volume.lowest, volume.median, volume.highest, volume.scans) == (3000, 3500, 4000, 3)
    assert (overlap.lowest, overlap.highest, overlap.scans) == (0.9, 0.95, 2)
    assert found.poorest == ("1", "02")
    spreads = [replace(found, spreads=other) for _, other in contradictions(found.spreads)]
    before = shown(tables, quality=found)
    assert not any(shown(tables, quality=other) == before for other in spreads)


# ---- one list of methods ---------------------------------------------------------------------------------------------


def test_the_methods_are_those_that_are_computed():
    assert of_kind(BASELINE) == list(BASELINES)
    assert sorted(of_kind(MODEL)) == sorted(map(model_name, MODES))
    assert {*of_kind(BASELINE), *of_kind(MODEL), FORECASTS, *ORACLES} == set(METHODS)


def test_the_test_set_comes_first():
    assert sets_in_order(["north", "test", "east"]) == ["test", "east", "north"]


def test_names_of_ceilings_stand_in_one_module_and_no_code_asks_how_a_name_starts_or_ends():
    asked, named, first = [], [], []
    for path in LIBRARY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                what, asks = str(getattr(node.args[0], "value", "")), node.func.attr in ("startswith", "endswith")
                asked += [path.name] if asks and what.startswith(("model", "(oracle")) else []
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith("(oracle)"):
                named.append(path.name)
            if isinstance(node, ast.FunctionDef) and node.name == "_test_first":
                first.append(path.name)
    assert asked == []
    assert (set(named), first) == ({"methods.py"}, ["methods.py"])


# ---- what the report computes ----------------------------------------------------------------------------------------

STATISTICS = {
    "agg", "aggregate", "apply_along_axis", "average", "diff", "fmean", "idxmax", "idxmin", "kurt", "max",
    "mean", "median", "min", "mode", "nanmean", "nanmedian", "percentile", "quantile", "rolling", "sem", "skew", "std",
    "subtract", "var",
}  # fmt: skip
ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
# Numbers as text, and a setting's unit: no number of patients is compared there, no difference over them made.
PRINTED = {"fixed", "p_value", "hu_of"}


@pytest.fixture(scope="module", params=sorted((LIBRARY / "report").rglob("*.py")), ids=lambda path: path.name)
def tree(request) -> ast.Module:
    """A module of the report."""
    return ast.parse(request.param.read_text())


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.FunctionDef) and node.name in PRINTED):
            yield node
            yield from nodes(node)


def test_the_report_imports_no_statistics_and_no_judge(tree):
    imported = {alias.name for node in nodes(tree) if isinstance(node, ast.Import) for alias in node.names}
    froms = [node for node in nodes(tree) if isinstance(node, ast.ImportFrom)]
    imported |= {f"{node.module}.{alias.name}" for node in froms for alias in node.names}
    assert [name for name in imported if name.startswith(("scipy", "statistics", "lung4d.metrics"))] == []
    assert [name for name in imported if name.endswith("findings") or ".findings." in name] == []


def test_the_report_computes_no_mean_quantile_or_difference(tree):
    called = {node.func.attr for node in nodes(tree) if isinstance(node, ast.Call) and hasattr(node.func, "attr")}
    assert called & STATISTICS == set()
    for node in nodes(tree):
        if isinstance(node, ast.BinOp):
            assert not isinstance(node.op, ast.Sub), ast.unparse(node)
            assert not (isinstance(node.op, ast.Div) and _counts(node.right)), ast.unparse(node)


def test_the_report_compares_no_number_with_a_constant(tree):
    """What is counted may be: whether there is one, or more than fit on the page."""
    for node in nodes(tree):
        if isinstance(node, ast.Compare) and any(isinstance(op, ORDER) for op in node.ops):
            sides = [node.left, *node.comparators]
            assert not any(map(_constant, sides)) or any(map(_counts, sides)), ast.unparse(node)


def _constant(node: ast.AST) -> bool:
    node = node.operand if isinstance(node, ast.UnaryOp) else node
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id.isupper())


def _counts(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == "len"


def test_the_tests_of_the_report_see_what_they_look_for():
    """The page as it was: a verdict of its own, and means over patients."""
    for source in ("low <= 0 <= high", "patients < ENOUGH", "table[table['p'] < 0.05]"):
        with pytest.raises(AssertionError):
            test_the_report_compares_no_number_with_a_constant(ast.parse(source))
    for source in ("part['mse'].mean()", "ours - theirs", "sum(errors) / len(errors)", "np.quantile(a, 0.5)"):
        with pytest.raises(AssertionError):
            test_the_report_computes_no_mean_quantile_or_difference(ast.parse(source))


def test_summary_words_are_made_of_the_findings_alone():
    assert sentences(as_record(EvaluateFindings, as_data(evaluation()))) == sentences(evaluation())
