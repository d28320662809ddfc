"""How good a field is: error at points of known motion, overlap of the lungs, folding."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage


def score(case: Path, field: np.ndarray) -> dict[str, float]:
    """Of `field` (D, H, W, 3), (x, y, z) mm, on the fixed scan's grid: errors in mm, Dice, folded voxels in percent."""
    fixed_mask, moving_mask = (sitk.ReadImage(str(case / f"{name}_mask.nii.gz")) for name in ("fixed", "moving"))
    origin, spacing = np.array(fixed_mask.GetOrigin()), np.array(fixed_mask.GetSpacing())
    direction = np.array(fixed_mask.GetDirection()).reshape(3, 3)
    fixed, moving = (sitk.GetArrayFromImage(mask) > 0 for mask in (fixed_mask, moving_mask))
    truth = np.load(case / "truth.npz")
    index = ((truth["points"] - origin) @ direction / spacing).T[::-1]
    there = truth["points"] + np.stack(
        [ndimage.map_coordinates(field[..., a], index, order=1, mode="nearest") for a in range(3)], axis=1
    )
    error = np.linalg.norm(there - truth["moved"], axis=1)
    along = (field @ direction / spacing)[..., ::-1]  # voxels, (z, y, x)
    grid = np.indices(fixed.shape, dtype=np.float32)
    warped = ndimage.map_coordinates(moving.astype(np.float32), grid + np.moveaxis(along, -1, 0), order=1) >= 0.5
    determinant = _determinant(along)
    return {
        "mean": error.mean(),
        "median": np.median(error),
        "p95": np.percentile(error, 95),
        "within_3mm": 100 * (error <= 3).mean(),
        "dice": 2 * (warped & fixed).sum() / (warped.sum() + fixed.sum()),
        "folded_lung": 100 * (determinant[fixed] <= 0).mean(),
        "folded_else": 100 * (determinant[~fixed] <= 0).mean(),
    }


def _determinant(along: np.ndarray) -> np.ndarray:
    rows = [np.stack(np.gradient(along[..., a]), axis=-1) for a in range(3)]
    return np.linalg.det(np.stack(rows, axis=-2) + np.eye(3, dtype=np.float32))
