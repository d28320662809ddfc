"""A Cox model that is fitted once and then frozen: variables scaled by the training patients' mean and spread."""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter
from lifelines.exceptions import ConvergenceError
from lifelines.statistics import proportional_hazard_test

RUNAWAY = 10.0  # log hazard ratio of one standard deviation beyond which a fit has no finite maximum


class CannotFit(Exception):
    """A model that the data do not support, with a reason fit for the report."""


@dataclass(frozen=True)
class CoxModel:
    """Frozen model. Per variable (index): coef is the log hazard ratio of one standard deviation, se, p (Wald).

    `mean` and `sd` are the training patients'. `dropped` names constant variables. `patients`, `events`: of the fit.
    """

    coef: pd.Series
    se: pd.Series
    p: pd.Series
    mean: pd.Series
    sd: pd.Series
    dropped: tuple[str, ...]
    patients: int
    events: int

    def risk(self, variables: pd.DataFrame) -> pd.Series:
        """Linear predictor of each row (higher: shorter survival); `variables` unscaled, more columns do no harm."""
        return ((variables[self.coef.index] - self.mean) / self.sd) @ self.coef


def fit_cox(variables: pd.DataFrame, time: pd.Series, event: pd.Series, ridge: float) -> CoxModel:
    """Fit Cox's model (Efron's ties) with ridge penalty ridge/2 * |coef|^2 per patient on scaled variables.

    `variables` floats (patients x variables), `time` years, `event` bool, same index. Raises CannotFit where no
    variable varies or the likelihood has no finite maximum. With ridge > 0 the p values lean to the safe side.
    """
    sd = variables.std()
    varying = sd.index[sd > 1e-12 * (1 + variables.abs().max())]
    dropped = tuple(column for column in variables.columns if column not in varying)
    if varying.empty:
        raise CannotFit("no variable differs between the training patients")
    mean, sd = variables[varying].mean(), sd[varying]
    fitter = _fitted((variables[varying] - mean) / sd, time, event, ridge)
    summary = fitter.summary
    return CoxModel(
        summary["coef"], summary["se(coef)"], summary["p"], mean, sd, dropped, len(time), int(np.sum(event))
    )


def proportional_hazards(
    model: CoxModel, variables: pd.DataFrame, time: pd.Series, event: pd.Series, ridge: float
) -> pd.Series:
    """P value per variable of the test of scaled Schoenfeld residuals against ranked time (Grambsch & Therneau 1994).

    A small value says that the variable's effect changes with time. `variables`, `time`, `event` and `ridge` are what
    `model` was fitted on.
    """
    scaled = (variables[model.coef.index] - model.mean) / model.sd
    fitter = _fitted(scaled, time, event, ridge)
    test = proportional_hazard_test(fitter, scaled.assign(time=time, event=event), time_transform="rank")
    return pd.Series(np.atleast_1d(test.p_value), index=[str(name) for name in test.summary.index])


def _fitted(scaled: pd.DataFrame, time: pd.Series, event: pd.Series, ridge: float) -> CoxPHFitter:
    frame = scaled.assign(time=np.asarray(time, float), event=np.asarray(event, bool))
    fitter = CoxPHFitter(penalizer=ridge)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fitter.fit(frame, "time", "event")
        except (ConvergenceError, np.linalg.LinAlgError, ValueError, ZeroDivisionError) as error:
            raise CannotFit(
                "the fit does not converge: too few events, or variables that repeat one another"
            ) from error
    stuck = any("failed to converge" in str(warning.message) for warning in caught)
    coef, se = fitter.params_.to_numpy(), fitter.standard_errors_.to_numpy()
    if stuck or not np.isfinite([coef, se]).all() or np.abs(coef).max() > RUNAWAY:
        raise CannotFit("the likelihood has no finite maximum: a variable separates the deaths from the others")
    return fitter
