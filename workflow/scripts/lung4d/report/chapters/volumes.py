"""How well lung volume is foretold, by the disease model and by what needs none."""

from typing import Any

import pandas as pd

from lung4d.biomarkers.repeats import SOURCE
from lung4d.evaluate.methods import sets_in_order
from lung4d.report.formatting import count, fixed, interval, missing
from lung4d.report.page import Reportlet, Table, Words

CAPTION = (
    "Volume of the lungs at every later visit, from the volumes of the first two. A scan is taken in whatever breath "
    "the patient has, so that volumes differ from scan to scan though nothing has changed. The model takes the mean "
    "of the given volumes for the patient's usual breath, and from there the change of dense lung that it draws. The "
    "others need no network; the difference of the model to each of them is what it is worth."
)


def volume_reportlet(volume: pd.DataFrame) -> Reportlet:
    """A table per set and target, from volume.tsv."""
    bodies: list[Words | Table] = []
    for name in sets_in_order(volume["set"].unique()):
        for target, part in volume[volume["set"] == name].groupby("target", sort=False):
            first = part.iloc[0]
            bodies.append(Words((f"{_head(first, name, str(target))} {_learned(first)}",)))
            rows = [
                (
                    row["method"],
                    fixed(row["error"], 0),
                    interval(row["difference"], row["low"], row["high"], 0, sign=True),
                    _model_less(row),
                    fixed(row["bias"], 0, sign=True),
                    fixed(row["weight"], 2),
                    fixed(row["factor"], 3),
                )
                for row in part.to_dict("records")
            ]
            columns = (
                "Method", "Error, ml", "Difference to the last value, ml", "The model's to it, ml",
                "Mean signed error, ml", "Weight of the first", "Factor",
            )  # fmt: skip
            bodies.append(Table(columns, tuple(rows), numeric=frozenset(range(1, 7))))
            bodies += _band(part)
    return Reportlet("How well is lung volume foretold?", CAPTION, tuple(bodies))


def _head(first: pd.Series, name: str, target: str) -> str:
    counted = f"{count(first['patients'], 'patient')}, {count(first['visits'], 'later visit')}"
    return f"Set {name}, {target}: {counted}. Repeat scans differ by {fixed(first['floor'], 0)} ml ({SOURCE})."


def _learned(first: pd.Series) -> str:
    chosen = "nobody" if missing(first["split"]) or not first["split"] else ""
    chosen = chosen or f"{count(first['chosen_on'], first['split'] + ' patient')}"
    slope = fixed(first["slope"], 0, sign=True)
    return f"The cohort's slope is {slope} ml a year; weights and factors were chosen on {chosen}."


def _model_less(row: dict[str, Any]) -> str:
    """How far off the model is less the row's method, "" where there is no model or it is the method."""
    difference = row.get("model_difference", float("nan"))
    return "" if missing(difference) else interval(difference, row["model_low"], row["model_high"], 0, sign=True)


def _band(part: pd.DataFrame) -> list[Words]:
    """Whether the model's band holds what it promises."""
    rows = part[part["coverage"].notna()].to_dict("records") if "coverage" in part else []
    return [
        Words(
            (
                f"The model's 90 % band holds {fixed(100 * row['coverage'], 0)} % of the visits "
                f"[{fixed(100 * row['coverage_low'], 0)}, {fixed(100 * row['coverage_high'], 0)}] and is "
                f"{fixed(row['width'], 0)} ml wide in the mean.",
            )
        )
        for row in rows
    ]
