"""The evaluation in sentences, for the report and for people who read no tables."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from lung4d.evaluate.baselines import Chosen, FittedBaselines
from lung4d.evaluate.change_signal import better_than
from lung4d.metrics import Interval

ENOUGH = 5  # patients; with fewer, even a difference of one sign in all of them can be chance
TASKS = {
    "extrapolation": "all visits after the first two, from the first two",
    "interpolation": "all visits between the first and the last, from these two",
}
BANDS = {"mean_density_hu": "mean lung density (HU)", "high_attenuation_percent": "high-attenuation area (%)"}
NAMES = {
    "locf": "the last scan carried forward",
    "blurred": "that scan blurred",
    "cohort": "the cohort's mean change on it",
}


def forecast_words(summary: pd.DataFrame, patients: Mapping[str, int]) -> list[str]:
    """Sentences per task and decoding of the model for the test set, or why there are none; one each for other sets.

    `patients` is how many each set has, with visits to withhold or without.
    """
    sentences = []
    for task, meaning in TASKS.items():
        rows = _rows(summary, "test", task)
        if rows.empty:
            sentences.append(
                f"{task.capitalize()}: none of {_count(patients.get('test', 0), 'test patient')} has three usable "
                "visits, so no visit could be withheld and nothing was scored."
            )
            continue
        errors = rows.loc["mse"]
        first = errors.iloc[0]
        sentences.append(
            f"{task.capitalize()} ({meaning}): {int(first['patients'])} of "
            f"{_count(patients['test'], 'test patient')} have the three usable visits that this takes, "
            f"{_count(first['targets'], 'visit')} withheld. In-lung MSE x 1000 of the last scan carried forward "
            f"{1000 * errors.loc['locf', 'mean']:.2f}, blurred {1000 * errors.loc['locf_blurred', 'mean']:.2f}."
        )
        sentences += [_model_words(task, model, rows) for model in _models(errors.index)]
    others = [(name, task) for name in patients if name != "test" for task in TASKS]
    return sentences + [_other_words(summary, name, task, patients[name]) for name, task in others]


def _rows(summary: pd.DataFrame, name: str, task: str) -> pd.DataFrame:
    """In-lung rows of one set and task over all horizons and paces, by measure and method."""
    whole = {"set": name, "task": task, "horizon": "all", "pace": "all", "region": "lung"}
    for column, value in whole.items():
        summary = summary[summary[column] == value]
    return summary.set_index(["measure", "method"])


def _models(methods: Iterable[str]) -> list[str]:
    return [method for method in methods if method.startswith("model (")]


def _other_words(summary: pd.DataFrame, name: str, task: str, patients: int) -> str:
    rows = _rows(summary, name, task)
    if rows.empty:
        return f"{task.capitalize()}, set {name}: none of {_count(patients, 'patient')} has three usable visits."
    errors = rows.loc["mse"]
    models = "; ".join(
        f"{model} {1000 * errors.loc[model, 'mean']:.2f}, "
        f"{_difference(interval_of(errors.loc[model], 'cohort'), 1000)} against the cohort's mean change"
        for model in _models(errors.index)
    )
    return (
        f"{task.capitalize()}, set {name}: {int(errors['patients'].iloc[0])} of {_count(patients, 'patient')}. In-lung "
        f"MSE x 1000 of the last scan carried forward {1000 * errors.loc['locf', 'mean']:.2f}, blurred "
        f"{1000 * errors.loc['locf_blurred', 'mean']:.2f}; {models}."
    )


def rival_words(differences: pd.DataFrame) -> list[str]:
    """For each task and decoding in the test set, the baselines that it is not shown to beat in the lung."""
    sentences = []
    whole = {"set": "test", "horizon": "all", "pace": "all", "region": "lung", "measure": "mse"}
    for column, value in whole.items():
        differences = differences[differences[column] == value]
    for task in TASKS:
        part = differences[differences["task"] == task]
        for model in _models(part["method"].unique()):
            rivals = part[part["method"] == model]
            if rivals["patients"].iloc[0] < ENOUGH:
                continue
            left = rivals[~(rivals["high"] < 0)].sort_values("difference", ascending=False)
            named = "; ".join(
                f"{row.reference} ({_difference(Interval(row.difference, row.low, row.high), 1000)})"
                for row in left.itertuples()
            )
            beaten = f"better in in-lung MSE than {len(rivals) - len(left)} of {len(rivals)} baselines"
            sentences.append(
                f"{task.capitalize()}, {model}: {beaten}" + (f"; not shown to beat {named}." if named else ".")
            )
    return sentences


def difficulty_words(found: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    """How far scans 0.5 to 1.5 years apart differ in each set, and how much of that is disease."""
    sentences = []
    for name, values in sorted(found.items(), key=_test_first):
        said = (
            f"How hard: 0.5 to 1.5 years on, the last scan carried forward is off by {values['rms_hu']:.0f} HU (root "
            f"mean square in the lung; set {name}, {_count(values['patients'], 'patient')})"
        )
        share = values["disease_share"]
        told = (
            ""
            if share is None
            else f"; {100 * share:.0f} % of the mean square is disease, the rest noise and acquisition"
        )
        sentences.append(f"{said}{told}.")
    return sentences


def blur_words(differences: pd.DataFrame, unchanged: Iterable[str]) -> list[str]:
    """Which methods beat the blurred last scan, by set; in a set without change only by averaging noise, so that there
    none should beat the blurred mean of the given scans."""
    sentences = []
    for name in sorted(differences["set"].unique(), key=_set_order):
        better = ", ".join(better_than("locf_blurred", differences, name)) or "none"
        said = f"Set {name}: methods with a lower in-lung MSE of extrapolation than the blurred last scan: {better}."
        if name in unchanged:
            best = ", ".join(better_than("mean_of_given_blurred", differences, name)) or "none"
            said += " Nobody's disease changes in it: what is better here averages noise, and has foretold nothing."
            said += f" Better than the blurred mean of the given scans, which averages most of it: {best}."
        sentences.append(said)
    return sentences


def coverage_words(coverage: pd.DataFrame) -> list[str]:
    """How often the 90 % bands held what was seen, and their width beside that of the last scan carried forward."""
    return [
        f"Set {row.set}: {100 * row.coverage:.0f} % [{100 * row.coverage_low:.0f}, {100 * row.coverage_high:.0f}] of "
        f"{_count(row.visits, 'visit')} of {_count(row.patients, 'patient')} lie in the 90 % band of "
        f"{BANDS[row.measure]}, which is {row.width:.3g} wide; around the last scan carried forward "
        f"{row.carried_width:.3g}, holding {100 * row.carried_coverage:.0f} %."
        for row in coverage.itertuples()
    ]


def _set_order(name: str) -> tuple[bool, str]:
    return name != "test", name


def _test_first(item: tuple[str, object]) -> tuple[bool, str]:
    return _set_order(item[0])


def _model_words(task: str, model: str, rows: pd.DataFrame) -> str:
    error, skill = rows.loc[("mse", model)], rows.loc[("skill", model)]
    against = {name: interval_of(error, key) for key, name in NAMES.items()}
    compared = [
        f"{_difference(interval, 1000)} against {name} ({verdict(interval, error['patients'])})"
        for name, interval in against.items()
    ]
    return (
        f"{task.capitalize()}, {model}: in-lung MSE x 1000 {1000 * error['mean']:.2f}; {'; '.join(compared)}. "
        f"Skill on the smoothed change {_difference(interval_of(skill, 'locf'), 100)} %. {_claim(error, skill)}"
    )


def _claim(error: pd.Series, skill: pd.Series) -> str:
    """Whether the numbers bear the claim that the model forecasts change, and not merely removes noise."""
    verdicts = [verdict(interval_of(error, key), error["patients"]) for key in NAMES]
    verdicts.append(verdict(_negated(interval_of(skill, "locf")), skill["patients"]))
    if "too few patients to tell" in verdicts:
        return "Too few patients to say whether it forecasts change."
    if all(word == "better" for word in verdicts):
        return "It forecasts change: better than all three, with skill above zero."
    return "That it forecasts change is not shown, which takes being better than all three and skill above zero."


def verdict(difference: Interval, patients: int) -> str:
    """Where the interval says so, better (an error below the reference) or worse, else not distinguishable."""
    if patients < ENOUGH:
        return "too few patients to tell"
    if not difference.excludes_zero():
        return "not distinguishable"
    return "better" if difference.mean < 0 else "worse"


def interval_of(row: pd.Series, reference: str) -> Interval:
    return Interval(*(float(row[f"{reference}_{part}"]) for part in ("difference", "low", "high")))


def fitted_words(fitted: FittedBaselines, window: tuple[float, float]) -> list[str]:
    """What was chosen, on whom, and the training cohort's mean change in HU per year."""
    sigma, mix, change = fitted.sigma, fitted.mix, fitted.change
    per_year = change.mean * (window[1] - window[0])
    trends = [
        f"Share of a straight line's change that is kept, {where}: "
        + ", ".join(f"{task} {best.share:.2f} at sigma {best.sigma:g} voxels" for task, best in choice.value.items())
        + f", {_origin(choice)}."
        for where, choice in (("image", fitted.image_trend), ("latent", fitted.latent_trend))
    ]
    boosted = fitted.boosting
    return [
        f"Blur of the blurred last scan: sigma {sigma.value:g} voxels, {_origin(sigma)}.",
        f"Share of the given scan's own detail in mix decoding: {mix.value:.2f}, {_origin(mix)}.",
        f"Mean change in the lung of {_count(change.patients, 'training patient')} with two visits: "
        f"{per_year:+.1f} HU per year.",
        *trends,
        f"Voxel boosting: {boosted.trees.n_iter_} trees from {_count(boosted.patients, 'training patient')}."
        if boosted
        else "Voxel boosting: no training patient has two visits; it is the blurred last scan.",
    ]


