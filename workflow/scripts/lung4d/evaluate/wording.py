"""The evaluation in sentences, from its records: for summary.json, the report, and people who read no tables."""

import math
from collections.abc import Iterable

from lung4d.biomarkers.repeats import below_words
from lung4d.evaluate.calls.wording import called_words
from lung4d.evaluate.methods import BANDS, CHANGES, REFERENCES, TASKS
from lung4d.evaluate.records import (
    NOT_SHOWN,
    SHOWN,
    TOO_FEW,
    TOO_FEW_PATIENTS,
    BandHeld,
    BetterThanBlur,
    Beyond,
    ChangeForetold,
    Choice,
    CodesUsed,
    Difference,
    EvaluateFindings,
    FieldsScored,
    GivenScored,
    Hardness,
    Learned,
    MasksScored,
    ModelScores,
    Reconstructed,
    Rivals,
    TaskScores,
    TrendChoice,
    VisitsJudged,
    WeightingChoice,
)
from lung4d.evaluate.volume.wording import volume_words

NAMED = 5  # files; more are counted
CLAIMS = {
    SHOWN: "It forecasts change: better than all four, with skill above zero, and patients' true changes go with those "
    "foretold.",
    NOT_SHOWN: "That it forecasts change is not shown",
    TOO_FEW: "Too few patients to say whether it forecasts change.",
}


# What a claim may lack, which is made where all of it holds.
LACKING = {
    "references": "it is not better than all four",
    "skill": "its skill is not above zero",
    "change": "patients' true changes are not shown to go with those foretold",
    "still": "its skill is not shown to be higher than where nobody's disease changes",
}


def claim_words(found: ModelScores) -> str:
    """Whether a decoding forecasts change, and where that is not shown, what it lacks."""
    if found.claim != NOT_SHOWN:
        return CLAIMS[found.claim]
    return f"{CLAIMS[NOT_SHOWN]}: {'; '.join(LACKING[name] for name in found.lacking)}."


def sentences(found: EvaluateFindings) -> list[str]:
    """All that was found, in the order of summary.json."""
    said = reconstruction_words(found.reconstructed) + [_codes_words(codes) for codes in found.codes]
    if not said:
        said = ["Reconstruction: there is no held-out scan."]
    said += learned_words(found.learned) if found.learned else []
    said += [hardness_words(hardness) for hardness in found.hardness]
    said += forecast_words(found.tasks)
    said += [_rivals_words(rivals) for rivals in found.rivals]
    said += [better_words(better) for better in found.better]
    said += [band_words(band) for band in found.bands]
    said += called_words(found.called, found.from_more)
    said += volume_words(found.volumes)
    said += [judged_words(judged) for judged in found.judged]
    said += [given_words(found.given)] if found.given else []
    said += [_masks_words(found.masks)] if found.masks else []
    return said + ([fields_words(found.fields)] if found.fields else [])


def reconstruction_words(found: Iterable[Reconstructed]) -> list[str]:
    """A sentence per split, its regions side by side."""
    by_split: dict[str, list[Reconstructed]]
    said, by_split = [], {}
    for one in found:
        by_split.setdefault(one.split, []).append(one)
    for split, regions in by_split.items():
        values = "; ".join(
            f"{one.region} MSE x 1000 {1000 * one.mse:.2f}, PSNR {one.psnr:.1f} dB, SSIM {one.ssim:.3f}"
            for one in regions
        )
        scans = _count(regions[0].scans, f"{split} scan")
        said.append(f"Reconstruction of {scans} by the frozen autoencoder: {values}.")
    return said


def _codes_words(found: CodesUsed) -> str:
    return (
        f"Codes in the lungs of the {found.split} scans: {found.used} of {found.codes} are each used by at "
        f"least 1 in 10,000 latent voxels; perplexity {found.perplexity:.0f}."
    )


def learned_words(found: Learned) -> list[str]:
    """What was chosen, on whom, and the training cohort's mean change in HU per year."""
    return [
        f"Blur of the blurred last scan: sigma {found.blur.value:g} voxels, {_origin(found.blur)}.",
        f"Share of the given scan's own detail in mix decoding: {found.mix.value:.2f}, {_origin(found.mix)}.",
        f"Mean change in the lung of {_count(found.change_patients, 'training patient')} with two visits: "
        f"{found.change:+.1f} HU per year.",
        *map(_trend_words, found.trends),
        _weighting_words(found.weighting),
        f"Voxel boosting: {found.trees} trees from {_count(found.trees_patients, 'training patient')}."
        if found.trees_patients
        else "Voxel boosting: no training patient has two visits; it is the blurred last scan.",
    ]


