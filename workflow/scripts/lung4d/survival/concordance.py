"""Harrell's C-index, and its interval by drawing patients anew while the model stays frozen."""

from dataclasses import dataclass

import numpy as np
from lifelines.utils import concordance_index

MIN_PAIRS = 20  # comparable pairs below which an interval is said to mean little


@dataclass(frozen=True)
class Concordance:
    """C-index of one risk score with a bootstrap interval; `draws` are its values in the bootstrap samples.

    NaN where there is no comparable pair. `pairs` is the number of comparable pairs.
    """

    c: float
    low: float
    high: float
    pairs: int
    draws: np.ndarray


def c_index(risk: np.ndarray, time: np.ndarray, event: np.ndarray) -> float:
    """C-index (Harrell 1982): share of comparable pairs in which the higher risk died first, ties count half.

    `risk` any scale, higher means shorter survival (lifelines wants the opposite, hence the sign). NaN without pairs.
    """
    if not pair_matrices(risk, time, event)[1].any():
        return float("nan")
    return float(concordance_index(np.asarray(time, float), -np.asarray(risk, float), np.asarray(event, bool)))


def pair_matrices(risk: np.ndarray, time: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Concordant (0, 0.5, 1) and comparable (bool) for each ordered pair: row died, column outlived it; (n, n)."""
    risk, time, event = np.asarray(risk, float), np.asarray(time, float), np.asarray(event, bool)
    outlived = (time[:, None] < time[None, :]) | ((time[:, None] == time[None, :]) & ~event[None, :])
    comparable = event[:, None] & outlived
    concordant = (risk[:, None] > risk[None, :]) + 0.5 * (risk[:, None] == risk[None, :])
    return concordant * comparable, comparable


def bootstrap_counts(patients: int, draws: int, seed: int) -> np.ndarray:
    """How often each patient is drawn in each bootstrap sample, (draws, patients); the same for every score, so that
    differences between scores are paired."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(patients, np.full(patients, 1.0 / max(patients, 1)), size=draws).astype(float)


def score_patients(risk: np.ndarray, time: np.ndarray, event: np.ndarray, draws: int, seed: int) -> Concordance:
    """C-index with a 95 % percentile interval of `draws` patient bootstrap samples (those without pairs left out)."""
    concordant, comparable = pair_matrices(risk, time, event)
    pairs = int(comparable.sum())
    if not pairs:
        return Concordance(float("nan"), float("nan"), float("nan"), 0, np.full(draws, np.nan))
    counts = bootstrap_counts(len(concordant), draws, seed)
    above = ((counts @ concordant) * counts).sum(axis=1)
    below = ((counts @ comparable.astype(float)) * counts).sum(axis=1)
    values = np.divide(above, below, out=np.full(draws, np.nan), where=below > 0)
    low, high = np.nanpercentile(values, [2.5, 97.5]) if np.isfinite(values).any() else (np.nan, np.nan)
    return Concordance(c_index(risk, time, event), float(low), float(high), pairs, values)


def difference(one: Concordance, other: Concordance) -> tuple[float, float, float]:
    """C of `one` minus C of `other` on the same patients, with the paired 95 % interval; NaN where either is."""
    draws = one.draws - other.draws
    if not np.isfinite(draws).any():
        return float("nan"), float("nan"), float("nan")
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return one.c - other.c, float(low), float(high)
