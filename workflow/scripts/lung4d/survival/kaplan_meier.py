"""Kaplan-Meier curves of a low-risk and a high-risk group, with numbers at risk."""

import numpy as np
import pandas as pd
from lifelines import KaplanMeierFitter
from lifelines.statistics import logrank_test

COLUMNS = ["group", "time", "at_risk", "died", "censored", "survival", "low", "high", "logrank_p"]


def survival_curves(high_risk: np.ndarray, time: np.ndarray, event: np.ndarray) -> pd.DataFrame:
    """Survival of each group at every time somebody died or was censored, and at 0.

    `high_risk` bool, `time` years, `event` bool. Columns: group (low, high), time (years from the clock's start),
    at_risk just before, died, censored, survival with 95 % interval (low, high), logrank_p (same in all rows; NaN with
    one group).
    """
    high_risk, time, event = np.asarray(high_risk, bool), np.asarray(time, float), np.asarray(event, bool)
    p = np.nan
    if high_risk.any() and not high_risk.all() and event.any():
        p = logrank_test(time[high_risk], time[~high_risk], event[high_risk], event[~high_risk]).p_value
    tables = []
    for group, members in (("low", ~high_risk), ("high", high_risk)):
        if members.any():
            tables.append(_curve(time[members], event[members]).assign(group=group, logrank_p=p))
    return pd.concat(tables, ignore_index=True)[COLUMNS] if tables else pd.DataFrame(columns=COLUMNS)


def _curve(time: np.ndarray, event: np.ndarray) -> pd.DataFrame:
    fitter = KaplanMeierFitter().fit(time, event)
    interval = fitter.confidence_interval_survival_function_.to_numpy()
    counts = fitter.event_table
    return pd.DataFrame(
        {
            "time": counts.index.to_numpy(float),
            "at_risk": counts["at_risk"].to_numpy(int),
            "died": counts["observed"].to_numpy(int),
            "censored": counts["censored"].to_numpy(int),
            "survival": fitter.survival_function_.iloc[:, 0].to_numpy(float),
            "low": interval[:, 0],
            "high": interval[:, 1],
        }
    )
