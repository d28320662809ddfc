"""One patient's visits in the order of time, read from files when they are asked for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from lung4d.io.latents import Latents, load_codes, load_latents
from lung4d.io.names import EXPANSION, STATUS
from lung4d.io.status import read_status
from lung4d.io.volumes import open_mask, open_volume, read_spacing, to_unit
from lung4d.visits.scans import NOTHING, EncodedScan, Known, baselines, encoded_scans, in_time_order

Box = tuple[slice, ...]
EVERYTHING: Box = (slice(None),) * 3


@dataclass(frozen=True, eq=False)
class PatientVisits:
    """n visits of one patient on the common grid, in the order of time.

    baseline: the scan whose lung mask and grid hold for all visits, also where it is not among them; window: HU that
    [-0.5, 0.5] stands for. What is read is kept for as long as the object is.
    """

    scans: tuple[EncodedScan, ...]
    baseline: EncodedScan
    window: tuple[float, float]

    def __len__(self) -> int:
        return len(self.scans)

    @property
    def subject(self) -> str:
        return self.baseline.subject

    @property
    def split(self) -> str:
        return self.baseline.split

    @property
    def set(self) -> str:
        """The set that scores count for: the split, but for an external patient the site where it is told."""
        return self.baseline.site or self.split if self.split == "external" else self.split

    @cached_property
    def sessions(self) -> tuple[str, ...]:
        return tuple(scan.session for scan in self.scans)

    @cached_property
    def years(self) -> np.ndarray:
        """Years since baseline (n,), float64."""
        return np.array([scan.years for scan in self.scans], np.float64)

    @cached_property
    def volumes(self) -> tuple[np.ndarray, ...]:
        """The n scans (D, H, W) in HU, mapped to memory for as long as the object is."""
        return tuple(open_volume(scan.volume) for scan in self.scans)

    @cached_property
    def unit(self) -> np.ndarray:
        """The scans (n, D, H, W), float32 in [-0.5, 0.5]."""
        return np.stack([to_unit(open_volume(scan.volume), self.window) for scan in self.scans])

    @cached_property
    def latents(self) -> tuple[Latents, ...]:
        return tuple(load_latents(scan.latents) for scan in self.scans)

    def told(self, names: Sequence[str]) -> np.ndarray:
        """Numbers of these names that are known of each visit, float32 (n, k), NaN where one is not."""
        rows = [[scan.known.get(name, np.nan) for name in names] for scan in self.scans]
        return np.array(rows, np.float32).reshape(len(self), len(names))

    @cached_property
    def region(self) -> np.ndarray:
        """The baseline's lung, bool (D, H, W)."""
        return open_mask(self.baseline.mask)

    @cached_property
    def mask(self) -> np.ndarray:
        """The baseline's lung at latent resolution, bool (d, h, w)."""
        return load_codes(self.baseline.latents)[1]

    @cached_property
    def spacing(self) -> tuple[float, float, float]:
        """Of the grid (D, H, W), mm."""
        return read_spacing(self.baseline.volume)

    @cached_property
    def expansion(self) -> np.ndarray:
        """Logarithm of the visits' local volume over the baseline's, float32 (n, d', h', w'), 0 outside the lung and
        at the baseline: means over blocks of `lung4d.register.expansion.BLOCK` voxels a side of the common grid."""
        maps = [open_volume(scan.beside(EXPANSION)) for scan in self.scans]
        return np.stack(maps).astype(np.float32)

    @cached_property
    def log_volume_ratios(self) -> np.ndarray:
        """Logarithm of the visits' lung volume over the baseline's (n,), float64, each on its own grid."""
        statuses = (read_status(scan.beside(STATUS)) for scan in self.scans)
        return np.array([status.metrics["log_volume_ratio"] for status in statuses], np.float64)

    def crop(self, box: Box) -> np.ndarray:
        """The scans (n, D, H, W) in a box of voxels, float32 in [-0.5, 0.5]; only the box is read, and not kept."""
        return np.stack([to_unit(volume[box], self.window) for volume in self.volumes])

    def take(self, chosen: Iterable[int]) -> "PatientVisits":
        """Only the chosen visits, all read: what a forecast is given never holds a withheld visit."""
        chosen = list(chosen)
        taken = replace(self, scans=tuple(self.scans[i] for i in chosen))
        read = {"unit": self.unit[chosen], "latents": tuple(self.latents[i] for i in chosen)}
        vars(taken).update(read, region=self.region, mask=self.mask, spacing=self.spacing)
        return taken

    def fresh(self) -> "PatientVisits":
        """The same visits with nothing read: what is read of this object goes when the object does."""
        return replace(self)


def find_patients(
    split: pd.DataFrame,
    resampled: str | Path,
    latents: str | Path,
    window: tuple[float, float],
    known: Known = NOTHING,
) -> list[PatientVisits]:
    """The patients of the split table by subject, see `encoded_scans`; nothing is read yet."""
    scans = encoded_scans(in_time_order(split), resampled, latents, known)
    first = baselines(scans)
    by_patient = groupby(scans, key=lambda scan: scan.subject)
    return [PatientVisits(tuple(own), first[subject], window) for subject, own in by_patient]


def of_split(patients: Iterable[PatientVisits], split: str, visits: int = 1) -> list[PatientVisits]:
    """Patients of one split with at least so many usable visits."""
    return [patient for patient in patients if patient.split == split and len(patient) >= visits]
