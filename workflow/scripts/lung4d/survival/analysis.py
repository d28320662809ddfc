"""The survival analysis from tables to tables: select, fit, freeze, and score the held-out patients once."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from lung4d.biomarkers.table import DENSITIES, code_columns
from lung4d.survival import concordance, cox, kaplan_meier
from lung4d.survival.fitting import Frozen, SurvivalSettings, development, freeze, select
from lung4d.survival.landmark import LandmarkSample, landmark_samples, outcome_table, taken_otherwise
from lung4d.survival.models import Candidate, Design, candidates, design
from lung4d.survival.optimism import Resamples

HELD_OUT = ("test", "external")
WITH_CURVES = ("codes", "covariates only", "GAP index")
MIN_EVENTS_HAZARDS = 10  # events below which the test of proportional hazards has nothing to say
CINDEX = ["analysis", "model", "scan", "set", "c_index", "c_low", "c_high"]
CINDEX += ["difference_to_real", "difference_low", "difference_high", "apparent_c_in_sample"]
CINDEX += ["optimism_corrected_c", "cross_validated_c"]
CINDEX += ["patients", "events", "pairs", "training_patients", "training_events", "variables", "events_per_variable"]
CINDEX += ["fitted_on", "reason", "note"]
RISK = ["subject", "split", "analysis", "model", "scan", "start", "time", "event", "risk", "group"]
CURVES = ["analysis", "model", "scan", "set", *kaplan_meier.COLUMNS]
HAZARDS = ["analysis", "model", "variable", "p"]


@dataclass(frozen=True)
class SurvivalResults:
    """Tables to write (columns above, in `selection` and in `groups`), and what `words` tells of.

    `hazards`: p values of the proportional-hazards test. `selection_reason`: why no code was selected, or "".
    `otherwise`: how many scans were taken otherwise than their baseline, or "".
    """

    cindex: pd.DataFrame
    selection: pd.DataFrame
    risk: pd.DataFrame
    kaplan_meier: pd.DataFrame
    hazards: pd.DataFrame
    samples: list[LandmarkSample]
    participants: pd.DataFrame
    plan: Design
    selection_reason: str
    otherwise: str


def analyse(
    biomarkers: pd.DataFrame, split: pd.DataFrame, participants: list[dict], settings: SurvivalSettings
) -> SurvivalResults:
    """Run the three stages of the paper's section 2 with held-out patients that nothing was chosen on.

    `biomarkers` from `lung4d.biomarkers.table`, `split` with subject and split, `participants` rows with
    subject, followup_years (from baseline), event (0/1) and covariates. Want of data never raises: rows carry a reason.
    """
    outcomes = outcome_table(participants)
    codes = code_columns(biomarkers)
    studied = landmark_samples(biomarkers, split, outcomes, DENSITIES + codes)
    plan = design(outcomes, split.loc[split["split"].isin(["train", "val"]), "subject"], settings.covariates)
    ranked, resamples, reason = select(studied[0], plan, codes, settings)
    chosen = ranked.loc[ranked["selected"].astype(bool), "code"].tolist()

    of_first_scan: dict[str, Frozen]
    rows, risks, curves, hazards, of_first_scan = [], [], [], [], {}
    for sample in studied:
        for candidate in candidates(chosen, outcomes, of_change=sample.name == "one-year change"):
            scans = list(sample.features) if candidate.per_scan else ["none"]
            try:
                if candidate.name == "codes" and reason:
                    raise cox.CannotFit(reason)
                frozen = _frozen(candidate, sample, plan, resamples, of_first_scan, settings)
            except cox.CannotFit as error:
                rows += [_row(sample, candidate, scan, "test", None, str(error)) for scan in scans]
                continue
            of_first_scan.setdefault(candidate.name, frozen)
            risk = pd.concat([_risks(frozen, sample, plan, scan) for scan in scans])
            rows += _scores(frozen, sample, scans, risk, settings)
            risks.append(risk)
            curves += _curves(risk)
            hazards += _hazards(frozen, sample, plan, settings)
    return SurvivalResults(
        cindex=pd.DataFrame(rows, columns=CINDEX),
        selection=ranked,
        risk=_with_split(_stacked(risks, [*RISK[:1], "set", *RISK[2:]]), split)[RISK],
        kaplan_meier=_stacked(curves, CURVES),
        hazards=pd.DataFrame(hazards, columns=HAZARDS),
        samples=studied,
        participants=outcomes,
        plan=plan,
        selection_reason=reason,
        otherwise=taken_otherwise(biomarkers),
    )


def _frozen(
    candidate: Candidate,
    sample: LandmarkSample,
    plan: Design,
    resamples: Resamples,
    of_first_scan: dict,
    settings: SurvivalSettings,
) -> Frozen:
    """The model of this analysis; at the third scan the first scan's model where too few patients have a third."""
    try:
        return freeze(candidate, sample, plan, resamples, settings)
    except cox.CannotFit as error:
        if sample.name != "third scan" or candidate.name not in of_first_scan:
            raise
        return replace(of_first_scan[candidate.name], note=f"the first scan's model is used ({error})")


