"""volume.tsv: how far off forecasts of lung volume are, in ml, whether that is less than by the last value, and whether
the model's is less than by each of its rivals and its band holds what it promises."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from lung4d.biomarkers.repeats import floor_of
from lung4d.evaluate.volume.model import MODEL, FittedModel, fit_model
from lung4d.evaluate.volume.records import VolumeForetold
from lung4d.evaluate.volume.rivals import RIVALS, TARGETS, FittedRival, VolumeSeries, methods_for
from lung4d.metrics import Interval, paired_bootstraps, ratio_bootstrap, share_interval

FIRST = next(iter(RIVALS))  # what differences are to
COLUMNS = [
    *["set", "target", "method", "patients", "visits", "error", "difference", "low", "high", "bias", "floor"],
    *["slope", "weight", "factor", "split", "chosen_on"],
    *["model_difference", "model_low", "model_high", "coverage", "coverage_low", "coverage_high", "width"],
]


def volume_table(everyone: Sequence[VolumeSeries], bootstrap: int, seed: int) -> pd.DataFrame:
    """A row per set that is scored, target and method: the mean absolute error in ml of later visits from the first
    two, the mean over patients; its difference to the last value, paired by patient, with a 95 % bootstrap interval
    over patients; the signed error; what repeat scans differ by; and what was learned on whom. Of each rival how far
    off the model is less the rival (`model_difference`), paired likewise; of the model how many of the visits lie in
    its 90 % band, and the band's mean width in ml."""
    rows: list[dict[str, object]] = []
    judged = sorted({one.set for one in everyone if one.split not in ("train", "val")})
    for target in TARGETS:
        methods: list[FittedRival | FittedModel] = [*methods_for(everyone, target), *fit_model(everyone, target)]
        for name in judged:
            own = [one for one in everyone if one.set == name and one.split not in ("train", "val")]
            rows += _rows_of(own, target, methods, bootstrap, seed)
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows_of(
    own: Sequence[VolumeSeries], target: str, methods: Sequence[FittedRival | FittedModel], bootstrap: int, seed: int
) -> list[dict[str, object]]:
    """The rows of one set and target, none without a later visit; the model's only where it foretells all of them."""
    own = [one for one in own if methods[0].foretold(one, target).size]
    if not own:
        return []
    if not all(len(one.made) for one in own):
        methods = [method for method in methods if not isinstance(method, FittedModel)]
    made = [[np.subtract(*method.foretold(one, target)) for method in methods] for one in own]
    errors = np.array([[np.abs(values).mean() for values in one] for one in made])
    biases = np.array([[values.mean() for values in one] for one in made]).mean(axis=0)
    differences = paired_bootstraps(errors - errors[:, :1], bootstrap, seed)
    counts = {"patients": len(own), "visits": sum(one[0].size for one in made), "floor": floor_of("lung_volume_ml")}
    rows: list[dict[str, object]] = []
    for number, method in enumerate(methods):
        row: dict[str, object] = {"set": own[0].set, "target": target, "method": method.name, **counts}
        row |= {"error": errors[:, number].mean(), "bias": biases[number]}
        row |= dict(zip(("difference", "low", "high"), differences[number], strict=True))
        row |= {"slope": method.learned.slope, "weight": method.learned.weight, "factor": method.factor}
        rows.append(row | {"split": method.split, "chosen_on": method.patients})
    if isinstance(methods[-1], FittedModel):
        beside = paired_bootstraps(errors[:, -1:] - errors[:, :-1], bootstrap, seed)
        for row, interval in zip(rows, beside, strict=False):
            row |= dict(zip(("model_difference", "model_low", "model_high"), interval, strict=True))
        rows[-1] |= _held(own, target, methods[-1], bootstrap, seed)
    return rows


def _held(own: Sequence[VolumeSeries], target: str, model: FittedModel, bootstrap: int, seed: int) -> dict[str, object]:
    """Share of the visits in the model's band, with an interval over patients, and the band's mean width in ml."""
    ends, true = zip(*((model.ends(one, target), model.foretold(one, target)[1]) for one in own), strict=True)
    if not np.isfinite(np.concatenate(ends, axis=1)).all():
        return {}
    inside = [((low <= seen) & (seen <= high)).sum() for (low, high), seen in zip(ends, true, strict=True)]
    counts = [seen.size for seen in true]
    drawn = ratio_bootstrap(np.array(inside), np.array(counts), bootstrap, seed)
    if drawn.mean in (0, 1):
        drawn = share_interval(drawn.mean, len(own))
    told = Interval(drawn.mean, max(drawn.low, 0.0), min(drawn.high, 1.0))
    width = float(np.mean([np.diff(pair, axis=0).mean() for pair in ends]))
    return {"coverage": told.mean, "coverage_low": told.low, "coverage_high": told.high, "width": width}


def find_volumes(table: pd.DataFrame, judge: Callable[[float, float, float, int], str]) -> tuple[VolumeForetold, ...]:
    """From volume.tsv; judge: (difference, low, high, patients) to a verdict, "" of the last value itself."""
    found = []
    for row in table.to_dict("records"):
        interval = tuple(float(row[name]) for name in ("difference", "low", "high"))
        own = row["method"] == FIRST
        values = {name: row[name] for name in ("set", "target", "method", "patients", "visits", "error", "floor")}
        difference, low, high = (np.nan,) * 3 if own else interval
        verdict = "" if own else judge(difference, low, high, int(row["patients"]))
        one = VolumeForetold(**values, difference=difference, low=low, high=high, verdict=verdict)
        if one.method == MODEL:
            beside = table[(table["set"] == one.set) & (table["target"] == one.target) & (table["method"] != MODEL)]
            one = _with_hardest(one, beside, judge)
            share, *ends = (float(row[name]) for name in ("coverage", "coverage_low", "coverage_high"))
            one = replace(one, coverage=(share, *ends))
        found.append(one)
    return tuple(found)


def _with_hardest(
    model: VolumeForetold, beside: pd.DataFrame, judge: Callable[[float, float, float, int], str]
) -> VolumeForetold:
    """The model's record with the rival that it gains least on."""
    rival = beside.loc[beside["model_difference"].idxmax()]
    difference, low, high = (float(rival[name]) for name in ("model_difference", "model_low", "model_high"))
    verdict = judge(difference, low, high, model.patients)
    return replace(
        model,
        hardest=str(rival["method"]),
        hardest_difference=(difference, low, high),
        hardest_verdict=verdict,
    )
