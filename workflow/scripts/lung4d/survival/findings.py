"""What the survival analysis did and could not do, in words: summary.json."""

import numpy as np
import pandas as pd

from lung4d.survival.analysis import SurvivalResults
from lung4d.survival.fitting import SurvivalSettings

CLOCKS = {
    "first scan": "the clock starts at the first scan",
    "third scan": "the clock starts at the third scan, for real, generated and carried-forward scans alike",
    "one-year change": "change per year from the second to the third scan; the clock starts at the third scan",
}
GROUPS = {"development": "training", "test": "held-out", "external": "external"}
FEW_EVENTS = 10  # per variable, below which a Cox model is unsteady (Peduzzi 1995)
METHOD = (  # with the ridge penalty filled in
    "Cox models were chosen (one model per code with the covariates, ranked by p value) and fitted with a ridge "
    "penalty of {ridge:g} per patient on training and validation patients only, frozen, and scored once on held-out "
    "patients by Harrell's C-index with a percentile interval from patient bootstrap samples. Each clock starts at the "
    "last scan that a risk is computed from. The apparent C-index is that of the patients a model was fitted on and no "
    "measure of its worth; its optimism was estimated by repeating selection and fit in bootstrap samples; beside it "
    "stands the C-index of "
    "left-out fifths of the training patients (ten times five-fold cross-validation, selection repeated in each)."
)


def summary(results: SurvivalResults, settings: SurvivalSettings) -> dict[str, object]:
    """Counts, selected codes, what was excluded and why, and `sentences` for the report; JSON without NaN."""
    selection = results.selection
    chosen = selection[selection["selected"].astype(bool)]
    analyses = {sample.name: _counts(sample) for sample in results.samples}
    return {
        "patients_with_outcome": len(results.participants),
        "events": int(results.participants["event"].sum()),
        "analyses": analyses,
        "covariates": list(settings.covariates),
        "selected": chosen["code"].tolist(),
        "codes_tested": int(selection["p"].notna().sum()),
        "codes_that_could_not_be_fitted": int(selection["p"].isna().sum()),
        "codes_below_fdr_0.05": int((selection["q"].astype(float) < 0.05).sum()),
        "proportional_hazards": _hazards(results.hazards),
        "sentences": sentences(results, settings),
        "method": METHOD.format(ridge=settings.ridge),
    }


def sentences(results: SurvivalResults, settings: SurvivalSettings) -> list[str]:
    """The run's survival part in plain sentences, most important first."""
    said = []
    if results.participants.empty:
        said.append("No patient has both a follow-up time and an event (0/1), so there is no survival analysis.")
    said += _headline(results.cindex)
    said += [_about(sample) for sample in results.samples]
    said.append(_about_selection(results))
    said += [_sentence(words) for words in (*results.plan.covariates.words, *results.plan.lung_function.words)]
    said += _about_hazards(results.hazards)
    said += _cannot(results.cindex)
    return said


def _hazards(hazards: pd.DataFrame) -> dict[str, dict[str, dict[str, float | None]]]:
    """P values by analysis, model and variable."""
    nested = {}
    for row in hazards.itertuples():
        of_model = nested.setdefault(row.analysis, {}).setdefault(row.model, {})
        of_model[row.variable] = round(float(row.p), 4) if np.isfinite(row.p) else None
    return nested


