"""A patient's visits as tensors: latents, scans, and where in the lung each voxel lies."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional as F

from lung4d.io.latents import Latents
from lung4d.io.volumes import to_unit
from lung4d.visits.patient import EVERYTHING, Box, PatientVisits
from lung4d.visits.times import Years, as_years

QUANTILES = (0.25, 0.75)
DENSITIES = 1 + len(QUANTILES)
OF_VISITS = ("z", "scans", "densities", "told", "expansion", "expanded")  # fields with a row a visit


@dataclass(frozen=True)
class ObservedVisits:
    """n visits of one patient, in any order.

    years (n,) float64 since baseline; z (n, c, d, h, w) float32 latents; mask (d, h, w) bool the lung at latent
    resolution. scans (n, D, H, W) float32 on the unit scale, region (D, H, W) bool the lung, depth (D, H, W) float32
    distance to the pleura in mm, height (D,) float32 from 0 at the base to 1 at the apex; densities (n, DENSITIES) of
    each scan's whole lung, see `densities_of`, also where the other fields are a crop of it. told (n, k) float32:
    numbers that are known of each visit, NaN where one is not. expansion (n, d, h, w) float32: by how much tissue took
    more room at the visit than at the baseline, the logarithm of the ratio of volumes; expanded (n,) its mean over the
    whole lung, also where the other fields are a crop of it.
    """

    years: np.ndarray
    z: torch.Tensor
    mask: torch.Tensor
    scans: torch.Tensor
    region: torch.Tensor
    depth: torch.Tensor
    height: torch.Tensor
    densities: torch.Tensor
    told: torch.Tensor
    expansion: torch.Tensor
    expanded: torch.Tensor

    @classmethod
    def of(
        cls,
        years: Years,
        z: torch.Tensor,
        mask: torch.Tensor,
        scans: np.ndarray | torch.Tensor,
        region: np.ndarray,
        spacing: tuple,
        told: np.ndarray | None = None,
        expansion: np.ndarray | None = None,
    ) -> "ObservedVisits":
        """From whole volumes; spacing (D, H, W) in mm. Raises ValueError where shapes, numbers or times do not fit.

        Where they are not given, nothing is told of any visit, and the lung took the same room at all of them.
        """
        scans = torch.as_tensor(np.asarray(scans, np.float32))
        region_tensor = torch.as_tensor(np.ascontiguousarray(region), dtype=torch.bool)
        years = as_years(years)
        z, mask = torch.as_tensor(z, dtype=torch.float32), torch.as_tensor(mask, dtype=torch.bool)
        if not len(years) == len(z) == len(scans) > 0:
            raise ValueError(
                f"{len(years)} times, {len(z)} latents, {len(scans)} scans; as many of each, and one at least"
            )
        if z.ndim != 5 or z.shape[2:] != mask.shape or scans.shape[1:] != region_tensor.shape:
            raise ValueError(
                f"latents {tuple(z.shape)} and mask {tuple(mask.shape)}, scans {tuple(scans.shape)} and lung "
                f"{tuple(region_tensor.shape)} do not fit each other"
            )
        if not (torch.isfinite(z).all() and torch.isfinite(scans).all()):
            raise ValueError("a given latent or scan holds values that are not finite")
        still = torch.zeros(len(z), *mask.shape)
        expansion_tensor = still if expansion is None else torch.as_tensor(expansion)
        return cls(
            years=years,
            z=z,
            mask=mask,
            scans=scans,
            region=region_tensor,
            depth=torch.from_numpy(depth_of(region, spacing)),
            height=torch.from_numpy(height_of(region)),
            densities=densities_of(scans, region_tensor),
            told=torch.zeros(len(z), 0) if told is None else torch.as_tensor(told, dtype=torch.float32),
            expansion=expansion_tensor,
            expanded=mean_within(expansion_tensor, mask),
        )

    def __len__(self) -> int:
        return len(self.years)

    def take(self, chosen: Iterable[int]) -> "ObservedVisits":
        """Only the chosen visits."""
        chosen = list(chosen)
        return replace(self, years=self.years[chosen], **{name: getattr(self, name)[chosen] for name in OF_VISITS})

    def merged(self) -> "ObservedVisits":
        """In the order of time, visits at the same time averaged; years are then distinct and ascending."""
        years, *merged = merge_ties(self.years, *(getattr(self, name) for name in OF_VISITS))
        return replace(self, years=years, **dict(zip(OF_VISITS, merged, strict=True)))

    def to(self, device: torch.device) -> "ObservedVisits":
        names = (*OF_VISITS, "mask", "region", "depth", "height")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    @property
    def factor(self) -> int:
        """Voxels of a scan per latent voxel, along each axis."""
        return self.scans.shape[1] // self.z.shape[2]


def observe(visits: PatientVisits, kind: str, told: Sequence[str] = (), breath: bool = False) -> ObservedVisits:
    """All the visits, whole; kind: "continuous" or "quantised" latents; told: names of what is told of them; breath:
    how far the lung is expanded is told too."""
    return ObservedVisits.of(
        years=visits.years,
        z=_stack(visits.latents, kind),
        mask=torch.from_numpy(visits.mask),
        scans=visits.unit,
        region=visits.region,
        spacing=visits.spacing,
        told=visits.told(told),
        expansion=expansion_of(visits, breath),
    )


@dataclass(frozen=True)
class VisitTensors:
    """What is kept in memory of a patient to observe the visits in one box after the other; scans stay on disk.

    z (n, c, d, h, w) float32; depth float16 (D, H, W) in mm; height (D,), told and expansion as in `ObservedVisits`;
    densities (n, DENSITIES) and expanded (n,) of whole lungs.
    """

    visits: PatientVisits
    z: torch.Tensor
    depth: np.ndarray
    height: np.ndarray
    densities: torch.Tensor
    told: torch.Tensor
    expansion: torch.Tensor
    expanded: torch.Tensor

    @classmethod
    def read(cls, visits: PatientVisits, kind: str, told: Sequence[str] = (), breath: bool = False) -> "VisitTensors":
        """See `observe`; of the latents only those of this kind are kept."""
        return cls.of(visits, _stack(visits.fresh().latents, kind), told, breath)

    @classmethod
    def of(
        cls, visits: PatientVisits, z: torch.Tensor, told: Sequence[str] = (), breath: bool = False
    ) -> "VisitTensors":
        region = torch.from_numpy(visits.region)
        expansion = torch.from_numpy(expansion_of(visits, breath))
        units = (torch.from_numpy(to_unit(volume, visits.window)) for volume in visits.volumes)
        return cls(
            visits=visits,
            z=z,
            depth=depth_of(visits.region, visits.spacing).astype(np.float16),
            height=height_of(visits.region),
            densities=torch.cat([densities_of(unit[None], region) for unit in units]),
            told=torch.from_numpy(visits.told(told)),
            expansion=expansion,
            expanded=mean_within(expansion, torch.from_numpy(visits.mask)),
        )

    @property
    def subject(self) -> str:
        return self.visits.subject

    @property
    def split(self) -> str:
        return self.visits.split

    @property
    def mask(self) -> torch.Tensor:
        """The lung at latent resolution, bool (d, h, w)."""
        return torch.from_numpy(self.visits.mask)

    @property
    def years(self) -> np.ndarray:
        """Years since baseline (n,), rounded as in `ObservedVisits`."""
        return as_years(self.visits.years)

    @property
    def factor(self) -> int:
        """Voxels of a scan per latent voxel, along each axis."""
        return self.visits.region.shape[0] // self.z.shape[2]

    def observe(self, box: Box = EVERYTHING) -> ObservedVisits:
        """All visits in a box of latent voxels and the same box of the scans; everything by default."""
        edges = ((side.start, side.stop) for side in box)
        large = tuple(slice(*(None if edge is None else edge * self.factor for edge in pair)) for pair in edges)
        return ObservedVisits(
            years=self.years,
            z=self.z[:, :, *box],
            mask=self.mask[box],
            scans=torch.from_numpy(self.visits.crop(large)),
            region=torch.from_numpy(self.visits.region[large]),
            depth=torch.from_numpy(self.depth[large].astype(np.float32)),
            height=torch.from_numpy(self.height[large[0]]),
            densities=self.densities,
            told=self.told,
            expansion=self.expansion[:, *box],
            expanded=self.expanded,
        )


def expansion_of(visits: PatientVisits, breath: bool) -> np.ndarray:
    """How far tissue is expanded at each visit, float32 (n, d, h, w) at latent resolution, see `ObservedVisits`; zeros
    where no `breath` is asked for, and then nothing is read."""
    if not breath:
        return np.zeros((len(visits), *visits.mask.shape), np.float32)
    maps = torch.from_numpy(visits.expansion)[:, None]
    return F.interpolate(maps, size=visits.mask.shape, mode="area")[:, 0].numpy()


def _stack(latents: Sequence[Latents], kind: str) -> torch.Tensor:
    """The embeddings (n, c, d, h, w) float32 that stage 2 works on: before ("continuous") or after quantisation."""
    name = {"continuous": "continuous", "quantised": "embeddings"}[kind]
    return torch.from_numpy(np.stack([getattr(one, name).astype(np.float32, copy=False) for one in latents]))


def merge_ties(years: Years, *values: torch.Tensor) -> tuple[Any, ...]:
    """Sort visits by time and average those at the same time.

    `years` (n,), each of `values` (n, ...). Returns the distinct years (m,) in ascending order and, for each of
    `values`, a tensor (m, ...). A visit without a tie comes back bit for bit. Raises ValueError without visits or
    where the numbers of visits differ.
    """
    array = as_years(years)
    if len(array) == 0 or any(len(value) != len(array) for value in values):
        raise ValueError(f"{len(array)} times for {[len(value) for value in values]} visits; at least one is needed")
    distinct = np.unique(array)
    groups = [np.flatnonzero(array == year) for year in distinct]
    return distinct, *(torch.stack([_mean(value, group) for group in groups]) for value in values)


def _mean(value: torch.Tensor, group: np.ndarray) -> torch.Tensor:
    return value[group[0]] if len(group) == 1 else value[torch.as_tensor(group, device=value.device)].mean(0)


def mean_within(maps: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Means (n,) of maps (n, d, h, w) over the mask (d, h, w), 0 where it is empty."""
    inside = mask.to(maps)
    return (maps * inside).sum((1, 2, 3)) / inside.sum().clamp(min=1)


