"""Forecasts that need no trained temporal model: what a forecast must beat to be worth anything.

Every method takes the given visits, the year asked for (since baseline), what was fitted on other patients, and a
decoder of latents; it returns a volume (D, H, W) on the unit scale. None ever sees the visit it is scored on.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lung4d.evaluation.places import CohortChange
from lung4d.evaluation.smoothing import smooth_inside
from lung4d.evaluation.visits import Visits

Decode = Callable[[np.ndarray], np.ndarray]  # embeddings (c, d, h, w) -> unit volume (D, H, W)


@dataclass(frozen=True)
class Choice:
    """A number, the split it was chosen on ("" where none could serve), and on how many patients."""

    value: float
    split: str
    patients: int


@dataclass(frozen=True)
class Fitted:
    """What is learned from other patients: sigma of the blur (voxels), the share of own detail that mix decoding
    keeps, and the cohort's mean change."""

    sigma: Choice
    mix: Choice
    change: CohortChange


def anchor(years: np.ndarray, year: float) -> int:
    """Index of the visit that is carried forward to `year`: the latest not after it, else the earliest."""
    earlier = np.flatnonzero(years <= year)
    return int(earlier[np.argmax(years[earlier])]) if len(earlier) else int(np.argmin(years))


def linear_weights(years: np.ndarray, year: float) -> np.ndarray:
    """Weights (n,) of the visits, in the order of time, for a straight line through the two nearest to `year`.

    Between two visits it is the line through them; after the last or before the first, the line through the last or
    first two. One visit, or two at the same time, are held constant (their mean).
    """
    weights = np.zeros(len(years))
    if len(years) == 1:
        return np.ones(1)
    right = int(np.clip(np.searchsorted(years, year), 1, len(years) - 1))
    gap = years[right] - years[right - 1]
    share = (year - years[right - 1]) / gap if gap > 0 else 0.5
    weights[right - 1 : right + 1] = 1 - share, share
    return weights


def locf(given: Visits, year: float, fitted: Fitted, decode: Decode) -> np.ndarray:
    """Last observation carried forward; between two visits, the nearest earlier one."""
    return given.unit[anchor(given.years, year)]


def locf_blurred(given: Visits, year: float, fitted: Fitted, decode: Decode) -> np.ndarray:
    """LOCF with the lung blurred: averages noise away and knows nothing of disease, yet lowers the squared error."""
    return smooth_inside(given.unit[anchor(given.years, year)], given.region, fitted.sigma.value)


def mean_of_given(given: Visits, year: float, fitted: Fitted, decode: Decode) -> np.ndarray:
    return given.unit.mean(axis=0)


def locf_autoencoder(given: Visits, year: float, fitted: Fitted, decode: Decode) -> np.ndarray:
    """LOCF through the autoencoder: the blur and the error that decoding alone brings."""
    return decode(given.latents[anchor(given.years, year)].embeddings)


def linear_image(given: Visits, year: float, fitted: Fitted, decode: Decode) -> np.ndarray:
    """A straight line in time at every voxel."""
    return np.tensordot(linear_weights(given.years, year).astype(np.float32), given.unit, axes=1)


def linear_latent(given: Visits, year: float, fitted: Fitted, decode: Decode) -> np.ndarray:
    """A straight line in time at every element of the continuous latents in the lung, decoded."""
    continuous = np.stack([latents.continuous for latents in given.latents])
    line = np.tensordot(linear_weights(given.years, year).astype(np.float32), continuous, axes=1)
    return decode(np.where(given.latents[0].mask, line, continuous[0]))


def cohort_mean_change(given: Visits, year: float, fitted: Fitted, decode: Decode) -> np.ndarray:
    """LOCF plus the training patients' mean change per year in the lung, one number, times the years gone by."""
    last = anchor(given.years, year)
    return given.unit[last] + given.region * np.float32(fitted.change.mean * (year - given.years[last]))


def cohort_mean_change_smoothed(given: Visits, year: float, fitted: Fitted, decode: Decode) -> np.ndarray:
    """Blurred LOCF plus the training patients' mean change per year by height and depth in the lung."""
    last = anchor(given.years, year)
    change = fitted.change.map_of(given.region, given.spacing) * np.float32(year - given.years[last])
    return smooth_inside(given.unit[last], given.region, fitted.sigma.value) + change


BASELINES: dict[str, Callable[[Visits, float, Fitted, Decode], np.ndarray]] = {
    method.__name__: method
    for method in (
        locf,
        locf_blurred,
        mean_of_given,
        locf_autoencoder,
        linear_image,
        linear_latent,
        cohort_mean_change,
        cohort_mean_change_smoothed,
    )
}
