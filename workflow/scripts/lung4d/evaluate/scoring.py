"""Scores of one forecast: errors, similarity, density and extent of disease, and the pattern of change.

All of them are on images clipped to the HU window, in the lung or in the whole volume. Where a cohort is simulated they
are also taken against the noise-free truth.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lung4d import metrics
from lung4d.biomarkers.measures import lung_density
from lung4d.evaluate.baselines import ForecastInputs
from lung4d.evaluate.smoothing import smooth_inside
from lung4d.io.volumes import from_unit
from lung4d.visits.patient import PatientVisits
from lung4d.visits.times import anchor

LEAST_LOW_PASS = 1.5  # voxels
DISEASED = -720.0  # HU of the smoothed density, from which a place counts as diseased
LEAST_CHANGE = 1.0  # HU, root mean square: a smaller change has no pattern


@dataclass(frozen=True)
class Scorer:
    """How forecasts are scored: the HU window of the unit scale, and sigma of the low-pass in mm."""

    window: tuple[float, float]
    low_pass: float

    def sigma(self, spacing: tuple[float, float, float]) -> tuple[float, ...]:
        """Sigma of the low-pass in voxels of this spacing (mm); on a coarse grid at least what takes noise away."""
        return tuple(max(self.low_pass / size, LEAST_LOW_PASS) for size in spacing)

    def smooth(self, unit: np.ndarray, visits: PatientVisits) -> np.ndarray:
        """The lung's voxels (voxels,) of a volume (D, H, W) after the low-pass."""
        return smooth_inside(unit, visits.region, self.sigma(visits.spacing))[visits.region]

    def extent(self, smooth: np.ndarray) -> float:
        """Diseased share of the lung in percent: low-passed density (voxels,) above -720 HU."""
        low, high = self.window
        return 100.0 * float(np.mean(smooth > (DISEASED - low) / (high - low) - 0.5))


@dataclass(frozen=True)
class Target:
    """A withheld visit (`visit` holds that one alone) and what is known without it; what is smoothed is kept.

    `noisefree` has unit volumes by session; empty where the cohort is not simulated.
    """

    visit: PatientVisits
    known: ForecastInputs
    ruler: Scorer
    noisefree: Mapping[str, np.ndarray]

    @cached_property
    def last(self) -> int:
        return anchor(self.known.given.years, float(self.visit.years[0]))

    @cached_property
    def smooth(self) -> np.ndarray:
        return self.ruler.smooth(self.visit.unit[0], self.visit)

    @cached_property
    def smooth_last(self) -> np.ndarray:
        return self.ruler.smooth(self.known.given.unit[self.last], self.visit)

    @cached_property
    def true(self) -> np.ndarray | Any:
        """The noise-free truth of the visit, (D, H, W); None where it is not known."""
        return self.noisefree.get(self.visit.sessions[0])

    @cached_property
    def true_last(self) -> np.ndarray | Any:
        """The noise-free truth of the anchor, (D, H, W); None where it is not known."""
        return self.noisefree.get(self.known.given.sessions[self.last])

    @cached_property
    def smooth_true(self) -> np.ndarray:
        return self.ruler.smooth(self.true, self.visit)

    @cached_property
    def density(self) -> tuple[float, float]:
        return lung_density(from_unit(self.visit.unit[0], self.ruler.window), self.visit.region)

    @cached_property
    def known_patterns(self) -> list[np.ndarray]:
        """Changes that need nothing foretold (voxels,): a shift, the cohort's map, a blur, and a change of contrast."""
        blurred = self.ruler.smooth(self.known.blurred(self.last), self.visit)
        cohort = self.ruler.smooth(self.known.cohort_map, self.visit)
        return [np.ones_like(cohort), cohort, blurred - self.smooth_last, self.smooth_last]

    @cached_property
    def change(self) -> "Pattern":
        return Pattern(self.smooth - self.smooth_last, self.known_patterns, self._least)

    @cached_property
    def true_change(self) -> "Pattern":
        change = self.smooth_true - self.ruler.smooth(self.true_last, self.visit)
        return Pattern(change, self.known_patterns, self._least)

    @property
    def _least(self) -> float:
        return LEAST_CHANGE / (self.ruler.window[1] - self.ruler.window[0])


