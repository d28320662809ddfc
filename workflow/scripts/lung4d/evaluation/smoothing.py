"""Gaussian smoothing that stays inside the lung."""

import numpy as np
from scipy import ndimage


def smooth_inside(volume: np.ndarray, region: np.ndarray, sigma: float | tuple[float, ...]) -> np.ndarray:
    """Smooth (D, H, W) among the voxels of the region only (normalised convolution), sigma in voxels.

    Voxels outside the region are left as they are: chest wall neither bleeds into the lung nor is changed.
    """
    weight = ndimage.gaussian_filter(region.astype(np.float32), sigma)
    smoothed = ndimage.gaussian_filter(np.where(region, volume, 0).astype(np.float32), sigma)
    return np.where(region, smoothed / np.maximum(weight, 1e-6), volume).astype(np.float32)
