"""Gaussian smoothing that stays inside the lung."""

from functools import lru_cache

import numpy as np
from scipy import ndimage

Sigma = float | tuple[float, ...]


def smooth_inside(volume: np.ndarray, region: np.ndarray, sigma: Sigma) -> np.ndarray:
    """Smooth (D, H, W) among the voxels of the region only (normalised convolution), sigma in voxels.

    Voxels outside the region are left as they are: chest wall neither bleeds into the lung nor is changed.
    """
    box = _box(region)
    inside = np.where(region[box], volume[box], 0).astype(np.float32)
    weight = _weight(region[box].tobytes(), region[box].shape, sigma)
    smoothed = volume.astype(np.float32)
    smoothed[box] = np.where(region[box], _gaussian(inside, sigma) / weight, volume[box])
    return smoothed


def _box(region: np.ndarray) -> tuple[slice, ...]:
    """The region's bounding box: what lies outside it has no part in the result."""
    found = ndimage.find_objects(region.astype(np.uint8))
    return found[0] if found else tuple(slice(0, 0) for _ in region.shape)


@lru_cache(maxsize=16)
def _weight(region: bytes, shape: tuple[int, ...], sigma: Sigma) -> np.ndarray:
    """The smoothed region, kept: one patient's volumes are smoothed again and again with few sigmas."""
    mask = np.frombuffer(region, bool).reshape(shape)
    return np.maximum(_gaussian(mask.astype(np.float32), sigma), 1e-6)


def _gaussian(volume: np.ndarray, sigma: Sigma) -> np.ndarray:
    return ndimage.gaussian_filter(volume, sigma, mode="constant")
