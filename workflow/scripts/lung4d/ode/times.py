"""Visit times: sorting, merging ties, and the weights with which given visits anchor a query.

Years are float64, rounded to 1e-6 (half a minute), so that equal times are equal numbers in every function here.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

DECIMALS = 6

Years = Sequence[float] | np.ndarray | torch.Tensor


def as_years(years: Years) -> np.ndarray:
    """Times as float64 (n,), rounded to 1e-6 years.

    Raises ValueError where a time is not finite or `years` is not one-dimensional.
    """
    if isinstance(years, torch.Tensor):
        years = years.detach().cpu().numpy()
    array = np.round(np.asarray(years, dtype=np.float64), DECIMALS) + 0.0  # + 0.0: no negative zero
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError(f"years must be a list of finite numbers, not {years!r}")
    return array


def merge_ties(years: Years, *values: torch.Tensor) -> tuple[Any, ...]:
    """Sort visits by time and average those at the same time.

    `years` (n,), each of `values` (n, ...). Returns the distinct years (m,) in ascending order and, for each of
    `values`, a tensor (m, ...). A visit without a tie comes back bit for bit. Raises ValueError without visits or
    where the numbers of visits differ.
    """
    array = as_years(years)
    if len(array) == 0 or any(len(value) != len(array) for value in values):
        raise ValueError(f"{len(array)} times for {[len(value) for value in values]} visits; at least one is needed")
    distinct = np.unique(array)
    groups = [np.flatnonzero(array == year) for year in distinct]
    return distinct, *(torch.stack([_mean(value, group) for group in groups]) for value in values)


def _mean(value: torch.Tensor, group: np.ndarray) -> torch.Tensor:
    return value[group[0]] if len(group) == 1 else value[torch.as_tensor(group, device=value.device)].mean(0)


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
