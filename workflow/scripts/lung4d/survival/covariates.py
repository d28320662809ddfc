"""Age, sex, smoking as numbers: learnt on the development patients (medians, levels), applied unchanged to all.

A value that is not known is imputed, and said. A value that is known but that no development patient has is neither of
theirs nor unknown: nothing was learnt of it, and it stays NaN.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

REFERENCES = ("F", "never")  # a category's reference level where it is known; else the first in order


@dataclass(frozen=True)
class CovariateEncoder:
    """`numeric`: column -> median that replaces a missing value. `levels`: column -> (commonest level, which replaces a
    missing value, the reference level, levels that have a 0/1 column of their own). `words`: what was imputed or left
    out."""

    numeric: dict[str, float]
    levels: dict[str, tuple[str, str, list[str]]]
    words: tuple[str, ...]


def learn_encoder(table: pd.DataFrame, names: list[str], held_out: pd.DataFrame) -> CovariateEncoder:
    """Learn how to encode the columns `names` of the development patients' `table` (index subject).

    Of `held_out` patients (same columns) nothing is learnt but how many lack a value or have one of their own, for the
    words.
    """
    numeric: dict[str, float] = {}
    levels: dict[str, tuple[str, str, list[str]]] = {}
    words: list[str] = []
    for name in names:
        column, others = _column(table, name), _column(held_out, name)
        known = column.dropna()
        if known.empty:
            words.append(f"{name} is not known of any training patient and is left out")
            continue
        numbers = pd.to_numeric(known, errors="coerce")
        if numbers.notna().all():
            numeric[name], filler = float(numbers.median()), "the median"
            strange = others[others.notna() & pd.to_numeric(others, errors="coerce").isna()]
        else:
            found = sorted(known.astype(str).unique())
            if len(found) == 1:
                words.append(f"{name} is {found[0]} in every training patient of whom it is known and is left out")
                continue
            reference = next((level for level in REFERENCES if level in found), found[0])
            common = known.astype(str).mode().iloc[0]
            levels[name], filler = (common, reference, [x for x in found if x != reference]), f"'{common}'"
            strange = others[others.notna() & ~others.astype(str).isin(found)]
        words += _said(name, column, others, filler, strange)
    return CovariateEncoder(numeric, levels, tuple(words))


def _said(name: str, column: pd.Series, others: pd.Series, filler: str, strange: pd.Series) -> list[str]:
    """Sentences on who lacks a value, and on held-out patients with a `strange` one, which no training patient has."""
    words = []
    missing, elsewhere = int(column.isna().sum()), int(others.isna().sum())
    if missing or elsewhere:
        count = f"{missing} of {len(column)} training and {elsewhere} of {len(others)} other patients"
        words.append(f"{name} is missing in {count}; {filler} of the training patients stands in")
    if len(strange):
        values = " or ".join(sorted(strange.astype(str).unique()))
        words.append(
            f"{name} is {values} in {len(strange)} of {len(others)} other patients and in no training patient; models "
            f"with {name} leave them out"
        )
    return words


def encode(encoder: CovariateEncoder, table: pd.DataFrame) -> pd.DataFrame:
    """Floats with the index of `table`: numeric columns as they are, categories as 0/1 columns like smoking_ex.

    NaN where a patient has a value that no development patient has.
    """
    columns = {}
    for name, median in encoder.numeric.items():
        values = _column(table, name)
        numbers = pd.to_numeric(values, errors="coerce").astype(float)
        columns[name] = numbers.where(values.notna(), median)
    for name, (common, reference, shown) in encoder.levels.items():
        values = _column(table, name)
        texts = values.where(values.notna(), common).astype(str)
        for level in shown:
            columns[f"{name}_{level}"] = (texts == level).astype(float).where(texts.isin([reference, *shown]))
    return pd.DataFrame(columns, index=table.index, dtype=float)


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    """The column with None for what is not known, all of it where the table has no such column."""
    return _clean(table[name]) if name in table.columns else pd.Series(None, index=table.index, dtype=object)


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
