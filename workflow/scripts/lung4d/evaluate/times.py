"""Which given visit a forecast starts from, and straight lines in time through the given visits."""

import numpy as np


def anchor(years: np.ndarray, year: float) -> int:
    """Index of the visit that is carried forward to `year`: the latest not after it, else the earliest."""
    earlier = np.flatnonzero(years <= year)
    return int(earlier[np.argmax(years[earlier])]) if len(earlier) else int(np.argmin(years))


def task_of(years: np.ndarray, year: float) -> str:
    """ "interpolation" between the first and the last given visit, "extrapolation" outside them."""
    return "interpolation" if years.min() < year < years.max() else "extrapolation"


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


def change_weights(years: np.ndarray, year: float) -> np.ndarray:
    """Weights (n,) of the visits, summing to 0, for what the straight line changes from the anchor to `year`."""
    weights = linear_weights(years, year)
    weights[anchor(years, year)] -= 1
    return weights
