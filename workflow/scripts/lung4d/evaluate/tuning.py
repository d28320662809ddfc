"""What is chosen on patients other than the test patients: the blur's width, the mix's share, what a trend is worth,
the cohort's change, and the boosted trees."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import combinations

import numpy as np

from lung4d import metrics
from lung4d.evaluate import boosting
from lung4d.evaluate.baselines import Chosen, FittedBaselines, Value
from lung4d.evaluate.cohort_change import cohort_change
from lung4d.evaluate.forecasting import Forecaster
from lung4d.evaluate.records import Choice, Learned, TrendChoice, TrendShare, WeightingChoice, WeightingOfTask
from lung4d.evaluate.smoothing import smooth_inside
from lung4d.evaluate.trends import choose_trend, choose_weighting, image_parts, latent_parts
from lung4d.visits.patient import PatientVisits, of_split
from lung4d.visits.tasks import forecast_tasks

Choose = Callable[[Iterable[PatientVisits]], tuple[Value, int]]
DEFAULT_MIX = 0.5  # where no patient but the test patients has three visits


def fit_baselines(
    patients: list[PatientVisits],
    forecast: Forecaster,
    blur_sigmas: Sequence[float],
    slope_sigmas: Sequence[float],
    seed: int,
) -> FittedBaselines:
    """All that is learned from val and training patients, one patient in memory at a time."""
    sigma = _on_held_out(patients, 2, partial(choose_sigma, sigmas=blur_sigmas))
    in_image = partial(choose_trend, sigmas=slope_sigmas, parts=partial(image_parts, blur=sigma.value))
    train = of_split(patients, "train", visits=2)
    return FittedBaselines(
        sigma=sigma,
        mix=_on_held_out(patients, 3, partial(choose_mix, forecast=forecast)),
        change=cohort_change(_one_by_one(train)),
        image_trend=_on_held_out(patients, 3, in_image),
        latent_trend=_on_held_out(patients, 3, partial(choose_trend, sigmas=slope_sigmas, parts=latent_parts)),
        weighting=_on_held_out(patients, 3, choose_weighting),
        boosting=boosting.learn_boosting(
            _one_by_one(train), len(train), _one_by_one(of_split(patients, "val", visits=2)), seed
        ),
    )


def learned(fitted: FittedBaselines, window: tuple[float, float]) -> Learned:
    """The same as a record; `window` in HU."""
    trends = tuple(
        TrendChoice(
            place,
            tuple(TrendShare(task, best.share, best.sigma) for task, best in choice.value.items()),
            choice.split,
            choice.patients,
        )
        for place, choice in (("image", fitted.image_trend), ("latent", fitted.latent_trend))
    )
    weighting, hu = fitted.weighting, window[1] - window[0]
    weights = tuple(WeightingOfTask(task, one.others, one.per_year * hu) for task, one in weighting.value.items())
    return Learned(
        blur=Choice(fitted.sigma.value, fitted.sigma.split, fitted.sigma.patients),
        mix=Choice(fitted.mix.value, fitted.mix.split, fitted.mix.patients),
        change=float(fitted.change.mean * hu),
        change_patients=fitted.change.patients,
        trends=trends,
        weighting=WeightingChoice(weights, weighting.split, weighting.patients),
        trees=fitted.boosting.trees.n_iter_ if fitted.boosting else 0,
        trees_patients=fitted.boosting.patients if fitted.boosting else 0,
    )


def blur_errors(visits: PatientVisits, sigmas: Sequence[float]) -> np.ndarray:
    """In-lung MSE (sigmas,) of the blurred earlier visit against the later one, mean over all pairs of visits."""
    errors = np.zeros(len(sigmas))
    pairs = list(combinations(range(len(visits)), 2))
    for first in range(len(visits) - 1):
        for column, sigma in enumerate(sigmas):
            blurred = smooth_inside(visits.unit[first], visits.region, sigma)
            later = visits.unit[first + 1 :]
            errors[column] += sum(metrics.mse(blurred, target, visits.region) for target in later)
    return errors / len(pairs)


def choose_sigma(patients: Iterable[PatientVisits], sigmas: Sequence[float]) -> tuple[float, int]:
    """The sigma (voxels) with the smallest mean error over patients with two or more visits, and their number."""
    errors = np.array([blur_errors(visits, sigmas) for visits in patients])
    if not len(errors):
        return float(np.median(sigmas)), 0
    return float(sigmas[int(errors.mean(axis=0).argmin())]), len(errors)


def choose_mix(patients: Iterable[PatientVisits], forecast: Forecaster) -> tuple[float, int]:
    """The share a that minimises the in-lung error of (1 - a) pure + a residual decoding, and the patients' number.

    Mix decoding is linear in a, so least squares over the withheld visits of both tasks gives a in closed form; every
    patient has the same weight. Clipped to [0, 1].
    """
    products, squares = [], []
    for visits in patients:
        product, square, targets = 0.0, 0.0, 0
        for task in forecast_tasks(len(visits)):
            made = forecast(visits.take(task.given), visits.years[list(task.targets)], None)
            for target, pure, residual in zip(task.targets, made["pure"], made["residual"], strict=True):
                direction = (residual - pure)[visits.region].astype(np.float64)
                product += float(np.mean((visits.unit[target] - pure)[visits.region] * direction))
                square += float(np.mean(direction**2))
                targets += 1
        products.append(product / targets)
        squares.append(square / targets)
    if not squares or sum(squares) == 0:
        return DEFAULT_MIX, len(squares)
    return float(np.clip(sum(products) / sum(squares), 0, 1)), len(squares)


def _on_held_out(patients: list[PatientVisits], visits: int, choose: Choose[Value]) -> Chosen[Value]:
    """Choose on the val patients with at least so many visits; where there are none, on the training patients."""
    for split in ("val", "train"):
        chosen = of_split(patients, split, visits)
        if chosen:
            value, seen = choose(_one_by_one(chosen))
            return Chosen(value, split, seen)
    return Chosen(choose([])[0], "", 0)


def _one_by_one(patients: Iterable[PatientVisits]) -> Iterator[PatientVisits]:
    """The patients; what is read of one goes before the next is read."""
    return (patient.fresh() for patient in patients)
