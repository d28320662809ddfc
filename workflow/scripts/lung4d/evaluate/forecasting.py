"""Forecasts of withheld visits and their scores: one row per patient, task, target visit, method and region."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd

from lung4d.evaluate import change
from lung4d.evaluate.baselines import BASELINES, FittedBaselines, ForecastInputs
from lung4d.evaluate.change import ReadOut, TrueChange, read_out
from lung4d.evaluate.methods import FORECASTS, ORACLE, model_name, of_kind
from lung4d.evaluate.reconstruction import Decode
from lung4d.evaluate.scoring import Scorer, Target, score
from lung4d.visits.given_forecasts import GivenForecasts
from lung4d.visits.patient import PatientVisits
from lung4d.visits.tasks import forecast_tasks
from lung4d.visits.times import anchor, linear_weights

# (given visits, years asked for (q,), share of own detail or None) -> decoding ("pure", ...) -> (q, D, H, W)
Forecaster = Callable[[PatientVisits, np.ndarray, float | None], Mapping[str, np.ndarray]]

ORACLES = tuple(of_kind(ORACLE))
NOTHING_GIVEN = GivenForecasts()
TEXT = ["subject", "set", "course", "task", "given", "session", "method", "region", "source"]
KEYS = [
    "subject",
    "set",
    "course",
    "extent_per_year",
    "task",
    "given",
    "session",
    "years",
    "horizon",
    "method",
    "region",
]
CHANGE = ["mse_lowpass", "skill", "density_error_hu", "high_attenuation_error", "extent_error", "change_correlation"]
NOISEFREE = [
    *["mse_noisefree", "mse_lowpass_noisefree", "skill_noisefree", "extent_error_noisefree"],
    *["change_correlation_noisefree", "true_change"],
]
COLUMNS = [*KEYS, "mse", "psnr", "ssim", "nrmse", *CHANGE, *NOISEFREE, "source", *change.SCORES]


@dataclass(frozen=True)
class ScoredPatient:
    """One held-out patient: the set that the scores count for, the simulated course of the disease ("" where there is
    none), and the yearly change of extent (percentage points)."""

    subject: str
    set: str
    course: str
    extent_per_year: float


def forecasts(known: ForecastInputs, years: np.ndarray, forecast: Forecaster) -> Iterator[tuple[int, str, np.ndarray]]:
    """All methods' forecasts as (index into `years`, method, unit volume); no argument holds a withheld visit."""
    by_model = forecast(known.given, years, known.fitted.mix.value)
    for index, year in enumerate(years):
        for name, method in BASELINES.items():
            yield index, name, method(known, float(year))
        for decoding, volumes in by_model.items():
            yield index, model_name(decoding), volumes[index]


def ceilings(known: ForecastInputs, targets: PatientVisits) -> Iterator[tuple[int, str, np.ndarray]]:
    """What the target's own latent draws, as `forecasts` gives it: alone, with all of the given visits' own detail, and
    with the share of it that mix decoding keeps."""
    given = known.given
    seen = [known.decode(latents.embeddings) for latents in given.latents]
    lost = np.stack([unit - drawn for unit, drawn in zip(given.unit, seen, strict=True)])
    for index, (year, latents) in enumerate(zip(targets.years, targets.latents, strict=True)):
        drawn = known.decode(latents.embeddings)
        weights = np.clip(linear_weights(given.years, float(year)), 0, 1).astype(np.float32)
        detail = np.where(given.region, np.tensordot(weights, lost, axes=1), 0)
        for name, share in zip(ORACLES, (0.0, 1.0, known.fitted.mix.value), strict=True):
            yield index, name, drawn + np.float32(share) * detail


def score_patient(
    patient: ScoredPatient,
    visits: PatientVisits,
    fitted: FittedBaselines,
    decode: Decode,
    forecast: Forecaster,
    ruler: Scorer,
    noisefree: Mapping[str, np.ndarray],
    given_too: bool = False,
    dropped_in: GivenForecasts = NOTHING_GIVEN,
) -> list[dict[str, object]]:
    """Rows of forecast.tsv (without the skills) of one patient; `noisefree` has unit volumes by session, if any.

    dropped_in: forecasts that somebody else made. given_too: the given visits are scored too, see `forecast_tasks`.
    """
    rows = []
    for task in forecast_tasks(len(visits), given_too):
        given, targets = visits.take(task.given), visits.take(task.targets)
        known = ForecastInputs(given, fitted, keeping_outside(decode, given), task.name)
        held_out = [Target(visits.take([index]), known, ruler, noisefree) for index in task.targets]
        changes = [TrueChange(target) for target in held_out]
        estimates = estimates_for_last(known, held_out, forecast, dropped_in)
        made = forecasts(known, targets.years, forecast)
        own = ((index, FORECASTS, unit) for index, unit in dropped_in.volumes(given, targets.sessions))
        for index, method, prediction in chain(made, own, ceilings(known, targets)):
            year = float(targets.years[index])
            keys = {
                **vars(patient),
                "task": task.name,
                "given": "+".join(given.sessions),
                "session": targets.sessions[index],
                "years": year,
                "horizon": year - float(given.years[anchor(given.years, year)]),
                "method": method,
            }
            scores = score(prediction, held_out[index])
            rows += [{**keys, "region": region, "source": "", **values} for region, values in scores.items()]
            if estimate := estimates.get((held_out[index].last, method)):
                (of_lung,) = (row for row in rows[-len(scores) :] if row["region"] == "lung")
                of_lung |= changes[index].score(read_out(prediction, held_out[index]), estimate)
    return rows


def estimates_for_last(
    known: ForecastInputs, targets: list[Target], forecast: Forecaster, dropped_in: GivenForecasts
) -> dict[tuple[int, str], ReadOut]:
    """What every method makes of the days of the visits that the targets are forecast from, by visit and method."""
    given, lasts = known.given, sorted({target.last for target in targets})
    made = forecasts(known, given.years[lasts], forecast)
    found = {(lasts[index], method): read_out(volume, targets[0]) for index, method, volume in made}
    for last in lasts:
        unit = dropped_in.volume(given, given.sessions[last])
        found[last, FORECASTS] = found[last, "locf"] if unit is None else read_out(unit, targets[0])
    return found


def keeping_outside(decode: Decode, given: PatientVisits) -> Decode:
    """The decoder inside the lung and the baseline's voxels outside it, as in every forecast of the model."""
    return lambda embeddings: np.where(given.region, decode(embeddings), given.unit[0])


def forecast_table(rows: list[dict[str, object]]) -> pd.DataFrame:
    """forecast.tsv from the rows of all patients, with the skills; columns are there even without a row.

    Skill is the share of LOCF's squared error of the low-passed change that a method removes: 0 for LOCF, 1 for a
    perfect forecast, below 0 for one that is worse than no change. Noise hardly counts in it, so a blur cannot win.
    """
    table = pd.DataFrame(rows, columns=COLUMNS).astype({name: str if name in TEXT else float for name in COLUMNS})
    keys = ["subject", "task", "session", "region"]
    carried = table[table["method"] == "locf"].set_index(keys)
    index = pd.MultiIndex.from_frame(table[keys])
    for skill, error in (("skill", "mse_lowpass"), ("skill_noisefree", "mse_lowpass_noisefree")):
        of_locf = carried[error].reindex(index).to_numpy()
        table[skill] = 1 - table[error] / np.where(of_locf > 0, of_locf, np.nan)
    return table
