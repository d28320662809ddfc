"""One patient's trajectory: from which visits, at which years, as volumes and codes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lung4d.io.volumes import from_unit
from lung4d.ode.calibration import MEASURES, Band, Calibration, measures
from lung4d.ode.decoding import decode_forecast
from lung4d.ode.ensemble import Ensemble
from lung4d.ode.model import Forecast
from lung4d.ode.observed import ObservedVisits
from lung4d.ode.volume import DENSE, VOLUMES, Lungs, VolumeModels
from lung4d.vqgan.model import VQGAN

DECIMALS = 3  # of the years in file names and tables


@dataclass(frozen=True)
class Generated:
    """One generated scan: years since baseline, volume (D, H, W) in [-0.5, 0.5], nearest codes (d, h, w).

    spread (D, H, W) on the unit scale: half the width of the 90 % interval at every voxel, None where the model does
    not tell. bands: by measure the forecast, the ends of its 90 % band, and how many patients
    with forecasts like it stand behind that, NaN where there is none; of VOLUMES without the latter.
    """

    years: float
    volume: np.ndarray
    codes: np.ndarray
    spread: np.ndarray | None
    bands: dict[str, tuple[float, ...]]

    @property
    def volumes(self) -> dict[str, tuple[float, ...]]:
        """The bands of lung volume alone."""
        return {name: self.bands[name] for name in VOLUMES}


def given_sets(visits: int) -> list[list[int]]:
    """Indices of the visits to forecast from: all of them, and the first two where there are more."""
    return [list(range(visits))] + ([[0, 1]] if visits > 2 else [])


def years_to_generate(
    visit_years: Sequence[float],
    given: Sequence[int],
    years: Sequence[float] | None,
    interval: float,
    horizon: float,
) -> list[float]:
    """Years to generate, ascending, distinct, rounded to 3 decimals.

    `years` None: every `interval` from 0 up to `horizon` after the last given visit, and every visit's own years.
    Otherwise the listed years; to them the visits that were not given are added, so that a forecast can be held
    against what was seen then. Raises ValueError for an interval that is not above 0 or a horizon below 0.
    """
    if interval <= 0 or horizon < 0:
        raise ValueError(f"interval is {interval}, horizon is {horizon}: give more than 0, and 0 or more")
    if years is None:
        end = max(visit_years[i] for i in given) + horizon
        asked = [*(interval * np.arange(np.floor(end / interval + 1e-9) + 1)), *visit_years]
    else:
        asked = [*years, *(year for i, year in enumerate(visit_years) if i not in given)]
    return sorted({round(float(year), DECIMALS) + 0.0 for year in asked})


@dataclass(frozen=True)
class Models:
    """What a trajectory is generated with: `calibration` tells how far off it may be, `volumes` foretells the lung's
    volume, `window` is the HU window."""

    vqgan: VQGAN
    ode: Ensemble
    calibration: Calibration
    volumes: VolumeModels
    window: tuple[float, float]


def generate(
    models: Models, visits: ObservedVisits, lungs: Lungs, given: Sequence[int], years: Sequence[float], mode: str,
    mix: float,
) -> Iterator[Generated]:  # fmt: skip
    """The scans at `years` (ascending) forecast from the visits with indices `given`, one at a time.

    lungs: the lung's volumes at all visits, or nothing. A year that equals a given visit's to 3 decimals is that
    visit's exact time, so that the visit itself comes back.
    """
    chosen = visits.take(given)
    exact = np.array([_exact(year, chosen.years) for year in years])
    forecast = models.ode.forecast(chosen, exact)
    volumes = decode_forecast(models.vqgan, forecast, chosen, exact, mode, mix)
    bands = _bands(models, forecast, chosen, {name: values[list(given)] for name, values in lungs.items()}, exact)
    for row, year in enumerate(years):
        with torch.no_grad():
            codes = models.vqgan.quantise(forecast.latents[row : row + 1]).codes[0]
        spread = None
        if forecast.variance is not None and np.isfinite(models.calibration.deviations):
            spread = (forecast.variance[row].sqrt() * models.calibration.deviations).cpu().numpy()
        yield Generated(float(year), volumes[row].numpy(), codes.cpu().numpy(), spread, bands[row])


def _bands(
    models: Models, forecast: Forecast, given: ObservedVisits, lungs: Lungs, years: np.ndarray
) -> list[dict[str, tuple[float, ...]]]:
    """Forecast, lower and upper end of each measure at each of the `years`, around the drawn scans, and of the volumes.

    A band counts its years from the nearest given visit; NaN where the model draws nothing or has no band.
    """
    unknown = _unknown()
    if forecast.drawn is None:
        return [unknown] * len(years)
    made = measures(forecast.drawn.cpu(), given.region, models.window)
    at_hand = measures(given.scans, given.region, models.window)
    dense, foretold = ([values[MEASURES.index(DENSE)] for values in scans] for scans in (at_hand, made))
    volumes = models.volumes.forecast(lungs, given.years, np.array(dense), years, np.array(foretold))
    nearest = np.abs(years[:, None] - given.years[None]).argmin(1)
    rows = []
    for number, (values, year, near) in enumerate(zip(made, years, nearest, strict=True)):
        row, gap = dict(unknown), abs(year - given.years[near])
        row |= {name: tuple(volumes[name][number]) for name in VOLUMES}
        for measure, value, known in zip(MEASURES, values, at_hand[near], strict=True):
            band = models.calibration.band(measure, len(np.unique(given.years)))
            row[measure] = (value, *_around(band, value, gap, known))
        rows.append({measure: tuple(map(float, ends)) for measure, ends in row.items()})
    return rows


def _around(band: Band | None, value: float, gap: float, known: float) -> tuple[float, float, float]:
    """Ends of the band, and the patients behind it."""
    if band is None:
        return (float("nan"),) * 3
    patients = band.patients(value, gap, known)
    return *band.around(value, gap, known), float("nan") if patients is None else patients


def _unknown() -> dict[str, tuple[float, ...]]:
    return {measure: (float("nan"),) * len(_parts(measure)) for measure in (*MEASURES, *VOLUMES)}


def _parts(measure: str) -> tuple[str, ...]:
    return ("forecast", "low", "high", "patients") if measure in MEASURES else ("forecast", "low", "high")


def band_columns(bands: Mapping[str, Sequence[float]] | None = None) -> dict[str, float]:
    """Columns of the trajectories' table and their values: of each measure the forecast, its band's two ends, and of
    the densities how many patients with such forecasts stand behind it."""
    return {
        f"{measure}_{part}": value
        for measure, values in (bands or _unknown()).items()
        for part, value in zip(_parts(measure), values, strict=True)
    }


def _exact(year: float, visit_years: np.ndarray) -> float:
    near = visit_years[np.round(visit_years, DECIMALS) == round(year, DECIMALS)]
    return float(near[0]) if len(near) else float(year)


def to_hu(volume: np.ndarray, region: np.ndarray, baseline: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """HU (D, H, W) int16 of a volume in [-0.5, 0.5]; outside `region` the `baseline`'s own HU, window or not."""
    return np.where(region, np.rint(from_unit(volume, window)), baseline).astype(np.int16)
