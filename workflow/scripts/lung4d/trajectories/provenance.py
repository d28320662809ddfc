"""What a generated volume says of itself: in the NIfTI header, in the sidecar beside it, and in DICOM."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from lung4d import __version__
from lung4d.io.atomic import write_json
from lung4d.io.volumes import open_volume, read_affine, write_like

RECONSTRUCTION = "synthetic, lung4d: drawn from a scan's codes; not for diagnosis"
STATEMENT = (
    "Synthetic CT, drawn by a model from earlier scans of this patient. It shows what may be, not what is. "
    "For research, not for diagnosis."
)


@dataclass(frozen=True)
class ForecastOrigin:
    """Where a generated volume comes from.

    given: sessions that the model was shown, with their years since baseline; years: the time that was asked for;
    decoding: see `lung4d.ode.decoding`; window: HU that the model draws; vqgan, ode: SHA-256 of the models' parameters;
    baseline: SHA-256 of the baseline's volume, so that identifiers in DICOM follow from content alone.
    volumes: forecast and ends of the 90 % band in ml of the lung and of its lowest third, NaN where there is none.
    """

    subject: str
    given: tuple[str, ...]
    given_years: tuple[float, ...]
    years: float
    decoding: str
    window: tuple[float, float]
    vqgan: str
    ode: str
    baseline: str
    volumes: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def description(self) -> str:
        """For the 79 bytes of the NIfTI header."""
        shown = "1 visit" if len(self.given) == 1 else f"{len(self.given)} visits"
        return f"synthetic, lung4d {__version__}: year {self.years:.3f} from {shown}; not for diagnosis"


@dataclass(frozen=True)
class Placed:
    """A generated volume where it is written: `name` begins its files' names, `hu` (D, H, W); `like`: a NIfTI file on
    its grid; `session`: the visit whose grid that is, and whose voxels surround the lung."""

    name: str
    hu: np.ndarray
    like: str | Path
    session: str


def volume_hash(path: str | Path) -> str:
    """SHA-256 of a volume's values and affine."""
    values = np.ascontiguousarray(open_volume(path))
    return hashlib.sha256(values.tobytes() + read_affine(path).tobytes()).hexdigest()


def write_synthetic(volume: Placed, folder: Path, forecast: ForecastOrigin) -> None:
    """Write `<name>_desc-generated_ct.nii.gz` to `folder`, and the sidecar (.json) beside it."""
    stem = f"{volume.name}_desc-generated_ct"
    write_like(volume.hu, volume.like, folder / f"{stem}.nii.gz", forecast.description)
    write_json(sidecar(volume, forecast), folder / f"{stem}.json")


def write_spread(hu: np.ndarray, like: str | Path, path: Path) -> None:
    """Write half the width of the 90 % interval at every voxel, HU (D, H, W), on the grid of the file `like`."""
    write_like(hu, like, path, f"synthetic, lung4d {__version__}: half width of the 90 % interval, HU")


def sidecar(volume: Placed, forecast: ForecastOrigin) -> dict[str, Any]:
    """The content of the sidecar, with keys as in those of scans."""
    image = nib.load(volume.like)
    foretold = {
        f"{name}_{part}": None if np.isnan(value) else round(float(value), 1)
        for name, ends in forecast.volumes.items()
        for part, value in zip(("forecast", "low", "high"), ends, strict=True)
    }
    return {
        "synthetic": True,
        "statement": STATEMENT,
        "subject": forecast.subject,
        "given_sessions": list(forecast.given),
        "given_years": list(forecast.given_years),
        "years": forecast.years,
        "decoding": forecast.decoding,
        "grid_of_session": volume.session,
        "unit": "HU",
        "window_hu": [float(value) for value in forecast.window],
        "size": list(image.shape),
        "spacing_mm": [round(float(value), 5) for value in image.header.get_zooms()],
        **foretold,
        "vqgan_parameters_sha256": forecast.vqgan,
        "ode_parameters_sha256": forecast.ode,
        "software": "lung4d",
        "software_version": __version__,
    }
