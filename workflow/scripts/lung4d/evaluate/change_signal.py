"""How hard a cohort is to forecast, and what a set without change tells of the judge."""

import numpy as np
import pandas as pd

from lung4d.evaluate.methods import EVERYONE, ORACLE, of_kind

HORIZON = (0.5, 1.5)  # years since the visit that is carried forward
UNCHANGED = 0.1  # percentage points of extent a year, the most that any patient of a set without change shows


def change_signal(table: pd.DataFrame, window: tuple[float, float]) -> dict[str, dict[str, float | None]]:
    """Per set of forecast.tsv, at horizons of 0.5 to 1.5 years: LOCF's error, and how much of it is disease.

    `rms_hu` is the root mean square in the lung, the mean over patients; `disease_share` the mean square of the
    noise-free change over that of the observed one, None where there is no simulated truth. Both tasks count; a pair of
    visits that occurs in both counts once.
    """
    low, high = HORIZON
    carried = table[(table["method"] == "locf") & (table["region"] == "lung")]
    carried = carried[(carried["horizon"] >= low) & (carried["horizon"] < high)]
    carried = carried.drop_duplicates(["subject", "session", "horizon"])
    found = {}
    for name, part in carried.groupby("set"):
        patients = part.groupby("subject")[["mse", "true_change"]].mean()
        told = patients.dropna()
        found[name] = {
            "rms_hu": float(np.sqrt(patients["mse"].mean()) * (window[1] - window[0])),
            "disease_share": float(told["true_change"].sum() / told["mse"].sum()) if len(told) else None,
            "patients": len(patients),
            "targets": len(part),
        }
    return found


def unchanged_sets(table: pd.DataFrame) -> list[str]:
    """Sets of forecast.tsv in which a simulated truth shows no patient changing."""
    known = table[table["true_change"].notna()]
    most = known["extent_per_year"].abs().groupby(known["set"]).max()
    return list(most.index[most < UNCHANGED])


def better_than(reference: str, differences: pd.DataFrame, name: str) -> list[str]:
    """Methods whose in-lung squared error of extrapolation in the set is below the reference's, interval and all.

    In a set without change whatever averages the noise of several scans is better than the blurred last scan, and
    nothing should be better than the blurred mean of the given scans.
    """
    whole = {"set": name, "task": "extrapolation", **EVERYONE, "region": "lung", "measure": "mse"}
    rows = differences[differences["reference"] == reference]
    for column, value in whole.items():
        rows = rows[rows[column] == value]
    oracles = of_kind(ORACLE)
    return [row.method for row in rows.itertuples() if row.high < 0 and row.method not in oracles]
