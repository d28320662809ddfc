"""How far off forecasts are, and the bands that say so.

The residuals of the training patients come from the member of the ensemble that never saw them, those of the `val`
patients from all members. A band around a forecast is the forecast plus two quantiles of the residuals, each residual
counted in its own scale s, which grows with the time since the scan at hand and with the change that is forecast:

    s^2 = a^2 + (b gap)^2 + (c change)^2

So the coverage is that of the residuals themselves (split conformal prediction, Lei et al. 2018), whatever the scale;
the scale only makes a band narrow where it can be. One scan does not tell how fast the disease goes, two do, so
forecasts from one scan and from more have bands of their own (Mondrian conformal prediction, Vovk et al. 2005). So have
near and far forecasts, and those of slow and of fast change: thirds of the residuals by years and by the change a year
that is forecast. Such a group has few patients, so its quantiles are drawn towards those of all by the number of them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import optimize

from lung4d.biomarkers.measures import lung_density
from lung4d.io.volumes import from_unit
from lung4d.ode.ensemble import Ensemble
from lung4d.ode.observed import VisitTensors

MEASURES = ("mean_density_hu", "high_attenuation_percent")
COVERAGE = 0.9
FEWEST = 20  # residuals; with fewer the outermost quantiles are guesses, and there is no band
PARTS = 3  # of the residuals, by years and by pace
DRAWN_BY = 20  # patients; a group of as many is as far from its own quantiles as from those of all
FEWEST_PATIENTS = 5  # of a group that has quantiles of its own at all
SHORTEST = 0.5  # years over which a change a year is counted at least
COLUMNS = ["subject", "split", "given", "years", "gap", "measure", "observed", "forecast", "at_hand"]

Numbers = np.ndarray | float


@dataclass(frozen=True)
class BandGroup:
    """Quantiles for forecasts up to `gap` years ahead of up to `pace` a year, and of how many patients they are."""

    gap: float
    pace: float
    low: float
    high: float
    patients: int


@dataclass(frozen=True)
class Band:
    """Of one measure: the scale's a, b (per year) and c, and the residuals' quantiles in units of the scale.

    groups: what holds for nearer and slower forecasts instead, the narrowest groups first; a forecast belongs to the
    first that holds it.
    """

    a: float
    b: float
    c: float
    low: float
    high: float
    residuals: int
    groups: tuple[BandGroup, ...] = ()

    def scale(self, gap: Numbers, change: Numbers) -> Any:
        return np.sqrt(self.a**2 + (self.b * gap) ** 2 + (self.c * change) ** 2)

    def around(self, forecast: Numbers, gap: Numbers, at_hand: Numbers) -> tuple[Any, Any]:
        """Lower and upper end around `forecast`, `gap` years from the scan at hand, whose own value is `at_hand`."""
        change = np.asarray(forecast - at_hand, float)
        scale = self.scale(gap, change)
        low, high = np.full(change.shape, self.low), np.full(change.shape, self.high)
        for group in reversed(self.groups):
            inside = (gap <= group.gap) & (change_a_year(change, gap) <= group.pace)
            low, high = np.where(inside, group.low, low), np.where(inside, group.high, high)
        return forecast + low * scale, forecast + high * scale

    def patients(self, forecast: float, gap: float, at_hand: float) -> int | None:
        """How many patients with forecasts like this one stand behind its band; None where they were not counted."""
        pace = float(change_a_year(forecast - at_hand, gap))
        return next((one.patients for one in self.groups if gap <= one.gap and pace <= one.pace), None)


def change_a_year(change: Numbers, gap: Numbers) -> Any:
    """A change over `gap` years as change a year."""
    return change / np.maximum(gap, SHORTEST)


def held_out_residuals(
    patients: Iterable[VisitTensors], model_of: Mapping[str, Ensemble], window: tuple[float, float]
) -> tuple[pd.DataFrame, float]:
    """Forecasts of every visit from every shorter series of the patient's first visits, against what was seen.

    model_of: the model that may judge each patient, by subject; patients without one are left out. Returns a table,
    one row per patient, number of visits given, visit asked for and measure (gap: years since the last visit given;
    at_hand: its measure), and how many predicted standard deviations hold COVERAGE of the voxels (NaN without a
    forecast that draws).
    """
    rows, ratios = [], []
    for patient in patients:
        if patient.subject in model_of and model_of[patient.subject].settings.maps:
            of_patient, ratio = _residuals_of(patient, model_of[patient.subject], window)
            rows += of_patient
            ratios.append(ratio)
    return pd.DataFrame(rows, columns=COLUMNS), float(np.mean(ratios)) if ratios else float("nan")


def _residuals_of(patient: VisitTensors, model: Ensemble, window: tuple[float, float]) -> tuple[list[tuple], float]:
    visits = patient.observe().merged()
    observed = measures(visits.scans, visits.region, window)
    rows, ratios = [], []
    for count in range(1, len(visits)):
        years = visits.years[count:]
        forecast = model.forecast(visits.take(range(count)), years)
        error = (forecast.expected.cpu() - visits.scans[count:])[:, visits.region]
        ratio = error.abs() / forecast.variance.cpu()[:, visits.region].sqrt()
        ratios += [float(np.quantile(one.numpy(), COVERAGE)) for one in ratio]
        made = measures(forecast.drawn.cpu(), visits.region, window)
        for values, seen, year in zip(made, observed[count:], years, strict=True):
            keys = (patient.subject, patient.split, count, year, year - visits.years[count - 1])
            rows += [(*keys, *numbers) for numbers in zip(MEASURES, seen, values, observed[count - 1], strict=True)]
    return rows, float(np.mean(ratios))


def measures(scans: torch.Tensor, region: torch.Tensor, window: tuple[float, float]) -> list[tuple[float, ...]]:
    """MEASURES of each of the scans (n, D, H, W) on the unit scale, in the region (D, H, W)."""
    return [lung_density(from_unit(scan.numpy(), window), region.numpy()) for scan in scans]


def fit_bands(table: pd.DataFrame) -> dict[str, tuple[Band, Band]]:
    """Two bands for each measure of the table of `judge_forecasts`: around forecasts from one scan, and from more.

    None where there are too few residuals; where there are too few of one kind, its band is that of all. Every patient
    has the same weight, however many visits it has.
    """
    bands: dict[str, Any] = {}
    for measure, rows in table.groupby("measure"):
        if len(rows) >= FEWEST:
            kinds = rows[rows["given"] == 1], rows[rows["given"] > 1]
            bands[measure] = tuple(_fit_band(kind if len(kind) >= FEWEST else rows) for kind in kinds)
    return bands


def _fit_band(rows: pd.DataFrame) -> Band:
    weight = _weights(rows)
    residual = (rows["observed"] - rows["forecast"]).to_numpy()
    change = (rows["forecast"] - rows["at_hand"]).to_numpy()
    a, b, c = _fit_scale(residual, rows["gap"].to_numpy(), change, weight)
    scaled = residual / Band(a, b, c, 0, 0, 0).scale(rows["gap"].to_numpy(), change)
    whole = _outermost(scaled, rows)
    return Band(a, b, c, *whole, len(rows), tuple(_groups(rows, scaled, change, whole)))


def _groups(
    rows: pd.DataFrame, scaled: np.ndarray, change: np.ndarray, whole: tuple[float, float]
) -> Iterator[BandGroup]:
    """Thirds by years, in each of them thirds by pace; their quantiles, drawn towards the `whole`."""
    gap, weight = rows["gap"].to_numpy(), _weights(rows)
    pace = change_a_year(change, gap)
    after = -np.inf
    for gap_end in _ends(gap, weight):
        near = (gap > after) & (gap <= gap_end)
        after = gap_end
        slower = -np.inf
        for pace_end in _ends(pace[near], weight[near]) if near.any() else ():
            own = near & (pace > slower) & (pace <= pace_end)
            slower = pace_end
            patients, low, high = rows[own]["subject"].nunique(), *whole
            if patients >= FEWEST_PATIENTS:
                share = patients / (patients + DRAWN_BY)
                ends = zip(_outermost(scaled[own], rows[own]), whole, strict=True)
                low, high = (share * mine + (1 - share) * of_all for mine, of_all in ends)
            yield BandGroup(float(gap_end), float(pace_end), low, high, patients)


def _ends(values: np.ndarray, weight: np.ndarray) -> list[float]:
    """Upper ends of PARTS of the values; the last has none."""
    return [_quantile(values, weight, part / PARTS) for part in range(1, PARTS)] + [np.inf]


def _fit_scale(residual: np.ndarray, gap: np.ndarray, change: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
    """a, b and c by maximum likelihood of normal residuals around their median."""
    spread = max(float(np.sqrt((weight * residual**2).sum())), 1e-6)
    residual = residual - np.median(residual)

    def loss(logs: np.ndarray) -> float:
        a, b, c = np.exp(logs)
        variance = a**2 + (b * gap) ** 2 + (c * change) ** 2
        return float((weight * (np.log(variance) + residual**2 / variance)).sum())

    start = np.log([spread / 2, spread / 2, 0.3])
    bounds = [(np.log(spread / 50), np.log(10 * spread))] * 2 + [(np.log(1e-3), np.log(10.0))]
    return tuple(np.exp(optimize.minimize(loss, start, method="L-BFGS-B", bounds=bounds).x).tolist())


def _quantile(values: np.ndarray, weight: np.ndarray, q: float) -> float:
    """Weighted quantile: the value below which the share `q` of the weight lies, linear in between."""
    order = np.argsort(values)
    cumulative = np.cumsum(weight[order]) - weight[order] / 2
    return float(np.interp(q * weight.sum(), cumulative, values[order]))


def _weights(rows: pd.DataFrame) -> np.ndarray:
    """Weights of residuals, with sum 1: each patient's the same."""
    weight = (1 / rows.groupby("subject")["subject"].transform("size")).to_numpy()
    return weight / weight.sum()