def _origin(choice: Chosen) -> str:
    if not choice.split:
        return "a default, because no patient outside the test set could serve to choose it"
    return f"chosen on {_count(choice.patients, f'{choice.split} patient')}"


def reconstruction_words(reconstruction: pd.DataFrame, codes: pd.DataFrame) -> list[str]:
    """Reconstruction error and use of the codebook by split."""
    sentences = []
    for split, part in reconstruction.groupby("split", sort=True):
        means = part.groupby("region")[["mse", "psnr", "ssim"]].mean()
        values = "; ".join(
            f"{region} MSE x 1000 {1000 * row['mse']:.2f}, PSNR {row['psnr']:.1f} dB, SSIM {row['ssim']:.3f}"
            for region, row in means.iterrows()
        )
        scans = part[["subject", "session"]].drop_duplicates().shape[0]
        sentences.append(f"Reconstruction of {_count(scans, f'{split} scan')} by the frozen autoencoder: {values}.")
    for split, part in codes.groupby("split", sort=True):
        sentences.append(
            f"Codes in the lungs of the {split} scans: {int(part['used'].sum())} of {len(part)} are each used by at "
            f"least 1 in 10,000 latent voxels; perplexity {part['perplexity'].iloc[0]:.0f}."
        )
    return sentences or ["Reconstruction: there is no held-out scan."]


