"""Sub-voxel refinement: the dense field is tuned on the scans' intensities inside the lung, by Adam.

Minimises sum over the lung of w (F(x) - M(x + u(x) + s(x)))^2 + smoothness (2 - w) |grad s|^2, where F and M are
intensities less their local mean over their local spread (so that neither density nor dose counts), w is the say of a
place (`lung4d.register.changed`), u the given field and s = B p a smoothed control grid p (three box filters, so s is
close to a cubic B-spline). A second sum, over the neighbourhood of the lung's surface, compares the distances to the
surface. Smoothing is its own adjoint: the gradient in p is B applied to the gradient in s. The control grid and u have
half the resolution of the scans: the eight voxels of a block move as one.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from scipy import ndimage

from lung4d.register.fields import corner, upsample
from lung4d.register.surface import signed_distance

MID_LUNG = np.float32(-800)  # HU, taken off before squaring: keeps float32 exact enough
INSIDE = -0.6  # half-resolution voxels: intensities are compared this far inside the lung, where none are of its wall
REACH = 4.0  # half-resolution voxels, beyond which the distance to the surface no longer grows
BAND = 2.0  # half-resolution voxels on either side of the surface, where the distances are compared
STIFFER = np.float32(1)  # times the smoothness that is added where a place has no say
_RATES = 0.9, 0.999  # Adam's
_RATE = 0.1  # step of Adam, half-resolution voxels


@dataclass(frozen=True)
class LungFeatures:
    """normalised: float32 (D, H, W); distance: float32 (D // 2, H // 2, W // 2) to the lung's surface, in voxels of
    that grid, negative inside."""

    normalised: np.ndarray
    distance: np.ndarray


def features(image: np.ndarray, lung: np.ndarray, window: int, spread: float) -> LungFeatures:
    """What `refine` compares of one scan: image float32 (D, H, W) HU, lung bool (D, H, W), not empty.

    window: voxels, of the local mean and standard deviation within the lung; spread: HU, added to the standard
    deviation (as squares), so that noise in even tissue is not made large.
    """
    inside = lung.astype(np.float32)
    weight = np.maximum(ndimage.uniform_filter(inside, window), np.float32(1e-3))
    value = (image - MID_LUNG) * inside
    mean = ndimage.uniform_filter(value, window) / weight
    variance = ndimage.uniform_filter(value * value, window) / weight - mean * mean
    normalised = inside * (value - mean) / np.sqrt(np.maximum(variance, 0) + np.float32(spread**2))
    return LungFeatures(normalised, _surface_distance(lung))


def refine(
    fixed: LungFeatures, moving: LungFeatures, field: np.ndarray, say: np.ndarray, steps: int, smoothness: float,
    surface_weight: float,
) -> np.ndarray:  # fmt: skip
    """The field, float32 (D, H, W, 3) in voxels, refined; say: float32 (D, H, W), 0 to 1, weight of the intensities;
    smoothness: weight of the squared gradient of what is added; surface_weight: of the distances to the surface, per
    half-resolution voxel."""
    shape = fixed.distance.shape
    start, say = _halve(field, shape) / 2, _halve(say[..., None], shape)[..., 0]
    stiffness = np.float32(smoothness) * (1 + STIFFER * (1 - say))
    inner = np.argwhere(fixed.distance < INSIDE).astype(np.int32)
    border = np.argwhere(np.abs(fixed.distance) < BAND).astype(np.int32)
    control = np.zeros((*shape, 3), np.float32)
    first, second = np.zeros_like(control), np.zeros_like(control)
    scratch, smoothed, gradient = np.empty_like(control), np.empty_like(control), np.empty_like(control)
    for step in range(1, steps + 1):
        _smooth(control, scratch, smoothed)
        _smoothness_gradient(smoothed, stiffness, gradient)
        smoothed += start
        _intensity_gradient(fixed.normalised, moving.normalised, inner, smoothed, say, gradient)
        _surface_gradient(fixed.distance, moving.distance, border, smoothed, np.float32(surface_weight), gradient)
        _smooth(gradient, scratch, smoothed)
        corrections = (1 / (1 - rate**step) for rate in _RATES)
        _adam(control, smoothed, first, second, np.float32(_RATE), *(np.float32(c) for c in corrections))
    _smooth(control, scratch, smoothed)
    smoothed *= 2
    return field + upsample(smoothed, field.shape[:3], 2.0, 0.5)


def _surface_distance(lung: np.ndarray) -> np.ndarray:
    d, h, w = (n // 2 for n in lung.shape)
    share = lung[: 2 * d, : 2 * h, : 2 * w].reshape(d, 2, h, 2, w, 2).mean((1, 3, 5), dtype=np.float32)
    return signed_distance(share, (1.0, 1.0, 1.0)).clip(-REACH, REACH)


def _halve(field: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Means over 2 x 2 x 2 voxels of (D, H, W, channels)."""
    d, h, w = shape
    blocks = field[: 2 * d, : 2 * h, : 2 * w].reshape(d, 2, h, 2, w, 2, -1)
    return np.ascontiguousarray(blocks.mean((1, 3, 5), dtype=np.float32))


@njit(cache=True, fastmath=True, inline="always")
def _value_and_slope(image, a, b, c, fa, fb, fc):
    """Trilinear value between voxel (a, b, c) and the next, and its derivatives along the axes."""
    p000, p001, p010, p011 = image[a, b, c], image[a, b, c + 1], image[a, b + 1, c], image[a, b + 1, c + 1]
    p100, p101 = image[a + 1, b, c], image[a + 1, b, c + 1]
    p110, p111 = image[a + 1, b + 1, c], image[a + 1, b + 1, c + 1]
    x00, x01, x10, x11 = p001 - p000, p011 - p010, p101 - p100, p111 - p110
    v00, v01, v10, v11 = p000 + x00 * fc, p010 + x01 * fc, p100 + x10 * fc, p110 + x11 * fc
    y0, y1 = v01 - v00, v11 - v10
    w0, w1 = v00 + y0 * fb, v10 + y1 * fb
    x0, x1 = x00 + (x01 - x00) * fb, x10 + (x11 - x10) * fb
    return w0 + (w1 - w0) * fa, w1 - w0, y0 + (y1 - y0) * fa, x0 + (x1 - x0) * fa


@njit(parallel=True, cache=True, fastmath=True)
def _intensity_gradient(fixed, moving, points, field, say, gradient):
    """Add the derivative of sum over each block's 8 voxels of say (fixed(x) - moving(x + field))^2 to `gradient`."""
    depth, height, width = moving.shape
    two = np.float32(2)
    for n in prange(len(points)):
        i, j, k = points[n, 0], points[n, 1], points[n, 2]
        # one displacement, so one fraction, for the whole block
        a, fa = corner(two * (i + field[i, j, k, 0]), depth - 1)
        b, fb = corner(two * (j + field[i, j, k, 1]), height - 1)
        c, fc = corner(two * (k + field[i, j, k, 2]), width - 1)
        gz, gy, gx = np.float32(0), np.float32(0), np.float32(0)
        for p in range(2):
            for q in range(2):
                for r in range(2):
                    value, dz, dy, dx = _value_and_slope(moving, a + p, b + q, c + r, fa, fb, fc)
                    residual = value - fixed[2 * i + p, 2 * j + q, 2 * k + r]
                    gz += residual * dz
                    gy += residual * dy
                    gx += residual * dx
        scale = two * say[i, j, k]
        gradient[i, j, k, 0] += scale * gz
        gradient[i, j, k, 1] += scale * gy
        gradient[i, j, k, 2] += scale * gx


@njit(parallel=True, cache=True, fastmath=True)
def _surface_gradient(fixed, moving, points, field, weight, gradient):
    """Add the derivative of weight^2 (fixed(x) - moving(x + field))^2 to `gradient`."""
    depth, height, width = moving.shape
    for n in prange(len(points)):
        i, j, k = points[n, 0], points[n, 1], points[n, 2]
        a, fa = corner(i + field[i, j, k, 0], depth)
        b, fb = corner(j + field[i, j, k, 1], height)
        c, fc = corner(k + field[i, j, k, 2], width)
        value, dz, dy, dx = _value_and_slope(moving, a, b, c, fa, fb, fc)
        scale = np.float32(2) * weight * weight * (value - fixed[i, j, k])
        gradient[i, j, k, 0] += scale * dz
        gradient[i, j, k, 1] += scale * dy
        gradient[i, j, k, 2] += scale * dx


@njit(parallel=True, cache=True, fastmath=True)
def _smoothness_gradient(field, weight, gradient):
    """Derivative of half the sum of squared differences of neighbours, times the mean of both their weights."""
    depth, height, width = field.shape[:3]
    for i in prange(depth):
        i0, i1 = max(i - 1, 0), min(i + 1, depth - 1)
        for j in range(height):
            j0, j1 = max(j - 1, 0), min(j + 1, height - 1)
            for k in range(width):
                k0, k1 = max(k - 1, 0), min(k + 1, width - 1)
                own, half = weight[i, j, k], np.float32(0.5)
                a0, a1 = half * (own + weight[i0, j, k]), half * (own + weight[i1, j, k])
                b0, b1 = half * (own + weight[i, j0, k]), half * (own + weight[i, j1, k])
                c0, c1 = half * (own + weight[i, j, k0]), half * (own + weight[i, j, k1])
                whole = a0 + a1 + b0 + b1 + c0 + c1
                for d in range(3):
                    around = a0 * field[i0, j, k, d] + a1 * field[i1, j, k, d] + b0 * field[i, j0, k, d]
                    around += b1 * field[i, j1, k, d] + c0 * field[i, j, k0, d] + c1 * field[i, j, k1, d]
                    gradient[i, j, k, d] = whole * field[i, j, k, d] - around


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
