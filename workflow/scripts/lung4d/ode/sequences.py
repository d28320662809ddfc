"""The patients' sequences of latents, and which visits of a sequence are given to the model."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lung4d.io.latents import load_latents
from lung4d.io.names import LATENTS, LUNG_MASK, VOLUME, scan_files
from lung4d.io.volumes import open_mask, open_volume, read_spacing, to_unit
from lung4d.ode.observed import ObservedVisits, densities_of, depth_of, height_of
from lung4d.ode.times import as_years

# Shares of the random draws: the first visits are given, as a patient in follow-up has them; all but one between them,
# as where a scan is missing. The rest gives any visits.
FIRST, ALL_BUT_ONE = 0.55, 0.3


@dataclass(frozen=True)
class Sequence:
    """All visits of one patient, in the order of time; scans stay on disk until they are asked for.

    years (n,), z (n, c, d, h, w) float32, mask (d, h, w) bool; volumes: n memory-mapped scans (D, H, W) in HU, window
    the HU of the unit scale; region (D, H, W) bool, depth float16 (D, H, W) in mm and height (D,) as in `Given`;
    densities (n, DENSITIES) of whole scans.
    """

    subject: str
    split: str
    years: np.ndarray
    z: torch.Tensor
    mask: torch.Tensor
    volumes: tuple[np.ndarray, ...]
    window: tuple[float, float]
    region: np.ndarray
    depth: np.ndarray
    height: np.ndarray
    densities: torch.Tensor

    def visits(self, box: tuple[slice, slice, slice] = (slice(None),) * 3) -> ObservedVisits:
        """All visits in a box of latent voxels and the same box of the scans; everything by default."""
        factor = self.region.shape[0] // self.mask.shape[0]
        large = tuple(slice(*(None if edge is None else edge * factor for edge in (s.start, s.stop))) for s in box)
        scans = np.stack([to_unit(volume[large], self.window) for volume in self.volumes])
        return ObservedVisits(
            years=self.years,
            z=self.z[:, :, *box],
            mask=self.mask[box],
            scans=torch.from_numpy(scans),
            region=torch.from_numpy(self.region[large]),
            depth=torch.from_numpy(self.depth[large].astype(np.float32)),
            height=torch.from_numpy(self.height[large[0]]),
            densities=self.densities,
        )


@dataclass(frozen=True)
class Task:
    """Which visits (ascending indices) are given to the model and which it is asked for."""

    given: np.ndarray
    asked: np.ndarray


def latent_files(split: pd.DataFrame, folder: str | Path) -> list[Path]:
    """The latents' file of every row of `split` (subject, session), in that order, in the folder of extract_latents.

    Raises FileNotFoundError naming the scans without latents.
    """
    paths = scan_files(folder, split, LATENTS)
    missing = [
        f"patient {row.subject} session {row.session}"
        for row, path in zip(split.itertuples(), paths, strict=True)
        if not path.is_file()
    ]
    if missing:
        raise FileNotFoundError(f"no latents of {', '.join(missing)}; run extract_latents again")
    return paths


def load_sequences(
    split: pd.DataFrame,
    latents: Iterable[str | Path],
    resampled: str | Path,
    kind: str,
    window: tuple[float, float],
) -> list[Sequence]:
    """One sequence a patient, by subject.

    split: table with subject, session, years, split, one row a usable scan; latents: the files of its rows, in their
    order; resampled: the folder of stage resample. kind: "continuous" or "quantised"; window: HU of the latents'
    model. The baseline's lung mask holds for all visits.
    """
    sequences = []
    for subject, rows in split.assign(file=list(latents)).groupby("subject", sort=True):
        rows = rows.sort_values(["years", "session"])
        loaded = [load_latents(path) for path in rows["file"]]
        volumes = scan_files(resampled, rows, VOLUME)
        scans = tuple(open_volume(path) for path in volumes)
        region = open_mask(scan_files(resampled, rows, LUNG_MASK)[0])
        sequences.append(
            Sequence(
                subject=subject,
                split=rows["split"].iloc[0],
                years=as_years(rows["years"].to_numpy()),
                z=torch.from_numpy(np.stack([choose(scan, kind) for scan in loaded])),
                mask=torch.from_numpy(loaded[0].mask),
                volumes=scans,
                window=window,
                region=region,
                depth=depth_of(region, read_spacing(volumes[0])).astype(np.float16),
                height=height_of(region),
                densities=torch.cat([_densities(scan, region, window) for scan in scans]),
            )
        )
    return sequences


def _densities(scan: np.ndarray, region: np.ndarray, window: tuple[float, float]) -> torch.Tensor:
    return densities_of(torch.from_numpy(to_unit(scan, window))[None], torch.from_numpy(region))


def choose(latents, kind: str) -> np.ndarray:
    """The embedding (c, d, h, w) float32 that stage 2 works on: before ("continuous") or after quantisation."""
    return {"continuous": latents.continuous, "quantised": latents.embeddings}[kind].astype(np.float32, copy=False)


def usable(sequences: Iterable[Sequence], split: str) -> list[Sequence]:
    """Those of one split that can teach or test a change: visits at two times at least, and lung in the mask."""
    return [item for item in sequences if item.split == split and len(np.unique(item.years)) > 1 and item.mask.any()]


def spread(sequences: Iterable[Sequence], channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean of each channel (c,) and one standard deviation () of the latents in the lung; 0 and 1 without any."""
    count, total, square = 0, torch.zeros(channels, dtype=torch.float64), torch.zeros(channels, dtype=torch.float64)
    for item in sequences:
        inside = item.z[:, :, item.mask].double()
        count += inside.shape[0] * inside.shape[2]
        total += inside.sum((0, 2))
        square += inside.square().sum((0, 2))
    mean = total / max(count, 1)
    variance = (square / max(count, 1) - mean.square()).mean()
    scale = variance.sqrt() if variance > 1e-12 else torch.ones(())
    return mean.float(), scale.float()


