"""NIfTI files whose bytes depend on their content alone (no time stamp), written whole or not at all."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np

from lung4d.io.atomic import atomic
from lung4d.simulate.grids import Grid


def write_volume(values: np.ndarray, grid: Grid, table: np.ndarray, path: Path) -> None:
    """Write (D, H, W) int16 or uint8 on `grid`, whose middle is at `table` (z, y, x) mm in the LPS world."""
    _write(nib.Nifti1Image(values.T, _affine(grid, table)), path)


def write_field(field: np.ndarray, grid: Grid, table: np.ndarray, path: Path) -> None:
    """Write displacements (3, D, H, W), z y x mm, as an ITK displacement field: float32 vectors x y z in LPS."""
    image = nib.Nifti1Image(field[::-1].T[:, :, :, None, :].astype(np.float32), _affine(grid, table))
    image.header.set_intent("vector")
    _write(image, path)


def world_origin(grid: Grid, table: np.ndarray) -> tuple[float, ...]:
    """Centre of the first voxel in the scanner's LPS world, (x, y, z) mm."""
    return tuple(float(o + t) for o, t in zip(grid.origin[::-1], table[::-1], strict=True))


def _affine(grid: Grid, table: np.ndarray) -> np.ndarray:
    """Voxel (x, y, z) to RAS mm, which NIfTI wants: LPS with x and y negated."""
    affine = np.diag([*grid.spacing[::-1], 1.0])
    affine[:3, 3] = world_origin(grid, table)
    return np.diag([-1.0, -1, 1, 1]) @ affine


def _write(image: nib.Nifti1Image, path: Path) -> None:
    image.header.set_xyzt_units("mm")
    image.set_qform(image.affine, code=1)
    image.set_sform(image.affine, code=1)
    with atomic(path) as temporary:
        temporary.write_bytes(gzip.compress(image.to_bytes(), compresslevel=1, mtime=0))
