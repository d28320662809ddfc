"""Morphology with radii in mm: balls by distance transforms, so that the cost does not depend on the radius.

Arrays are bool (z, y, x); `spacing` is one number, the edge of an isotropic voxel in mm.
"""

from typing import Any

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

IN_PLANE = np.array([[[0] * 3] * 3, [[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[0] * 3] * 3], bool)


def distance_outside(mask: np.ndarray, spacing: float) -> np.ndarray:
    """Distance (mm, float32) of every voxel centre to the nearest voxel centre of `mask`; infinite for an empty one."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    image = sitk.GetImageFromArray(mask.view(np.uint8))
    squared = sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, squaredDistance=True, useImageSpacing=False))
    squared[mask] = 0  # Maurer's inside is negative, and undefined where there is no outside
    return np.sqrt(squared, out=squared) * np.float32(spacing)


def dilate(mask: np.ndarray, radius: float, spacing: float) -> np.ndarray:
    """Voxels whose centre lies within `radius` mm of a voxel centre of `mask`."""
    reach = radius / spacing
    if reach >= 2.5:
        return distance_outside(mask, spacing) <= radius
    # A small ball is quicker as a union of shifted copies.
    margin = int(reach)
    padded = np.pad(mask, margin)
    result = mask.copy()
    for shift in np.argwhere(_ball(reach)):
        window = tuple(slice(start, start + size) for start, size in zip(shift, mask.shape, strict=True))
        result |= padded[window]
    return result


def _ball(radius: float) -> np.ndarray:
    """Bool cube of the voxels within `radius` voxels of its middle."""
    axis = np.arange(-int(radius), int(radius) + 1)
    return np.add.outer(np.add.outer(axis**2, axis**2), axis**2) <= radius**2


def dilate_box(mask: np.ndarray, radius: float, spacing: float) -> np.ndarray:
    """`dilate`, worked out in the mask's own box: quicker for a small part of a large array."""
    result = np.zeros_like(mask)
    box = bounding_box(mask, int(np.ceil(radius / spacing)))
    if box is not None:
        result[box] = dilate(mask[box], radius, spacing)
    return result


def erode(mask: np.ndarray, radius: float, spacing: float) -> np.ndarray:
    """Voxels of `mask` farther than `radius` mm from every voxel outside of it; the array's edge is no outside."""
    return ~dilate(~mask, radius, spacing)


def opened(mask: np.ndarray, radius: float, spacing: float) -> np.ndarray:
    """What a ball of `radius` covers that fits into `mask`; voxels beyond the array count as outside of it."""
    padded = np.pad(mask, 1)
    return dilate(erode(padded, radius, spacing), radius, spacing)[1:-1, 1:-1, 1:-1] & mask


def closed(mask: np.ndarray, radius: float, spacing: float) -> np.ndarray:
    """`mask` and what no ball of `radius` reaches that stays outside of it; worked out in the mask's own box."""
    result = mask.copy()
    box = bounding_box(mask)
    if box is None:
        return result
    margin = int(np.ceil(radius / spacing)) + 2
    padded = np.pad(mask[box], margin)
    filled = erode(dilate(padded, radius, spacing), radius, spacing)
    result[box] |= filled[margin:-margin, margin:-margin, margin:-margin]
    return result


def bounding_box(mask: np.ndarray, margin: int = 0) -> tuple[slice, ...] | Any:
    """Slices of the smallest box around `mask`, widened by `margin` voxels within the array; None for an empty one."""
    found = ndimage.find_objects(mask.view(np.uint8))
    if not found:
        return None
    return tuple(
        slice(max(0, part.start - margin), min(size, part.stop + margin))
        for part, size in zip(found[0], mask.shape, strict=True)
    )


def largest_parts(mask: np.ndarray, structure: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Labels of the connected parts of `mask`, 1 for the largest, and their sizes in voxels in that order."""
    labels, count = ndimage.label(mask, structure)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-sizes, kind="stable")
    rank = np.zeros(count + 1, np.int32)
    rank[order + 1] = np.arange(1, count + 1)
    return rank[labels], sizes[order]


def filled(mask: np.ndarray) -> np.ndarray:
    """`mask` with the holes that it encloses in 3D."""
    box = bounding_box(mask)
    if box is None:
        return mask
    result = mask.copy()
    result[box] = ndimage.binary_fill_holes(mask[box])
    return result
