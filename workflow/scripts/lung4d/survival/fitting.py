"""Fit a model on development patients, freeze it, and say how much of its own fit is optimism."""

from dataclasses import dataclass

import pandas as pd

from lung4d.survival import cox, optimism
from lung4d.survival.concordance import c_index
from lung4d.survival.landmark import LandmarkSample
from lung4d.survival.models import Candidate, Design
from lung4d.survival.optimism import Resamples
from lung4d.survival.selection import rank_codes


@dataclass(frozen=True)
class SurvivalSettings:
    """The `survival` section of the config; every key is explained in config/README.md."""

    seed: int
    top_codes: int
    covariates: list[str]
    ridge: float
    min_events: int
    bootstrap: int
    resamples: int


@dataclass(frozen=True)
class Frozen:
    """A model that is not touched any more.

    `model`: None for GAP points. `cut`: median risk of the patients it was fitted on, between low and high risk.
    `apparent`: C-index on those same patients; `corrected`: less its bootstrap optimism; `cross_validated`: on left-out
    folds of them. `patients`, `events`: of the fit. `note`: where the fit is not the one that one would expect.
    """

    candidate: Candidate
    model: cox.CoxModel | None
    cut: float
    apparent: float
    corrected: float
    cross_validated: float
    patients: int
    events: int
    fitted_on: str
    note: str = ""

    def risk(self, plan: Design, sample: LandmarkSample, scan: str) -> pd.Series:
        """Risk of each patient of `sample` that has this kind of scan, index subject; higher: shorter survival."""
        if self.model is None:
            return plan.points(sample)
        return self.model.risk(plan.variables(self.candidate, sample, scan))


def development(sample: LandmarkSample) -> pd.DataFrame:
    """The clock of the patients that anything may be chosen or fitted on: train and val."""
    return sample.clock[sample.clock["set"] == "development"]


def require_events(clock: pd.DataFrame, min_events: int) -> None:
    """Raise CannotFit in words where the development patients' `clock` has fewer than `min_events` events."""
    if clock.empty:
        raise cox.CannotFit("no training patient with such a scan and a known outcome is followed after it")
    if (events := int(clock["event"].sum())) < min_events:
        raise cox.CannotFit(f"too few events: {events} among {len(clock)} training patients, {min_events} are needed")


def select(
    first: LandmarkSample, plan: Design, codes: list[str], settings: SurvivalSettings
) -> tuple[pd.DataFrame, Resamples, str]:
    """Stage one on the development patients' first scans: codes ranked, and selected anew in resamples.

    Returns the table of `rank_codes` with `stability` (share of bootstrap samples that select the code), the resamples,
    and why nothing was selected ("" where something was). Held-out patients are not looked at.
    """
    clock = development(first)
    table = first.features["real"].loc[clock.index, codes]
    covariates = plan.covariate_table(first).loc[clock.index]
    reason = ""
    try:
        require_events(clock, settings.min_events)
    except cox.CannotFit as error:
        reason = str(error)
        ranked = rank_codes(table.iloc[:, :0], covariates, clock["time"], clock["event"], settings.ridge, 0)
        return ranked.assign(stability=pd.Series(dtype=float)), Resamples([], []), reason
    ranked = rank_codes(table, covariates, clock["time"], clock["event"], settings.ridge, settings.top_codes)
    if not ranked["selected"].any():
        reason = "no code could be fitted: see the reasons in selection.tsv"
    resamples = optimism.resample(
        clock, table, covariates, settings.ridge, settings.top_codes, settings.resamples, settings.seed
    )
    return ranked.assign(stability=resamples.stability(ranked["code"])), resamples, reason


def freeze(
    candidate: Candidate, sample: LandmarkSample, plan: Design, resamples: Resamples, settings: SurvivalSettings
) -> Frozen:
    """Fit `candidate` on the development patients of `sample`, from real scans. Raises CannotFit with a reason."""
    clock = development(sample)
    if candidate.points:
        points = plan.points(sample)
        clock = clock.loc[clock.index.intersection(points.index)]
        apparent = c_index(points[clock.index], clock["time"], clock["event"])
        cut = float(points[clock.index].median()) if len(clock) else 4.0
        return Frozen(
            candidate, None, cut, apparent, apparent, apparent, len(clock), int(clock["event"].sum()), "nothing"
        )
    require_events(clock, settings.min_events)
    variables = plan.variables(candidate, sample, "real").loc[clock.index]
    model = cox.fit_cox(variables, clock["time"], clock["event"], settings.ridge)
    risk = model.risk(variables)
    apparent = c_index(risk, clock["time"], clock["event"])
    return Frozen(
        candidate,
        model,
        cut=float(risk.median()),
        apparent=apparent,
        corrected=apparent - optimism.optimism(candidate, sample, plan, clock, resamples, settings.ridge),
        cross_validated=optimism.cross_validated(candidate, sample, plan, clock, resamples, settings.ridge),
        patients=model.patients,
        events=model.events,
        fitted_on=sample.name if candidate.per_scan else "no scan",
    )
