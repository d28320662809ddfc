"""Forecasts of withheld visits and their scores: one row per patient, task, target visit, method and region."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lung4d import metrics
from lung4d.biomarkers import lung_density
from lung4d.evaluation.baselines import BASELINES, Decode, Fitted, anchor
from lung4d.evaluation.smoothing import smooth_inside
from lung4d.evaluation.visits import Visits
from lung4d.volumes import from_unit

# (given visits, years asked for (q,), share of own detail or None) -> decoding ("pure", ...) -> (q, D, H, W)
Forecast = Callable[[Visits, np.ndarray, float | None], Mapping[str, np.ndarray]]

ORACLE = "reconstruction (oracle)"  # sees the target itself: the autoencoder's floor, not a forecast
LEAST_LOW_PASS = 1.5  # voxels
TEXT = ["subject", "task", "given", "session", "method", "region"]
KEYS = ["subject", "task", "given", "session", "years", "horizon", "method", "region"]
CHANGE = ["mse_lowpass", "skill", "density_error_hu", "high_attenuation_error"]
NOISEFREE = ["mse_noisefree", "mse_lowpass_noisefree", "skill_noisefree"]
COLUMNS = [*KEYS, "mse", "psnr", "ssim", "nrmse", *CHANGE, *NOISEFREE]


@dataclass(frozen=True)
class Case:
    """One patient's given and withheld visits (indices in the order of time) of one task."""

    task: str
    given: tuple[int, ...]
    targets: tuple[int, ...]


@dataclass(frozen=True)
class Ruler:
    """How forecasts are scored: the HU window of the unit scale, and sigma of the low-pass in mm."""

    window: tuple[float, float]
    low_pass: float

    def sigma(self, spacing: tuple[float, float, float]) -> tuple[float, ...]:
        """Sigma of the low-pass in voxels of this spacing (mm); on a coarse grid at least what takes noise away."""
        return tuple(max(self.low_pass / size, LEAST_LOW_PASS) for size in spacing)


def cases(visits: int) -> list[Case]:
    """Extrapolation from the first two visits to all later ones, interpolation from first and last to those between.

    A patient with fewer than three visits has none: nothing can be withheld.
    """
    if visits < 3:
        return []
    return [
        Case("extrapolation", (0, 1), tuple(range(2, visits))),
        Case("interpolation", (0, visits - 1), tuple(range(1, visits - 1))),
    ]


def forecasts(
    given: Visits, years: np.ndarray, fitted: Fitted, decode: Decode, forecast: Forecast
) -> Iterator[tuple[int, str, np.ndarray]]:
    """All methods' forecasts as (index into `years`, method, unit volume); no argument holds a withheld visit."""
    by_model = forecast(given, years, fitted.mix.value)
    for index, year in enumerate(years):
        for name, method in BASELINES.items():
            yield index, name, method(given, float(year), fitted, decode)
        for decoding, volumes in by_model.items():
            yield index, f"model ({decoding})", volumes[index]


def score_patient(
    subject: str,
    visits: Visits,
    fitted: Fitted,
    decode: Decode,
    forecast: Forecast,
    ruler: Ruler,
    noisefree: Mapping[str, np.ndarray],
) -> list[dict[str, object]]:
    """Rows of forecast.tsv (without the skills) of one patient; `noisefree` has unit volumes by session, if any."""
    rows = []
    for case in cases(len(visits)):
        given, targets = visits.take(case.given), visits.take(case.targets)
        in_lung = _keeping_outside(decode, given)
        made = forecasts(given, targets.years, fitted, in_lung, forecast)
        floors = ((i, ORACLE, in_lung(latents.embeddings)) for i, latents in enumerate(targets.latents))
        for index, method, prediction in (pair for source in (made, floors) for pair in source):
            session, year = targets.sessions[index], float(targets.years[index])
            keys = {
                "subject": subject,
                "task": case.task,
                "given": "+".join(given.sessions),
                "session": session,
                "years": year,
                "horizon": year - float(given.years[anchor(given.years, year)]),
                "method": method,
            }
            scores = score(prediction, targets, index, ruler, noisefree.get(session))
            rows += [{**keys, "region": region, **values} for region, values in scores.items()]
    return rows


def _keeping_outside(decode: Decode, given: Visits) -> Decode:
    """The decoder inside the lung and the baseline's voxels outside it, as in every forecast of the model."""
    return lambda embeddings: np.where(given.region, decode(embeddings), given.unit[0])


def score(
    prediction: np.ndarray, targets: Visits, index: int, ruler: Ruler, noisefree: np.ndarray | None
) -> dict[str, dict[str, float]]:
    """Scores of one prediction (D, H, W, unit scale) of the visit `index` of `targets`, for lung and whole volume.

    The prediction is clipped to the window, as the file that a user gets is. Errors of density (HU) and of
    high-attenuation area (percentage points) are prediction minus target; what only has a meaning in the lung is
    absent for the whole volume.
    """
    region, target = targets.region, targets.unit[index]
    prediction = np.clip(prediction, -0.5, 0.5).astype(np.float32)
    similarity = metrics.ssim_map(prediction + 0.5, target + 0.5)
    scores = {}
    for name, mask in (("lung", region), ("whole", None)):
        scores[name] = {
            "mse": metrics.mse(prediction, target, mask),
            "psnr": metrics.psnr(prediction, target, mask),
            "ssim": metrics.ssim(prediction, target, mask, similarity),
            "nrmse": metrics.nrmse(prediction + 0.5, target + 0.5, mask),
        }
    sigma = ruler.sigma(targets.spacing)
    density = lung_density(from_unit(prediction, ruler.window), region)
    observed = lung_density(from_unit(target, ruler.window), region)
    scores["lung"] |= {
        "mse_lowpass": _lowpass_mse(prediction - target, region, sigma),
        "density_error_hu": density[0] - observed[0],
        "high_attenuation_error": density[1] - observed[1],
    }
    if noisefree is not None:
        scores["lung"] |= {
            "mse_noisefree": metrics.mse(prediction, noisefree, region),
            "mse_lowpass_noisefree": _lowpass_mse(prediction - noisefree, region, sigma),
        }
    return scores


def _lowpass_mse(difference: np.ndarray, region: np.ndarray, sigma: tuple[float, ...]) -> float:
    """Mean square of the smoothed difference: smoothing is linear, so this compares two smoothed changes."""
    return float(np.mean(np.square(smooth_inside(difference, region, sigma)[region]), dtype=np.float64))


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
