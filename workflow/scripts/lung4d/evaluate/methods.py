"""What the evaluation's tables name, once, with its words: methods, what they are held against, how they are grouped.

Nothing here needs torch, scikit-learn or numpy, so that rules and report can ask as well.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

MODEL, BASELINE, GIVEN, ORACLE = "model", "baseline", "given", "oracle"
FORECASTS = "forecasts"  # the row of evaluate.forecasts
ORACLE_MARK = "(oracle)"  # in the names of these


@dataclass(frozen=True)
class Method:
    """A way to forecast a scan: its name in the tables, its title, and its kind.

    MODEL is stage 2 by one of its decodings; BASELINE needs no model; GIVEN is made by somebody else; ORACLE sees the
    scan itself: a ceiling, no forecast.
    """

    name: str
    title: str
    kind: str


def model_name(decoding: str) -> str:
    """The name in the tables of what a model forecasts by a decoding; beside other models, "its name, decoding"."""
    return f"model ({decoding})"


# In the order in which they are shown.
METHODS = {
    method.name: method
    for method in (
        Method(model_name("expected"), "Model, expected scan", MODEL),
        Method(model_name("drawn"), "Model, drawn on the last scan", MODEL),
        Method(model_name("residual"), "Model, residual decoding", MODEL),
        Method(model_name("mix"), "Model, mix decoding", MODEL),
        Method(model_name("pure"), "Model, pure decoding", MODEL),
        Method("locf", "Last scan carried forward", BASELINE),
        Method("locf_blurred", "Last scan, blurred", BASELINE),
        Method("mean_of_given", "Mean of the given scans", BASELINE),
        Method("mean_of_given_blurred", "Mean of the given scans, blurred", BASELINE),
        Method("weighted mean", "Weighted mean of the given scans plus a constant a year", BASELINE),
        Method("locf_autoencoder", "Last scan through the autoencoder", BASELINE),
        Method("linear_image", "Linear trend of the image", BASELINE),
        Method("linear_image_shrunk", "Linear trend of the image, smoothed and shrunk", BASELINE),
        Method("linear_latent", "Linear trend of the codes", BASELINE),
        Method("linear_latent_shrunk", "Linear trend of the codes, smoothed and shrunk", BASELINE),
        Method("cohort_mean_change", "Cohort's mean change", BASELINE),
        Method("cohort_mean_change_smoothed", "Cohort's mean change, blurred", BASELINE),
        Method("boosting", "Boosted trees on the images", BASELINE),
        Method(FORECASTS, "Forecasts given", GIVEN),
        Method("reconstruction (oracle)", "Autoencoder, shown the answer", ORACLE),
        Method("true latent, residual (oracle)", "True codes, residual decoding", ORACLE),
        Method("true latent, mix (oracle)", "True codes, mix decoding", ORACLE),
    )
}


def of_kind(kind: str, names: Iterable[str] = METHODS) -> list[str]:
    """Those of the names that are methods of the kind."""
    return [name for name in names if name in METHODS and METHODS[name].kind == kind]


@dataclass(frozen=True)
class Reference:
    """A baseline that all methods are held against: its name in the tables, what it is in a sentence and in short."""

    method: str
    said: str
    short: str


# What a forecast must beat, all four, to have shown that it knows of the disease: noise and the cohort's mean aside.
REFERENCES = {
    "locf": Reference("locf", "the last scan carried forward", "the last scan"),
    "blurred": Reference("locf_blurred", "that scan blurred", "that scan blurred"),
    "cohort": Reference(
        "cohort_mean_change_smoothed", "the cohort's mean change on it", "the cohort's mean change on it"
    ),
    "weighted": Reference(
        "weighted mean", "the given scans weighted, plus a constant a year", "the weighted mean of the given scans"
    ),
}


@dataclass(frozen=True)
class Term:
    """What a name in the tables means, in a sentence and in short."""

    said: str
    short: str


TASKS = {
    "extrapolation": Term("all visits after the first two, from the first two", "later visits from the first two"),
    "interpolation": Term(
        "all visits between the first and the last, from these two",
        "visits in between from the first and the last",
    ),
}
BANDS = {
    "mean_density_hu": Term("mean lung density (HU)", "Mean density, HU"),
    "high_attenuation_percent": Term("high-attenuation area (%)", "High attenuation area, points"),
}
# What change is read from, in the order in which it is told.
CHANGES = {
    "high_attenuation": Term("high-attenuation area (percentage points)", "High attenuation area, points"),
    "density": Term("mean lung density (HU)", "Mean density, HU"),
    "extent": Term("diseased share of the lung (percentage points)", "Extent, points"),
}
PACES = ("slow", "middle", "fast")  # thirds of the patients
EVERYONE = {"horizon": "all", "pace": "all", "course": "all"}  # of the rows of a table that tell all patients


@dataclass(frozen=True)
class Horizon:
    """Years since the visit that is carried forward: from `low` to less than `high`."""

    low: float
    high: float
    said: str = ""


HORIZONS = {
    "all": Horizon(-inf, inf),
    "<1": Horizon(-inf, 1.0, "less than 1 year"),
    "1-2": Horizon(1.0, 2.0, "1 to 2 years"),
    ">2": Horizon(2.0, inf, "2 years or more"),
}


def sets_in_order(names: Iterable[str]) -> list[str]:
    """Names of sets of patients as they are told: test first, the others by name."""
    return sorted(names, key=_test_first)


def _test_first(name: str) -> tuple[bool, str]:
    return name != "test", name
