"""One patient's trajectory: from which visits, at which years, as volumes and codes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lung4d.latents import load_latents
from lung4d.names import scan_of
from lung4d.ode.decoding import decode_forecast
from lung4d.ode.model import LatentODE
from lung4d.ode.sequences import choose
from lung4d.ode.times import as_years
from lung4d.volumes import from_unit, open_mask, open_volume, to_unit

DECIMALS = 3  # of the years in file names and tables


@dataclass(frozen=True)
class Visits:
    """A patient's usable visits in time order.

    sessions (n), years (n,), volumes (n, D, H, W) float32 in [-0.5, 0.5], z (n, c, d, h, w) float32 of the kind that
    the model was trained on, region (D, H, W) bool the lung, mask (d, h, w) bool the lung at latent resolution.
    """

    sessions: list[str]
    years: np.ndarray
    volumes: np.ndarray
    z: np.ndarray
    region: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class Generated:
    """One generated scan: years since baseline, volume (D, H, W) in [-0.5, 0.5], nearest codes (d, h, w)."""

    years: float
    volume: np.ndarray
    codes: np.ndarray


def load_visits(
    scans: pd.DataFrame,
    volumes: Iterable[str | Path],
    masks: Iterable[str | Path],
    folder: str | Path,
    window: tuple[float, float],
    kind: str,
) -> tuple[Visits, Path]:
    """A patient's visits, and the path of the baseline's volume, whose grid and outside every forecast takes over.

    scans: the patient's rows (subject, session, years) of the split table, one at least. volumes, masks: the
    patient's files, those of scans that are not listed are not read. folder: of `*_latents.npz`. window: HU of the
    latents' model; kind: continuous or quantised.
    """
    scans = scans.sort_values(["years", "session"])
    keys = list(zip(scans["subject"], scans["session"], strict=True))
    volume_of = {scan_of(path): Path(path) for path in volumes}
    mask_of = {scan_of(path): path for path in masks}
    latents = [load_latents(Path(folder) / f"sub-{subject}_ses-{session}_latents.npz") for subject, session in keys]
    visits = Visits(
        sessions=scans["session"].tolist(),
        years=as_years(scans["years"].to_numpy()),
        volumes=np.stack([to_unit(open_volume(volume_of[key]), window) for key in keys]),
        z=np.stack([choose(item, kind) for item in latents]),
        region=open_mask(mask_of[keys[0]]),
        mask=latents[0].mask,
    )
    return visits, volume_of[keys[0]]


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


def generate(
    vqgan, model: LatentODE, visits: Visits, given: Sequence[int], years: Sequence[float], mode: str, mix: float
) -> Iterator[Generated]:
    """The scans at `years` (ascending) forecast from the visits with indices `given`, one at a time.

    A year that equals a given visit's to 3 decimals is that visit's exact time, so that the visit itself comes back.
    """
    given = list(given)
    exact = np.array([_exact(year, visits.years[given]) for year in years])
    z = model.forecast(visits.z[given], visits.years[given], visits.mask, exact)
    volumes = decode_forecast(
        vqgan, z, exact, visits.volumes[given], visits.z[given], visits.years[given], visits.region, mode, mix
    )
    for year, latent, volume in zip(years, z, volumes, strict=True):
        with torch.no_grad():
            codes = vqgan.quantise(latent[None]).codes[0]
        yield Generated(float(year), volume.numpy(), codes.cpu().numpy())


def _exact(year: float, visit_years: np.ndarray) -> float:
    near = visit_years[np.round(visit_years, DECIMALS) == round(year, DECIMALS)]
    return float(near[0]) if len(near) else float(year)


def to_hu(volume: np.ndarray, region: np.ndarray, baseline: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """HU (D, H, W) int16 of a volume in [-0.5, 0.5]; outside `region` the `baseline`'s own HU, window or not."""
    return np.where(region, np.rint(from_unit(volume, window)), baseline).astype(np.int16)
