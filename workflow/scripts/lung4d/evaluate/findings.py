"""What the evaluation found, from its tables: every threshold stands here, and every verdict is made here.

Needs neither torch nor scikit-learn: the report has the quality numbers found here, of which no stage tells.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from lung4d.evaluate.change_signal import better_than
from lung4d.evaluate.methods import EVERYONE, FORECASTS, MODEL, REFERENCES, TASKS, of_kind, sets_in_order
from lung4d.evaluate.records import (
    ALIKE,
    BETTER,
    NOT_SHOWN,
    SHOWN,
    TOO_FEW,
    TOO_FEW_PATIENTS,
    WORSE,
    BandHeld,
    BetterThanBlur,
    Beyond,
    ChangeForetold,
    CodesUsed,
    Difference,
    FieldsScored,
    GivenScored,
    Hardness,
    MasksScored,
    ModelScores,
    Reconstructed,
    Rivals,
    ScanQuality,
    Spread,
    TakenOtherwise,
    TaskScores,
    Verdict,
    VisitsJudged,
)
from lung4d.register.acquisition import count_kinds

ENOUGH = 5  # patients; with fewer, even a difference of one sign in all of them can be chance
JUDGED_BY = ("high_attenuation", "density")  # of CHANGES: a claim to forecast change rests on both


def verdict(difference: float, low: float, high: float, patients: int) -> str:
    """Where the interval says so, better (an error below the reference) or worse, else not distinguishable."""
    if patients < ENOUGH:
        return TOO_FEW
    if not (low > 0 or high < 0):
        return ALIKE
    return BETTER if difference < 0 else WORSE


def find_reconstructed(reconstruction: pd.DataFrame) -> tuple[Reconstructed, ...]:
    """From reconstruction.tsv."""
    found = []
    for split, part in reconstruction.groupby("split", sort=True):
        scans = part[["subject", "session"]].drop_duplicates().shape[0]
        means = part.groupby("region")[["mse", "psnr", "ssim"]].mean()
        found += [Reconstructed(split, region, scans, *map(float, row)) for region, *row in means.itertuples()]
    return tuple(found)


def find_codes(codes: pd.DataFrame) -> tuple[CodesUsed, ...]:
    """From codes.tsv."""
    return tuple(
        CodesUsed(split, int(part["used"].sum()), len(part), float(part["perplexity"].iloc[0]))
        for split, part in codes.groupby("split", sort=True)
    )


def find_hardness(signal: Mapping[str, Mapping[str, Any]]) -> tuple[Hardness, ...]:
    """From `change_signal`."""
    found = []
    for name in sets_in_order(signal):
        rms, share, patients = (signal[name][key] for key in ("rms_hu", "disease_share", "patients"))
        found.append(Hardness(name, rms, np.nan if share is None else share, patients))
    return tuple(found)


def find_tasks(
    summary: pd.DataFrame, change: pd.DataFrame, patients: Mapping[str, int], unchanged: Iterable[str]
) -> tuple[TaskScores, ...]:
    """From summary.tsv and change.tsv, the test set first; `patients` is how many each set has, with visits to withhold
    or without; `unchanged` are the sets in which nobody's disease changes."""
    sets = ["test", *(name for name in patients if name != "test")]
    found = [_task(summary, name, task, patients.get(name, 0)) for name in sets for task in TASKS]
    return tuple(
        replace(task, models=tuple(_with_change(model, task, summary, change, unchanged) for model in task.models))
        if task.set == "test"
        else task
        for task in found
    )


def _task(summary: pd.DataFrame, name: str, task: str, patients: int) -> TaskScores:
    whole = {"set": name, "task": task, **EVERYONE, "region": "lung"}
    rows = _where(summary, whole).set_index(["measure", "method"])
    if rows.empty:
        return TaskScores(name, task, 0, patients, 0, np.nan, np.nan, ())
    errors = rows.loc["mse"]
    scored, visits = (int(errors[key].iloc[0]) for key in ("patients", "targets"))
    carried, blurred = (float(errors.loc[REFERENCES[key].method, "mean"]) for key in ("locf", "blurred"))
    judged = _of_test if name == "test" else _of_others
    models = tuple(judged(method, rows) for method in of_kind(MODEL, errors.index))
    return TaskScores(name, task, scored, patients, visits, carried, blurred, models)


