"""What each part of the disease model is worth: the run's own settings with one of them changed, on withheld visits."""

from collections.abc import Mapping

import pandas as pd

from lung4d.evaluate.methods import sets_in_order
from lung4d.evaluate.summary import by_patient
from lung4d.evaluate.variants import ABLATION, OWN
from lung4d.metrics import Interval, paired_bootstraps, ratio_bootstrap
from lung4d.ode.model import ODESettings

TASKS = ("extrapolation", "interpolation")
MEANS = ("mse", "extent_error", "change_correlation", "change_correlation_noisefree")
MEASURES = ("mse", "skill", *MEANS[1:])
TITLES = {row.name: row.title for row in ABLATION} | {OWN: "the run's own settings"}
KEYS = ["set", "task", "row", "decoding"]
PARTS = ("", "_difference", "_low", "_high")
COLUMNS = [*KEYS, "patients", "visits", *(f"{measure}{part}" for measure in MEASURES for part in PARTS)]


def scored_decodings(settings: ODESettings) -> tuple[str, ...]:
    """The decodings of a model that are compared; the first is that of the run's own model that others are held to."""
    return ("expected", "drawn") if settings.maps else ("mix",)


def fill_table(forecasts: pd.DataFrame, bootstrap: int, seed: int) -> pd.DataFrame:
    """ablation.tsv from the forecasts of `lung4d.evaluate.comparison`: a row per set, task, variant and decoding.

    In the lung, means over patients: mse on intensities from 0 to 1; skill, the share of LOCF's squared error of the
    low-passed change that is removed, pooled over patients; extent_error, absolute, in percentage points;
    change_correlation, and change_correlation_noisefree where the cohort is simulated. <measure>_difference is the row
    minus the first decoding of the run's own model, paired by patient, _low and _high its 95 % bootstrap interval.
    """
    lung = forecasts[forecasts["region"] == "lung"]
    lines = []
    for (name, task), part in lung.groupby(["set", "task"]):
        variants = part.loc[part["decoding"] != "", ["method", "row", "decoding"]].drop_duplicates().set_index("method")
        scores = _scores(part, variants.index[variants["row"] == OWN][0], bootstrap, seed)
        counts = {"patients": part["subject"].nunique(), "visits": part.groupby(["subject", "session"]).ngroups}
        for method, variant in variants.iterrows():
            lines.append({"set": name, "task": task, **variant, **counts, **scores[method]})
    return pd.DataFrame(lines, columns=COLUMNS)


def _scores(part: pd.DataFrame, reference: str, bootstrap: int, seed: int) -> dict[str, dict[str, float]]:
    """By method the measures, and their differences to the method `reference` with intervals."""
    known = by_patient(part, [*MEANS, "mse_lowpass"])
    found: dict[str, dict[str, float]] = {method: {} for method in part["method"].unique()}
    for measure in (measure for measure in MEANS if measure in known):
        patients = known[measure]
        differences = patients.sub(patients[reference], axis=0).to_numpy()
        for method, interval in zip(patients, paired_bootstraps(differences, bootstrap, seed), strict=True):
            found[method] |= _columns(measure, patients[method].mean(), interval)
    errors = known["mse_lowpass"]
    carried = errors["locf"].to_numpy()
    for method in errors:
        own = ratio_bootstrap(carried - errors[method].to_numpy(), carried, bootstrap, seed).mean
        gained = (errors[reference] - errors[method]).to_numpy()
        found[method] |= _columns("skill", own, ratio_bootstrap(gained, carried, bootstrap, seed))
    return found


def _columns(measure: str, value: float, difference: Interval) -> dict[str, float]:
    return dict(zip((measure + part for part in PARTS), (float(value), *difference), strict=True))


def as_page(table: pd.DataFrame) -> str:
    """The table as Markdown, a part per set and task."""
    names = sets_in_order(table["set"].unique())
    parts = [
        f"## {task.capitalize()}, set {name}: {part['patients'].iloc[0]} patients, {part['visits'].iloc[0]} visits\n\n"
        f"{_as_markdown(part)}\n"
        for name in names
        for task in TASKS
        if len(part := table[(table["set"] == name) & (table["task"] == task)])
    ]
    return PAGE.format(tables="\n".join(parts or ["No patient has three usable visits: nothing could be withheld.\n"]))


def _as_markdown(part: pd.DataFrame) -> str:
    noisefree = "_noisefree" if part["change_correlation_noisefree"].notna().any() else ""
    shown = {
        "MSE x 1000": ("mse", 1000, 2),
        "skill, %": ("skill", 100, 1),
        "extent error, points": ("extent_error", 1, 2),
        f"correlation of change{', noise-free' if noisefree else ''}": (f"change_correlation{noisefree}", 1, 2),
    }
    lines = ["| | decoding | " + " | ".join(f"{head} | difference" for head in shown) + " |"]
    lines.append("| --- | --- |" + " ---: |" * (2 * len(shown)))
    for row in part.to_dict("records"):
        cells = [TITLES[row["row"]], row["decoding"]]
        for measure, factor, digits in shown.values():
            cells += _cells(row, measure, factor, digits)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cells(row: Mapping[str, float], measure: str, factor: float, digits: int) -> list[str]:
    """The value, and the difference with its interval."""
    if pd.isna(row[measure]):
        return ["–", "–"]
    value, difference, low, high = (factor * row[f"{measure}{part}"] for part in PARTS)
    told = f"{difference:+.{digits}f}"
    return [f"{value:.{digits}f}", told if pd.isna(low) else f"{told} [{low:+.{digits}f}, {high:+.{digits}f}]"]


PAGE = """\
# Ablation: what each part of the disease model is worth

Each row is a model trained with the run's own `train_ode` section and one change, and scored on visits that it was not
given, in the lung. Differences are the row minus the first row, paired by patient, with 95 % intervals over patients:
above zero in an error means that what was left out helps. MSE is on intensities from 0 to 1; skill is the share of the
last scan's squared error of the smoothed change that is removed; extent is the diseased share of the lung.

Compare within a decoding: `expected` leaves a scan's noise out and so has a lower MSE than `drawn`, which keeps it; a
model that draws nothing has `mix` alone, with the share of detail that was chosen for the run's own model. Each row is
one training with one seed: a small difference may be the seed's. A row without any difference has the run's own
settings and was not trained again. Baselines are in `evaluate/summary.tsv`.

{tables}"""
