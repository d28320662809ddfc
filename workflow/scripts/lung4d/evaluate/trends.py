"""Straight lines in time, believed in part: the line's change is low-passed and multiplied by a share.

A straight line through two noisy scans multiplies their noise by the years ahead. What a low-pass and a share leave of
it is the strongest use of a line that one sigma and one number allow.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lung4d.evaluate.smoothing import smooth_inside
from lung4d.visits.patient import PatientVisits
from lung4d.visits.tasks import forecast_tasks
from lung4d.visits.times import anchor, change_weights


@dataclass(frozen=True)
class Trend:
    """sigma (voxels) of the low-pass of the change, and the share of it, in [0, 1], that is kept."""

    sigma: float
    share: float


# (given visits, target as one visit, sigma) -> what the start of the forecast lacks of the target, the line's change
Parts = Callable[[PatientVisits, PatientVisits, float], tuple[np.ndarray, np.ndarray]]


def image_change(given: PatientVisits, year: float, sigma: float) -> np.ndarray:
    """Change (D, H, W) of every voxel's straight line from the anchor to `year`, low-passed in the lung, 0 outside."""
    change = np.tensordot(change_weights(given.years, year).astype(np.float32), given.unit, axes=1)
    return smooth_inside(change * given.region, given.region, sigma)


def latent_change(given: PatientVisits, year: float, sigma: float) -> np.ndarray:
    """The same of the continuous latents (c, d, h, w), low-passed among the latent voxels in the lung.

    sigma is in voxels of the image, so that both lines have the same scales.
    """
    mask = given.mask
    factor = given.region.shape[0] / mask.shape[0]
    continuous = np.stack([latents.continuous for latents in given.latents])
    change = np.tensordot(change_weights(given.years, year).astype(np.float32), continuous, axes=1) * mask
    return np.stack([smooth_inside(channel, mask, sigma / factor) for channel in change])


def image_parts(
    given: PatientVisits, target: PatientVisits, sigma: float, blur: float
) -> tuple[np.ndarray, np.ndarray]:
    """In the lung's voxels: target minus blurred anchor (`blur` in voxels), and the line's low-passed change."""
    year = float(target.years[0])
    start = smooth_inside(given.unit[anchor(given.years, year)], given.region, blur)
    return (target.unit[0] - start)[given.region], image_change(given, year, sigma)[given.region]


def latent_parts(given: PatientVisits, target: PatientVisits, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """In the lung's latent voxels: the target's continuous latent minus the anchor's, and the line's change."""
    year, mask = float(target.years[0]), given.mask
    start = given.latents[anchor(given.years, year)].continuous
    lacking = (target.latents[0].continuous - start)[:, mask]
    return lacking, latent_change(given, year, sigma)[:, mask]


def choose_trend(
    patients: Iterable[PatientVisits], sigmas: Sequence[float], parts: Parts
) -> tuple[dict[str, Trend], int]:
    """Sigma and share of least squared error by task, and the patients' number; the share of no patient is 0.

    With d the low-passed change and r what is lacking, the best share is <r, d> / <d, d>, clipped to [0, 1]; every
    patient has the same weight.
    """
    sums = {name: np.zeros((len(sigmas), 2)) for name in ("extrapolation", "interpolation")}
    seen = 0
    for visits in patients:
        seen += 1
        for task in forecast_tasks(len(visits)):
            given = visits.take(task.given)
            for target in task.targets:
                for row, sigma in enumerate(sigmas):
                    lacking, change = parts(given, visits.take([target]), sigma)
                    products = np.mean(lacking * change, dtype=np.float64), np.mean(change**2, dtype=np.float64)
                    sums[task.name][row] += np.array(products) / len(task.targets)
    return {name: _best(sigmas, *values.T) for name, values in sums.items()}, seen


def _best(sigmas: Sequence[float], product: np.ndarray, square: np.ndarray) -> Trend:
    share = np.clip(np.divide(product, square, out=np.zeros(len(sigmas)), where=square > 0), 0, 1)
    best = int(np.argmax(2 * share * product - share**2 * square))  # the squared error that is gained
    return Trend(float(sigmas[best]), float(share[best]))
