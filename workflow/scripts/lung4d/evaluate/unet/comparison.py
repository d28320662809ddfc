"""What the comparison with the U-Net ends in: unet.tsv and its page."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from lung4d.evaluate.comparisons import OWN, TITLES, as_markdown, as_page
from lung4d.evaluate.methods import METHODS, ORACLE, TASKS, of_kind, sets_in_order
from lung4d.evaluate.summary import ABSOLUTE, CORRELATIONS, by_patient, each_minus
from lung4d.metrics import ratio_bootstrap

MEASURES = ["mse", *ABSOLUTE[:3], *CORRELATIONS, "mse_noisefree"]
SKILL = "skill"
ENDS = ("difference", "low", "high")
COLUMNS = [
    *["set", "task", "row", "decoding", "measure", "patients", "visits", "mean"],
    *[f"{against}_{end}" for against in ("last", "model") for end in ENDS],
]


def unet_table(forecasts: pd.DataFrame, bootstrap: int, seed: int) -> pd.DataFrame:
    """unet.tsv from the forecasts of `lung4d.evaluate.variants`: per set, task, row and measure, in the lung.

    Means over patients, and differences to the last scan (`last_`) and to the run's own model by its first decoding
    (`model_`), paired by patient, with 95 % bootstrap intervals. `skill` is pooled over patients.
    """
    lines: list[dict[str, Any]] = []
    lung = forecasts[(forecasts["region"] == "lung") & ~forecasts["method"].isin(of_kind(ORACLE))]
    for (name, task), part in lung.groupby(["set", "task"]):
        rows = part[["method", "row", "decoding"]].drop_duplicates().set_index("method")
        model = str(rows.index[rows["row"] == OWN][0])
        keys = {"set": name, "task": task, "visits": part.groupby(["subject", "session"]).ngroups}
        for measure, method, values in _scores(part, model, bootstrap, seed):
            lines.append({**keys, **rows.loc[method], "measure": measure, **values})
    return pd.DataFrame(lines, columns=COLUMNS)


def _scores(
    part: pd.DataFrame, model: str, bootstrap: int, seed: int
) -> Iterator[tuple[str, str, dict[str, float | int]]]:
    """Measure, method, and its values."""
    known = by_patient(part, [*MEASURES, "mse_lowpass"])
    for measure in (measure for measure in MEASURES if measure in known):
        patients = known[measure]
        against = {
            name: each_minus(patients, one, bootstrap, seed) for name, one in (("last", "locf"), ("model", model))
        }
        for method in patients:
            values: dict[str, float | int] = {"patients": len(patients), "mean": float(patients[method].mean())}
            for name, intervals in against.items():
                values |= {f"{name}_{end}": value for end, value in zip(ENDS, intervals[method], strict=True)}
            yield measure, method, values
    errors = known["mse_lowpass"]
    carried = errors["locf"].to_numpy()
    for method in errors:
        values = {"patients": len(errors)}
        for name, one in (("last", "locf"), ("model", model)):
            gained = (errors[one] - errors[method]).to_numpy()
            interval = ratio_bootstrap(gained, carried, bootstrap, seed)
            values |= {f"{name}_{end}": value for end, value in zip(ENDS, interval, strict=True)}
        yield SKILL, method, values | {"mean": values["last_difference"]}  # that of the last scan is zero


def unet_page(table: pd.DataFrame) -> str:
    """A part per set and task: the U-Net first, the run's own model, then what needs no model."""
    parts = []
    for name in sets_in_order(table["set"].unique()):
        for task in TASKS:
            part = table[(table["set"] == name) & (table["task"] == task)]
            if len(part):
                first = part.iloc[0]
                counted = f"{first['patients']} patients, {first['visits']} visits"
                parts.append((f"## {task.capitalize()}, set {name}: {counted}", _markdown(part)))
    return as_page(WORDS, parts)


def _markdown(part: pd.DataFrame) -> str:
    by_measure = {measure: rows.set_index(["row", "decoding"]) for measure, rows in part.groupby("measure")}
    heads = ["", "decoding", "MSE x 1000", "to the last scan", "to the model", "skill, %", "to the model"]
    heads += ["extent error, points", "to the last scan", "to the model"]
    rows = []
    for row, decoding in by_measure["mse"].index:
        title = TITLES.get(row) or (METHODS[row].title if row in METHODS else row)
        error, skill, extent = (by_measure[name].loc[(row, decoding)] for name in ("mse", SKILL, "extent_error"))
        cells = [_value(error, 1000, 2), _difference(error, "last", 1000, 2), _difference(error, "model", 1000, 2)]
        cells += [_value(skill, 100, 1), _difference(skill, "model", 100, 1)]
        cells += [_value(extent, 1, 2), _difference(extent, "last", 1, 2), _difference(extent, "model", 1, 2)]
        rows.append([title, decoding, *cells])
    return as_markdown(heads, rows, 2)


def _value(row: pd.Series, factor: float, digits: int) -> str:
    return f"{factor * row['mean']:.{digits}f}"


def _difference(row: pd.Series, against: str, factor: float, digits: int) -> str:
    value, low, high = (factor * row[f"{against}_{end}"] for end in ENDS)
    told = f"{value:+.{digits}f}"
    return told if pd.isna(low) else f"{told} [{low:+.{digits}f}, {high:+.{digits}f}]"


WORDS = """\
# One U-Net that is told the years

A plain U-Net was trained on the scans alone, with the samples, crops, optimiser steps and learning rate of one member
of the disease model: no codes, no dynamics, no ensemble. It is scored on the same withheld visits, in the lung, beside
the run's own model and what needs no model. Differences are paired by patient, with 95 % intervals over patients: to
the last scan carried forward and to the model's expected scan. In an error below zero is better, in a skill above.

MSE is on intensities from 0 to 1; skill is the share of the last scan's squared error of the smoothed change that is
removed; extent is the diseased share of the lung. The U-Net is one training with one seed, the model several members:
what several are worth, the row "one model instead of several" of the ablation tells.

{tables}"""
