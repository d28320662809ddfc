"""How good would the fit have been on other patients: bootstrap optimism and cross-validation, selection repeated.

Only development patients are drawn. In each resample the codes are selected anew on first scans and the model is fitted
anew, so that the choice of the codes pays for itself (Harrell 1996; Ambroise & McLachlan 2002).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from lung4d.survival import fast_cox
from lung4d.survival.concordance import pair_matrices
from lung4d.survival.landmark import LandmarkSample
from lung4d.survival.models import Candidate, Design
from lung4d.survival.selection import quick_top

FOLDS, REPEATS = 5, 10  # of the cross-validation


@dataclass(frozen=True)
class Resample:
    """Subjects to select and fit on (repeats allowed), subjects to score, and the codes selected on the former."""

    fitted: np.ndarray
    scored: np.ndarray
    codes: tuple[str, ...]


@dataclass(frozen=True)
class Resamples:
    """`bootstrap`: drawn with replacement, scored on all. `folds`: fitted on four fifths, scored on the last."""

    bootstrap: list[Resample]
    folds: list[Resample]

    def stability(self, codes: pd.Series) -> np.ndarray:
        """Share of the bootstrap samples in which each of `codes` is selected; NaN without samples."""
        if not self.bootstrap:
            return np.full(len(codes), np.nan)
        return np.array([np.mean([code in resample.codes for resample in self.bootstrap]) for code in codes])


def resample(
    clock: pd.DataFrame, codes: pd.DataFrame, covariates: pd.DataFrame, ridge: float, top: int, draws: int, seed: int
) -> Resamples:
    """Draw `draws` bootstrap samples and repeated folds of the patients of `clock`, and select codes in each.

    `codes` and `covariates` are those of the first scans, index as `clock` (subject; time, event).
    """
    generator = np.random.default_rng(seed)
    everyone = np.arange(len(clock))
    drawn = [(generator.integers(len(clock), size=len(clock)), everyone) for _ in range(draws)]
    held = [
        fold for _ in range(REPEATS) for fold in np.array_split(generator.permutation(everyone), FOLDS) if len(fold)
    ]
    folds = [(np.setdiff1d(everyone, fold), np.sort(fold)) for fold in held]
    time, event = clock["time"].to_numpy(float), clock["event"].to_numpy(bool)
    subjects, frequencies = clock.index.to_numpy(), codes.to_numpy(float)

    def selected(fitted: np.ndarray, scored: np.ndarray) -> Resample:
        scaled = standardised(covariates.to_numpy(float)[fitted])
        chosen = quick_top(frequencies[fitted], scaled, time[fitted], event[fitted], ridge, top)
        return Resample(subjects[fitted], subjects[scored], tuple(codes.columns[chosen]))

    able = [[pair for pair in pairs if event[pair[0]].sum() >= 2] for pairs in (drawn, folds)]
    return Resamples(*([selected(*pair) for pair in pairs] for pairs in able))


def standardised(values: np.ndarray, like: np.ndarray | None = None) -> np.ndarray:
    """`values` (patients, variables) less the mean and by the spread of `like` (default: their own); constants: 0."""
    like = values if like is None else like
    mean, sd = like.mean(axis=0), like.std(axis=0)
    return (values - mean) / np.where(sd > 1e-12 * (1 + np.abs(mean)), sd, np.inf)


def optimism(
    candidate: Candidate, sample: LandmarkSample, plan: Design, clock: pd.DataFrame, resamples: Resamples, ridge: float
) -> float:
    """Mean of C in a bootstrap sample minus C of the same refit in all of `clock`; NaN where most samples fail."""
    pairs = _refits(candidate, sample, plan, clock, resamples.bootstrap, ridge)
    gains = [a / b - c / d for (a, b), (c, d) in pairs if b and d]
    return float(np.mean(gains)) if gains and len(gains) >= len(resamples.bootstrap) / 2 else float("nan")


def cross_validated(
    candidate: Candidate, sample: LandmarkSample, plan: Design, clock: pd.DataFrame, resamples: Resamples, ridge: float
) -> float:
    """C-index of the pairs of patients within left-out folds, over all folds and repeats; NaN without such pairs."""
    scored = [out for _, out in _refits(candidate, sample, plan, clock, resamples.folds, ridge)]
    concordant, comparable = (sum(values) for values in zip(*scored, strict=True)) if scored else (0.0, 0)
    return float(concordant / comparable) if comparable else float("nan")


def _refits(
    candidate: Candidate,
    sample: LandmarkSample,
    plan: Design,
    clock: pd.DataFrame,
    resamples: list[Resample],
    ridge: float,
) -> list[tuple[tuple[float, int], tuple[float, int]]]:
    """For each resample (concordant, comparable) pairs among who was fitted on, and among who was scored."""
    time, event = clock["time"].to_numpy(float), clock["event"].to_numpy(bool)
    if of_codes := candidate.name == "codes":
        union = sorted({code for resample in resamples for code in resample.codes})
        candidate = replace(candidate, biomarkers=tuple(union))
    variables = plan.variables(candidate, sample, "real").loc[clock.index]
    covariates = [name for name in variables.columns if name not in candidate.biomarkers]
    counted: list[Any] = []
    for resample in resamples:
        used = covariates + list(resample.codes if of_codes else candidate.biomarkers)
        values = variables.reindex(columns=used).to_numpy(float)
        # who has no third scan may be in the resample, but is not in this sample
        fitted, scored = (rows[rows >= 0] for rows in map(clock.index.get_indexer, (resample.fitted, resample.scored)))
        if event[fitted].sum() < 2:
            continue
        beta = fast_cox.fit_fast(standardised(values[fitted]), time[fitted], event[fitted], ridge)
        risk = standardised(values, like=values[fitted]) @ beta
        counted.append(tuple(_pairs(risk[rows], time[rows], event[rows]) for rows in (fitted, scored)))
    return counted


def _pairs(risk: np.ndarray, time: np.ndarray, event: np.ndarray) -> tuple[float, int]:
    concordant, comparable = pair_matrices(risk, time, event)
    return float(concordant.sum()), int(comparable.sum())