def _risks(frozen: Frozen, sample: LandmarkSample, plan: Design, scan: str) -> pd.DataFrame:
    """Risk of every patient of the sample on this kind of scan, with the clock; columns RISK and set."""
    risk = frozen.risk(plan, sample, scan)
    table = sample.clock.loc[risk.index].assign(risk=risk, analysis=sample.name, model=frozen.candidate.name, scan=scan)
    table["group"] = np.where(table["risk"] > frozen.cut, "high", "low")
    # of the patients that the model was fitted on, only the scans that it was fitted on
    table = table[(table["set"] != "development") | (scan in ("real", "none"))]
    return table.rename_axis("subject").reset_index()


def _scores(
    frozen: Frozen, sample: LandmarkSample, scans: list[str], risk: pd.DataFrame, settings: SurvivalSettings
) -> list[dict[str, object]]:
    """One row per kind of scan and held-out set; `external` only where there are such patients."""
    rows = []
    for held_out in HELD_OUT:
        members = risk[risk["set"] == held_out]
        if held_out == "external" and members.empty:
            continue
        scores = {}
        for scan in scans:
            table = members[members["scan"] == scan]
            scores[scan] = concordance.score_patients(
                table["risk"], table["time"], table["event"], settings.bootstrap, settings.seed
            )
            row = _row(sample, frozen.candidate, scan, held_out, frozen, *_words(scores[scan], table, sample, scan))
            row |= {"c_index": scores[scan].c, "c_low": scores[scan].low, "c_high": scores[scan].high}
            row |= {"patients": len(table), "events": int(table["event"].sum()), "pairs": scores[scan].pairs}
            if scan in ("generated", "carried_forward") and len(scores[scan].draws) and scores["real"].pairs:
                values = concordance.difference(scores[scan], scores["real"])
                row |= dict(zip(("difference_to_real", "difference_low", "difference_high"), values, strict=True))
            rows.append(row)
    return rows


def _words(score: concordance.Concordance, table: pd.DataFrame, sample: LandmarkSample, scan: str) -> tuple[str, str]:
    """Why there is no C-index, and what to mind about one that there is."""
    patients, events = len(table), int(table["event"].sum())
    if scan == "generated" and sample.features["generated"].empty:
        return "no volume was generated from the first two scans for the third scan's year", ""
    if not patients:
        known = "a known outcome and covariates that training patients have too"
        return f"no held-out patient with such a scan, {known} is followed after it", ""
    if not score.pairs:
        return f"no two of the {patients} held-out patients can be compared ({events} events)", ""
    if score.pairs < concordance.MIN_PAIRS:
        return "", f"only {score.pairs} pairs of patients can be compared, so the interval says little"
    return "", ""


def _row(
    sample: LandmarkSample,
    candidate: Candidate,
    scan: str,
    held_out: str,
    frozen: Frozen | None,
    reason: str = "",
    note: str = "",
) -> dict[str, object]:
    """A row of the C-index table without the score: counts, and what is known of the fit."""
    members = sample.clock[sample.clock["set"] == held_out]
    fitted = development(sample)
    row: dict[str, Any]
    row = dict.fromkeys(CINDEX, np.nan) | {"analysis": sample.name, "model": candidate.name, "scan": scan}
    row |= {"set": held_out, "patients": len(members), "events": int(members["event"].sum()), "pairs": 0}
    row |= {"training_patients": len(fitted), "training_events": int(fitted["event"].sum())}
    row |= {"fitted_on": "", "reason": reason, "note": note}
    if frozen is None:
        return row
    variables = 0 if frozen.model is None else len(frozen.model.coef)
    row |= {"apparent_c_in_sample": frozen.apparent, "optimism_corrected_c": frozen.corrected}
    row |= {"cross_validated_c": frozen.cross_validated}
    row |= {"training_patients": frozen.patients, "training_events": frozen.events, "variables": variables}
    row |= {"events_per_variable": frozen.events / variables if variables else np.nan, "fitted_on": frozen.fitted_on}
    return row | {"note": "; ".join(word for word in (frozen.note, note) if word)}


def _curves(risk: pd.DataFrame) -> list[pd.DataFrame]:
    """Kaplan-Meier curves for the models that a figure is made of; risk.tsv has what the others would need."""
    risk, tables = risk[risk["model"].isin(WITH_CURVES)], []
    for (analysis, model, scan, members), table in risk.groupby(["analysis", "model", "scan", "set"], sort=False):
        curve = kaplan_meier.survival_curves(table["group"] == "high", table["time"], table["event"])
        tables.append(curve.assign(analysis=analysis, model=model, scan=scan, set=members))
    return tables


def _hazards(
    frozen: Frozen, sample: LandmarkSample, plan: Design, settings: SurvivalSettings
) -> list[dict[str, object]]:
    """Test of proportional hazards for the models fitted on this sample with enough events."""
    clock = development(sample)
    if frozen.model is None or frozen.note or frozen.events < MIN_EVENTS_HAZARDS:
        return []
    variables = plan.variables(frozen.candidate, sample, "real").loc[clock.index]
    p = cox.proportional_hazards(frozen.model, variables, clock["time"], clock["event"], settings.ridge)
    return [
        {"analysis": sample.name, "model": frozen.candidate.name, "variable": name, "p": float(value)}
        for name, value in p.items()
    ]


def _stacked(tables: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    tables = [table for table in tables if not table.empty]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def _with_split(risk: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """Replace the set by the split's own word (train and val apart)."""
    return risk.assign(split=risk["subject"].map(split.drop_duplicates("subject").set_index("subject")["split"]))