def _trend_words(found: TrendChoice) -> str:
    shares = ", ".join(f"{one.task} {one.share:.2f} at sigma {one.sigma:g} voxels" for one in found.shares)
    return f"Share of a straight line's change that is kept, {found.place}: {shares}, {_origin(found)}."


def _weighting_words(found: WeightingChoice) -> str:
    weights = ", ".join(
        f"{one.task} {one.others:.2f} of the other scan's and {one.per_year:+.1f} HU a year" for one in found.tasks
    )
    return f"Weighted mean of the given scans: {weights}, {_origin(found)}."


def _origin(found: Choice | TrendChoice | WeightingChoice) -> str:
    if not found.split:
        return "a default, because no patient outside the test set could serve to choose it"
    return f"chosen on {_count(found.patients, f'{found.split} patient')}"


def hardness_words(found: Hardness) -> str:
    """How far scans 0.5 to 1.5 years apart differ in a set, and how much of that is disease."""
    told = (
        ""
        if math.isnan(found.disease_share)
        else f"; {100 * found.disease_share:.0f} % of the mean square is disease, the rest noise and acquisition"
    )
    return (
        f"How hard: 0.5 to 1.5 years on, the last scan carried forward is off by {found.rms_hu:.0f} HU (root "
        f"mean square in the lung; set {found.set}, {_count(found.patients, 'patient')}){told}."
    )


def forecast_words(found: Iterable[TaskScores]) -> list[str]:
    """Sentences per task and decoding of the model for the test set, or why there are none; one each for other sets."""
    said = []
    for task in found:
        if task.set == "test":
            said += [_task_words(task), *(_model_words(task.task, model) for model in task.models)]
        else:
            said.append(_other_words(task))
    return said


def _task_words(found: TaskScores) -> str:
    task = found.task.capitalize()
    if not found.patients:
        return (
            f"{task}: none of {_count(found.all_patients, 'test patient')} has three usable "
            "visits, so no visit could be withheld and nothing was scored."
        )
    return (
        f"{task} ({TASKS[found.task].said}): {found.patients} of "
        f"{_count(found.all_patients, 'test patient')} have the three usable visits that this takes, "
        f"{_count(found.visits, 'visit')} withheld. In-lung MSE x 1000 of the last scan carried forward "
        f"{1000 * found.locf:.2f}, blurred {1000 * found.blurred:.2f}."
    )


def _model_words(task: str, found: ModelScores) -> str:
    compared = "; ".join(
        f"{_difference(one)} against {REFERENCES[one.reference].said} ({one.verdict})" for one in found.against
    )
    skill = _interval(found.skill, found.skill_low, found.skill_high, 100)
    changes = () if found.claim == TOO_FEW else found.changes
    return (
        f"{task.capitalize()}, {found.method}: in-lung MSE x 1000 {1000 * found.mse:.2f}; {compared}. "
        f"Skill on the smoothed change {skill} %.{''.join(map(_beyond_words, found.beyond))} "
        f"{''.join(map(_foretold_words, changes))}{claim_words(found)}"
    )


def _beyond_words(found: Beyond) -> str:
    higher = _interval(found.skill, found.low, found.high, 100)
    return f" That is {higher} points more than in set {found.set}, in which nobody's disease changes."


def _foretold_words(found: ChangeForetold) -> str:
    """How patients' true changes in a read-out go with those foretold."""
    what = CHANGES[found.measure].said
    if math.isnan(found.slope):
        return f"Of {what} no change is foretold. "
    slope = _interval(found.slope, found.slope_low, found.slope_high, 1)
    correlation = _interval(found.correlation, found.correlation_low, found.correlation_high, 1)
    drawn = _interval(found.drawn, found.drawn_low, found.drawn_high, 100)
    truth = "true" if found.source == "truth" else "seen"
    return (
        f"Change of {what}: slope of the {truth} on the foretold {slope}, correlation beyond the mean change a year "
        f"{correlation}, share foretold {drawn} % ({_count(found.patients, 'patient')}). "
    )


def _other_words(found: TaskScores) -> str:
    head = f"{found.task.capitalize()}, set {found.set}:"
    if not found.patients:
        return f"{head} none of {_count(found.all_patients, 'patient')} has three usable visits."
    models = "; ".join(
        f"{model.method} {1000 * model.mse:.2f}, {_difference(one)} against the cohort's mean change"
        for model in found.models
        for one in model.against
    )
    return (
        f"{head} {found.patients} of {_count(found.all_patients, 'patient')}. In-lung "
        f"MSE x 1000 of the last scan carried forward {1000 * found.locf:.2f}, blurred "
        f"{1000 * found.blurred:.2f}; {models}."
    )