class Pattern:
    """A change over the lung's voxels without what given patterns explain of it by least squares."""

    def __init__(self, change: np.ndarray, without: list[np.ndarray], least: float):
        basis, sizes, _ = np.linalg.svd(np.stack(without, axis=1).astype(np.float64), full_matrices=False)
        self._basis = basis[:, sizes > 1e-6 * sizes[0]]
        self._least = least
        self._rest = self._without(change)

    def correlation(self, change: np.ndarray) -> float:
        """Partial correlation with another change (voxels,); 0 for a change that the patterns explain.

        NaN where the pattern's own rest is below the least root mean square, so that there is nothing to find.
        """
        rest = self._without(change)
        own, other = (float(np.sqrt(np.mean(values**2))) for values in (self._rest, rest))
        if own < self._least:
            return float("nan")
        return float(np.mean(self._rest * rest) / (own * other)) if other >= self._least else 0.0

    def _without(self, change: np.ndarray) -> np.ndarray:
        return change - self._basis @ (self._basis.T @ change)


def extent_per_year(visits: PatientVisits, ruler: Scorer, true: Mapping[tuple[str, str], float]) -> float:
    """Change of the diseased extent from first to last visit in percentage points a year.

    From the truth by subject and session where it has both visits, else from the scans; NaN with no time between.
    """
    first, last = visits.scans[0].key, visits.scans[-1].key
    gap = float(visits.years[-1] - visits.years[0])
    if gap <= 0:
        return float("nan")
    if first in true and last in true:
        return (true[last] - true[first]) / gap
    start, end = (ruler.extent(ruler.smooth(visits.unit[i], visits)) for i in (0, -1))
    return (end - start) / gap


def score(prediction: np.ndarray, target: Target) -> dict[str, dict[str, float]]:
    """Scores of one prediction (D, H, W, unit scale) for the lung and the whole volume.

    The prediction is clipped to the window, as the file that a user gets is. Errors of density (HU), of high-
    attenuation area and of extent (both percentage points) are prediction minus target; what only has a meaning in the
    lung is absent for the whole volume. For the correlations see `change_scores`.
    """
    region, unit = target.visit.region, target.visit.unit[0]
    prediction = np.clip(prediction, -0.5, 0.5).astype(np.float32)
    similarity = metrics.ssim_map(prediction + 0.5, unit + 0.5)
    scores = {}
    for name, mask in (("lung", region), ("whole", None)):
        scores[name] = {
            "mse": metrics.mse(prediction, unit, mask),
            "psnr": metrics.psnr(prediction, unit, mask),
            "ssim": metrics.ssim(prediction, unit, mask, similarity),
            "nrmse": metrics.nrmse(prediction + 0.5, unit + 0.5, mask),
        }
    density = lung_density(from_unit(prediction, target.ruler.window), region)
    scores["lung"] |= {
        "density_error_hu": density[0] - target.density[0],
        "high_attenuation_error": density[1] - target.density[1],
        **change_scores(target.ruler.smooth(prediction, target.visit), target),
    }
    if target.true is not None:
        scores["lung"]["mse_noisefree"] = metrics.mse(prediction, target.true, region)
    return scores


def change_scores(smooth: np.ndarray, target: Target) -> dict[str, float]:
    """Scores of a low-passed prediction (voxels,), in which noise hardly counts.

    `change_correlation` is the correlation over the lung's voxels of the predicted and the true change since the last
    given visit, both without what needs nothing foretold (partial correlation): a shift, the cohort's map of change, a
    blur of the last scan and a change of its contrast. LOCF, its blur and the cohort's mean are 0 by construction.
    Taking the cohort's map times the years away instead would leave every slow patient minus that map, and a forecast
    of no change would correlate with it.

    Against the noise-free truth (`change_correlation_noisefree`) no noise is shared, and a denoiser's null value is 0.
    Against the observed visit it is 0 only for denoisers of the last scan alone: the observed change holds minus the
    noise of that scan, and so does every forecast that averages it with other visits (0.3 for the mean of two scans in
    a phantom where nothing can be foretold). It has no null value that holds for all methods: no claim rests on it.
    """
    change = smooth - target.smooth_last
    scores = {
        "mse_lowpass": _mean_square(smooth - target.smooth),
        "extent_error": target.ruler.extent(smooth) - target.ruler.extent(target.smooth),
        "change_correlation": target.change.correlation(change),
    }
    if target.true is not None:
        scores |= {
            "mse_lowpass_noisefree": _mean_square(smooth - target.smooth_true),
            "extent_error_noisefree": target.ruler.extent(smooth) - target.ruler.extent(target.smooth_true),
        }
    if target.true is not None and target.true_last is not None:
        scores |= {
            "change_correlation_noisefree": target.true_change.correlation(change),
            "true_change": metrics.mse(target.true, target.true_last, target.visit.region),
        }
    return scores


def _mean_square(values: np.ndarray) -> float:
    return float(np.mean(np.square(values), dtype=np.float64))
