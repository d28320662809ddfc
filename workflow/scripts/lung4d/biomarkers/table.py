"""The table of biomarkers: what `biomarkers` writes and `survival` reads, with nothing but pandas."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from lung4d.biomarkers.repeats import below_floor, floor_of

KEYS = ["subject", "kind", "session", "given", "years"]
DENSITIES = ["mean_density_hu", "high_attenuation_percent"]
CORRECTED = [f"{measure}_corrected" for measure in DENSITIES]  # for the depth of breath
READOUTS = [*DENSITIES, *CORRECTED, "skewness", "kurtosis", "lung_volume_ml"]
FLOORED = "mean_density_hu"  # the read-out of generated scans of which it is known what repeat scans differ by
BEHIND = f"{FLOORED}_patients"
ENOUGH_PATIENTS = 10  # behind a band; of fewer it tells little about a forecast like theirs
FLOOR_COLUMNS = [f"{FLOORED}_{what}" for what in ("change", "floor", "below", "evidence")]
FORETOLD = ["lung_volume_ml", "lung_volume_lower_ml"]  # volumes that are foretold beside the generated scans
LOWER = FORETOLD[1]  # of the lung's lowest third, in ml
OTHERWISE = "differs_in"  # of a real scan: in what it was taken otherwise than its baseline


def biomarker_table(rows: Iterable[dict[str, object]]) -> pd.DataFrame:
    """One row per scan: keys, read-outs, LOWER, OTHERWISE, then `code_000`... up to the highest code of any scan.

    `rows` are the dictionaries of `biomarkers.measure` with the five keys and `lung_volume_ml` added, and LOWER and
    OTHERWISE where they are known; `frequencies` may differ in length: codes above the highest of a scan are zero.
    Columns exist even where there is no row.
    """
    rows = list(rows)
    frequencies = [np.asarray(row["frequencies"]) for row in rows]
    codes = max((len(values) for values in frequencies), default=0)
    padded = np.zeros((len(rows), codes))
    for line, values in zip(padded, frequencies, strict=True):
        line[: len(values)] = values
        line[len(values) :] = np.nan if np.isnan(values).any() else 0.0
    names = [f"code_{code:03d}" for code in range(codes)]
    keys = pd.DataFrame([{key: row[key] for key in KEYS + READOUTS} for row in rows], columns=KEYS + READOUTS)
    keys = keys.astype({"years": float} | dict.fromkeys(READOUTS, float))
    keys[LOWER] = pd.Series([row.get(LOWER, np.nan) for row in rows], dtype=float)
    keys[OTHERWISE] = pd.Series([row.get(OTHERWISE, "") for row in rows], dtype=object)
    return pd.concat([keys, pd.DataFrame(padded, columns=names)], axis=1)


def readout_table(table: pd.DataFrame, trajectories: pd.DataFrame) -> pd.DataFrame:
    """The columns of a biomarker table that a clinician reads, a patient's scans in the order of time.

    With them, of generated scans, the ends of the 90 % bands (`<measure>_low`, `<measure>_high`) that stand in the
    tables of all `trajectories` (subject, given, years, bands), of the densities how many patients with such forecasts
    stand behind them (`<measure>_patients`), what is FORETOLD of the lung's volume with its bands
    (`<volume>_forecast`; the generated scan itself lies in the baseline's lung), and of those after the last given scan
    the change of FLOORED since it (`_change`), what repeat scans differ by (`_floor`), and which of the change and half
    of the band is below that (`_below`), and whether few patients stand behind the band (`_evidence`).
    """
    ends = [f"{measure}_{end}" for measure in DENSITIES for end in ("low", "high", "patients")]
    ends += [f"{volume}_{part}" for volume in FORETOLD for part in ("forecast", "low", "high")]
    bands = trajectories.reindex(columns=["subject", "given", "years", *ends]).assign(kind="generated")
    bands["years"] = bands["years"].astype(float)
    readouts = table.reindex(columns=[*KEYS, *READOUTS, LOWER, OTHERWISE])
    readouts = readouts.merge(bands, how="left", on=["subject", "kind", "given", "years"])
    readouts = readouts.sort_values(["subject", "kind", "given", "years"], ignore_index=True)
    told = [_beside_floor(row, readouts) for row in readouts.to_dict("records")]
    return readouts.join(pd.DataFrame(told, columns=FLOOR_COLUMNS, index=readouts.index))


def _beside_floor(row: dict[str, Any], readouts: pd.DataFrame) -> tuple[float, float, str, str]:
    """FLOOR_COLUMNS of a generated scan after the last given one; nothing of other scans."""
    own = readouts[(readouts["subject"] == row["subject"]) & readouts["session"].isin(str(row["given"]).split("+"))]
    given = own[own["kind"] == "real"]
    if row["kind"] != "generated" or given.empty or not row["years"] > given["years"].iloc[-1]:
        return np.nan, np.nan, "", ""
    change = row[FLOORED] - given[FLOORED].iloc[-1]
    width = row[f"{FLOORED}_high"] - row[f"{FLOORED}_low"]
    few = f"the band knows {row[BEHIND]:.0f} patients with such forecasts" if row[BEHIND] < ENOUGH_PATIENTS else ""
    return change, floor_of(FLOORED), below_floor(FLOORED, change, width), few


def code_columns(table: pd.DataFrame) -> list[str]:
    """The code columns of a biomarker table, in order."""
    return [column for column in table.columns if column.startswith("code_")]
