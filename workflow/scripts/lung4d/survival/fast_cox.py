"""Cox's model in plain arrays, for the many refits of bootstrap samples: a hundredth of the cost of a full fit.

Breslow's ties, the same penalty as `cox.fit`. What is reported of a model comes from `cox`; this answers only "which
codes would have been selected" and "how would a refit have scored".
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

STEPS = 25
LONGEST_STEP = 2.0  # in log hazard ratio, so that a near-separated sample does not leap to infinity


@dataclass(frozen=True)
class RiskSets:
    """Patients sorted from longest to shortest time.

    `order` (n,); `died` (n,) sorted; `last` (events,): the last sorted row still at risk at each death, ties included.
    """

    order: np.ndarray
    died: np.ndarray
    last: np.ndarray

    def mean(self, weight: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Weighted mean of sorted `values` (n, ...) over the risk set of each death, (events, ...)."""
        shape = (-1, *[1] * (values.ndim - 1))
        above = np.cumsum(weight.reshape(shape) * values, axis=0)[self.last]
        return above / np.cumsum(weight)[self.last].reshape(shape)


def risk_sets(time: np.ndarray, event: np.ndarray) -> RiskSets:
    """Risk set of every death: who had neither died nor been censored before it."""
    order = np.argsort(-time, kind="stable")
    years, died = time[order], event[order].astype(bool)
    return RiskSets(order, died, (np.searchsorted(-years, -years, side="right") - 1)[died])


def fit_fast(x: np.ndarray, time: np.ndarray, event: np.ndarray, ridge: float) -> np.ndarray:
    """Log hazard ratios (variables,) of scaled `x` (patients, variables), by Newton's method with the ridge penalty."""
    sets = risk_sets(time, event)
    x = x[sets.order]
    beta, penalty = np.zeros(x.shape[1]), ridge * len(x)
    for _ in range(STEPS):
        weight = _weights(x, beta)
        mean = sets.mean(weight, x)
        gradient = (x[sets.died] - mean).sum(axis=0) - penalty * beta
        curvature = _covariance(sets, weight, x, x) + penalty * np.eye(len(beta))
        step = np.linalg.pinv(curvature, hermitian=True) @ gradient
        beta = beta + step * min(1.0, LONGEST_STEP / max(np.abs(step).max(initial=0.0), 1e-12))
        if np.abs(step).max(initial=0.0) < 1e-7:
            break
    return beta


def score_test(codes: np.ndarray, x: np.ndarray, time: np.ndarray, event: np.ndarray, ridge: float) -> np.ndarray:
    """P value (codes,) of each column of `codes` (patients, codes) given scaled covariates `x` (patients, covariates).

    Rao's score test, from the covariates' fit alone: the same question as the Wald test of one Cox model per code. A
    code without variance gets 1.
    """
    sets = risk_sets(time, event)
    weight = _weights(x[sets.order], fit_fast(x, time, event, ridge))
    z, x = codes[sets.order], x[sets.order]
    shared = _covariance(sets, weight, z, x)
    projected = shared @ np.linalg.pinv(_covariance(sets, weight, x, x), hermitian=True)
    left = (sets.mean(weight, z * z) - sets.mean(weight, z) ** 2).sum(axis=0) - (projected * shared).sum(axis=1)
    score = _residual(sets, weight, z) - projected @ _residual(sets, weight, x)
    informative = left > 1e-9 * np.maximum(codes.var(axis=0) * len(sets.last), 1e-300)
    return chi2.sf(np.divide(score**2, left, out=np.zeros(len(score)), where=informative), 1)


def _weights(x: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Hazards relative to the highest; never zero, so that no risk set weighs nothing in a separated sample."""
    risk = x @ beta
    return np.exp(np.maximum(risk - risk.max(), -300.0))


def _residual(sets: RiskSets, weight: np.ndarray, values: np.ndarray) -> np.ndarray:
    return (values[sets.died] - sets.mean(weight, values)).sum(axis=0)


def _covariance(sets: RiskSets, weight: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Covariance within the risk sets, summed over the deaths: (columns of a, columns of b)."""
    mean_a, mean_b = sets.mean(weight, a), sets.mean(weight, b)
    product = sets.mean(weight, a[:, :, None] * b[:, None, :]).sum(axis=0)
    return product - mean_a.T @ mean_b
