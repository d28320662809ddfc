"""The visits that a forecast is made from, as tensors: latents, scans, and where in the lung each voxel lies."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional as F

from lung4d.ode.times import Years, as_years, merge_ties


@dataclass(frozen=True)
class Given:
    """n visits of one patient, in any order.

    years (n,) float64 since baseline; z (n, c, d, h, w) float32 latents; mask (d, h, w) bool the lung at latent
    resolution. scans (n, D, H, W) float32 on the unit scale, region (D, H, W) bool the lung, depth (D, H, W) float32
    distance to the pleura in mm, height (D,) float32 from 0 at the base to 1 at the apex; density (n,) mean of each
    scan in the whole lung, also where the other fields are a crop of it.
    """

    years: np.ndarray
    z: torch.Tensor
    mask: torch.Tensor
    scans: torch.Tensor
    region: torch.Tensor
    depth: torch.Tensor
    height: torch.Tensor
    density: torch.Tensor

    @classmethod
    def of(
        cls, years: Years, z: torch.Tensor, mask: torch.Tensor, scans: np.ndarray, region: np.ndarray, spacing: tuple
    ) -> "Given":
        """From whole volumes; spacing (D, H, W) in mm. Raises ValueError where shapes, numbers or times do not fit."""
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
        return cls(
            years=years,
            z=z,
            mask=mask,
            scans=scans,
            region=region_tensor,
            depth=torch.from_numpy(depth_of(region, spacing)),
            height=torch.from_numpy(height_of(region)),
            density=density_of(scans, region_tensor),
        )

    def __len__(self) -> int:
        return len(self.years)

    def take(self, chosen: Sequence[int]) -> "Given":
        """Only the chosen visits."""
        chosen = list(chosen)
        return replace(
            self, years=self.years[chosen], z=self.z[chosen], scans=self.scans[chosen], density=self.density[chosen]
        )

    def merged(self) -> "Given":
        """In the order of time, visits at the same time averaged; years are then distinct and ascending."""
        years, z, scans, density = merge_ties(self.years, self.z, self.scans, self.density)
        return replace(self, years=years, z=z, scans=scans, density=density)

    def to(self, device: torch.device) -> "Given":
        names = ("z", "mask", "scans", "region", "depth", "height", "density")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    def crop(self, corner: Sequence[int], size: Sequence[int]) -> "Given":
        """The box of `size` latent voxels (d, h, w) from `corner` on, and the same box of the scans."""
        small = tuple(slice(start, start + length) for start, length in zip(corner, size, strict=True))
        large = tuple(slice(part.start * self.factor, part.stop * self.factor) for part in small)
        return replace(
            self,
            z=self.z[:, :, *small],
            mask=self.mask[small],
            scans=self.scans[:, *large],
            region=self.region[large],
            depth=self.depth[large],
            height=self.height[large[0]],
        )

    @property
    def factor(self) -> int:
        """Voxels of a scan per latent voxel, along each axis."""
        return self.scans.shape[1] // self.z.shape[2]


def depth_of(region: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Distance (D, H, W) float32 in mm from the pleura inside the lung, 0 outside; spacing (D, H, W) in mm."""
    return ndimage.distance_transform_edt(region, sampling=spacing).astype(np.float32)


def height_of(region: np.ndarray) -> np.ndarray:
    """Height (D,) float32 of each slice: 0 at the lowest slice of the lung, 1 at the highest, beyond them the same."""
    held = np.flatnonzero(region.any(axis=(1, 2)))
    low, high = (held[0], held[-1]) if len(held) else (0, region.shape[0] - 1)
    return np.clip((np.arange(region.shape[0]) - low) / max(high - low, 1), 0, 1).astype(np.float32)


def density_of(scans: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
    """Mean (n,) of scans (n, D, H, W) in the lung; 0 without any lung."""
    weight = region.to(scans)
    return (scans * weight).sum((1, 2, 3)) / weight.sum().clamp(min=1)


def pooled(volumes: torch.Tensor, weight: torch.Tensor, factor: int) -> torch.Tensor:
    """Weighted means (n, c, d, h, w) of volumes (n, c, D, H, W) over blocks of factor^3; 0 where nothing weighs."""
    total = F.avg_pool3d(weight, factor)
    return F.avg_pool3d(volumes * weight, factor) / total.clamp(min=1e-6)
