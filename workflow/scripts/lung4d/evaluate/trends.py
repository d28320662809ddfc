"""What the given scans alone tell of another year: straight lines in time, and their weighted mean.

A straight line through two noisy scans multiplies their noise by the years ahead. What a low-pass and a share leave of
it is the strongest use of a line that one sigma and one number allow. The weighted mean, plus a constant a year, is
what averaging noise and a mean change are worth together; it knows nothing of where or in whom change comes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
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
        for name, given, target, targets in _withheld(visits):
            for row, sigma in enumerate(sigmas):
                lacking, change = parts(given, target, sigma)
                products = np.mean(lacking * change, dtype=np.float64), np.mean(change**2, dtype=np.float64)
                sums[name][row] += np.array(products) / targets
    return {name: _best(sigmas, *values.T) for name, values in sums.items()}, seen


def _withheld(visits: PatientVisits) -> Iterator[tuple[str, PatientVisits, PatientVisits, int]]:
    """By task and target: the task's name, the given visits, the target as one visit, and the task's targets."""
    for task in forecast_tasks(len(visits)):
        given = visits.take(task.given)
        for target in task.targets:
            yield task.name, given, visits.take([target]), len(task.targets)


def _best(sigmas: Sequence[float], product: np.ndarray, square: np.ndarray) -> Trend:
    share = np.clip(np.divide(product, square, out=np.zeros(len(sigmas)), where=square > 0), 0, 1)
    best = int(np.argmax(2 * share * product - share**2 * square))  # the squared error that is gained
    return Trend(float(sigmas[best]), float(share[best]))


@dataclass(frozen=True)
class Weighting:
    """The share of the other given scans' mean, in [0, 1], the rest being the last scan's; and what is added a year, on
    the unit scale."""

    others: float
    per_year: float


def weigh(given: PatientVisits, year: float, weighting: Weighting) -> np.ndarray:
    """The forecast (D, H, W); outside the lung it is the last scan."""
    last = anchor(given.years, year)
    start = given.unit[last]
    added = np.full_like(start, weighting.per_year * (year - float(given.years[last])))
    if len(given.years) > 1:
        added += np.float32(weighting.others) * (_others(given, last) - start)
    return start + given.region * added


def choose_weighting(patients: Iterable[PatientVisits]) -> tuple[dict[str, Weighting], int]:
    """Share and constant of least squared error in the lung by task, and the patients' number; all weigh the same.

    Linear least squares in both numbers; a share outside [0, 1] is set to the end, and the constant solved again. The
    weighting of no patient is the last scan.
    """
    products = {name: np.zeros((2, 3)) for name in ("extrapolation", "interpolation")}
    seen = 0
    for visits in patients:
        seen += 1
        for name, given, target, targets in _withheld(visits):
            products[name] += _weighting_products(given, target) / targets
    return {name: _best_weighting(values) for name, values in products.items()}, seen


def _weighting_products(given: PatientVisits, target: PatientVisits) -> np.ndarray:
    """Mean products (2, 3) over the lung of (others minus last, years) with these two and with what the last lacks."""
    year = float(target.years[0])
    last = anchor(given.years, year)
    start = given.unit[last][given.region].astype(np.float64)
    towards = _others(given, last)[given.region] - start
    years = np.full_like(towards, year - float(given.years[last]))
    lacking = target.unit[0][given.region] - start
    return np.array([[np.mean(one * other) for other in (towards, years, lacking)] for one in (towards, years)])


def _others(given: PatientVisits, last: int) -> np.ndarray:
    """The mean (D, H, W) of the given scans but the last."""
    return np.delete(given.unit, last, axis=0).mean(axis=0)


def _best_weighting(products: np.ndarray) -> Weighting:
    square, wanted = products[:, :2], products[:, 2]
    if not square.any():
        return Weighting(0.0, 0.0)
    others = float(np.clip(np.linalg.lstsq(square, wanted, rcond=None)[0][0], 0, 1))
    per_year = (wanted[1] - others * square[0, 1]) / square[1, 1] if square[1, 1] > 0 else 0.0
    return Weighting(others, float(per_year))
