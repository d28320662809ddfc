"""The forecasts' summary: means over patients, and paired differences to other methods with their intervals."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from lung4d.evaluate.methods import BASELINE, FORECASTS, HORIZONS, PACES, REFERENCES, of_kind
from lung4d.metrics import Interval, paired_bootstraps, ratio_bootstrap

# Signed in forecast.tsv, their size counts here.
ABSOLUTE = ["density_error_hu", "high_attenuation_error", "extent_error", "extent_error_noisefree"]
CORRELATIONS = ["change_correlation", "change_correlation_noisefree"]
MEASURES = ["mse", "psnr", "ssim", "nrmse", "mse_lowpass", *ABSOLUTE, *CORRELATIONS, "mse_noisefree"]
SKILLS = {"skill": "mse_lowpass", "skill_noisefree": "mse_lowpass_noisefree"}
COMPARED = ["mse", "mse_lowpass", "extent_error", "density_error_hu", "high_attenuation_error", "mse_noisefree"]
GROUP = ["set", "task", "horizon", "pace", "course", "region"]
VISIT = ["subject", "session"]
TEXT = [*GROUP, "method", "measure"]
COUNTS = ["patients", "targets"]
PAIRED = [f"{name}_{part}" for name in REFERENCES for part in ("difference", "low", "high")]
COLUMNS = [*TEXT, *COUNTS, "mean", *PAIRED]
DIFFERENCE_TEXT = [*GROUP, "measure", "method", "reference"]
DIFFERENCE_COLUMNS = [*DIFFERENCE_TEXT, "difference", "low", "high", "patients"]


def summarise(table: pd.DataFrame, bootstrap: int, seed: int) -> pd.DataFrame:
    """summary.tsv from forecast.tsv: per set, task, horizon, pace, region, method and measure the mean over patients.

    `<reference>_difference` is the method minus the reference (locf, blurred: LOCF blurred, cohort: mean change of the
    training cohort on a blurred last scan, weighted: the weighted mean of the given scans), paired by patient, with its
    95 % bootstrap interval over patients. A skill is pooled over patients (one minus a ratio of sums), because a
    patient who hardly changed has a meaningless ratio.

    Horizons are years since the visit that LOCF carries forward; "<1" is [0, 1), "1-2" [1, 2), ">2" from 2. Paces are
    thirds of a set's patients by the yearly change of extent, with horizon "all". Courses are those of a simulated
    cohort that has several. "all" is everyone. A row of given forecasts is of the visits that they have.
    """
    rows = [
        {**keys, **row}
        for keys, chosen in groups(table)
        for part, methods in _comparable(chosen)
        for row in _summarise_group(part, methods, bootstrap, seed)
    ]
    types = dict.fromkeys(COLUMNS, float) | dict.fromkeys(TEXT, str) | dict.fromkeys(COUNTS, int)
    return pd.DataFrame(rows, columns=COLUMNS).astype(types)


def compare(table: pd.DataFrame, bootstrap: int, seed: int) -> pd.DataFrame:
    """differences.tsv from forecast.tsv: every method minus every baseline, in the groups of summary.tsv.

    Differences are paired by patient, with 95 % bootstrap intervals over patients; of errors, so below zero is better.
    """
    rows = [
        {**keys, **row}
        for keys, chosen in groups(table)
        for part, methods in _comparable(chosen)
        for row in _differences(part, methods, bootstrap, seed)
    ]
    types = dict.fromkeys(DIFFERENCE_COLUMNS, float) | dict.fromkeys(DIFFERENCE_TEXT, str) | {"patients": int}
    return pd.DataFrame(rows, columns=DIFFERENCE_COLUMNS).astype(types)


def groups(table: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """Rows of forecast.tsv that are summarised together, with what they have in common."""
    paces = pace_of(table)
    for (name, task, region), part in table.groupby(["set", "task", "region"], sort=True):
        keys = {"set": name, "task": task, "region": region}
        for horizon, years in HORIZONS.items():
            chosen = part[(part["horizon"] >= years.low) & (part["horizon"] < years.high)]
            if not chosen.empty:
                yield {**keys, "horizon": horizon, "pace": "all", "course": "all"}, chosen
        for pace in PACES:
            chosen = part[part["subject"].map(paces) == pace]
            if not chosen.empty:
                yield {**keys, "horizon": "all", "pace": pace, "course": "all"}, chosen
        for course, chosen in part[part["course"] != ""].groupby("course", sort=True):
            yield {**keys, "horizon": "all", "pace": "all", "course": str(course)}, chosen


def _comparable(chosen: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, list[str]]]:
    """Rows that have the same visits of every method, and the methods to tell of them: all but the given forecasts, of
    whatever visits there are; then these, beside the others of their visits."""
    given = chosen["method"] == FORECASTS
    yield chosen[~given], list(dict.fromkeys(chosen["method"][~given]))
    if given.any():
        visits = pd.MultiIndex.from_frame(chosen[VISIT])
        yield chosen[visits.isin(visits[given])], [FORECASTS]


def pace_of(table: pd.DataFrame) -> dict[str, str]:
    """Pace of every patient: thirds of each set by `extent_per_year`; nobody's in a set of fewer than three."""
    found: dict[str, str] = {}
    for _, part in table.dropna(subset="extent_per_year").groupby("set"):
        subjects = part.groupby("subject")["extent_per_year"].first().sort_values(kind="stable").index
        if len(subjects) >= len(PACES):
            for pace, third in zip(PACES, np.array_split(subjects, len(PACES)), strict=True):
                found |= dict.fromkeys(third, pace)
    return found


