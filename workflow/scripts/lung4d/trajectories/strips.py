"""The strips of one patient's trajectory, from the files that generation leaves."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lung4d.figures.slices import Plane, voxel_spacing
from lung4d.figures.strip import Moment, strip_years, trajectory_strip
from lung4d.io.atomic import atomic
from lung4d.io.volumes import open_mask, open_volume, read_affine

MOST = 6  # columns of a strip
PLANES: tuple[Plane, ...] = ("axial", "coronal")


def strip_path(folder: Path, subject: str, plane: str) -> Path:
    return folder / f"sub-{subject}_plane-{plane}_strip.png"


def forecast_to_show(table: pd.DataFrame) -> tuple[list[str], pd.DataFrame]:
    """The given sessions and rows of the forecast with the fewest given visits: later real visits can judge it."""
    given = min(table["given"].unique(), key=lambda text: (text.count("+"), text))
    return given.split("+"), table[table["given"] == given].reset_index(drop=True)


def write_strips(
    folder: Path, table: pd.DataFrame, visits: Sequence[tuple[str, float]],
    volumes: Mapping[str, str | Path], mask: str | Path,
) -> None:  # fmt: skip
    """Write a strip per plane to `folder`, which holds the generated volumes of `table` (subject, given, years, file).

    visits: sessions and years of the usable visits, the baseline first; volumes: their files by session; mask: the
    baseline's lung, on the same grid.
    """
    given, rows = forecast_to_show(table)
    # read only what the strip has columns for: at full size a volume takes a second and 12 MB
    years = strip_years([year for _, year in visits], rows["years"].tolist(), MOST)
    wanted = sorted({int((rows["years"] - year).abs().idxmin()) for year in years})
    generated = [Moment(float(row.years), open_volume(folder / row.file)) for row in rows.loc[wanted].itertuples()]
    real = [Moment(year, np.asarray(open_volume(volumes[session])), session in given) for session, year in visits]
    subject = table["subject"].iloc[0]
    for plane in PLANES:
        png = trajectory_strip(
            real, generated, open_mask(mask), voxel_spacing(read_affine(mask)), plane, MOST, _caption(subject, given)
        )
        with atomic(strip_path(folder, subject, plane)) as temporary:
            temporary.write_bytes(png)


def _caption(subject: str, given: Sequence[str]) -> str:
    return (
        f"Patient {subject}; columns are years since the baseline visit. The generated scans (second row) come from "
        f"{'visit' if len(given) == 1 else 'visits'} {', '.join(given)}, marked \u25cf; visits marked \u25cb were not "
        "given to the model. Yellow: where the last generated scan has changed most, enlarged in the middle rows. The "
        "change is against the baseline, averaged over 3 mm. Generated scans are synthetic and not for diagnosis."
    )
