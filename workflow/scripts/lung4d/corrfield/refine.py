"""Sub-voxel refinement: the dense field is tuned on MIND-SSC at half resolution inside the lung, by Adam.

Minimises sum over the lung of |F(x) - M(x + u(x) + s(x))|^2 + smoothness |grad s|^2, where F and M are
descriptors (and a channel of the distance to the lung's surface), u is the given field and s = B p a smoothed control
grid p (three box filters, so s is close to a cubic B-spline). Smoothing is its own adjoint: the gradient in p is B
applied to the gradient in s.
"""

import numpy as np
from numba import njit, prange

from lung4d.corrfield.fields import corner, upsample

_RATES = 0.9, 0.999  # Adam's


def refine(
    fixed: np.ndarray, moving: np.ndarray, region: np.ndarray, field: np.ndarray,
    steps: int, smoothness: float, rate: float = 0.3,
) -> np.ndarray:  # fmt: skip
    """The field, refined.

    fixed, moving: half-resolution features (d, h, w, 16), e.g. of `descriptors.mind_half`; region: bool (d, h, w),
    where they are compared; field: float32 (D, H, W, 3) in full-resolution voxels; smoothness: weight of the squared
    gradient; rate: step of Adam, half-resolution voxels. Returns a field like `field`.
    """
    shape = fixed.shape[:3]
    start = _halve(field, shape)
    points = np.argwhere(region).astype(np.int32)
    control = np.zeros((*shape, 3), np.float32)
    first, second = np.zeros_like(control), np.zeros_like(control)
    scratch, smoothed, gradient = np.empty_like(control), np.empty_like(control), np.empty_like(control)
    for step in range(1, steps + 1):
        _smooth(control, scratch, smoothed)
        _smoothness_gradient(smoothed, np.float32(smoothness), gradient)
        smoothed += start
        _data_gradient(fixed, moving, points, smoothed, gradient)
        _smooth(gradient, scratch, smoothed)
        corrections = (1 / (1 - rate_**step) for rate_ in _RATES)
        _adam(control, smoothed, first, second, np.float32(rate), *(np.float32(c) for c in corrections))
    _smooth(control, scratch, smoothed)
    smoothed *= 2
    return field + upsample(smoothed, field.shape[:3], 2.0, 0.5)