def _of_test(method: str, rows: pd.DataFrame) -> ModelScores:
    """A decoding beside all references."""
    error, skill = rows.loc[("mse", method)], rows.loc[("skill", method)]
    against = tuple(
        Verdict(key, *_interval(error, key), verdict(*_interval(error, key), error["patients"])) for key in REFERENCES
    )
    return ModelScores(method, float(error["mean"]), against, *_interval(skill, "locf"))


def _with_change(
    model: ModelScores, task: TaskScores, summary: pd.DataFrame, change: pd.DataFrame, unchanged: Iterable[str]
) -> ModelScores:
    """A decoding in the test set with what it foretells of change, and with its claim."""
    rows = _where(change, {"set": task.set, "task": task.task, **EVERYONE, "method": model.method})
    foretold = tuple(
        ChangeForetold(*row) for row in rows[list(ChangeForetold.__dataclass_fields__)].itertuples(index=False)
    )
    beyond = tuple(filter(None, (_beyond(model, task.task, name, summary) for name in unchanged)))
    lacking = _lacking(model, foretold, beyond)
    claim = TOO_FEW if task.patients < ENOUGH else NOT_SHOWN if lacking else SHOWN
    return replace(model, changes=foretold, beyond=beyond, lacking=lacking if claim == NOT_SHOWN else (), claim=claim)


def _beyond(model: ModelScores, task: str, name: str, summary: pd.DataFrame) -> Beyond | None:
    """The skill in the test set minus that in a set without change, or None where too few are scored in it.

    Both sets have other patients; the interval is made of theirs (Zou and Donner, Statistics in Medicine 2008).
    """
    whole = {"set": name, "task": task, **EVERYONE, "region": "lung", "measure": "skill", "method": model.method}
    rows = _where(summary, whole)
    if rows.empty or rows["patients"].iloc[0] < ENOUGH:
        return None
    skill, low, high = _interval(rows.iloc[0], "locf")
    difference = model.skill - skill
    below, above = (
        np.hypot(model.skill - model.skill_low, high - skill),
        np.hypot(model.skill_high - model.skill, skill - low),
    )
    return Beyond(name, difference, float(difference - below), float(difference + above))


def _lacking(model: ModelScores, foretold: Iterable[ChangeForetold], beyond: Iterable[Beyond]) -> tuple[str, ...]:
    """What a claim to forecast change lacks, of LACKING in `wording`."""
    by_measure = {one.measure: one for one in foretold}
    read = [by_measure[name] for name in JUDGED_BY if name in by_measure]
    follows = len(read) == len(JUDGED_BY) and all(one.slope_low > 0 and one.correlation_low > 0 for one in read)
    holds = {
        "references": all(one.verdict == BETTER for one in model.against),
        "skill": model.skill_low > 0,
        "change": follows,
        "still": all(one.low > 0 for one in beyond),
    }
    return tuple(name for name, held in holds.items() if not held)


def _of_others(method: str, rows: pd.DataFrame) -> ModelScores:
    """A decoding beside the cohort's mean change alone: verdicts are given of the test set."""
    error = rows.loc[("mse", method)]
    against = Verdict("cohort", *_interval(error, "cohort"), "")
    return ModelScores(method, float(error["mean"]), (against,))


def find_rivals(differences: pd.DataFrame) -> tuple[Rivals, ...]:
    """From differences.tsv, of the test set where it has enough patients."""
    whole = {"set": "test", **EVERYONE, "region": "lung", "measure": "mse"}
    differences, found = _where(differences, whole), []
    for task in TASKS:
        part = differences[differences["task"] == task]
        for method in of_kind(MODEL, part["method"].unique()):
            rivals = part[part["method"] == method]
            if rivals["patients"].iloc[0] < ENOUGH:
                continue
            left = rivals[~(rivals["high"] < 0)].sort_values("difference", ascending=False)
            rows = left[["reference", "difference", "low", "high"]].itertuples(index=False)
            found.append(
                Rivals(task, method, len(rivals) - len(left), len(rivals), tuple(Difference(*row) for row in rows))
            )
    return tuple(found)


def find_better(differences: pd.DataFrame, unchanged: list[str]) -> tuple[BetterThanBlur, ...]:
    """From differences.tsv, by set; `unchanged` are the sets in which nobody's disease changes.

    There a method is better than the blurred last scan only by averaging noise, so that none should beat the blurred
    mean of the given scans.
    """
    found = []
    for name in sets_in_order(differences["set"].unique()):
        blurred, still = better_than("locf_blurred", differences, name), name in unchanged
        mean_blurred = better_than("mean_of_given_blurred", differences, name) if still else []
        found.append(BetterThanBlur(name, still, tuple(blurred), tuple(mean_blurred)))
    return tuple(found)


