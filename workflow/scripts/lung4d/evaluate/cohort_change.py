"""Mean change per year of the training patients, for the whole lung and by place in the lung.

Lungs of different patients are not aligned voxel to voxel, so a mean change map over patients has no meaning. What
every lung shares are two coordinates, along which fibrosis is known to be uneven (basal and subpleural first): the
height between base and apex and the depth below the pleura. The change is averaged in the cells of these two.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from lung4d.visits.patient import PatientVisits

HEIGHTS, DEPTHS = 4, 4  # cells; depth in shares of the deepest point, so that lungs of any size compare


@dataclass(frozen=True)
class CohortChange:
    """Change per year on the unit scale: `mean` over the lung, `by_place` (HEIGHTS, DEPTHS); and whom it is from."""

    mean: float
    by_place: np.ndarray
    patients: int

    def map_of(self, region: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
        """Change per year at every voxel (D, H, W) of a lung, zero outside it."""
        return np.where(region, self.by_place.ravel()[cells(region, spacing)], 0).astype(np.float32)


def cells(region: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Cell number height * DEPTHS + depth at every voxel (D, H, W) of the region, 0 outside; spacing in mm."""
    slices = np.flatnonzero(region.any(axis=(1, 2)))
    low, high = slices[0], slices[-1] + 1
    height = (np.arange(region.shape[0]) - low) * HEIGHTS // (high - low)
    distance = ndimage.distance_transform_edt(region, sampling=spacing)
    depth = np.minimum((distance / distance.max() * DEPTHS).astype(int), DEPTHS - 1)
    return np.where(region, np.clip(height, 0, HEIGHTS - 1)[:, None, None] * DEPTHS + depth, 0)


def cohort_change(patients: Iterable[PatientVisits]) -> CohortChange:
    """Change per year of a cohort: all change from first to last visit, divided by all the years between them.

    The pooled ratio gives a patient weight by the time observed, so that two scans a month apart, whose change is
    mostly acquisition, do not count as a year. Without any patient with two visits the change is zero.
    """
    n_cells = HEIGHTS * DEPTHS
    change, years, voxel_years = np.zeros(n_cells), 0.0, np.zeros(n_cells)
    lung_change, seen = 0.0, 0
    for visits in patients:
        gap = float(visits.years[-1] - visits.years[0])
        if gap <= 0:
            continue
        difference = (visits.unit[-1] - visits.unit[0])[visits.region].astype(np.float64)
        place = cells(visits.region, visits.spacing)[visits.region]
        change += np.bincount(place, difference, n_cells) / difference.size
        voxel_years += np.bincount(place, minlength=n_cells) / difference.size * gap
        lung_change += difference.mean()
        years += gap
        seen += 1
    mean = lung_change / years if years else 0.0
    by_place = np.divide(change, voxel_years, out=np.full(n_cells, mean), where=voxel_years > 0)
    return CohortChange(mean=mean, by_place=by_place.reshape(HEIGHTS, DEPTHS), patients=seen)
