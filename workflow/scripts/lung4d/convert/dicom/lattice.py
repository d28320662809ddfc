"""Positions along a stack of slices, mm: which are one place, which lie evenly, and which go on where others end."""

import numpy as np

SAME_PLACE = 0.05  # mm: positions are written with rounding
OFF_LATTICE = 0.1  # of a step, from the place where a slice should lie
WHOLE = 0.75  # share of the shorter of two that lies in both, from which on they are two scans of the same
FEWEST_STEPS = 0.8  # share of neighbours that are one step apart in a lattice; the others have slices missing between


def places_of(depths: np.ndarray) -> np.ndarray:
    """The place of each of the sorted `depths` (n,), counted from 0; what lies within 0.05 mm shares a place."""
    places, start = np.zeros(len(depths), int), 0
    for index in range(1, len(depths)):
        same = depths[index] - depths[start] <= SAME_PLACE
        start = start if same else index
        places[index] = places[index - 1] + (not same)
    return places


def distinct(depths: np.ndarray) -> np.ndarray:
    """One of the sorted `depths` for each place."""
    return depths[np.unique(places_of(depths), return_index=True)[1]]


def repeats(depths: np.ndarray) -> int:
    """How many of the sorted `depths` lie where another does."""
    return len(depths) - len(distinct(depths))


def step_of(depths: np.ndarray) -> float:
    """Median distance of neighbours among the sorted `depths`, 0 where there is but one place."""
    gaps = np.diff(distinct(depths))
    return float(np.median(gaps)) if len(gaps) else 0.0


def is_lattice(depths: np.ndarray) -> bool:
    """Whether the sorted `depths` are even, but for whole steps that are missing here and there."""
    gaps = np.diff(distinct(depths))
    if not len(gaps):
        return False
    steps = gaps / np.median(gaps)
    whole = np.round(steps)
    return bool((np.abs(steps - whole) < OFF_LATTICE).all() and (whole == 1).mean() >= FEWEST_STEPS)


def met_by(base: np.ndarray, more: np.ndarray) -> np.ndarray:
    """Which of `more` (n,) lie within a tenth of a step of a slice of `base`; both sorted."""
    return np.abs(_from_nearest(base, more)) <= max(SAME_PLACE, OFF_LATTICE * step_of(base))


def continues(base: np.ndarray, more: np.ndarray) -> bool:
    """Whether `more` goes on where `base` ends, in the same steps, and they are not two scans of the same."""
    step = step_of(base)
    if not step or (len(more) > 1 and abs(step_of(more) - step) > OFF_LATTICE * step):
        return False
    steps = _from_nearest(base, more) / step
    new = np.abs(np.round(steps)) > 0
    if (np.abs(steps - np.round(steps)) > OFF_LATTICE).any() or not new.any():
        return False
    touches = np.abs(steps[new]).min() < 1 + OFF_LATTICE
    return bool(touches) and not cover_the_same(base, more)


def cover_the_same(base: np.ndarray, more: np.ndarray) -> bool:
    """Whether three quarters of the shorter of two lie where the other has slices too."""
    return bool(met_by(base, more).sum() >= WHOLE * min(len(base), len(more)))


def _from_nearest(base: np.ndarray, more: np.ndarray) -> np.ndarray:
    """How far each of `more` lies above the nearest of the sorted `base`, mm."""
    after = np.clip(np.searchsorted(base, more), 1, len(base) - 1) if len(base) > 1 else np.zeros(len(more), int)
    before = np.maximum(after - 1, 0)
    nearest = np.where(np.abs(more - base[before]) <= np.abs(more - base[after]), base[before], base[after])
    return more - nearest
