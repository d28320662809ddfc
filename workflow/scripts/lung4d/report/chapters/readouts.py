"""What a clinician reads off the lung, scan by scan: measured on real scans and on generated ones."""

from collections.abc import Iterable

import pandas as pd

from lung4d.biomarkers.repeats import FLOORS, SOURCE, below_words
from lung4d.biomarkers.table import FLOORED
from lung4d.figures.readouts import readout_curves
from lung4d.report.chapters.trajectories import generated_table
from lung4d.report.folder_map import place
from lung4d.report.formatting import fixed, interval, listing, missing
from lung4d.report.page import Charts, Fold, Reportlet, Section, Table, Words
from lung4d.report.results import Results, choose_patients, flagged_scans
from lung4d.trajectories.strips import forecast_to_show

MATCHED = (
    "A patient's real scans were brought to one noise and sharpness before, and are read a voxel away from the lung's "
    "edge, as the generated ones are."
)


def section(results: Results) -> Section:
    lead = (
        "Density of the lung over the years. High attenuation is the share of the lung from −600 to −250 HU; as "
        "fibrosis grows, mean density and high attenuation rise while skewness and kurtosis fall."
    )
    table = results.tables.rows("readouts")
    given = _given(results)
    if table is None or not given:
        words = Words(("No scan was generated, so there is nothing to compare.",), tone="note")
        return Section("readouts", "Clinical read-outs", lead, (Reportlet("", "", (words,)),))
    matched = f" {MATCHED}" if results.setting("biomarkers", "match", False) else ""
    caption = (
        "Look at the open circles: scans that came, and that the model was not shown. The nearer the line, the better "
        "the forecast; it passes near the full circles, which were given. Nine of ten should lie in the shaded band, "
        "which comes from what the model got wrong of patients that it had not seen. Density and histogram are those "
        f"in the baseline's lung, after registration.{matched} Crosses are corrected for the depth of breath: what the "
        "lung weighs at that visit, in the volume that it had at the baseline, so that air breathed in or out changes "
        "nothing. The lung volume is that of each real scan as it was taken; a generated scan lies in the baseline's "
        "lung, so its volume is foretold by itself, at the breath in which the patient's scans are usually taken. All "
        "patients: "
        f"{place('biomarkers/readouts.tsv')}."
    )
    alt = f"Five measures of the lung over the years for the patients {', '.join(given)}, real and generated"
    chart = readout_curves(table, given)
    bodies = (Charts(((chart, alt),)), *_beside_floor(table, given), *_taken_otherwise(results, given))
    return Section("readouts", "Clinical read-outs", lead, (Reportlet("Real and generated", caption, bodies),))


def _beside_floor(table: pd.DataFrame, given: dict[str, list[str]]) -> list[Fold]:
    """The change of mean density that is foretold after the last given scan, beside what repeat scans differ by."""
    if f"{FLOORED}_change" not in table:
        return []
    chosen = table[table["subject"].isin(list(given)) & table[f"{FLOORED}_change"].notna()]
    rows = []
    for row in chosen.to_dict("records"):
        if row["given"] == "+".join(given[row["subject"]]):
            value, low, high, change, floor = (
                row[f"{FLOORED}{end}"] for end in ("", "_low", "_high", "_change", "_floor")
            )
            below = row[f"{FLOORED}_below"]
            told = fixed(value, 0) if missing(low) else interval(value, low, high, 0)
            words = [below_words(below)] if isinstance(below, str) and below else []
            words += [evidence] if isinstance(evidence := row[f"{FLOORED}_evidence"], str) and evidence else []
            rows.append(
                (
                    row["subject"],
                    fixed(row["years"], 1),
                    told,
                    fixed(change, 1, sign=True),
                    fixed(floor, 1),
                    "; ".join(words),
                )
            )
    columns = ("Patient", "Years", "Mean density, HU [90 % band]", "Change, HU", "Repeat scans differ by", "In words")
    said = (
        "Change: of the generated scan's mean density since the last given scan. Two scans of one person differ though "
        f"nothing has changed ({SOURCE}): in mean density by {FLOORS[FLOORED]:.1f} HU, in lung volume by "
        f"{FLOORS['lung_volume_ml']:.0f} ml.",
    )
    table_of = Table(columns, tuple(rows), numeric=frozenset((1, 2, 3, 4)))
    return [Fold("Mean density foretold, beside what repeat scans differ by", (Words(said), table_of))] if rows else []


def _taken_otherwise(results: Results, shown: Iterable[str]) -> list[Words]:
    """Those of the circles that are not comparable with the patient's first one."""
    others = [scan for scan in flagged_scans(results.tables.qc) if scan.otherwise and scan.subject in shown]
    said = listing([f"{scan.subject} visit {scan.session} ({scan.differs_in})" for scan in others])
    return [Words((f"Taken otherwise than the patient's baseline: {said}.",), tone="note")] if others else []


def _given(results: Results) -> dict[str, list[str]]:
    """The given sessions of the forecast that is shown, by patient."""
    found = {}
    for subject in choose_patients(results.tables.split, results.shown):
        table = generated_table(results.images.generated.get(subject), subject)
        if len(table):
            found[subject] = forecast_to_show(table)[0]
    return found
