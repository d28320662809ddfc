"""Real visits above generated scans, on one scale of years, for some patients."""

from pathlib import Path

import pandas as pd

from lung4d.figures.mosaic import css_width
from lung4d.io.tables import read_table
from lung4d.report.folder_map import place
from lung4d.report.formatting import listing
from lung4d.report.page import Picture, Reportlet, Section, Words
from lung4d.report.results import Results, choose_patients, visits_of
from lung4d.trajectories.strips import PLANES, forecast_to_show, strip_path

SETS = {
    "train": "a training patient",
    "val": "a validation patient",
    "test": "a test patient",
    "external": "an external patient",
}


def section(results: Results) -> Section:
    reportlets = [r for s in choose_patients(results.tables.split, results.shown) if (r := _patient(results, s))]
    if not reportlets:
        words = Words(("No scan was generated, so there is no trajectory to show.",), tone="note")
        reportlets = [Reportlet("", "", (words,))]
    lead = (
        "Real visits above, generated scans below, all on the baseline's anatomy at window −1350 to 150 HU; then the "
        "place that changes most, enlarged, and the change since the baseline. Look for disease that grows where it "
        "grew in truth, and for detail that the generated scan has lost. Generated scans are synthetic and not for "
        f"diagnosis. The pictures lie in each patient's folder of {place('generate_trajectories')}."
    )
    return Section("trajectories", "Trajectories", lead, tuple(reportlets))


def _patient(results: Results, subject: str) -> Reportlet | None:
    folder, split = results.images.generated.get(subject), results.tables.split
    table = generated_table(folder, subject)
    if folder is None or split is None or table.empty:
        return None
    pictures = []
    for plane in PLANES:
        png = strip_path(folder, subject, plane).read_bytes()
        alt = f"Patient {subject}, {plane}: real visits and generated scans at the same years, and their change"
        pictures.append(Picture(png, alt, css_width(png)))
    given, _ = forecast_to_show(table)
    of = SETS.get(split.loc[split["subject"] == subject, "split"].iloc[0], "")
    withheld = [session for session, _ in visits_of(split)[subject] if session not in given]
    caption = f"Generated from {_visits(given)}. "
    if withheld:
        caption += f"The model was not shown {_visits(withheld)}: compare the change it drew with the change that came."
    else:
        caption += "All visits were given, so years after the last one cannot be checked yet."
    return Reportlet(f"Patient {subject}, {of}", caption, tuple(pictures))


def generated_table(folder: Path | None, subject: str) -> pd.DataFrame:
    """A patient's generated volumes, a row each; no row where there are none."""
    path = folder / f"sub-{subject}_trajectories.tsv" if folder is not None else None
    if path is None or not path.is_file():
        return pd.DataFrame()
    table = read_table(path)
    return table.astype({"years": float}) if len(table) else table


def _visits(sessions: list[str]) -> str:
    return f"visit {sessions[0]}" if len(sessions) == 1 else f"visits {listing(sessions)}"
