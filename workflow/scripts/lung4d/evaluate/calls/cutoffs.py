"""From which number on a patient is no longer called stable, and from which one is called fast.

The truth has three kinds of patients: stable ones, whose extent changes by less than a point a year either way, fast
ones, whose extent rises by more than three, and those between. A cutoff is chosen on val patients, for every method by
itself, so that the mean of two shares is highest: of the patients below it in truth that lie below it, and of those
above it in truth that do not. Of cutoffs that do equally well the one nearest to the usual one is taken.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

STABLE, BETWEEN, FAST = "stable", "between", "fast"
KINDS = (STABLE, BETWEEN, FAST)
LIMITS = {STABLE: 1.0, FAST: 3.0}  # points of extent a year, of the truth
USUAL = {STABLE: 2.0, FAST: 3.0}  # cutoffs where no val patient could choose


@dataclass(frozen=True)
class Cutoff:
    """Numbers below `stable` are called stable, others from `fast` on fast, and the rest slow.

    `patients` is how many val patients, stable and fast ones, chose them; 0 where they are the usual ones.
    """

    stable: float
    fast: float
    patients: int

    def call(self, numbers: np.ndarray) -> np.ndarray:
        """The calls, (patients,) of "stable", "slow" and "fast"."""
        return np.where(numbers < self.stable, STABLE, np.where(numbers >= self.fast, FAST, "slow"))


def true_kind(rates: np.ndarray) -> np.ndarray:
    """KINDS (patients,) of true rates in points of extent a year."""
    return np.where(np.abs(rates) < LIMITS[STABLE], STABLE, np.where(rates > LIMITS[FAST], FAST, BETWEEN))


def choose_cutoff(val: pd.DataFrame) -> Cutoff:
    """From one method's val patients, columns `number` and `true`."""
    numbers, kinds = val["number"].to_numpy(float), true_kind(val["true"].to_numpy(float))
    stable, fast = kinds == STABLE, kinds == FAST
    if not (stable.any() and fast.any()):
        return Cutoff(USUAL[STABLE], USUAL[FAST], 0)
    lower = best_cutoff(numbers[stable], numbers[fast], USUAL[STABLE])
    upper = best_cutoff(numbers[~fast], numbers[fast], USUAL[FAST])
    return Cutoff(lower, max(lower, upper), int(stable.sum() + fast.sum()))


def best_cutoff(below: np.ndarray, above: np.ndarray, usual: float) -> float:
    """The number that best parts `below` (n,) from `above` (m,): the highest mean of both shares of correct calls."""
    distinct = np.unique(np.concatenate([below, above]))
    candidates = np.append((distinct[1:] + distinct[:-1]) / 2, usual)
    correct = [correctness(below < cutoff, above >= cutoff) for cutoff in candidates]
    best = candidates[np.isclose(correct, max(correct))]
    return float(best[np.argmin(np.abs(best - usual))])


def correctness(one: np.ndarray, other: np.ndarray) -> float:
    """The mean of two shares of correct calls, bool (n,) and (m,): 0.5 where all are called alike."""
    return float(one.mean() + other.mean()) / 2
