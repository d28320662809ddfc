"""Forecasts that need no trained temporal model: what a forecast must beat to be worth anything.

Every method takes what is known (the given visits, what was fitted on other patients, a decoder of latents) and the
year asked for (since baseline); it returns a volume (D, H, W) on the unit scale. None ever sees the visit it is scored
on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np

from lung4d.evaluate.boosting import Boosting, BoostingFeatures
from lung4d.evaluate.cohort_change import CohortChange
from lung4d.evaluate.reconstruction import Decode
from lung4d.evaluate.smoothing import smooth_inside
from lung4d.evaluate.trends import Trend, Weighting, image_change, latent_change, weigh
from lung4d.visits.patient import PatientVisits
from lung4d.visits.times import anchor, linear_weights

Value = TypeVar("Value")


@dataclass(frozen=True)
class Chosen(Generic[Value]):
    """What was chosen, the split it was chosen on ("" where none could serve), and on how many patients."""

    value: Value
    split: str
    patients: int


@dataclass(frozen=True)
class FittedBaselines:
    """What is learned from other patients.

    sigma of the blur (voxels); the share of own detail that mix decoding keeps; the cohort's mean change; how much of
    a straight line in image and latent to believe, and how to weigh the given scans, by task; boosted trees, None
    without a pair of training visits.
    """

    sigma: Chosen[float]
    mix: Chosen[float]
    change: CohortChange
    image_trend: Chosen[Mapping[str, Trend]]
    latent_trend: Chosen[Mapping[str, Trend]]
    weighting: Chosen[Mapping[str, Weighting]]
    boosting: Boosting | None = None


@dataclass(frozen=True)
class ForecastInputs:
    """All that a forecast may know: the given visits, what was fitted on other patients, the decoder, and the task.

    What several methods or years need is made once and kept.
    """

    given: PatientVisits
    fitted: FittedBaselines
    decode: Decode
    task: str
    _blurred: dict[int, np.ndarray] = field(default_factory=dict)

    def blurred(self, visit: int) -> np.ndarray:
        """The given visit `visit` (D, H, W) with its lung blurred."""
        if visit not in self._blurred:
            self._blurred[visit] = smooth_inside(self.given.unit[visit], self.given.region, self.fitted.sigma.value)
        return self._blurred[visit]

    @cached_property
    def cohort_map(self) -> np.ndarray:
        """The training cohort's mean change per year (D, H, W), by place in the lung."""
        return self.fitted.change.map_of(self.given.region, self.given.spacing)

    @cached_property
    def features(self) -> BoostingFeatures:
        return BoostingFeatures(self.given)


def locf(known: ForecastInputs, year: float) -> np.ndarray:
    """Last observation carried forward; between two visits, the nearest earlier one."""
    return known.given.unit[anchor(known.given.years, year)]


def locf_blurred(known: ForecastInputs, year: float) -> np.ndarray:
    """LOCF with the lung blurred: averages noise away and knows nothing of disease, yet lowers the squared error."""
    return known.blurred(anchor(known.given.years, year))


def mean_of_given(known: ForecastInputs, year: float) -> np.ndarray:
    return known.given.unit.mean(axis=0)


def mean_of_given_blurred(known: ForecastInputs, year: float) -> np.ndarray:
    """The mean of the given scans with the lung blurred: what averages most noise away and knows nothing of disease."""
    return np.mean([known.blurred(visit) for visit in range(len(known.given.years))], axis=0)


def weighted_mean(known: ForecastInputs, year: float) -> np.ndarray:
    """The given scans, weighted, plus a constant a year; see lung4d.evaluate.trends."""
    return weigh(known.given, year, known.fitted.weighting.value[known.task])


def locf_autoencoder(known: ForecastInputs, year: float) -> np.ndarray:
    """LOCF through the autoencoder: the blur and the error that decoding alone brings."""
    return known.decode(known.given.latents[anchor(known.given.years, year)].embeddings)


def linear_image(known: ForecastInputs, year: float) -> np.ndarray:
    """A straight line in time at every voxel."""
    return np.tensordot(linear_weights(known.given.years, year).astype(np.float32), known.given.unit, axes=1)


def linear_image_shrunk(known: ForecastInputs, year: float) -> np.ndarray:
    """Blurred LOCF plus a share of the straight line's change, low-passed in the lung; nothing outside it."""
    given, trend = known.given, known.fitted.image_trend.value[known.task]
    change = np.float32(trend.share) * image_change(given, year, trend.sigma)
    return np.where(given.region, locf_blurred(known, year) + change, given.unit[0])


def linear_latent(known: ForecastInputs, year: float) -> np.ndarray:
    """A straight line in time at every element of the continuous latents in the lung, decoded."""
    continuous = np.stack([latents.continuous for latents in known.given.latents])
    line = np.tensordot(linear_weights(known.given.years, year).astype(np.float32), continuous, axes=1)
    return known.decode(np.where(known.given.mask, line, continuous[0]))


def linear_latent_shrunk(known: ForecastInputs, year: float) -> np.ndarray:
    """The anchor's continuous latent plus a share of the straight line's change, low-passed in the lung; decoded."""
    given, trend = known.given, known.fitted.latent_trend.value[known.task]
    last = given.latents[anchor(given.years, year)].continuous
    changed = last + np.float32(trend.share) * latent_change(given, year, trend.sigma)
    return known.decode(np.where(given.mask, changed, given.latents[0].continuous))


def cohort_mean_change(known: ForecastInputs, year: float) -> np.ndarray:
    """LOCF plus the training patients' mean change per year in the lung, one number, times the years gone by."""
    given, last = known.given, anchor(known.given.years, year)
    return given.unit[last] + given.region * np.float32(known.fitted.change.mean * (year - given.years[last]))


def cohort_mean_change_smoothed(known: ForecastInputs, year: float) -> np.ndarray:
    """Blurred LOCF plus the training patients' mean change per year by height and depth in the lung."""
    last = anchor(known.given.years, year)
    return known.blurred(last) + known.cohort_map * np.float32(year - known.given.years[last])


def boosting(known: ForecastInputs, year: float) -> np.ndarray:
    """Boosted trees on what the images show at and around every voxel of the lung; see lung4d.evaluate.boosting."""
    if known.fitted.boosting is None:
        return locf_blurred(known, year)
    forecast = known.given.unit[0].copy()
    forecast[known.given.region] = known.fitted.boosting.predict(known.features.at(year))
    return forecast


BASELINES: dict[str, Callable[[ForecastInputs, float], np.ndarray]] = {
    "locf": locf,
    "locf_blurred": locf_blurred,
    "mean_of_given": mean_of_given,
    "mean_of_given_blurred": mean_of_given_blurred,
    "weighted mean": weighted_mean,
    "locf_autoencoder": locf_autoencoder,
    "linear_image": linear_image,
    "linear_image_shrunk": linear_image_shrunk,
    "linear_latent": linear_latent,
    "linear_latent_shrunk": linear_latent_shrunk,
    "cohort_mean_change": cohort_mean_change,
    "cohort_mean_change_smoothed": cohort_mean_change_smoothed,
    "boosting": boosting,
}
