"""Age, sex, smoking as numbers: learnt on the development patients (medians, levels), applied unchanged to all."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

REFERENCES = ("F", "never")  # a category's reference level where it is known; else the first in order


@dataclass(frozen=True)
class CovariateEncoder:
    """`numeric`: column -> median that replaces a missing value. `levels`: column -> (commonest level, which replaces a
    missing value, and the levels that have a 0/1 column of their own). `words`: what was imputed or dropped."""

    numeric: dict[str, float]
    levels: dict[str, tuple[str, list[str]]]
    words: tuple[str, ...]


def learn_encoder(table: pd.DataFrame, names: list[str], held_out: pd.DataFrame) -> CovariateEncoder:
    """Learn how to encode the columns `names` of the development patients' `table` (index subject).

    Of `held_out` patients (same columns) nothing is learnt but how many lack a value, for the words.
    """
    numeric, levels, words = {}, {}, []
    for name in names:
        column = _clean(table[name]) if name in table.columns else pd.Series(dtype=object)
        known = column.dropna()
        if known.empty:
            words.append(f"{name} is not known of any training patient and is left out")
            continue
        numbers = pd.to_numeric(known, errors="coerce")
        if numbers.notna().all():
            numeric[name], filler = float(numbers.median()), "the median"
        else:
            found = sorted(known.astype(str).unique())
            reference = next((level for level in REFERENCES if level in found), found[0])
            common = known.astype(str).mode().iloc[0]
            levels[name], filler = (common, [level for level in found if level != reference]), f"'{common}'"
        missing = len(column) - len(known)
        elsewhere = int(_clean(held_out[name]).isna().sum()) if name in held_out.columns else len(held_out)
        if missing or elsewhere:
            count = f"{missing} of {len(column)} training and {elsewhere} of {len(held_out)} other patients"
            words.append(f"{name} is missing in {count}; {filler} of the training patients stands in")
    return CovariateEncoder(numeric, levels, tuple(words))


def encode(encoder: CovariateEncoder, table: pd.DataFrame) -> pd.DataFrame:
    """Floats with the index of `table`: numeric columns as they are, categories as 0/1 columns like smoking_ex."""
    columns = {}
    for name, median in encoder.numeric.items():
        values = _clean(table[name]) if name in table.columns else pd.Series(np.nan, index=table.index)
        columns[name] = pd.to_numeric(values, errors="coerce").astype(float).fillna(median)
    for name, (common, shown) in encoder.levels.items():
        values = _clean(table[name]).fillna(common) if name in table.columns else pd.Series(common, index=table.index)
        for level in shown:
            columns[f"{name}_{level}"] = (values.astype(str) == level).astype(float)
    return pd.DataFrame(columns, index=table.index, dtype=float)


def gap_points(table: pd.DataFrame) -> pd.Series:
    """GAP index, 0 to 8 points, of gender, age and physiology (Ley 2012); NaN where one of the four is missing.

    `table`: sex (M/F), age (years), fvc_pct and dlco_pct (percent of predicted). A DLCO that could not be performed (3
    points) cannot be told from a missing one and counts as missing.
    """
    columns = ["sex", "age", "fvc_pct", "dlco_pct"]
    if not set(columns) <= set(table.columns):
        return pd.Series(np.nan, index=table.index)
    age, fvc, dlco = (pd.to_numeric(table[name], errors="coerce") for name in columns[1:])
    sex = _clean(table["sex"])
    points = (
        (sex == "M").astype(float) + (age > 60) + (age > 65) + (fvc <= 75) + (fvc < 50) + (dlco <= 55) + (dlco <= 35)
    )
    return points.where(sex.isin(["M", "F"]) & age.notna() & fvc.notna() & dlco.notna())


def _clean(column: pd.Series) -> pd.Series:
    return column.replace({"": None, "n/a": None}).astype(object).where(lambda values: values.notna(), None)
