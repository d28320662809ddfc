"""volume.tsv: how far off forecasts of lung volume are, in ml, and whether that is less than by the last value."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from lung4d.biomarkers.repeats import floor_of
from lung4d.evaluate.volume.records import VolumeForetold
from lung4d.evaluate.volume.rivals import RIVALS, TARGETS, FittedRival, VolumeSeries, methods_for
from lung4d.metrics import paired_bootstraps

FIRST = next(iter(RIVALS))  # what differences are to
COLUMNS = [
    *["set", "target", "method", "patients", "visits", "error", "difference", "low", "high", "bias", "floor"],
    *["slope", "weight", "factor", "split", "chosen_on"],
]


def volume_table(everyone: Sequence[VolumeSeries], bootstrap: int, seed: int) -> pd.DataFrame:
    """A row per set that is scored, target and method: the mean absolute error in ml of later visits from the first
    two, the mean over patients; its difference to the last value, paired by patient, with a 95 % bootstrap interval
    over patients; the signed error; what repeat scans differ by; and what was learned on whom."""
    rows: list[dict[str, object]] = []
    judged = sorted({one.set for one in everyone if one.split not in ("train", "val")})
    for target in TARGETS:
        methods = methods_for(everyone, target)
        for name in judged:
            own = [one for one in everyone if one.set == name and one.split not in ("train", "val")]
            rows += _rows_of(own, target, methods, bootstrap, seed)
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows_of(
    own: Sequence[VolumeSeries], target: str, methods: Sequence[FittedRival], bootstrap: int, seed: int
) -> list[dict[str, object]]:
    """The rows of one set and target, none without a later visit."""
    made = [[np.subtract(*method.foretold(one, target)) for method in methods] for one in own]
    off = [one for one in made if one[0].size]
    if not off:
        return []
    errors = np.array([[np.abs(values).mean() for values in one] for one in off])
    biases = np.array([[values.mean() for values in one] for one in off]).mean(axis=0)
    differences = paired_bootstraps(errors - errors[:, :1], bootstrap, seed)
    counts = {"patients": len(off), "visits": sum(one[0].size for one in off), "floor": floor_of("lung_volume_ml")}
    rows: list[dict[str, object]] = []
    for number, method in enumerate(methods):
        row: dict[str, object] = {"set": own[0].set, "target": target, "method": method.name, **counts}
        row |= {"error": errors[:, number].mean(), "bias": biases[number]}
        row |= dict(zip(("difference", "low", "high"), differences[number], strict=True))
        row |= {"slope": method.learned.slope, "weight": method.learned.weight, "factor": method.factor}
        rows.append(row | {"split": method.split, "chosen_on": method.patients})
    return rows


def find_volumes(table: pd.DataFrame, judge: Callable[[float, float, float, int], str]) -> tuple[VolumeForetold, ...]:
    """From volume.tsv; judge: (difference, low, high, patients) to a verdict, "" of the last value itself."""
    found = []
    for row in table.to_dict("records"):
        interval = tuple(float(row[name]) for name in ("difference", "low", "high"))
        own = row["method"] == FIRST
        values = {name: row[name] for name in ("set", "target", "method", "patients", "visits", "error", "floor")}
        difference, low, high = (np.nan,) * 3 if own else interval
        verdict = "" if own else judge(difference, low, high, int(row["patients"]))
        found.append(VolumeForetold(**values, difference=difference, low=low, high=high, verdict=verdict))
    return tuple(found)
