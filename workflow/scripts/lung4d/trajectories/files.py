"""The files of one generated scan: volumes on every grid that is asked for, codes, and the map of its spread."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from lung4d.io.latents import save_codes
from lung4d.io.names import forecast_stem
from lung4d.io.nifti import read_image
from lung4d.io.volumes import open_volume
from lung4d.trajectories.dicom import write_synthetic_series
from lung4d.trajectories.generate import Generated, to_hu
from lung4d.trajectories.native_grid import NativeVisit, on_visit
from lung4d.trajectories.provenance import ForecastOrigin, Placed, write_spread, write_synthetic


@dataclass(frozen=True)
class Grids:
    """Where one patient's generated scans lie.

    baseline: file of the volume whose grid and outside they take over, of the visit `session`; region (D, H, W) and
    mask (d, h, w): its lung at the resolutions of scans and latents. natives: visits on whose own grids they are
    written too, by session; scans: files of these visits.
    """

    baseline: Path
    session: str
    region: np.ndarray
    mask: np.ndarray
    natives: Mapping[str, NativeVisit]
    scans: Mapping[str, str | Path]

    @cached_property
    def image(self) -> sitk.Image:
        """The baseline's volume, read once for all scans that are brought to other grids."""
        return read_image(self.baseline)


def write_scan(scan: Generated, forecast: ForecastOrigin, grids: Grids, folder: Path, dicom: bool) -> str:
    """Write all files of a scan to `folder`; returns the name of its volume on the baseline's grid.

    dicom: also as series, on the visits' grids where there are any, else on the baseline's.
    """
    stem = forecast_stem(forecast.subject, forecast.given, scan.years)
    volumes = list(_placed(stem, scan, forecast.window, grids))
    for volume in volumes:
        write_synthetic(volume, folder, forecast)
    for volume in (volumes[1:] or volumes) if dicom else []:
        write_synthetic_series(volume, folder, forecast)
    save_codes(scan.codes, grids.mask, folder / f"{stem}_latents.npz")
    if scan.spread is not None:
        low, high = forecast.window
        write_spread(scan.spread * (high - low), grids.baseline, folder / f"{stem}_desc-spread_map.nii.gz")
    return f"{stem}_desc-generated_ct.nii.gz"


def _placed(stem: str, scan: Generated, window: tuple[float, float], grids: Grids) -> Iterator[Placed]:
    hu = to_hu(scan.volume, grids.region, open_volume(grids.baseline), window)
    yield Placed(stem, hu, grids.baseline, grids.session)
    for session, visit in grids.natives.items():
        native = on_visit(hu, grids.region, grids.image, visit)
        yield Placed(f"{stem}_space-{session}", native, grids.scans[session], session)