def depth_of(region: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Distance (D, H, W) float32 in mm from the pleura inside the lung, 0 outside; spacing (D, H, W) in mm."""
    return ndimage.distance_transform_edt(region, sampling=spacing).astype(np.float32)


def height_of(region: np.ndarray) -> np.ndarray:
    """Height (D,) float32 of each slice: 0 at the lowest slice of the lung, 1 at the highest, beyond them the same."""
    held = np.flatnonzero(region.any(axis=(1, 2)))
    low, high = (held[0], held[-1]) if len(held) else (0, region.shape[0] - 1)
    return np.clip((np.arange(region.shape[0]) - low) / max(high - low, 1), 0, 1).astype(np.float32)


def densities_of(scans: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
    """Densities (n, DENSITIES) of scans (n, D, H, W) in the lung: the mean, and how far QUANTILES lie from it.

    A deep breath moves the mean, and disease the quantiles from it: together they tell the one from the other.
    Quantiles of means over blocks of 2^3 voxels, whose noise hardly widens the distribution. 0 without any lung.
    """
    if not region.any():
        return scans.new_zeros(len(scans), DENSITIES)
    weight = region[None, None].to(scans)
    share = F.avg_pool3d(weight, 2)[0, 0]
    blocks = pooled(scans[:, None], weight, 2)[:, 0, share >= share.max() / 2]
    mean = (scans * weight[0]).sum((1, 2, 3)) / weight.sum()
    quantiles = torch.quantile(blocks, scans.new_tensor(QUANTILES), dim=1)
    return torch.stack([mean, *(quantiles - mean)], 1)


def pooled(volumes: torch.Tensor, weight: torch.Tensor, factor: int) -> torch.Tensor:
    """Weighted means (n, c, d, h, w) of volumes (n, c, D, H, W) over blocks of factor^3; 0 where nothing weighs."""
    total = F.avg_pool3d(weight, factor)
    return F.avg_pool3d(volumes * weight, factor) / total.clamp(min=1e-6)
