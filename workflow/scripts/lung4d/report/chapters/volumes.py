"""How well lung volume is foretold by what needs no model."""

import pandas as pd

from lung4d.biomarkers.repeats import SOURCE
from lung4d.evaluate.methods import sets_in_order
from lung4d.report.formatting import count, fixed, interval, missing
from lung4d.report.page import Reportlet, Table, Words

CAPTION = (
    "Volume of the lungs at every later visit, from the volumes of the first two. A scan is taken in whatever breath "
    "the patient has, so that volumes differ from scan to scan though nothing has changed. No network is asked here: "
    "this is what a model's forecast of volume must beat."
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
                    fixed(row["bias"], 0, sign=True),
                    fixed(row["weight"], 2),
                    fixed(row["factor"], 3),
                )
                for row in part.to_dict("records")
            ]
            columns = (
                "Method", "Error, ml", "Difference to the last value, ml", "Mean signed error, ml",
                "Weight of the first", "Factor",
            )  # fmt: skip
            bodies.append(Table(columns, tuple(rows), numeric=frozenset(range(1, 6))))
    return Reportlet("How well is lung volume foretold?", CAPTION, tuple(bodies))


def _head(first: pd.Series, name: str, target: str) -> str:
    counted = f"{count(first['patients'], 'patient')}, {count(first['visits'], 'later visit')}"
    return f"Set {name}, {target}: {counted}. Repeat scans differ by {fixed(first['floor'], 0)} ml ({SOURCE})."


def _learned(first: pd.Series) -> str:
    chosen = "nobody" if missing(first["split"]) or not first["split"] else ""
    chosen = chosen or f"{count(first['chosen_on'], first['split'] + ' patient')}"
    slope = fixed(first["slope"], 0, sign=True)
    return f"The cohort's slope is {slope} ml a year; weights and factors were chosen on {chosen}."