def _headline(cindex: pd.DataFrame) -> list[str]:
    """The comparison that the paper makes, else the first scan's C-index, and how far it can be trusted."""
    codes = cindex[(cindex["model"] == "codes") & (cindex["set"] == "test") & cindex["c_index"].notna()]
    scored = {(row["analysis"], row["scan"]): row for _, row in codes.iterrows()}
    real, generated = scored.get(("third scan", "real")), scored.get(("third scan", "generated"))
    shown = real if real is not None else scored.get(("first scan", "real"))
    if shown is None:
        return []
    text = (
        f"On {shown['patients']:.0f} held-out patients ({shown['events']:.0f} events) the codes' C-index is "
        f"{_interval(shown, 'c_index', 'c_low', 'c_high')} with the real {shown['analysis']}"
    )
    if real is not None and generated is not None:
        text += (
            f" and {_interval(generated, 'c_index', 'c_low', 'c_high')} with the one generated from the first two "
            f"(difference {_interval(generated, 'difference_to_real', 'difference_low', 'difference_high')})"
        )
    said = [text + "."]
    if shown["events_per_variable"] < FEW_EVENTS:
        said.append(
            f"That model has {shown['training_events']:.0f} events for {shown['variables']:.0f} variables, "
            f"{shown['events_per_variable']:.1f} each; with fewer than {FEW_EVENTS} expect little on new patients."
        )
    return said


def _interval(row: pd.Series, value: str, low: str, high: str) -> str:
    return f"{row[value]:.2f} [{row[low]:.2f} to {row[high]:.2f}]"


def _counts(sample) -> dict[str, object]:
    groups = sample.clock.groupby("set")["event"].agg(["size", "sum"])
    sets = {name: {"patients": int(row["size"]), "events": int(row["sum"])} for name, row in groups.iterrows()}
    excluded = {reason: int(count) for reason, count in sample.excluded.items() if count}
    return {"clock": CLOCKS[sample.name], "sets": sets, "excluded": excluded}


def _about(sample) -> str:
    counts = _counts(sample)
    parts = [
        f"{numbers['patients']} {GROUPS[name]} patients with {numbers['events']} events"
        for name, numbers in counts["sets"].items()
    ]
    out = [f"{count} {reason}" for reason, count in counts["excluded"].items()]
    text = f"{_sentence(sample.name)[:-1]} ({counts['clock']}): {', '.join(parts) or 'no patient'}"
    return text + (f"; left out: {', '.join(out)}." if out else ".")


def _about_selection(results: SurvivalResults) -> str:
    selection = results.selection
    chosen = selection.loc[selection["selected"].astype(bool)]
    if chosen.empty:
        return f"No code was selected: {results.selection_reason}."
    failed, below = int(selection["p"].isna().sum()), int((selection["q"].astype(float) < 0.05).sum())
    listed = ", ".join(
        f"{row.code} (p {row.p:.2g}, q {row.q:.2g}, in {row.stability:.0%} of the bootstrap samples)"
        for row in chosen.itertuples()
    )
    text = (
        f"Selected by p value among {int(selection['p'].notna().sum())} codes: {listed}; {below} of all have q < 0.05"
    )
    return text + (f"; {failed} codes could not be judged (selection.tsv says why)." if failed else ".")


def _about_hazards(hazards: pd.DataFrame) -> list[str]:
    """Which variables' effect changes with time, by p < 0.05 divided by the number of tests in the model."""
    said = []
    for (analysis, model), table in hazards.groupby(["analysis", "model"], sort=False):
        broken = table.loc[table["p"].astype(float) < 0.05 / len(table), "variable"].tolist()
        if broken:
            said.append(f"{_sentence(analysis)[:-1]}, {model}: the effect of {', '.join(broken)} changes with time.")
    if len(hazards) and not said:
        said.append("No model shows an effect that changes with time (test of proportional hazards).")
    return said


def _cannot(cindex: pd.DataFrame) -> list[str]:
    """Each reason for a missing C-index once, with the rows that it concerns."""
    missing = cindex[cindex["reason"].astype(str) != ""]
    said = []
    for (analysis, reason), table in missing.groupby(["analysis", "reason"], sort=False):
        rows = [
            row.model if row.scan == "none" else f"{row.model} ({row.scan.replace('_', ' ')})"
            for row in table.itertuples()
        ]
        said.append(f"{_sentence(analysis)[:-1]}: no C-index for {', '.join(rows)}: {reason}.")
    return said


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + "."
