"""Foerstner keypoints: well distributed points of high structure inside the lung."""

import numpy as np
from scipy import ndimage

FAINTEST = 1.0  # HU squared; less is rounding in an image without structure
_DERIVATIVE = np.array([1, -8, 0, 8, -1], dtype=np.float32) / 12


def distinctiveness(image: np.ndarray, region: np.ndarray, sigma: float) -> np.ndarray:
    """Foerstner's measure 1 / trace(inverse of the structure tensor), HU squared: high where all directions vary.

    image: (D, H, W) HU; region: bool (D, H, W); sigma: of the tensor's Gaussian window, voxels. Returns float32
    (D, H, W), 0 outside `region`.
    """
    out = np.zeros(image.shape, dtype=np.float32)
    inside = np.argwhere(region)
    if len(inside) == 0:
        return out
    reach = int(np.ceil(2.2 * sigma)) + 2
    box = tuple(slice(max(a - reach, 0), b + reach + 1) for a, b in zip(inside.min(0), inside.max(0), strict=True))
    out[box] = np.where(region[box], _inverse_trace(np.asarray(image[box], dtype=np.float32), sigma), 0)
    return out


def _inverse_trace(image: np.ndarray, sigma: float) -> np.ndarray:
    gradient = [ndimage.correlate1d(image, _DERIVATIVE, axis=axis, mode="nearest") for axis in range(3)]

    def tensor(i, j):
        return ndimage.gaussian_filter(gradient[i] * gradient[j], sigma, truncate=2.2, output=np.float32)

    a, b, c, d, e, f = (tensor(i, j) for i in range(3) for j in range(i, 3))
    cofactors = d * f - e * e, a * f - c * c, a * d - b * b
    determinant = a * cofactors[0] + b * (c * e - b * f) + c * (b * e - c * d)
    return determinant / (sum(cofactors) + np.float32(1e-6))


def strongest_peaks(strength: np.ndarray, cube: int, limit: int) -> np.ndarray:
    """Local maxima of `strength` (D, H, W) in cubes of `cube` voxels, the `limit` strongest of them.

    Returns int64 (n, 3), (z, y, x), strongest first; n may be 0.
    """
    peaks = (strength == ndimage.maximum_filter(strength, size=cube)) & (strength > FAINTEST)
    order = np.argsort(-strength[peaks], kind="stable")[:limit]
    return np.ascontiguousarray(np.argwhere(peaks)[order])
