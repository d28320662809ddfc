"""Preprocessed volumes on disk and in memory: memory-mapped int16 HU, masks, and the HU window.

Arrays are (D, H, W): axial slices first, then rows, then columns.
"""

from pathlib import Path

import nibabel as nib
import numpy as np

from lung4d.io.atomic import atomic, reading


def open_volume(path: str | Path) -> np.ndarray:
    """A NIfTI volume as (D, H, W) HU. An uncompressed one is mapped to memory: nothing is read until it is indexed.

    Raises DamagedFile, as does `open_mask`, where the file is cut short.
    """
    with reading(path):
        return np.asanyarray(nib.load(path).dataobj).T


def open_mask(path: str | Path) -> np.ndarray:
    """Read a mask as bool (D, H, W): True in the lung."""
    return np.ascontiguousarray(open_volume(path) > 0)


def read_affine(path: str | Path) -> np.ndarray:
    """The 4 x 4 affine of a NIfTI file, voxel (x, y, z) to RAS mm."""
    with reading(path):
        return nib.load(path).affine


def read_spacing(path: str | Path) -> tuple[float, float, float]:
    """Voxel spacing (D, H, W) of a NIfTI file, mm."""
    x, y, z = np.linalg.norm(read_affine(path)[:3, :3], axis=0)
    return float(z), float(y), float(x)


def to_unit(hu: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Map the HU window [low, high] to [-0.5, 0.5], clipped, float32."""
    low, high = window
    return np.clip((np.asarray(hu, np.float32) - low) / (high - low) - 0.5, -0.5, 0.5)


def from_unit(unit: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Map [-0.5, 0.5] back to the HU window [low, high], clipped, float32."""
    low, high = window
    return (np.clip(np.asarray(unit, np.float32), -0.5, 0.5) + 0.5) * (high - low) + low


def write_like(hu: np.ndarray, like: str | Path, path: str | Path, description: str = "") -> None:
    """Write (D, H, W) HU as int16 NIfTI with the affine of the file `like`, rounded to the nearest HU.

    `description` goes into the header, which has 79 bytes for it. The same arguments give the same bytes.
    """
    reference = nib.load(like)
    values = np.clip(np.rint(hu), -32768, 32767).astype(np.int16)
    image = nib.Nifti1Image(np.ascontiguousarray(values.T), reference.affine)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = description.encode()[:79]
    image.set_sform(reference.affine, code=1)
    image.set_qform(reference.affine, code=1)
    with atomic(path) as temporary:
        nib.save(image, temporary)
