"""What the survival analysis did and could not do, in sentences, from its records: for summary.json and the report."""

from collections.abc import Sequence

from lung4d.survival.records import (
    FEW_EVENTS,
    Followed,
    HazardsTested,
    Headline,
    Selection,
    SurvivalFindings,
    Unscored,
)

CLOCKS = {
    "first scan": "the clock starts at the first scan",
    "third scan": "the clock starts at the third scan, for real, generated and carried-forward scans alike",
    "one-year change": "change per year from the second to the third scan; the clock starts at the third scan",
}
GROUPS = {"development": "training", "test": "held-out", "external": "external"}
METHOD = (  # with the ridge penalty filled in
    "Cox models were chosen (one model per code with the covariates, ranked by p value) and fitted with a ridge "
    "penalty of {ridge:g} per patient on training and validation patients only, frozen, and scored once on held-out "
    "patients by Harrell's C-index with a percentile interval from patient bootstrap samples. Each clock starts at the "
    "last scan that a risk is computed from. The apparent C-index is that of the patients a model was fitted on and no "
    "measure of its worth; its optimism was estimated by repeating selection and fit in bootstrap samples; beside it "
    "stands the C-index of "
    "left-out fifths of the training patients (ten times five-fold cross-validation, selection repeated in each)."
)


def sentences(found: SurvivalFindings) -> list[str]:
    """The run's survival part in plain sentences, most important first."""
    said = []
    if not found.outcomes:
        said.append("No patient has both a follow-up time and an event (0/1), so there is no survival analysis.")
    said += _headline_words(found.headline) if found.headline else []
    said += map(_followed_words, found.followed)
    said += [selection_words(found.selection)] if found.selection else []
    said += map(_sentence, found.remarks)
    return said + _hazards_words(found.hazards) + _unscored_words(found.unscored)


def _headline_words(found: Headline) -> list[str]:
    """The comparison that the paper makes, else the first scan's C-index, and how far it can be trusted."""
    codes = {one.scan: _interval(one.c_index, one.low, one.high) for one in found.scores if one.model == "codes"}
    text = (
        f"On {found.patients} held-out patients ({found.events} events) the codes' C-index is "
        f"{codes['real']} with the real {found.analysis}"
    )
    if "generated" in codes:
        difference = _interval(found.difference, found.difference_low, found.difference_high)
        text += f" and {codes['generated']} with the one generated from the first two (difference {difference})"
    said = [text + "."]
    if few := found.few_events:
        said.append(
            f"That model has {few.events} events for {few.variables} variables, "
            f"{few.per_variable:.1f} each; with fewer than {FEW_EVENTS} expect little on new patients."
        )
    return said


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.2f} [{low:.2f} to {high:.2f}]"


def _followed_words(found: Followed) -> str:
    parts = [f"{one.patients} {GROUPS[one.set]} patients with {one.events} events" for one in found.groups]
    out = [f"{one.patients} {one.reason}" for one in found.left_out]
    text = f"{_capitalised(found.analysis)} ({CLOCKS[found.analysis]}): {', '.join(parts) or 'no patient'}"
    return text + (f"; left out: {', '.join(out)}." if out else ".")


def selection_words(found: Selection) -> str:
    """Which codes were chosen, or why none was."""
    if not found.chosen:
        return f"No code was selected: {found.reason}."
    listed = ", ".join(
        f"{one.code} (p {one.p:.2g}, q {one.q:.2g}, in {one.stability:.0%} of the bootstrap samples)"
        for one in found.chosen
    )
    text = f"Selected by p value among {found.tested} codes: {listed}; {found.below_fdr} of all have q < 0.05"
    return text + (f"; {found.failed} codes could not be judged (selection.tsv says why)." if found.failed else ".")


def _hazards_words(found: Sequence[HazardsTested]) -> list[str]:
    """Which variables' effect changes with time."""
    said = [
        f"{_capitalised(one.analysis)}, {one.model}: the effect of {', '.join(one.changing)} changes with time."
        for one in found
        if one.changing
    ]
    if found and not said:
        said.append("No model shows an effect that changes with time (test of proportional hazards).")
    return said


def _unscored_words(found: Sequence[Unscored]) -> list[str]:
    """Each reason for a missing C-index once, with the rows that it concerns."""
    rows: dict[tuple[str, str], list[str]] = {}
    for one in found:
        scan = "" if one.scan == "none" else f" ({one.scan.replace('_', ' ')})"
        rows.setdefault((one.analysis, one.reason), []).append(one.model + scan)
    return [
        f"{_capitalised(analysis)}: no C-index for {', '.join(concerned)}: {reason}."
        for (analysis, reason), concerned in rows.items()
    ]


def _capitalised(words: str) -> str:
    return words[:1].upper() + words[1:]


def _sentence(words: str) -> str:
    return _capitalised(words) + "."
