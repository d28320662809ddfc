"""The disease model's forecast of lung volume beside its rivals: from the first GIVEN visits, with its 90 % band.

As measured it stands as the model file has it. At full breath it is taken times one factor, which comes from val
patients as the rivals' do, and its band comes from what it is then off by on them: a model file knows no full breath.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lung4d.evaluate.volume.rivals import GIVEN, MEASURED, CohortSlope, ScanKey, VolumeSeries
from lung4d.ode.calibration import COLUMNS, MEASURES, Band, fit_bands, measures
from lung4d.ode.ensemble import Ensemble
from lung4d.ode.volume import DENSE, VOLUMES, VolumeModels
from lung4d.visits.patient import PatientVisits

MODEL = "model"
TOTAL = VOLUMES[0]
NOTHING = CohortSlope(float("nan"), 0, float("nan"))  # it learns no slope of the cohort, and weighs all given visits


def foretold_volumes(
    patient: PatientVisits,
    measured: Mapping[ScanKey, float],
    ode: Ensemble,
    models: VolumeModels,
    window: tuple[float, float],
) -> dict[ScanKey, np.ndarray]:
    """Forecast and ends of its band (3,) in ml by scan, of the visits after the first GIVEN whose volume in ml is
    `measured`; none where the model file foretells no volume."""
    kept = [number for number, scan in enumerate(patient.scans) if np.isfinite(measured.get(scan.key, np.nan))]
    if TOTAL not in models.models or not ode.settings.maps or len(kept) <= GIVEN:
        return {}
    visits, later = ode.observe(patient), kept[GIVEN:]
    given, years = visits.take(kept[:GIVEN]), visits.years[later]
    volumes = {TOTAL: np.array([measured[patient.scans[number].key] for number in kept[:GIVEN]])}
    drawn = ode.forecast(given, years).drawn.cpu()
    at_hand, made = (
        np.array([values[MEASURES.index(DENSE)] for values in measures(scans, visits.region, window)])
        for scans in (given.scans, drawn)
    )
    found = models.forecast(volumes, given.years, at_hand, years, made)[TOTAL]
    return {patient.scans[number].key: row for number, row in zip(later, found, strict=True)}


@dataclass(frozen=True)
class FittedModel:
    """The model times `factor`, chosen on so many patients of `split`, "" where none could serve; `band` around the log
    of its forecast at full breath, None where none could be made."""

    factor: float = 1.0
    split: str = ""
    patients: int = 0
    band: Band | None = None
    name: str = MODEL
    learned: CohortSlope = NOTHING

    def foretold(self, series: VolumeSeries, target: str) -> np.ndarray:
        """Forecast and truth (2, visits) in ml of the later visits whose truth is known, from the first GIVEN."""
        true = series.volumes[target][GIVEN:]
        return np.array([self.factor * series.made[GIVEN:, 0], true])[:, np.isfinite(true)]

    def ends(self, series: VolumeSeries, target: str) -> np.ndarray:
        """Lower and upper end (2, visits) in ml of the 90 % band at the same visits; NaN where there is none."""
        known = np.isfinite(series.volumes[target][GIVEN:])
        if target == MEASURED:
            return series.made[GIVEN:, 1:].T[:, known]
        if self.band is None:
            return np.full((2, known.sum()), np.nan)
        rows = band_rows(series, self, target)
        return np.exp(self.band.around(*(rows[name].to_numpy(float) for name in ("forecast", "gap", "at_hand"))))


def fit_model(everyone: Sequence[VolumeSeries], target: str) -> list[FittedModel]:
    """The model as a method for `target`; nothing where no patient has a forecast of its own."""
    if not any(len(one.made) > GIVEN and np.isfinite(one.made[GIVEN:, 0]).any() for one in everyone):
        return []
    own = [one for one in everyone if one.split == "val" and len(one.made) > GIVEN]
    own = [
        one for one in own if np.isfinite(one.volumes[target][GIVEN:]).any() and np.isfinite(one.made[GIVEN:, 0]).all()
    ]
    if target == MEASURED or not own:
        return [FittedModel()]
    pairs = [FittedModel().foretold(one, target) for one in own]
    factor = _factor(pairs)
    judged = []
    for place, one in enumerate(own):  # each by the factor of the others, or the band would be too narrow
        others = pairs[:place] + pairs[place + 1 :]
        judged.append(band_rows(one, FittedModel(_factor(others) if others else factor), target))
    bands = fit_bands(pd.concat(judged))
    return [FittedModel(factor, "val", len(own), bands["log"][1] if bands else None)]


def _factor(made: Sequence[np.ndarray]) -> float:
    """The mean true volume over that foretold, geometric, every patient with the same weight.

    Breath differs within bounds, from patient to patient by the mean of two: of so few patients the mean is nearer to
    the truth than the median, which the rivals' least absolute error asks for.
    """
    return float(np.exp(np.mean([np.log(true / forecast).mean() for forecast, true in made])))


def band_rows(series: VolumeSeries, model: FittedModel, target: str) -> pd.DataFrame:
    """What a band of log volume is fitted to (lung4d.ode.calibration), a row per later visit whose truth is known."""
    forecast, true = np.log(model.foretold(series, target))
    years = series.years[GIVEN:][np.isfinite(series.volumes[target][GIVEN:])]
    gap = np.abs(years[:, None] - series.years[:GIVEN]).min(1)
    at_hand = np.log(model.factor * series.volumes[MEASURED][:GIVEN]).mean()
    told = {"years": years, "gap": gap, "observed": true, "forecast": forecast, "at_hand": at_hand}
    return pd.DataFrame({"subject": series.subject, "split": series.split, "given": GIVEN, "measure": "log", **told})[
        COLUMNS
    ]
