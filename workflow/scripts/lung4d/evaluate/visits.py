"""The visits of one patient: where their files are, and their volumes and latents in memory, one patient at a time."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lung4d.io.latents import Latents, load_latents
from lung4d.io.names import LATENTS, LUNG_MASK, VOLUME, scan_file
from lung4d.io.volumes import open_mask, open_volume, read_spacing, to_unit

Decode = Callable[[np.ndarray], np.ndarray]  # embeddings (c, d, h, w) -> unit volume (D, H, W)


@dataclass(frozen=True)
class PatientFiles:
    """Files of one patient's usable scans, in the order of time; `mask` is the baseline's lung mask on the grid.

    `site` is where the patient was scanned, "" where that is not told.
    """

    subject: str
    split: str
    sessions: tuple[str, ...]
    years: tuple[float, ...]
    volumes: tuple[Path, ...]
    mask: Path
    latents: tuple[Path, ...]
    site: str = ""

    @property
    def set(self) -> str:
        """The set that scores count for: the split, but for an external patient the site where it is told."""
        return self.site or self.split if self.split == "external" else self.split


@dataclass(frozen=True)
class Visits:
    """Visits of one patient on the common grid, in the order of time.

    sessions and years (since baseline) of n visits; unit float32 (n, D, H, W) on [-0.5, 0.5]; region bool (D, H, W),
    the baseline's lungs; latents of the n visits; spacing of the grid (D, H, W) in mm.
    """

    sessions: tuple[str, ...]
    years: np.ndarray
    unit: np.ndarray
    region: np.ndarray
    latents: tuple[Latents, ...]
    spacing: tuple[float, float, float]

    def take(self, chosen: Sequence[int]) -> "Visits":
        """Only the chosen visits: what a forecast is given never holds a withheld visit."""
        chosen = list(chosen)
        return Visits(
            sessions=tuple(self.sessions[i] for i in chosen),
            years=self.years[chosen],
            unit=self.unit[chosen],
            region=self.region,
            latents=tuple(self.latents[i] for i in chosen),
            spacing=self.spacing,
        )

    def __len__(self) -> int:
        return len(self.sessions)


def find_patients(split: pd.DataFrame, resampled: str | Path, latents: str | Path) -> list[PatientFiles]:
    """The usable scans of `split` (subject, session, years, split, maybe site) by patient, with their files.

    resampled, latents: folders of the stages resample and extract_latents. Raises FileNotFoundError naming the scan
    where a usable scan lacks a file.
    """

    def of(folder: str | Path, ending: str, subject: str, session: str) -> Path:
        path = scan_file(folder, subject, session, ending)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not there, though split.tsv has the scan; run its stage again")
        return path

    patients = []
    for subject, scans in split.sort_values(["subject", "years", "session"]).groupby("subject", sort=True):
        sessions = tuple(scans["session"])
        patients.append(
            PatientFiles(
                subject=subject,
                split=scans["split"].iloc[0],
                sessions=sessions,
                years=tuple(scans["years"].astype(float)),
                volumes=tuple(of(resampled, VOLUME, subject, session) for session in sessions),
                mask=of(resampled, LUNG_MASK, subject, sessions[0]),
                latents=tuple(of(latents, LATENTS, subject, session) for session in sessions),
                site=(scans["site"].iloc[0] or "") if "site" in scans else "",
            )
        )
    return patients


def load_visits(patient: PatientFiles, window: tuple[float, float]) -> Visits:
    """Read one patient's visits; `window` is the HU window that [-0.5, 0.5] stands for."""
    return Visits(
        sessions=patient.sessions,
        years=np.asarray(patient.years, np.float64),
        unit=np.stack([to_unit(open_volume(path), window) for path in patient.volumes]),
        region=open_mask(patient.mask),
        latents=tuple(load_latents(path) for path in patient.latents),
        spacing=read_spacing(patient.volumes[0]),
    )


def of_split(patients: Iterable[PatientFiles], split: str, visits: int = 1) -> list[PatientFiles]:
    """Patients of one split with at least so many usable visits."""
    return [patient for patient in patients if patient.split == split and len(patient.sessions) >= visits]