def find_bands(coverage: pd.DataFrame) -> tuple[BandHeld, ...]:
    """From coverage.tsv: each set whole, and the test set's groups; no shares where patients are too few."""
    columns = list(BandHeld.__dataclass_fields__)
    told = coverage[(coverage["group"] == "all") | (coverage["set"] == "test")]
    shares = [name for name in columns if "coverage" in name]
    told = told.assign(**told[shares].mask(told["held"] == TOO_FEW_PATIENTS))
    told["value"] = told["value"].where(told["group"] != "all", "")
    return tuple(BandHeld(*row) for row in told[columns].itertuples(index=False))


def find_judged(forecasts: pd.DataFrame, differs_in: Mapping[tuple[str, str], str]) -> tuple[VisitsJudged, ...]:
    """From forecast.tsv; `differs_in` says of each scan (subject, session) in what it was taken otherwise than its
    baseline, as `lung4d.register.acquisition.joined` writes it."""
    visits = forecasts[["set", "subject", "session"]].drop_duplicates()
    found = []
    for name in sets_in_order(visits["set"].unique()):
        own = visits.loc[visits["set"] == name, ["subject", "session"]].itertuples(index=False, name=None)
        cells = [differs_in.get(scan, "") for scan in own]
        kinds = tuple(TakenOtherwise(what, number) for what, number in count_kinds(cells).items())
        found.append(VisitsJudged(name, len(cells), sum(map(bool, cells)), kinds))
    return tuple(found)


def find_given(forecasts: pd.DataFrame, files: int, strangers: tuple[str, ...]) -> GivenScored | None:
    """From forecast.tsv; the folder holds so many `files` besides the `strangers`. None where it holds nothing."""
    if not strangers and not files:
        return None
    lung = forecasts[forecasts["region"] == "lung"]
    scored, carried = (int((lung["method"] == name).sum()) for name in (FORECASTS, "locf"))
    return GivenScored(scored, carried, strangers)


def find_masks(segmentation: pd.DataFrame) -> MasksScored | None:
    """From segmentation.tsv."""
    dice = segmentation["dice"]
    return MasksScored(len(dice), float(dice.mean()), float(dice.min())) if len(dice) else None


def find_fields(registration: pd.DataFrame) -> FieldsScored | None:
    """From registration.tsv."""
    if registration.empty:
        return None
    before, after, median = (float(registration[name].mean()) for name in ("before_mean", "after_mean", "after_median"))
    return FieldsScored(len(registration), before, after, median, float(registration["after_mean"].max()))


def scan_quality(qc: pd.DataFrame, measures: Iterable[str], visits: Mapping[str, list[str]]) -> ScanQuality:
    """From qc.tsv: the spread of those of the measures (columns) that it has, and the poorest overlap.

    visits: the usable sessions of each patient in the order of time.
    """
    scans = list(zip(qc["subject"], qc["session"], strict=True))
    baselines = {(subject, sessions[0]) for subject, sessions in visits.items()}
    follow_up, spreads = [scan not in baselines for scan in scans], []
    for measure in (measure for measure in measures if measure in qc):
        values = pd.to_numeric(qc[measure], errors="coerce")
        values = (values[follow_up] if measure.startswith("register_") else values).dropna()
        if len(values):
            low, middle, high = map(float, (values.min(), values.median(), values.max()))
            spreads.append(Spread(measure, low, middle, high, len(values)))
    usable = {(subject, session) for subject, sessions in visits.items() for session in sessions[1:]}
    return ScanQuality(tuple(spreads), _poorest(qc[[scan in usable for scan in scans]]))


def _poorest(follow_ups: pd.DataFrame) -> tuple[str, ...]:
    if "register_dice_after" not in follow_ups or follow_ups["register_dice_after"].isna().all():
        return ()
    row = follow_ups.loc[follow_ups["register_dice_after"].astype(float).idxmin()]
    return str(row["subject"]), str(row["session"])


def _where(table: pd.DataFrame, values: Mapping[str, str]) -> pd.DataFrame:
    """The rows that have these values."""
    for column, value in values.items():
        table = table[table[column] == value]
    return table


def _interval(row: pd.Series, reference: str) -> tuple[float, float, float]:
    """Difference to the reference, and the ends of its interval."""
    value, low, high = (float(row[f"{reference}_{part}"]) for part in ("difference", "low", "high"))
    return value, low, high
