"""Lung volume over the years, in ml, at the breath in which the patient's scans were taken.

Registration takes the change of volume away, so a generated scan lies in the baseline's lung; the volume is foretold
beside it. From the given visits, of years t_i, volumes V_i and dense shares x_i (HIGH_ATTENUATION, percent):

    log V(t) = mean log V_i + a (t - mean t_i) + b (x(t) - x) + c (x - mean x_i)

x(t) is the dense share of the scan that the disease model draws for t, x that of the given scan nearest to t. The mean
of the given volumes stands for the patient's usual breath, which no scan tells and which differs from scan to scan by
more than a year of disease; a, b and c are the same for all patients. They are fitted to forecasts of visits that the
model had not seen (`calibration.held_out_residuals`), and not to the dense shares that were seen at those visits: a
deep breath thins the dense lung of one scan as it widens its volume, and would count as disease. So b is what a
forecast of dense lung is worth, with all its errors. How dense the healthy tissue is, which tells the breaths of two
given scans apart to 1 or 2 %, was tried and foretells nothing more: the breath of the scan to come is unknown. Bands
are those of `lung4d.ode.calibration`, around log V.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lung4d.biomarkers.measures import lung_volumes
from lung4d.io.names import LUNG_MASK, scan_file
from lung4d.ode.calibration import COLUMNS, FEWEST, MEASURES, Band, band_of, fit_bands
from lung4d.visits.patient import PatientVisits
from lung4d.visits.times import Years, as_years

VOLUMES = ("lung_volume_ml", "lung_volume_lower_ml")
DENSE = MEASURES[1]
FOLDS = 5
ROUNDS, NEAR = 30, 0.01  # of reweighting; deviations of log V below which all count alike

Lungs = dict[str, np.ndarray]  # by VOLUMES, (n,) ml of n visits


@dataclass(frozen=True)
class VolumeModel:
    """Of one of VOLUMES: a, b and c of the equation, per year and per percentage point of dense lung, and the bands
    around log V from one visit and from more, None where there were too few patients."""

    per_year: float
    per_dense: float
    per_seen: float
    bands: tuple[Band, Band] | None

    def forecast(self, given: "GivenVolumes", years: Years, dense: np.ndarray) -> np.ndarray:
        """Forecast, lower and upper end of the 90 % band (m, 3) in ml at `years` (m,), of which `dense` (m,) percent
        is foretold; NaN where a number that it needs is."""
        years = as_years(years)
        usual = np.log(given.volumes).mean()
        expected = usual + given.features(years, dense) @ (self.per_year, self.per_dense, self.per_seen)
        ends = (np.full(len(years), np.nan),) * 2
        if self.bands is not None:
            band = self.bands[min(len(np.unique(given.years)), 2) - 1]
            ends = band.around(expected, given.gaps(years), usual)
        return np.exp(np.stack([expected, *ends], 1))

    @classmethod
    def of(cls, rows: pd.DataFrame) -> "VolumeModel":
        """From the rows of `held_out_volumes`, every patient with the same weight.

        The bands' residuals are those of patients whom a, b and c were not fitted to, where there are enough.
        """
        subjects = sorted(rows["subject"].unique())
        folds = FOLDS if len(subjects) >= 2 * FOLDS else 1
        fold = rows["subject"].map({subject: place % folds for place, subject in enumerate(subjects)})
        expected = rows["at_hand"].copy()
        for number in range(folds):
            own = fold == number
            fitted = _coefficients(rows if folds == 1 else rows[~own])
            expected[own] += rows.loc[own, FEATURES].to_numpy(float) @ fitted
        judged = rows.assign(forecast=expected, measure="log")[COLUMNS]
        a, b, c = map(float, _coefficients(rows))
        return cls(a, b, c, fit_bands(judged).get("log"))

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "VolumeModel":
        bands = record["bands"] and tuple(map(band_of, record["bands"]))
        return cls(record["per_year"], record["per_dense"], record["per_seen"], bands)


FEATURES = ["years_on", "dense_on", "dense_seen"]


@dataclass(frozen=True)
class GivenVolumes:
    """n given visits: years (n,), one of VOLUMES (n,) in ml, and dense lung (n,) in percent."""

    years: np.ndarray
    volumes: np.ndarray
    dense: np.ndarray

    def features(self, years: np.ndarray, dense: np.ndarray) -> np.ndarray:
        """What a, b and c are times (m, 3), at `years` (m,) with `dense` (m,) percent foretold."""
        near = self.dense[np.abs(years[:, None] - self.years).argmin(1)]
        return np.stack([years - self.years.mean(), dense - near, near - self.dense.mean()], 1)

    def gaps(self, years: np.ndarray) -> np.ndarray:
        """Years (m,) from `years` (m,) to the nearest given visit."""
        return np.abs(years[:, None] - self.years).min(1)


def lungs_of(patient: PatientVisits, segmented: str | Path) -> Lungs:
    """The volumes at all visits of a patient, from the masks on the scans' own grids in the folder of segment."""
    measured = [lung_volumes(scan_file(segmented, *scan.key, LUNG_MASK)) for scan in patient.scans]
    return dict(zip(VOLUMES, np.array(measured, float).reshape(-1, len(VOLUMES)).T, strict=True))


