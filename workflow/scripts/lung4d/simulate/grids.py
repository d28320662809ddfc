"""Regular grids and sampling. Inside the simulator vectors are (z, y, x) in mm from the middle of the field of view.

World coordinates (LPS mm, as SimpleITK has them) appear only when files are written: `Grid.origin` plus the table's
offset, reversed to (x, y, z).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage


@dataclass(frozen=True)
class Grid:
    """Voxel centres at origin + index * spacing; all (z, y, x), mm."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]

    def axes(self) -> list[np.ndarray]:
        """Coordinates along z, y, x, shaped to broadcast to the grid, float32."""
        return [
            (self.origin[a] + self.spacing[a] * np.arange(self.shape[a], dtype=np.float32)).reshape(
                [-1 if a == b else 1 for b in range(3)]
            )
            for a in range(3)
        ]

    def points(self) -> np.ndarray:
        """All voxel centres, float32 (3, D, H, W)."""
        return np.stack(np.broadcast_arrays(*self.axes())).astype(np.float32)

    def points_at(self, indices: tuple[np.ndarray, ...]) -> np.ndarray:
        """Centres of the voxels at `indices` (as np.nonzero gives them), float32 (3, n)."""
        return np.stack([self.origin[a] + self.spacing[a] * indices[a] for a in range(3)]).astype(np.float32)

    def to_index(self, points: np.ndarray) -> np.ndarray:
        """Continuous voxel indices of `points` (3, ...)."""
        tail = (1,) * (points.ndim - 1)
        origin, spacing = (np.reshape(np.float32(v), (3, *tail)) for v in (self.origin, self.spacing))  # type: ignore[arg-type]  # an array
        return (points - origin) / spacing

    def voxel_ml(self) -> float:
        return float(np.prod(self.spacing)) / 1000

    def centred(field_of_view: Sequence[Any], spacing: Sequence[Any]) -> "Grid":  # type: ignore[misc]  # of the class
        """The grid of about `field_of_view` mm (z, y, x) around the middle."""
        shape = tuple(round(f / s) for f, s in zip(field_of_view, spacing, strict=True))
        origin = tuple(-(n - 1) * s / 2 for n, s in zip(shape, spacing, strict=True))
        return Grid(shape, tuple(spacing), origin)


def sample_at(volume: np.ndarray, grid: Grid, points: np.ndarray) -> np.ndarray:
    """Trilinear values of `volume` (D, H, W) on `grid` at `points` (3, ...) mm; the border's value outside."""
    return sample_all([volume], grid, points)[0]


def sample_all(volumes: Sequence[np.ndarray] | np.ndarray, grid: Grid, points: np.ndarray) -> np.ndarray:
    """Trilinear values (k, ...) of k volumes (or of a vector field) on `grid` at `points` (3, ...) mm."""
    index = grid.to_index(points)
    return np.stack([sample_index(volume, index) for volume in volumes])


def sample_index(volume: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Trilinear values of `volume` at continuous voxel indices (3, ...); the border's value outside."""
    return ndimage.map_coordinates(volume, index, order=1, mode="nearest", prefilter=False)


def regrid(volume: np.ndarray, grid: Grid, target: Grid) -> np.ndarray:
    """Trilinear values of `volume` on another grid, float32; one small matrix product an axis."""
    along_z, along_y, along_x = (_interpolation(grid, target, axis) for axis in range(3))
    volume = (along_z @ volume.reshape(len(volume), -1)).reshape(-1, *volume.shape[1:])
    return (along_y @ volume) @ along_x.T


def splat(points: np.ndarray, weights: np.ndarray, grid: Grid) -> np.ndarray:
    """Spread `weights` (n,) of `points` (3, n) mm over the eight voxels around each: the adjoint of `sample`."""
    index = grid.to_index(points)
    inside = np.all((index >= 0) & (index < np.reshape(grid.shape, (3, 1)) - 1.001), axis=0)
    index, weights = index[:, inside], weights[inside]
    low = index.astype(np.int32)
    part = index - low
    _, height, width = grid.shape
    flat = (low[0] * height + low[1]) * width + low[2]
    corners, shares = [], []
    for z in (0, 1):
        for y in (0, 1):
            share = weights * np.abs(1 - z - part[0]) * np.abs(1 - y - part[1])
            for x in (0, 1):
                corners.append(flat + ((z * height + y) * width + x))
                shares.append(share * np.abs(1 - x - part[2]))
    total = np.bincount(np.concatenate(corners), np.concatenate(shares), minlength=int(np.prod(grid.shape)))
    return total.reshape(grid.shape).astype(np.float32)


def smooth_noise(rng: np.random.Generator, grid: Grid, scale: float) -> np.ndarray:
    """Gaussian random field (D, H, W) of mean 0 and sd 1 with a Gaussian correlation of about `scale` mm."""
    step = max(scale / 2.5, min(grid.spacing))
    coarse = Grid.centred([n * s + 4 * step for n, s in zip(grid.shape, grid.spacing, strict=True)], (step,) * 3)
    white = rng.standard_normal(coarse.shape, dtype=np.float32)
    field = ndimage.gaussian_filter(white, scale / 2 / step, mode="wrap", truncate=3)
    field = regrid(field, coarse, grid)
    return (field - field.mean()) / field.std()


def _interpolation(grid: Grid, target: Grid, axis: int) -> np.ndarray:
    """Linear interpolation weights (target size, size) along one axis; the border's value outside."""
    n = grid.shape[axis]
    wanted = target.origin[axis] + target.spacing[axis] * np.arange(target.shape[axis])
    index = np.clip((wanted - grid.origin[axis]) / grid.spacing[axis], 0, n - 1)
    low = np.minimum(index.astype(int), n - 2)
    weights = np.zeros((len(wanted), n), np.float32)
    rows = np.arange(len(wanted))
    weights[rows, low] = 1 - (index - low)
    weights[rows, low + 1] += index - low
    return weights
