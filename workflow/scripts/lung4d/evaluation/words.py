"""The evaluation in sentences, for the report and for people who read no tables."""

import numpy as np
import pandas as pd

from lung4d.evaluation.baselines import Choice, Fitted
from lung4d.metrics import Interval

ENOUGH = 5  # patients; with fewer, even a difference of one sign in all of them can be chance
TASKS = {
    "extrapolation": "all visits after the first two, from the first two",
    "interpolation": "all visits between the first and the last, from these two",
}
MODELS = ("model (pure)", "model (residual)", "model (mix)")
NAMES = {
    "locf": "the last scan carried forward",
    "blurred": "that scan blurred",
    "cohort": "the cohort's mean change on it",
}


def forecast_words(summary: pd.DataFrame, test_patients: int) -> list[str]:
    """A sentence per task and decoding of the model, or why there is none; `test_patients` is all of them."""
    sentences = []
    for task, meaning in TASKS.items():
        part = summary[(summary["task"] == task) & (summary["horizon"] == "all") & (summary["region"] == "lung")]
        if part.empty:
            sentences.append(
                f"{task.capitalize()}: none of {_count(test_patients, 'test patient')} has three usable visits, so no "
                "visit could be withheld and nothing was scored."
            )
            continue
        rows = part.set_index(["measure", "method"])
        errors = rows.loc["mse"]
        first = errors.iloc[0]
        sentences.append(
            f"{task.capitalize()} ({meaning}): {int(first['patients'])} of "
            f"{_count(test_patients, 'test patient')} have the three usable visits that this takes, "
            f"{_count(first['targets'], 'visit')} withheld. In-lung MSE x 1000 of the last scan carried forward "
            f"{1000 * errors.loc['locf', 'mean']:.2f}, blurred {1000 * errors.loc['locf_blurred', 'mean']:.2f}."
        )
        sentences += [_model_words(task, model, rows) for model in MODELS if model in errors.index]
    return sentences


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


def fitted_words(fitted: Fitted, window: tuple[float, float]) -> list[str]:
    """What was chosen, on whom, and the training cohort's mean change in HU per year."""
    sigma, mix, change = fitted.sigma, fitted.mix, fitted.change
    per_year = change.mean * (window[1] - window[0])
    return [
        f"Blur of the blurred last scan: sigma {sigma.value:g} voxels, {_origin(sigma)}.",
        f"Share of the given scan's own detail in mix decoding: {mix.value:.2f}, {_origin(mix)}.",
        f"Mean change in the lung of {_count(change.patients, 'training patient')} with two visits: "
        f"{per_year:+.1f} HU per year.",
    ]


def _origin(choice: Choice) -> str:
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