def _summarise_group(chosen: pd.DataFrame, methods: list[str], bootstrap: int, seed: int) -> list[dict[str, object]]:
    targets = chosen.groupby(["subject", "session"]).ngroups
    known = by_patient(chosen, [*MEASURES, *SKILLS.values()])
    rows = []
    for measure in (measure for measure in MEASURES if measure in known):
        patients = known[measure]
        against = {name: each_minus(patients, one.method, bootstrap, seed) for name, one in REFERENCES.items()}
        for method in methods:
            row = {"method": method, "measure": measure, "patients": len(patients), "targets": targets}
            row["mean"] = patients[method].mean()
            for name, intervals in against.items():
                row |= _columns(name, intervals[method])
            rows.append(row)
    for skill, patients in ((skill, known[error]) for skill, error in SKILLS.items() if error in known):
        carried = patients["locf"].to_numpy()
        for method in methods:
            row = {"method": method, "measure": skill, "patients": len(patients), "targets": targets}
            for name, reference in REFERENCES.items():
                gained = (patients[reference.method] - patients[method]).to_numpy()
                row |= _columns(name, ratio_bootstrap(gained, carried, bootstrap, seed))
            row["mean"] = row["locf_difference"]  # LOCF's own skill is zero
            rows.append(row)
    return rows


def _differences(chosen: pd.DataFrame, methods: list[str], bootstrap: int, seed: int) -> list[dict[str, object]]:
    return [
        {
            **{"measure": measure, "method": method, "reference": reference, "patients": len(patients)},
            **dict(zip(("difference", "low", "high"), interval, strict=True)),
        }
        for measure, patients in by_patient(chosen, COMPARED).items()
        for reference in of_kind(BASELINE)
        if reference in patients
        for method, interval in each_minus(patients, reference, bootstrap, seed).items()
        if method != reference and method in methods
    ]


def _columns(name: str, interval: Interval) -> dict[str, float]:
    return {f"{name}_difference": interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}


def by_patient(chosen: pd.DataFrame, measures: list[str]) -> dict[str, pd.DataFrame]:
    """By measure, the mean over a patient's targets: one row a patient, one column a method.

    Patients without the measure are left out, and measures that nobody has.
    """
    measures = list(dict.fromkeys(measures))
    values = chosen[["subject", "method"]].join(chosen[measures])
    values[ABSOLUTE] = chosen[ABSOLUTE].abs()
    means = values.groupby(["subject", "method"])[measures].mean()
    found = {measure: means[measure].unstack().dropna() for measure in measures if means[measure].notna().any()}
    return {measure: patients for measure, patients in found.items() if len(patients)}


def each_minus(patients: pd.DataFrame, reference: str, bootstrap: int, seed: int) -> dict[str, Interval]:
    """Every method minus the method `reference`, from one row a patient and one column a method."""
    with np.errstate(invalid="ignore"):  # infinite PSNR of a perfect forecast
        differences = patients.to_numpy() - patients[[reference]].to_numpy()
    return dict(zip(patients.columns, paired_bootstraps(differences, bootstrap, seed), strict=True))