def _outermost(values: np.ndarray, rows: pd.DataFrame) -> tuple[float, float]:
    """The quantiles between which a value of one more patient lies with the chance COVERAGE: with n patients, a little
    further out than those of the n."""
    patients, weight = rows["subject"].nunique(), _weights(rows)
    upper = min((1 + COVERAGE) / 2 * (patients + 1) / patients, 1.0)
    return _quantile(values, weight, 1 - upper), _quantile(values, weight, upper)


def carried_bands(table: pd.DataFrame) -> dict[str, Band]:
    """Bands around the last given visit, carried forward: the plain quantiles of how far off that is. A forecast's
    band must be narrower to be worth anything."""
    bands = {}
    for measure, rows in table.groupby("measure"):
        if len(rows) >= FEWEST:
            low, high = _outermost((rows["observed"] - rows["at_hand"]).to_numpy(), rows)
            bands[measure] = Band(1.0, 0.0, 0.0, low, high, len(rows))
    return bands


@dataclass(frozen=True)
class Calibration:
    """What a model file holds of its own uncertainty, by measure: `bands` around forecasts from one scan and from more,
    `carried` around the carried visit; and `deviations`, the standard deviations that hold COVERAGE of the voxels (NaN:
    unknown)."""

    bands: dict[str, tuple[Band, Band]]
    carried: dict[str, Band]
    deviations: float

    @classmethod
    def of(cls, table: pd.DataFrame, deviations: float) -> "Calibration":
        return cls(fit_bands(table), carried_bands(table), deviations)

    def band(self, measure: str, given: int) -> Band | Any:
        """The band around a forecast from `given` visits at distinct times, None where there is none."""
        return self.bands[measure][min(given, 2) - 1] if measure in self.bands else None

    def record(self) -> dict[str, Any]:
        """Plain numbers; `from_record` is the way back."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Calibration":
        bands: dict[str, Any] = {name: tuple(map(band_of, pair)) for name, pair in record["bands"].items()}
        carried = {name: band_of(band) for name, band in record["carried"].items()}
        return cls(bands, carried, record["deviations"])


def band_of(record: Mapping[str, Any]) -> Band:
    """A band from its plain numbers, also one that was written before bands had groups."""
    return Band(**{**record, "groups": tuple(BandGroup(**group) for group in record.get("groups", ()))})