def crop_box(
    patient: Sequence, crop: tuple[int, int, int] | None, rng: np.random.Generator
) -> tuple[slice, slice, slice]:
    """A box of latent voxels around a random one in the lung; `crop` its size (D, H, W) in voxels of the scan, None for
    everything."""
    if crop is None:
        return (slice(None),) * 3
    shape = np.array(patient.mask.shape)
    size = np.minimum(np.array(crop) // (patient.region.shape[0] // shape[0]), shape)
    inside = torch.argwhere(patient.mask).numpy()
    centre = inside[rng.integers(len(inside))] - rng.integers(0, size)  # anywhere in the crop, its edges too
    start = np.clip(centre, 0, shape - size)
    return tuple(slice(int(a), int(a + s)) for a, s in zip(start, size, strict=True))


def draw_given(visits: int, rng: np.random.Generator, given: str, hide: float) -> np.ndarray:
    """Which of `visits` >= 2 visits a training step gives to the model; all visits are its targets.

    given: "random" draws the first few visits, or all but one between the first and the last, or any of them (see
    FIRST and ALL_BUT_ONE), never all; "all" is the paper's. hide: chance that each of these is hidden again ("masked
    inputs" of Table 1). One visit at least is left.
    """
    chosen = np.arange(visits)
    if given == "random":
        count, kind = int(rng.integers(1, visits)), rng.random()
        if kind < FIRST:
            chosen = chosen[:count]
        elif kind < FIRST + ALL_BUT_ONE and visits > 2:
            chosen = np.delete(chosen, rng.integers(1, visits - 1))
        else:
            chosen = np.sort(rng.choice(visits, size=count, replace=False))
    kept = chosen[rng.random(len(chosen)) >= hide]
    return kept if len(kept) else chosen[:1]


def held_out_tasks(visits: int) -> list[Task]:
    """Tasks by which a model is chosen: later visits from the first two, and the middle visit from all others.

    With two visits the second is asked for from the first.
    """
    everything = np.arange(visits)
    first = min(2, visits - 1)
    tasks = [Task(everything[:first], everything[first:])]
    if visits > 2:
        middle = visits // 2
        tasks.append(Task(np.delete(everything, middle), everything[middle : middle + 1]))
    return tasks