def held_out_volumes(residuals: pd.DataFrame, known: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> pd.DataFrame:
    """What VolumeModel is fitted to: a row per forecast of `residuals`, as `calibration.held_out_residuals` has them.

    known: years (n,) and volume (n,) in ml of the visits by subject. Columns: those of the residuals without measure
    and forecast, `observed` the log of the volume that was seen, `at_hand` the mean log of the given ones, and
    FEATURES. Visits at one time count as one; rows without a volume are left out.
    """
    made = []
    for subject, own in residuals[residuals["measure"] == DENSE].groupby("subject"):
        if subject in known:
            years, logs = _merged(*known[subject])
            given = own.drop_duplicates("given").sort_values("given")
            last = (given["years"] - given["gap"]).to_numpy(), given["at_hand"].to_numpy()
            made += [_held_out(row, years, logs, last) for row in own.to_dict("records")]
    kept = [name for name in COLUMNS if name not in ("measure", "forecast")]
    return pd.DataFrame(made, columns=[*kept, *FEATURES]).dropna()


def _held_out(row: dict[str, Any], years: np.ndarray, logs: np.ndarray, last: tuple[np.ndarray, ...]) -> dict[str, Any]:
    """`last`: years and dense share of the last given visit, by the number of given ones, from one on."""
    count, places = row["given"], [int(np.abs(years - year).argmin()) for year in last[0][: row["given"]]]
    given = GivenVolumes(last[0][:count], np.exp(logs[places]), last[1][:count])
    told = given.features(np.array([row["years"]]), np.array([row["forecast"]]))[0]
    seen = logs[np.abs(years - row["years"]).argmin()]
    return {**row, "observed": seen, "at_hand": logs[places].mean(), **dict(zip(FEATURES, told, strict=True))}


def _merged(years: np.ndarray, volumes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct years (m,), ascending, and the mean log volume (m,) at each; NaN where a volume is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.asarray(volumes, float))
    logs[~np.isfinite(logs)] = np.nan
    rounded = as_years(years)
    distinct = np.unique(rounded)
    return distinct, np.array([logs[rounded == year].mean() for year in distinct])


def _coefficients(rows: pd.DataFrame) -> np.ndarray:
    """a, b and c (3,) of the least absolute deviations, which few acute exacerbations do not bend, by least squares
    that are weighted anew (Schlossmacher, JASA 1973); a feature that never differs from 0 has none."""
    patient = 1 / rows.groupby("subject")["subject"].transform("size").to_numpy()
    change, told = (rows["observed"] - rows["at_hand"]).to_numpy(), rows[FEATURES].to_numpy(float)
    found, weight = np.zeros(len(FEATURES)), patient
    for _ in range(ROUNDS):
        root = np.sqrt(weight)
        found = np.linalg.lstsq(told * root[:, None], change * root, rcond=1e-9)[0]
        weight = patient / np.maximum(np.abs(change - told @ found), NEAR)
    return found


@dataclass(frozen=True)
class VolumeModels:
    """What a model file holds of lung volume: a VolumeModel each of VOLUMES, none in files that are older than that."""

    models: dict[str, VolumeModel]

    @classmethod
    def of(cls, residuals: pd.DataFrame, patients: Iterable[PatientVisits], segmented: str | Path) -> "VolumeModels":
        """From the forecasts in `residuals` of these patients, whose masks lie in the folder of segment."""
        judged = set(residuals["subject"])
        lungs = {one.subject: (one.years, lungs_of(one, segmented)) for one in patients if one.subject in judged}
        models = {}
        for name in VOLUMES:
            known = {subject: (years, volumes[name]) for subject, (years, volumes) in lungs.items()}
            rows = held_out_volumes(residuals, known)
            if len(rows) >= FEWEST:
                models[name] = VolumeModel.of(rows)
        return cls(models)

    def forecast(
        self, lungs: Lungs, given_years: Years, given_dense: np.ndarray, years: Years, dense: np.ndarray
    ) -> Lungs:
        """By VOLUMES forecast and ends of the band (m, 3) in ml at `years` (m,), of which `dense` (m,) percent is
        foretold, from n visits with given_years (n,), given_dense (n,) in percent, and volumes; NaN where there is no
        model."""
        made = {}
        for name in VOLUMES:
            made[name] = np.full((len(years), 3), np.nan)
            if name in self.models and name in lungs and (lungs[name] > 0).all():
                given = GivenVolumes(as_years(given_years), lungs[name], np.asarray(given_dense, float))
                made[name] = self.models[name].forecast(given, years, np.asarray(dense, float))
        return made

    def record(self) -> dict[str, Any]:
        """Plain numbers; `from_record` is the way back."""
        return {name: asdict(model) for name, model in self.models.items()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "VolumeModels":
        return cls({name: VolumeModel.from_record(model) for name, model in record.items()})
