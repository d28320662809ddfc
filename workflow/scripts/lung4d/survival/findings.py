"""What the survival analysis found, from its tables, and summary.json."""

from typing import Any

import numpy as np
import pandas as pd

from lung4d.io.records import as_data
from lung4d.survival.analysis import SurvivalResults
from lung4d.survival.fitting import SurvivalSettings
from lung4d.survival.landmark import LandmarkSample
from lung4d.survival.records import (
    FEW_EVENTS,
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
from lung4d.survival.wording import CLOCKS, METHOD, sentences

NO_ORDER = 0.5  # the C-index of a coin toss
FDR = 0.05
ALPHA = 0.05  # of the test of proportional hazards, divided by the number of tests in the model


def summary(results: SurvivalResults, settings: SurvivalSettings) -> dict[str, object]:
    """Counts, selected codes, what was excluded and why, the findings, and `sentences` for the report; JSON without
    NaN."""
    found = find(results)
    selection: Any = found.selection
    return {
        "patients_with_outcome": len(results.participants),
        "events": int(results.participants["event"].sum()),
        "analyses": {one.analysis: _counts(one) for one in found.followed},
        "covariates": list(settings.covariates),
        "selected": [one.code for one in selection.chosen],
        "codes_tested": selection.tested,
        "codes_that_could_not_be_fitted": selection.failed,
        "codes_below_fdr_0.05": selection.below_fdr,
        "proportional_hazards": _hazards(results.hazards),
        "sentences": sentences(found),
        "method": METHOD.format(ridge=settings.ridge),
        "findings": as_data(found),
    }


def find(results: SurvivalResults) -> SurvivalFindings:
    """All that is told of an analysis."""
    return SurvivalFindings(
        outcomes=not results.participants.empty,
        headline=find_headline(results.cindex),
        followed=tuple(map(_followed, results.samples)),
        selection=_selection(results.selection, results.selection_reason),
        remarks=(*results.plan.covariates.words, *results.plan.lung_function.words, *filter(None, [results.otherwise])),
        hazards=_changing(results.hazards),
        unscored=find_unscored(results.cindex),
    )


def find_headline(cindex: pd.DataFrame) -> Headline | None:
    """From cindex.tsv; None where the codes have no C-index on held-out patients' real scans."""
    scored = cindex[(cindex["set"] == "test") & cindex["c_index"].notna()]
    for analysis in ("third scan", "first scan"):
        rows = scored[scored["analysis"] == analysis]
        codes = rows[rows["model"] == "codes"].set_index("scan", drop=False)
        if "real" in codes.index:
            told = pd.concat([codes, rows[rows["model"] == "covariates only"]])
            scores = told[["model", "scan", "c_index", "c_low", "c_high"]].itertuples(index=False)
            return _headline(analysis, codes, tuple(ModelScore(*row) for row in scores))
    return None


def _headline(analysis: str, codes: pd.DataFrame, scores: tuple[ModelScore, ...]) -> Headline:
    change: tuple[float, ...]
    real, change = codes.loc["real"], (np.nan,) * 3
    if "generated" in codes.index:
        columns = ["difference_to_real", "difference_low", "difference_high"]
        change = tuple(map(float, codes.loc["generated", columns]))
    return Headline(
        analysis,
        int(real["patients"]),
        int(real["events"]),
        scores,
        change[0],
        change[1],
        change[2],
        ordered=bool(real["c_low"] > NO_ORDER or real["c_high"] < NO_ORDER),
        few_events=_few_events(real),
    )


def _few_events(row: pd.Series) -> FewEvents | None:
    each = float(row["events_per_variable"])
    return FewEvents(int(row["training_events"]), int(row["variables"]), each) if each < FEW_EVENTS else None


def find_unscored(cindex: pd.DataFrame) -> tuple[Unscored, ...]:
    """From cindex.tsv, the rows that say why they have no C-index."""
    rows = cindex.loc[cindex["reason"].astype(str) != "", ["analysis", "model", "scan", "reason"]]
    return tuple(Unscored(*row) for row in rows.itertuples(index=False))


def _followed(sample: LandmarkSample) -> Followed:
    groups = sample.clock.groupby("set")["event"].agg(["size", "sum"])
    return Followed(
        sample.name,
        tuple(Group(name, int(size), int(events)) for name, size, events in groups.itertuples()),
        tuple(LeftOut(reason, int(count)) for reason, count in sample.excluded.items() if count),
    )


def _counts(found: Followed) -> dict[str, object]:
    sets = {one.set: {"patients": one.patients, "events": one.events} for one in found.groups}
    return {
        "clock": CLOCKS[found.analysis],
        "sets": sets,
        "excluded": {one.reason: one.patients for one in found.left_out},
    }


def _selection(selection: pd.DataFrame, reason: str) -> Selection:
    chosen = selection.loc[selection["selected"].astype(bool), ["code", "p", "q", "stability"]]
    return Selection(
        tested=int(selection["p"].notna().sum()),
        failed=int(selection["p"].isna().sum()),
        below_fdr=int((selection["q"].astype(float) < FDR).sum()),
        chosen=tuple(ChosenCode(code, *map(float, numbers)) for code, *numbers in chosen.itertuples(index=False)),
        reason=reason,
    )


def _hazards(hazards: pd.DataFrame) -> dict[str, dict[str, dict[str, float | None]]]:
    """P values by analysis, model and variable."""
    nested: dict[str, dict[str, dict[str, float | None]]] = {}
    for row in hazards.itertuples():
        of_model = nested.setdefault(row.analysis, {}).setdefault(row.model, {})
        of_model[row.variable] = round(float(row.p), 4) if np.isfinite(row.p) else None
    return nested


def _changing(hazards: pd.DataFrame) -> tuple[HazardsTested, ...]:
    """Which variables' effect changes with time, by model."""
    return tuple(
        HazardsTested(analysis, model, tuple(table.loc[table["p"].astype(float) < ALPHA / len(table), "variable"]))
        for (analysis, model), table in hazards.groupby(["analysis", "model"], sort=False)
    )
