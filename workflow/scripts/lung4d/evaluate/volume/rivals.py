"""Forecasts of lung volume from the volumes of the given scans: what a model's forecast must beat.

Two targets: the volume as it was measured, in whatever breath the scan was taken, and in a simulated cohort with lung
function the volume at full breath. A scan is taken at less than full breath, so each forecast stands a second time,
times one factor that was chosen on val patients.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lung4d.visits.patient import PatientVisits

ScanKey = tuple[str, str]  # subject, session

MEASURED, FULL = "as measured", "at full breath"
TARGETS = (MEASURED, FULL)
GIVEN = 2  # first visits, from which all later ones are forecast
WEIGHTS = np.linspace(0, 1, 21)


@dataclass(frozen=True)
class VolumeSeries:
    """A patient's visits with a known volume, in the order of time: years (n,), `volumes` (n,) in ml by target; `made`
    (n, 3) in ml, what the model foretells and the ends of its band, NaN of the given visits, (0, 3) without a model."""

    subject: str
    split: str
    set: str
    years: np.ndarray
    volumes: Mapping[str, np.ndarray]
    made: np.ndarray = field(default_factory=lambda: np.empty((0, 3)))


@dataclass(frozen=True)
class CohortSlope:
    """From other patients: the median change a year (ml) of so many train patients, and the weight of the given volumes
    but the last, the rest being the last one's."""

    slope: float
    slope_patients: int
    weight: float = 0.0


# (years (n,) and volumes (n,) of the given visits, year asked for, what was learned) -> ml
Rival = Callable[[np.ndarray, np.ndarray, float, CohortSlope], float]


def last_value(years: np.ndarray, volumes: np.ndarray, year: float, learned: CohortSlope) -> float:
    return float(volumes[-1])


def last_with_slope(years: np.ndarray, volumes: np.ndarray, year: float, learned: CohortSlope) -> float:
    """The last volume plus the cohort's change a year."""
    return float(volumes[-1] + learned.slope * (year - years[-1]))


def weighted_with_slope(years: np.ndarray, volumes: np.ndarray, year: float, learned: CohortSlope) -> float:
    """The given volumes, weighted, plus the cohort's change a year: breath differs from scan to scan."""
    start = (1 - learned.weight) * volumes[-1] + learned.weight * volumes[:-1].mean()
    return float(start + learned.slope * (year - years[-1]))


RIVALS: dict[str, Rival] = {
    "last value": last_value,
    "last value and cohort's slope": last_with_slope,
    "weighted mean and cohort's slope": weighted_with_slope,
}


def volume_series(
    patients: Iterable[PatientVisits],
    measured: Mapping[ScanKey, float],
    full: Mapping[ScanKey, float],
    made: Mapping[ScanKey, np.ndarray],
) -> list[VolumeSeries]:
    """From volumes in ml by scan; visits without a measured one are left out, `full` may be unknown (NaN); `made`: what
    the model foretells (3,), where it does."""
    found = []
    for patient in patients:
        kept = [number for number, scan in enumerate(patient.scans) if np.isfinite(measured.get(scan.key, np.nan))]
        volumes = {
            target: np.array([known.get(patient.scans[number].key, np.nan) for number in kept])
            for target, known in ((MEASURED, measured), (FULL, full))
        }
        own = [made.get(patient.scans[number].key, np.full(3, np.nan)) for number in kept]
        foretold = np.array(own).reshape(-1, 3) if np.isfinite(own).any() else np.empty((0, 3))
        found.append(VolumeSeries(patient.subject, patient.split, patient.set, patient.years[kept], volumes, foretold))
    return found


@dataclass(frozen=True)
class FittedRival:
    """A rival with what it learned, times `factor`; weight and factor were chosen on so many patients of `split`, ""
    where none could serve."""

    name: str
    rival: Rival
    learned: CohortSlope
    factor: float = 1.0
    split: str = ""
    patients: int = 0

    def foretold(self, series: VolumeSeries, target: str) -> np.ndarray:
        """Forecast and truth (2, visits) in ml of the later visits whose truth is known, from the first GIVEN."""
        given, true = series.volumes[MEASURED][:GIVEN], series.volumes[target][GIVEN:]
        years, later = series.years[:GIVEN], series.years[GIVEN:]
        made = [self.factor * self.rival(years, given, float(year), self.learned) for year in later]
        return np.array([made, true]).reshape(2, -1)[:, np.isfinite(true)]


def methods_for(everyone: Sequence[VolumeSeries], target: str) -> list[FittedRival]:
    """All RIVALS as they are, then times a factor: none of them where no patient could choose one.

    The slope comes from train patients. Weight and factor have the least mean absolute error on val patients, on train
    patients where none of these has a later visit; every patient has the same weight.
    """
    learned = slope_of(everyone)
    for split in ("val", "train"):
        own = [one for one in everyone if one.split == split and np.isfinite(one.volumes[target][GIVEN:]).any()]
        if own:
            start = [FittedRival(name, rival, learned, 1.0, split, len(own)) for name, rival in RIVALS.items()]
            scaled = [replace(one, name=f"{one.name}, times a factor") for one in start]
            plain = [_best(own, target, one) for one in start]
            return plain + [_best(own, target, one, scale=True) for one in scaled]
    return [FittedRival(name, rival, learned) for name, rival in RIVALS.items()]


def slope_of(everyone: Iterable[VolumeSeries]) -> CohortSlope:
    """The median change a year of the train patients with two visits; 0 without any."""
    slopes = [
        (one.volumes[MEASURED][-1] - one.volumes[MEASURED][0]) / (one.years[-1] - one.years[0])
        for one in everyone
        if one.split == "train" and len(one.years) > 1 and one.years[-1] > one.years[0]
    ]
    return CohortSlope(float(np.median(slopes)) if slopes else 0.0, len(slopes))


def _best(own: Sequence[VolumeSeries], target: str, method: FittedRival, scale: bool = False) -> FittedRival:
    """The method with the weight, and where it may `scale` the factor, of least mean absolute error."""
    candidates = [replace(method, learned=replace(method.learned, weight=float(weight))) for weight in WEIGHTS]
    if method.rival is not weighted_with_slope:
        candidates = [method]
    if scale:
        candidates = [
            replace(one, factor=_best_factor([one.foretold(each, target) for each in own])) for one in candidates
        ]
    errors = [np.mean([np.abs(np.subtract(*one.foretold(each, target))).mean() for each in own]) for one in candidates]
    return candidates[int(np.argmin(errors))]


def _best_factor(made: Sequence[np.ndarray]) -> float:
    """The factor f of least mean |true - f forecast|: the median of true / forecast, weighted by the forecasts."""
    forecast, true = np.concatenate(made, axis=1)
    weight = np.concatenate([one[0] / one.shape[1] for one in made])
    order = np.argsort(true / forecast)
    half = np.searchsorted(np.cumsum(weight[order]), weight.sum() / 2)
    return float((true / forecast)[order][half])
