"""Whether the bands around forecasts hold what they promise: of everybody, and of groups of patients and visits."""

from collections.abc import Iterator

import pandas as pd

from lung4d.biomarkers.repeats import SOURCE, below_words
from lung4d.evaluate.methods import BANDS, sets_in_order
from lung4d.evaluate.records import TOO_FEW_PATIENTS
from lung4d.report.formatting import fixed, interval
from lung4d.report.page import Fold, Reportlet, Table, Words

DECIMALS = {"mean_density_hu": 0, "high_attenuation_percent": 1}
WORDS = ("Patients", "Group", "As promised?", "In words")  # columns
GROUPS = {  # of coverage.tsv: what they are of
    "horizon": "By years since the scan at hand, thirds of the visits",
    "pace": "By yearly change of extent, thirds of the patients",
    "course": "By course of the disease",
    "taken": "By how the scan was taken, beside the patient's baseline",
}


def bands_reportlet(coverage: pd.DataFrame) -> Reportlet:
    """How often the bands held what was seen, their width beside that of bands around the last scan, and the floor."""
    caption = (
        "Every visit but the first, forecast from all visits before it. A band promises to hold nine visits in ten; "
        "one that does and is narrower than the band around the last scan tells more than that scan. Two scans of one "
        f"person differ though nothing has changed ({SOURCE}): no smaller change can be seen. Where there are fewer "
        "than ten patients, nothing is said of the share."
    )
    bodies: list[Words | Table | Fold] = [*_tables(coverage[coverage["group"] == "all"], "")]
    for group, title in GROUPS.items():
        part = coverage[coverage["group"] == group]
        if len(part):
            bodies.append(Fold(title, tuple(_tables(part, group))))
    return Reportlet("Do the 90 % bands hold what they promise?", caption, tuple(bodies))


def _tables(part: pd.DataFrame, group: str) -> Iterator[Words | Table]:
    """A table per measure, a row per set and value of the group."""
    order = sets_in_order(part["set"].unique())
    for measure, own in part.groupby("measure", sort=False):
        rows = sorted(own.to_dict("records"), key=lambda row: order.index(row["set"]))
        columns: tuple[str, ...] = (
            "Patients", "Group", "Patients, visits", "In the band, %", "As promised?", "Width",
            "Last scan: width, in it %", "Change foretold, mean", "Repeat scans differ by", "In words",
        )  # fmt: skip
        cells: list[tuple[str, ...]] = [_cells(row, group) for row in rows]
        if not group:
            columns, cells = (columns[0], *columns[2:]), [(row[0], *row[2:]) for row in cells]
        if not any(row[-1] for row in cells):
            columns, cells = columns[:-1], [row[:-1] for row in cells]
        numeric = [number for number, name in enumerate(columns) if name not in WORDS]
        yield Words((f"{BANDS[str(measure)].short}:",))
        yield Table(columns, tuple(cells), numeric=frozenset(numeric))


def _cells(row: dict, group: str) -> tuple[str, ...]:
    digits, few = DECIMALS[row["measure"]], row["held"] == TOO_FEW_PATIENTS
    share, low, high = (100 * row[key] for key in ("coverage", "coverage_low", "coverage_high"))
    ends = f", {fixed(row['gap_low'], 1)} to {fixed(row['gap_high'], 1)} years" if group == "horizon" else ""
    below = row["below_floor"] if isinstance(row["below_floor"], str) else ""
    carried = fixed(None) if few else fixed(100 * row["carried_coverage"], 0)
    return (
        row["set"],
        f"{row['value']}{ends}",
        f"{row['patients']}, {row['visits']}",
        fixed(None) if few else interval(share, low, high, 0),
        row["held"],
        fixed(row["width"], digits),
        f"{fixed(row['carried_width'], digits)}, {carried}",
        fixed(row["change"], digits),
        fixed(row["floor"], digits),
        below_words(below),
    )
