"""Voxel boosting: the forecast that ordinary machine learning on the images makes, without latents or dynamics.

Every lung voxel is a row: what the given scans show at it and around it, where it lies, and the years ahead. A linear
regression, which finds the best mixture of the scans and their blurs, and boosted trees on what it leaves forecast the
voxel's value. Learned from training patients only, stopped on val patients where there are any.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from scipy import ndimage
from sklearn.ensemble import HistGradientBoostingRegressor

from lung4d.evaluate.smoothing import smooth_inside
from lung4d.visits.patient import PatientVisits
from lung4d.visits.times import anchor, change_weights

SCALES = (4.0, 8.0, 16.0)  # mm, sigmas of the smoothed images, each at least one voxel
VOXELS = 6000  # a patient, spread over the pairs of given visits and target
ROWS = 600_000  # of all patients; beyond it each gives fewer
ITERATIONS, UNSTOPPED = 400, 120  # at most, and without val patients to stop on
LEAVES, LEAST, RATE, RIDGE = 31, 200, 0.06, 1e-3


@dataclass(frozen=True)
class BoostingFeatures:
    """Features of the lung voxels of given visits, on the unit scale; the smoothing is done once for all years."""

    given: PatientVisits

    @cached_property
    def smooth(self) -> np.ndarray:
        """The given visits smoothed in the lung, (scales, n, voxels)."""
        region = self.given.region
        sigmas = [tuple(max(scale / size, 1.0) for size in self.given.spacing) for scale in SCALES]
        return np.stack([[smooth_inside(unit, region, s)[region] for unit in self.given.unit] for s in sigmas])

    @cached_property
    def local_sd(self) -> np.ndarray:
        """Standard deviation around every voxel at the smallest scale, (n, voxels)."""
        region = self.given.region
        sigma = tuple(max(SCALES[0] / size, 1.0) for size in self.given.spacing)
        squares = np.stack([smooth_inside(unit**2, region, sigma)[region] for unit in self.given.unit])
        return np.sqrt(np.maximum(squares - self.smooth[0] ** 2, 0))

    @cached_property
    def place(self) -> tuple[np.ndarray, np.ndarray]:
        """Distance to the pleura (mm) and height between base (0) and apex (1), both (voxels,)."""
        region = self.given.region
        distance = ndimage.distance_transform_edt(region, sampling=self.given.spacing)[region]
        slices = np.nonzero(region)[0]
        return distance, (slices - slices.min()) / max(slices.max() - slices.min(), 1)

    def at(self, year: float) -> np.ndarray:
        """Features (voxels, features) float32 for a forecast to `year`; 0 where a feature takes another visit."""
        given, last = self.given, anchor(self.given.years, year)
        raw = given.unit[:, given.region]
        distance, height = self.place
        gap = given.years[-1] - given.years[0]
        slope = (self.smooth[1:, -1] - self.smooth[1:, 0]) / gap if gap > 0 else np.zeros_like(self.smooth[1:, 0])
        line = np.tensordot(self.smooth, change_weights(given.years, year), axes=(1, 0))
        later = given.years[given.years > year]
        ahead, until = year - given.years[last], later.min() - year if len(later) else 0.0
        numbers = (raw[last].mean(), slope[0].mean(), line[0].mean(), gap, ahead, until)
        columns = [
            raw[last],
            *self.smooth[:, last],
            self.local_sd[last],
            raw.mean(axis=0),
            *self.smooth.mean(axis=1)[:2],
        ]
        columns += [*slope, *line, distance, height]
        return np.stack([*columns, *(np.full(raw.shape[1], number) for number in numbers)], axis=1, dtype=np.float32)


@dataclass(frozen=True)
class Boosting:
    """Linear coefficients (features + 1,) and boosted trees, both of the change since the anchor; see `predict`."""

    coefficients: np.ndarray
    trees: HistGradientBoostingRegressor
    patients: int

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Forecast value (voxels,) on the unit scale: the anchor's, in the first column, plus the change."""
        change = _with_one(features) @ self.coefficients + self.trees.predict(features)
        return (features[:, 0] + change).astype(np.float32)


def learn_boosting(
    train: Iterable[PatientVisits], count: int, val: Iterable[PatientVisits], seed: int
) -> Boosting | None:
    """Fit on `count` training patients with two or more visits; None where there is none. `val` may be empty."""
    if not count:
        return None
    random = np.random.default_rng(seed)
    features, change = _stack(voxel_samples(visits, min(VOXELS, ROWS // count), random) for visits in train)
    held_out = _stack(voxel_samples(visits, VOXELS, random) for visits in val)
    coefficients = _ridge(_with_one(features), change)
    trees = HistGradientBoostingRegressor(
        learning_rate=RATE,
        max_iter=ITERATIONS if held_out else UNSTOPPED,
        max_leaf_nodes=LEAVES,
        min_samples_leaf=LEAST,
        early_stopping=bool(held_out),
        random_state=seed,
    )
    left = change - _with_one(features) @ coefficients
    if held_out:
        rest = held_out[1] - _with_one(held_out[0]) @ coefficients
        trees.fit(features, left, X_val=held_out[0], y_val=rest)
    else:
        trees.fit(features, left)
    return Boosting(coefficients, trees, count)


def pairs(visits: int) -> Iterator[tuple[tuple[int, ...], int]]:
    """Given visits and target to learn from: two visits in a row and each later one, two visits and each between
    them, and one visit and the next."""
    for first in range(visits - 1):
        yield (first,), first + 1
        for target in range(first + 2, visits):
            yield (first, first + 1), target
    for first, between, last in combinations(range(visits), 3):
        yield (first, last), between


def voxel_samples(visits: PatientVisits, voxels: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Features (rows, features) and change since the anchor (rows,) of about `voxels` lung voxels over all pairs."""
    tasks = list(pairs(len(visits)))
    found = []
    for given, target in tasks:
        features = BoostingFeatures(visits.take(given)).at(float(visits.years[target]))
        chosen = random.choice(len(features), min(max(voxels // len(tasks), 1), len(features)), replace=False)
        value = visits.unit[target][visits.region][chosen]
        found.append((features[chosen], value - features[chosen, 0]))
    return _stack(found)


def _stack(parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray] | Any:
    """None of none."""
    parts = list(parts)
    return (np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])) if parts else None


def _with_one(features: np.ndarray) -> np.ndarray:
    return np.column_stack([features, np.ones(len(features), np.float32)])


def _ridge(features: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Least squares with a small ridge on the standardised features: smoothed images are nearly collinear."""
    spread = features.std(axis=0)
    scale = np.where(spread > 1e-6, spread, 1)
    scaled = (features / scale).astype(np.float64)
    penalty = RIDGE * len(scaled) * np.eye(scaled.shape[1])
    return (np.linalg.solve(scaled.T @ scaled + penalty, scaled.T @ change) / scale).astype(np.float32)
