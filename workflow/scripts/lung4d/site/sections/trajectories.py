"""Real visits above generated scans, on one scale of years, for some patients."""

import nibabel as nib
import numpy as np
import pandas as pd

from lung4d.figures.mosaic import css_width
from lung4d.figures.scans import Moment, strip_years, trajectory_strip
from lung4d.figures.slices import voxel_spacing
from lung4d.site.numbers import count, listing
from lung4d.site.page import Picture, Reportlet, Section, Words
from lung4d.site.results import Results, choose_patients, visits_of
from lung4d.tables import read_table
from lung4d.volumes import open_mask, open_volume, read_affine

MOST = 6  # columns of a strip
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
        "Real visits above, generated scans below, all on the baseline's anatomy at window −1350 to 150 HU. The lower "
        "two rows draw the change since the baseline, averaged over 3 mm: orange denser, blue less dense. Generated "
        "scans are synthetic and not for diagnosis."
    )
    return Section("trajectories", "Trajectories", lead, tuple(reportlets))


def _patient(results: Results, subject: str) -> Reportlet | None:
    images = results.images
    visits = [(s, y) for s, y in visits_of(results.tables.split)[subject] if (subject, s) in images.volumes]
    folder = images.generated.get(subject)
    table = _generated_table(folder, subject)
    if not visits or table.empty or (subject, visits[0][0]) not in images.masks:
        return None
    given, rows = forecast_to_show(table)
    mask = open_mask(images.masks[subject, visits[0][0]])
    spacing = voxel_spacing(read_affine(images.volumes[subject, visits[0][0]]))
    real = [Moment(y, np.asarray(open_volume(images.volumes[subject, s])), s in given) for s, y in visits]
    # read only what the strip has columns for: at full size a volume takes a second and 12 MB
    years = strip_years([y for _, y in visits], rows["years"].tolist(), MOST)
    wanted = {int((rows["years"] - year).abs().idxmin()) for year in years}
    generated = [
        Moment(float(row.years), np.asanyarray(nib.load(folder / row.file).dataobj).T)
        for row in rows.loc[sorted(wanted)].itertuples()
        if (folder / row.file).is_file()
    ]
    pictures = []
    for plane in ("axial", "coronal"):
        png = trajectory_strip(real, generated, mask, spacing, plane, MOST)
        alt = f"Patient {subject}, {plane}: {count(len(real), 'real visit')} and generated scans at the same years"
        pictures.append(Picture(png, alt, css_width(png)))
    split = results.tables.split
    of = SETS.get(split.loc[split["subject"] == subject, "split"].iloc[0], "")
    withheld = [s for s, _ in visits if s not in given]
    caption = f"Generated from {_visits(given)}. "
    if withheld:
        caption += f"The model was not shown {_visits(withheld)}: compare the change it drew with the change that came."
    else:
        caption += "All visits were given, so years after the last one cannot be checked yet."
    return Reportlet(f"Patient {subject}, {of}", caption, tuple(pictures))


def forecast_to_show(table: pd.DataFrame) -> tuple[list[str], pd.DataFrame]:
    """The given sessions and rows of the forecast with the fewest given visits: later real visits can judge it."""
    given = min(table["given"].unique(), key=lambda text: (text.count("+"), text))
    return given.split("+"), table[table["given"] == given].reset_index(drop=True)


def _generated_table(folder, subject: str) -> pd.DataFrame:
    path = folder / f"sub-{subject}_trajectories.tsv" if folder is not None else None
    if path is None or not path.is_file():
        return pd.DataFrame()
    table = read_table(path)
    return table.astype({"years": float}) if len(table) else table


def _visits(sessions: list[str]) -> str:
    return f"visit {sessions[0]}" if len(sessions) == 1 else f"visits {listing(sessions)}"
