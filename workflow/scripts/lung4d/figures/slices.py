"""Slices of CT volumes ready to be shown: which slice, which way up, which window, which colours.

Volumes are (D, H, W) on LPS axes. Axial slices show the front of the body above and the patient's right side on the
viewer's left; coronal slices show the head above and the same side left.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.ndimage import gaussian_filter

Plane = Literal["axial", "coronal"]
LUNG_WINDOW = (-1350.0, 150.0)  # HU, as radiologists read lungs
CHANGE_RANGE = 200.0  # HU at which the colour of a change saturates
SMOOTHING = 3.0  # mm, of changes over years, so that scanner noise does not hide them
DENSER = np.array([1.0, 0.42, 0.13])  # more dense than before, as fibrosis is
LIGHTER = np.array([0.25, 0.62, 1.0])


@dataclass(frozen=True)
class Tile:
    """One picture of a mosaic: `pixels` (h, w, 3) in [0, 1], `spacing` (row, column) in mm, an outline, a label."""

    pixels: np.ndarray
    spacing: tuple[float, float]
    outline: np.ndarray | None = None
    label: str = ""


def cut(volume: np.ndarray, plane: Plane, index: int) -> np.ndarray:
    """Slice `index` of a (D, H, W) volume as it is shown on a screen, (rows, columns)."""
    if plane == "axial":
        return np.asarray(volume[index])
    return np.asarray(volume[:, index, :])[::-1]


def plane_spacing(spacing: tuple[float, float, float], plane: Plane) -> tuple[float, float]:
    """(row, column) mm of a slice, from the (z, y, x) mm of its volume."""
    z, y, x = spacing
    return (y, x) if plane == "axial" else (z, x)


def voxel_spacing(affine: np.ndarray) -> tuple[float, float, float]:
    """(z, y, x) mm of a volume on LPS axes, from its NIfTI affine."""
    x, y, z = np.linalg.norm(np.asarray(affine)[:3, :3], axis=0)
    return float(z), float(y), float(x)


def lung_index(mask: np.ndarray, plane: Plane, position: float) -> int:
    """The slice at `position` (0 to 1) of the lung's extent: upwards for axial, front to back for coronal.

    An empty mask gives the same position of the whole volume.
    """
    axis = 0 if plane == "axial" else 1
    filled = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
    low, high = (filled[0], filled[-1]) if filled.size else (0, mask.shape[axis] - 1)
    return round(low + position * (high - low))


def grey(hu: np.ndarray, window: tuple[float, float] = LUNG_WINDOW) -> np.ndarray:
    """HU (h, w) as grey pixels (h, w, 3) in [0, 1], black at the window's lower end."""
    low, high = window
    value = np.clip((np.asarray(hu, np.float32) - low) / (high - low), 0.0, 1.0)
    return np.repeat(value[..., None], 3, axis=2)


def overlay(baseline: np.ndarray, follow_up: np.ndarray, window: tuple[float, float] = LUNG_WINDOW) -> np.ndarray:
    """Baseline in blue and follow-up in yellow, (h, w, 3): aligned structures turn grey, as in Fig. 5 of the paper."""
    yellow = grey(follow_up, window)[..., 0]
    return np.stack([yellow, yellow, grey(baseline, window)[..., 0]], axis=2)


def change(anatomy: np.ndarray, difference: np.ndarray, region: np.ndarray) -> np.ndarray:
    """A difference in HU as colour on dimmed anatomy, inside `region` only; (h, w, 3).

    Orange is denser, blue is less dense; the colour is full from `CHANGE_RANGE` HU on and fades to none at zero.
    """
    strength = np.clip(np.abs(difference) / CHANGE_RANGE, 0.0, 1.0) * region
    colour = np.where((difference > 0)[..., None], DENSER, LIGHTER)
    return (1 - strength[..., None]) * 0.55 * grey(anatomy) + strength[..., None] * colour


def smooth_in(values: np.ndarray, region: np.ndarray, spacing: tuple[float, float], sigma: float) -> np.ndarray:
    """Gaussian mean (sigma in mm) of a slice over `region` only, 0 outside: noise averages out, no edge leaks."""
    voxels = [sigma / size for size in spacing]
    weight = gaussian_filter(region.astype(np.float32), voxels)
    total = gaussian_filter(np.where(region, values, 0).astype(np.float32), voxels)
    return np.where(region, total / np.maximum(weight, 1e-6), 0)


def crop_to(mask: np.ndarray, margin: int = 4) -> tuple[slice, slice]:
    """Rows and columns around a slice's mask, with a margin in pixels; everything where the mask is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return slice(None), slice(None)
    return (
        slice(max(rows[0] - margin, 0), rows[-1] + margin + 1),
        slice(max(columns[0] - margin, 0), columns[-1] + margin + 1),
    )
