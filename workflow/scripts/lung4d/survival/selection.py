"""Stage one: one Cox model per code with the covariates, on development patients; ranked by p value."""

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from lung4d.survival import cox, fast_cox

MIN_PRESENT = 3  # patients in whom a code must occur before its effect can be judged


def rank_codes(
    codes: pd.DataFrame, covariates: pd.DataFrame, time: pd.Series, event: pd.Series, ridge: float, top: int
) -> pd.DataFrame:
    """Fit a Cox model of each code and the covariates; rank by Wald p and mark the first `top` (paper, section 2).

    All inputs are the development patients', same index. One row per code: code, present_in (patients), mean_frequency,
    coef (log hazard ratio of one standard deviation), hazard_ratio, p, q (Benjamini-Hochberg over the codes that could
    be fitted), rank, selected, reason (why a code could not be fitted). Best first. Selection is by rank whatever q is.
    """
    rows = [_one_code(codes[code], covariates, time, event, ridge) for code in codes.columns]
    columns = ["code", "present_in", "mean_frequency", "coef", "hazard_ratio", "p", "reason"]
    table = pd.DataFrame(rows, columns=columns).sort_values(["p", "code"], ignore_index=True, na_position="last")
    fitted = table["p"].notna().to_numpy()
    q = np.full(len(table), np.nan)
    q[fitted] = false_discovery_control(table["p"].to_numpy(float)[fitted]) if fitted.any() else np.nan
    table.insert(6, "q", q)
    table.insert(7, "rank", np.arange(1, len(table) + 1))
    table.insert(8, "selected", fitted & (np.arange(len(table)) < top))
    return table


def _one_code(
    code: pd.Series, covariates: pd.DataFrame, time: pd.Series, event: pd.Series, ridge: float
) -> dict[str, object]:
    present = int((code > 0).sum())
    row = {"code": code.name, "present_in": present, "mean_frequency": float(code.mean()), "reason": ""}
    if present < min(MIN_PRESENT, len(code)):
        return row | {"reason": f"occurs in {present} of {len(code)} training patients"}
    try:
        model = cox.fit_cox(covariates.assign(**{code.name: code}), time, event, ridge)
    except cox.CannotFit as error:
        return row | {"reason": str(error)}
    if code.name in model.dropped:
        return row | {"reason": "has the same frequency in every training patient"}
    coef = float(model.coef[code.name])
    return row | {"coef": coef, "hazard_ratio": float(np.exp(coef)), "p": float(model.p[code.name])}


def quick_top(
    codes: np.ndarray, covariates: np.ndarray, time: np.ndarray, event: np.ndarray, ridge: float, top: int
) -> list[int]:
    """Columns of `codes` (patients, codes) that `rank_codes` would select, by score test; `covariates` scaled."""
    p = fast_cox.score_test(codes, covariates, time, event, ridge)
    able = ((codes > 0).sum(axis=0) >= min(MIN_PRESENT, len(codes))) & (p < 1.0)
    order = np.lexsort((np.arange(len(p)), np.where(able, p, 2.0)))
    return [int(index) for index in order[:top] if able[index]]
