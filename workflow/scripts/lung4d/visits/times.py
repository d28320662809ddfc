"""Times of visits: equal ones made equal, which given visit a forecast starts from, and weights of given visits."""

from collections.abc import Sequence

import numpy as np

DECIMALS = 6

Years = Sequence[float] | np.ndarray


def as_years(years: Years) -> np.ndarray:
    """Times as float64 (n,), rounded to 1e-6 years (half a minute), so that equal times are equal numbers.

    Raises ValueError where a time is not finite or `years` is not one-dimensional.
    """
    array = np.round(np.asarray(years, dtype=np.float64), DECIMALS) + 0.0  # + 0.0: no negative zero
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError(f"years must be a list of finite numbers, not {years!r}")
    return array


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


def blend_weights(given: np.ndarray, query: np.ndarray) -> np.ndarray:
    """How much each given visit anchors each query: (q, n), rows sum to 1, at most two entries not 0.

    `given` (n,) distinct and ascending, `query` (q,). Before the first and after the last visit the nearest one has
    all the weight; between visits i < j the weight moves linearly, w = (t - t_i) / (t_j - t_i); at a visit exactly 1.
    """
    weights = np.zeros((len(query), len(given)))
    right = np.searchsorted(given, query, side="left")  # the first visit at or after the query
    for row, (year, j) in enumerate(zip(query, right, strict=True)):
        if j == 0 or j == len(given):
            weights[row, min(j, len(given) - 1)] = 1.0
        else:
            share = (year - given[j - 1]) / (given[j] - given[j - 1])
            weights[row, j - 1], weights[row, j] = 1.0 - share, share
    return weights
