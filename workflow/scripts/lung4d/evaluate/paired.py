"""What is compared between methods: means by patient, and differences paired by patient with their intervals."""

import numpy as np
import pandas as pd

from lung4d.metrics import Interval, paired_bootstraps

# Signed in forecast.tsv, their size counts here.
ABSOLUTE = ["density_error_hu", "high_attenuation_error", "extent_error", "extent_error_noisefree"]


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