def _rivals_words(found: Rivals) -> str:
    """The baselines that a decoding is not shown to beat in the lung."""
    named = "; ".join(f"{one.reference} ({_difference(one)})" for one in found.left)
    beaten = f"better in in-lung MSE than {found.beaten} of {found.baselines} baselines"
    return f"{found.task.capitalize()}, {found.method}: {beaten}" + (f"; not shown to beat {named}." if named else ".")


def better_words(found: BetterThanBlur) -> str:
    """Which methods beat the blurred last scan, and what that tells in a set without change."""
    better = ", ".join(found.blurred) or "none"
    said = f"Set {found.set}: methods with a lower in-lung MSE of extrapolation than the blurred last scan: {better}."
    if found.unchanged:
        best = ", ".join(found.mean_blurred) or "none"
        said += " Nobody's disease changes in it: what is better here averages noise, and has foretold nothing."
        said += f" Better than the blurred mean of the given scans, which averages most of it: {best}."
    return said


def band_words(found: BandHeld) -> str:
    """How often the 90 % bands held what was seen, and their width beside that of the last scan carried forward and
    beside what repeat scans differ by."""
    name = BANDS[found.measure].said
    whose = f"Set {found.set}" + ("" if found.group == "all" else f", {found.group} {found.value}")
    counted = f"{_count(found.visits, 'visit')} of {_count(found.patients, 'patient')}"
    around = f"around the last scan carried forward {found.carried_width:.3g}"
    if found.held == TOO_FEW_PATIENTS:
        said = (
            f"{whose}: {counted}: {found.held} to say what the 90 % band of {name} holds; it is {found.width:.3g} "
            f"wide, {around}."
        )
    else:
        low, high = 100 * found.coverage_low, 100 * found.coverage_high
        said = (
            f"{whose}: {100 * found.coverage:.0f} % [{low:.0f}, {high:.0f}] of {counted} lie in the 90 % band of "
            f"{name} ({found.held}), which is {found.width:.3g} wide; {around}, holding "
            f"{100 * found.carried_coverage:.0f} %."
        )
    return said + _floor_words(found)


def _floor_words(found: BandHeld) -> str:
    """The change that is foretold beside what repeat scans differ by, where that is known."""
    said = f" The change foretold is {found.change:.3g} in the mean"
    if math.isnan(found.floor):
        return said + "."
    said += f", two scans a week apart differ by {found.floor:g}"
    return f"{said}: {below_words(found.below_floor)}." if found.below_floor else f"{said}."


def judged_words(found: VisitsJudged) -> str:
    """How many of the visits judged in a set were taken otherwise than their baseline."""
    said = f"Set {found.set}: of {_count(found.visits, 'withheld visit')}"
    if not found.otherwise:
        return f"{said} none is known to be taken otherwise than the baseline."
    kinds = ", ".join(f"{one.what} {one.visits}" for one in found.kinds)
    return (
        f"{said} {found.otherwise} {'is' if found.otherwise == 1 else 'are'} taken otherwise than the baseline "
        f"({kinds}): what changed there is not disease alone."
    )


def given_words(found: GivenScored) -> str:
    """Of how many visits somebody else's forecasts are scored."""
    said = f"Forecasts given: {found.visits} of {_count(found.of_visits, 'withheld visit')} have one."
    if found.strangers:
        named, more = ", ".join(found.strangers[:NAMED]), len(found.strangers) - NAMED
        said += f" Files that forecast none: {named}{f' and {more} more' if more > 0 else ''}."
    return said


def _masks_words(found: MasksScored) -> str:
    return (
        f"Lung masks of {_count(found.scans, 'scan')} against the simulated truth: mean Dice {found.mean:.3f}, "
        f"lowest {found.lowest:.3f}."
    )


def fields_words(found: FieldsScored) -> str:
    """Landmark error before and after registration against the simulated truth."""
    return (
        f"Registration of {_count(found.scans, 'follow-up')} against the simulated displacement: mean error "
        f"{found.before:.2f} mm before, {found.after:.2f} mm after "
        f"(mean of medians {found.median:.2f} mm, worst scan {found.worst:.2f} mm)."
    )


def _difference(found: Difference) -> str:
    return _interval(found.mean, found.low, found.high, 1000)


def _interval(mean: float, low: float, high: float, factor: float) -> str:
    if math.isnan(low):
        return f"{factor * mean:+.2f} [no interval]"
    return f"{factor * mean:+.2f} [{factor * low:+.2f}, {factor * high:+.2f}]"


def _count(number: float, noun: str) -> str:
    return f"{int(number)} {noun}{'' if number == 1 else 's'}"