def _halve(field: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Means over 2 x 2 x 2 voxels, in half-resolution voxels."""
    d, h, w = shape
    blocks = field[: 2 * d, : 2 * h, : 2 * w].reshape(d, 2, h, 2, w, 2, 3)
    return np.ascontiguousarray(blocks.mean((1, 3, 5), dtype=np.float32) / 2)


@njit(parallel=True, cache=True, fastmath=True)
def _data_gradient(fixed, moving, points, field, gradient):
    """Add the derivative of |fixed(x) - moving(x + field(x))|^2 at `points` to `gradient`."""
    depth, height, width, channels = moving.shape
    for n in prange(len(points)):
        i, j, k = points[n, 0], points[n, 1], points[n, 2]
        a, fa = corner(i + field[i, j, k, 0], depth)
        b, fb = corner(j + field[i, j, k, 1], height)
        c, fc = corner(k + field[i, j, k, 2], width)
        p000, p001, p010, p011 = moving[a, b, c], moving[a, b, c + 1], moving[a, b + 1, c], moving[a, b + 1, c + 1]
        p100, p101 = moving[a + 1, b, c], moving[a + 1, b, c + 1]
        p110, p111 = moving[a + 1, b + 1, c], moving[a + 1, b + 1, c + 1]
        here = fixed[i, j, k]
        gz, gy, gx = np.float32(0), np.float32(0), np.float32(0)
        for m in range(channels):
            x00, x01 = p001[m] - p000[m], p011[m] - p010[m]
            x10, x11 = p101[m] - p100[m], p111[m] - p110[m]
            v00, v01 = p000[m] + x00 * fc, p010[m] + x01 * fc
            v10, v11 = p100[m] + x10 * fc, p110[m] + x11 * fc
            y0, y1 = v01 - v00, v11 - v10
            w0, w1 = v00 + y0 * fb, v10 + y1 * fb
            rise = w1 - w0
            residual = w0 + rise * fa - here[m]
            x0, x1 = x00 + (x01 - x00) * fb, x10 + (x11 - x10) * fb
            gz += residual * rise
            gy += residual * (y0 + (y1 - y0) * fa)
            gx += residual * (x0 + (x1 - x0) * fa)
        gradient[i, j, k, 0] += 2 * gz
        gradient[i, j, k, 1] += 2 * gy
        gradient[i, j, k, 2] += 2 * gx


@njit(parallel=True, cache=True, fastmath=True)
def _smoothness_gradient(field, weight, gradient):
    """Derivative of weight / 2 times the sum of squared differences of neighbours."""
    depth, height, width = field.shape[:3]
    for i in prange(depth):
        i0, i1 = max(i - 1, 0), min(i + 1, depth - 1)
        for j in range(height):
            j0, j1 = max(j - 1, 0), min(j + 1, height - 1)
            for k in range(width):
                k0, k1 = max(k - 1, 0), min(k + 1, width - 1)
                for d in range(3):
                    around = field[i0, j, k, d] + field[i1, j, k, d] + field[i, j0, k, d]
                    around += field[i, j1, k, d] + field[i, j, k0, d] + field[i, j, k1, d]
                    gradient[i, j, k, d] = weight * (np.float32(6) * field[i, j, k, d] - around)


@njit(parallel=True, cache=True, fastmath=True)
def _smooth(source, scratch, out):
    """Box filter of three voxels, three times along each axis (zeros beyond the border): a 7-tap, self-adjoint
    kernel."""
    depth, height, width = source.shape[:3]
    taps = np.array([7, 6, 3, 1], np.float32) / np.float32(27)
    for i in prange(depth):
        line = np.empty((height, width, 3), np.float32)
        for j in range(height):
            for k in range(width):
                for d in range(3):
                    line[j, k, d] = taps[0] * source[i, j, k, d]
            for t in range(1, 4):
                for k in range(width - t):
                    for d in range(3):
                        line[j, k, d] += taps[t] * source[i, j, k + t, d]
                        line[j, k + t, d] += taps[t] * source[i, j, k, d]
        for j in range(height):
            for k in range(width):
                for d in range(3):
                    scratch[i, j, k, d] = taps[0] * line[j, k, d]
            for t in range(1, 4):
                for other in (j - t, j + t):
                    if 0 <= other < height:
                        for k in range(width):
                            for d in range(3):
                                scratch[i, j, k, d] += taps[t] * line[other, k, d]
    for i in prange(depth):
        for j in range(height):
            for k in range(width):
                for d in range(3):
                    out[i, j, k, d] = taps[0] * scratch[i, j, k, d]
        for t in range(1, 4):
            for other in (i - t, i + t):
                if 0 <= other < depth:
                    for j in range(height):
                        for k in range(width):
                            for d in range(3):
                                out[i, j, k, d] += taps[t] * scratch[other, j, k, d]


@njit(parallel=True, cache=True, fastmath=True)
def _adam(control, gradient, first, second, rate, first_correction, second_correction):
    for i in prange(control.shape[0]):
        for j in range(control.shape[1]):
            for k in range(control.shape[2]):
                for d in range(3):
                    g = gradient[i, j, k, d]
                    m = first[i, j, k, d] + np.float32(0.1) * (g - first[i, j, k, d])
                    v = second[i, j, k, d] + np.float32(0.001) * (g * g - second[i, j, k, d])
                    first[i, j, k, d], second[i, j, k, d] = m, v
                    control[i, j, k, d] -= (
                        rate * m * first_correction / (np.sqrt(v * second_correction) + np.float32(1e-6))
                    )
