"""The forecasts' summary: means over patients, and paired differences to the references with their intervals."""

import numpy as np
import pandas as pd

from lung4d.metrics import Interval, paired_bootstrap, ratio_bootstrap

REFERENCES = {"locf": "locf", "blurred": "locf_blurred", "cohort": "cohort_mean_change_smoothed"}
HORIZONS = {"all": (-np.inf, np.inf), "<1": (-np.inf, 1.0), "1-2": (1.0, 2.0), ">2": (2.0, np.inf)}  # [low, high)
ABSOLUTE = ["density_error_hu", "high_attenuation_error"]  # signed in forecast.tsv, their size counts here
MEASURES = ["mse", "psnr", "ssim", "nrmse", "mse_lowpass", *ABSOLUTE, "mse_noisefree"]
SKILLS = {"skill": "mse_lowpass", "skill_noisefree": "mse_lowpass_noisefree"}
TEXT = ["task", "horizon", "region", "method", "measure"]
COUNTS = ["patients", "targets"]
PAIRED = [f"{name}_{part}" for name in REFERENCES for part in ("difference", "low", "high")]
COLUMNS = [*TEXT, *COUNTS, "mean", *PAIRED]


def summarise(table: pd.DataFrame, bootstrap: int, seed: int) -> pd.DataFrame:
    """summary.tsv from forecast.tsv: per task, horizon, region, method and measure the mean over patients.

    `<reference>_difference` is the method minus the reference (locf, blurred: LOCF blurred, cohort: mean change of the
    training cohort on a blurred last scan), paired by patient, with its 95 % bootstrap interval over patients. A skill
    is pooled over patients (one minus a ratio of sums), because a patient who hardly changed has a meaningless ratio.
    Horizons are years since the visit that LOCF carries forward; "<1" is [0, 1), "1-2" [1, 2), ">2" from 2.
    """
    rows = []
    for (task, region), part in table.groupby(["task", "region"], sort=True):
        for horizon, (low, high) in HORIZONS.items():
            chosen = part[(part["horizon"] >= low) & (part["horizon"] < high)]
            if not chosen.empty:
                keys = {"task": task, "horizon": horizon, "region": region}
                rows += [{**keys, **row} for row in _summarise_group(chosen, bootstrap, seed)]
    types = dict.fromkeys(COLUMNS, float) | dict.fromkeys(TEXT, str) | dict.fromkeys(COUNTS, int)
    return pd.DataFrame(rows, columns=COLUMNS).astype(types)


def _summarise_group(chosen: pd.DataFrame, bootstrap: int, seed: int) -> list[dict[str, object]]:
    methods = list(dict.fromkeys(chosen["method"]))
    targets = chosen.groupby(["subject", "session"]).ngroups
    rows = []
    for measure in MEASURES:
        values = chosen[measure].abs() if measure in ABSOLUTE else chosen[measure]
        patients = _by_patient(chosen, values)
        if patients.empty:
            continue
        for method in methods:
            row = {"method": method, "measure": measure, "patients": len(patients), "targets": targets}
            row["mean"] = patients[method].mean()
            for name, reference in REFERENCES.items():
                with np.errstate(invalid="ignore"):  # infinite PSNR of a perfect forecast
                    difference = (patients[method] - patients[reference]).to_numpy()
                row |= _columns(name, paired_bootstrap(difference, bootstrap, seed))
            rows.append(row)
    for skill, error in SKILLS.items():
        patients = _by_patient(chosen, chosen[error])
        if patients.empty:
            continue
        carried = patients["locf"].to_numpy()
        for method in methods:
            row = {"method": method, "measure": skill, "patients": len(patients), "targets": targets}
            for name, reference in REFERENCES.items():
                gained = (patients[reference] - patients[method]).to_numpy()
                row |= _columns(name, ratio_bootstrap(gained, carried, bootstrap, seed))
            row["mean"] = row["locf_difference"]  # LOCF's own skill is zero
            rows.append(row)
    return rows


def _by_patient(chosen: pd.DataFrame, values: pd.Series) -> pd.DataFrame:
    """Mean over a patient's targets: one row a patient, one column a method; patients without the measure left out."""
    return values.groupby([chosen["subject"], chosen["method"]]).mean().unstack().dropna()


def _columns(name: str, interval: Interval) -> dict[str, float]:
    return {f"{name}_difference": interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
