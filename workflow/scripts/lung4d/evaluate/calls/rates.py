"""How fast every method says that a patient's disease goes: a number a patient and method, in points of extent a year.

The number is the change that a method foretells from one visit to all later ones, over the years between: each forecast
minus what the same method makes of that visit's day. The truth is the change of the simulated extent, or where that is
not known, of the extent seen in the scans. Whatever else gives a number that is higher where the disease goes faster,
such as one minus the chance that a patient is stable, can be a row of the same table.
"""

from collections.abc import Iterable, Mapping
from itertools import chain

import numpy as np
import pandas as pd

from lung4d.evaluate.baselines import FittedBaselines, ForecastInputs
from lung4d.evaluate.change import SEEN, TRUTH
from lung4d.evaluate.forecasting import Forecaster, ScoredPatient, forecasts, keeping_outside
from lung4d.evaluate.methods import FORECASTS
from lung4d.evaluate.reconstruction import Decode
from lung4d.evaluate.scoring import Scorer
from lung4d.visits.given_forecasts import GivenForecasts
from lung4d.visits.patient import PatientVisits

ScanKey = tuple[str, str]  # subject, session

# Visits given, and after how many all later ones are asked for. The last two ask the same of the same patients.
ASKED = ((2, 2), (2, 4), (4, 4))
KEYS = ["set", "subject", "course"]
FORETOLD = [*KEYS, "visits_given", "session", "method", "predicted_extent"]
RATES = [*KEYS, "visits_given", "after", "method", "number", "true", "source"]


def seen_extents(visits: PatientVisits, ruler: Scorer) -> dict[ScanKey, float]:
    """The extent of disease (percent of the lung) in every visit of a patient, by scan."""
    return {
        scan.key: ruler.extent(ruler.smooth(unit, visits)) for scan, unit in zip(visits.scans, visits.unit, strict=True)
    }


def foretold_extents(
    patient: ScoredPatient,
    visits: PatientVisits,
    count: int,
    fitted: FittedBaselines,
    decode: Decode,
    forecast: Forecaster,
    ruler: Scorer,
    dropped_in: GivenForecasts,
) -> list[dict[str, object]]:
    """Rows of FORETOLD: what every method says of all visits after the first `count`, from these alone.

    `predicted_extent` is as in forecast.tsv: the forecast's extent minus that of the same method's estimate for the day
    of the last given visit, in percentage points.
    """
    if len(visits) <= count:
        return []
    given, targets = visits.take(range(count)), visits.take(range(count, len(visits)))
    known = ForecastInputs(given, fitted, keeping_outside(decode, given), "extrapolation")
    sessions = (given.sessions[-1], *targets.sessions)
    made = forecasts(known, np.append(given.years[-1], targets.years), forecast)
    own = ((index, FORECASTS, unit) for index, unit in dropped_in.volumes(given, sessions))
    extents = {
        (index, method): ruler.extent(ruler.smooth(np.clip(unit, -0.5, 0.5).astype(np.float32), given))
        for index, method, unit in chain(made, own)
    }
    extents.setdefault((0, FORECASTS), extents[0, "locf"])
    keys = {"set": patient.set, "subject": patient.subject, "course": patient.course, "visits_given": count}
    return [
        {**keys, "session": sessions[index], "method": method, "predicted_extent": extent - extents[0, method]}
        for (index, method), extent in extents.items()
        if index
    ]


def of_forecasts(table: pd.DataFrame) -> list[dict[str, object]]:
    """The same from forecast.tsv, whose extrapolation is from the first two visits."""
    rows = table[(table["task"] == "extrapolation") & (table["region"] == "lung") & table["predicted_extent"].notna()]
    return rows.assign(visits_given=2)[FORETOLD].to_dict("records")


def rate_table(
    foretold: Iterable[Mapping[str, object]],
    patients: Iterable[PatientVisits],
    true: Mapping[ScanKey, float],
    seen: Mapping[ScanKey, float],
) -> pd.DataFrame:
    """A row per patient, pair of ASKED and method, from rows of FORETOLD: `number` foretold, `true` in points a year.

    `true` and `seen` are extents in percent by scan: the simulated ones, as far as there are any, and those measured.
    A method that does not forecast all of a patient's visits has no row.
    """
    rows = []
    table = pd.DataFrame(foretold, columns=FORETOLD)
    own = {key: part for key, part in table.groupby(["subject", "visits_given"], sort=False)}
    for patient in patients:
        for given, after in ASKED:
            part = own.get((patient.subject, given))
            if part is not None and len(patient) > after and patient.years[-1] > patient.years[after - 1]:
                rows += _rates_of(patient, part, given, after, true, seen)
    return pd.DataFrame(rows, columns=RATES)


def _rates_of(
    patient: PatientVisits,
    part: pd.DataFrame,
    given: int,
    after: int,
    true: Mapping[ScanKey, float],
    seen: Mapping[ScanKey, float],
) -> list[tuple]:
    start, asked = patient.scans[after - 1], patient.scans[after:]
    years = float((patient.years[after:] - patient.years[after - 1]).sum())
    source = TRUTH if all(scan.key in true for scan in (start, *asked)) else SEEN
    extents = true if source == TRUTH else seen
    rate = sum(extents[scan.key] - extents[start.key] for scan in asked) / years
    rows = []
    for method, own in part.groupby("method", sort=False):
        by_session = dict(zip(own["session"], own["predicted_extent"], strict=True))
        before = 0.0 if given == after else by_session.get(start.session, np.nan)
        number = sum(by_session.get(scan.session, np.nan) - before for scan in asked) / years
        if np.isfinite(number):
            keys = (*(own[key].iloc[0] for key in KEYS), given, after, method)
            rows.append((*keys, number, rate, source))
    return rows