def truth_words(segmentation: pd.DataFrame, registration: pd.DataFrame) -> list[str]:
    """Against the simulated truth: Dice of the masks, landmark error before and after registration."""
    words = []
    if len(segmentation):
        scores = segmentation["dice"]
        words.append(
            f"Lung masks of {_count(len(scores), 'scan')} against the simulated truth: mean Dice {scores.mean():.3f}, "
            f"lowest {scores.min():.3f}."
        )
    if len(registration):
        words.append(
            f"Registration of {_count(len(registration), 'follow-up')} against the simulated displacement: mean error "
            f"{registration['before_mean'].mean():.2f} mm before, {registration['after_mean'].mean():.2f} mm after "
            f"(mean of medians {registration['after_median'].mean():.2f} mm, worst scan "
            f"{registration['after_mean'].max():.2f} mm)."
        )
    return words


def _difference(interval: Interval, factor: float) -> str:
    if np.isnan(interval.low):
        return f"{factor * interval.mean:+.2f} [no interval]"
    return f"{factor * interval.mean:+.2f} [{factor * interval.low:+.2f}, {factor * interval.high:+.2f}]"


def _negated(interval: Interval) -> Interval:
    return Interval(-interval.mean, -interval.high, -interval.low)


def _count(number: float, noun: str) -> str:
    return f"{int(number)} {noun}{'' if number == 1 else 's'}"
