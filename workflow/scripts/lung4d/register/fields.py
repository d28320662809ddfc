"""Dense displacement fields on the isotropic grid: warp, compose, invert, Jacobian, and mending of folds.

A field is float32 (D, H, W, 3) in voxels, components in axis order; x maps to x + u(x). Beyond the border a field and
an image continue with their border values.
"""

import numpy as np
from numba import njit, prange
from scipy import ndimage

INVERSE_STEPS = 30
SMALLEST_JACOBIAN = 0.05  # of a mended field: a voxel keeps at least this share of its volume
MEND_ROUNDS = 40


@njit(cache=True, fastmath=True)
def corner(position, size):
    """Lower neighbour and fraction of a coordinate, clamped to the grid (size >= 2)."""
    position = min(max(position, np.float32(0)), np.float32(size - 1))
    lower = min(int(position), size - 2)
    return lower, np.float32(position - lower)


@njit(parallel=True, cache=True, fastmath=True)
def _warp(image, field, out):
    depth, height, width = image.shape
    for i in prange(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                a, fa = corner(i + field[i, j, k, 0], depth)
                b, fb = corner(j + field[i, j, k, 1], height)
                c, fc = corner(k + field[i, j, k, 2], width)
                v00 = image[a, b, c] + fc * (image[a, b, c + 1] - image[a, b, c])
                v01 = image[a, b + 1, c] + fc * (image[a, b + 1, c + 1] - image[a, b + 1, c])
                v10 = image[a + 1, b, c] + fc * (image[a + 1, b, c + 1] - image[a + 1, b, c])
                v11 = image[a + 1, b + 1, c] + fc * (image[a + 1, b + 1, c + 1] - image[a + 1, b + 1, c])
                v0, v1 = v00 + fb * (v01 - v00), v10 + fb * (v11 - v10)
                out[i, j, k] = v0 + fa * (v1 - v0)


@njit(parallel=True, cache=True, fastmath=True)
def _follow(outer, inner, sign, out):
    """out(x) = inner(x) + sign outer(x + inner(x)) for sign 1; without inner(x) for sign -1."""
    depth, height, width = outer.shape[:3]
    for i in prange(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                a, fa = corner(i + inner[i, j, k, 0], depth)
                b, fb = corner(j + inner[i, j, k, 1], height)
                c, fc = corner(k + inner[i, j, k, 2], width)
                for d in range(3):
                    v00 = outer[a, b, c, d] + fc * (outer[a, b, c + 1, d] - outer[a, b, c, d])
                    v01 = outer[a, b + 1, c, d] + fc * (outer[a, b + 1, c + 1, d] - outer[a, b + 1, c, d])
                    v10 = outer[a + 1, b, c, d] + fc * (outer[a + 1, b, c + 1, d] - outer[a + 1, b, c, d])
                    v11 = outer[a + 1, b + 1, c, d] + fc * (outer[a + 1, b + 1, c + 1, d] - outer[a + 1, b + 1, c, d])
                    v0, v1 = v00 + fb * (v01 - v00), v10 + fb * (v11 - v10)
                    value = v0 + fa * (v1 - v0)
                    out[i, j, k, d] = inner[i, j, k, d] + value if sign > 0 else -value


@njit(parallel=True, cache=True, fastmath=True)
def _upsample(coarse, step, offset, out):
    depth, height, width = coarse.shape[:3]
    for i in prange(out.shape[0]):
        a, fa = corner((i - offset) / step, depth)
        for j in range(out.shape[1]):
            b, fb = corner((j - offset) / step, height)
            for k in range(out.shape[2]):
                c, fc = corner((k - offset) / step, width)
                for d in range(3):
                    v00 = coarse[a, b, c, d] + fc * (coarse[a, b, c + 1, d] - coarse[a, b, c, d])
                    v01 = coarse[a, b + 1, c, d] + fc * (coarse[a, b + 1, c + 1, d] - coarse[a, b + 1, c, d])
                    v10 = coarse[a + 1, b, c, d] + fc * (coarse[a + 1, b, c + 1, d] - coarse[a + 1, b, c, d])
                    v11 = coarse[a + 1, b + 1, c, d] + fc * (
                        coarse[a + 1, b + 1, c + 1, d] - coarse[a + 1, b + 1, c, d]
                    )
                    v0, v1 = v00 + fb * (v01 - v00), v10 + fb * (v11 - v10)
                    out[i, j, k, d] = v0 + fa * (v1 - v0)


@njit(parallel=True, cache=True, fastmath=True)
def _jacobian(field, out):
    depth, height, width = field.shape[:3]
    for i in prange(depth):
        i0, i1 = max(i - 1, 0), min(i + 1, depth - 1)
        for j in range(height):
            j0, j1 = max(j - 1, 0), min(j + 1, height - 1)
            for k in range(width):
                k0, k1 = max(k - 1, 0), min(k + 1, width - 1)
                m = np.empty((3, 3), np.float32)
                for d in range(3):
                    m[d, 0] = (field[i1, j, k, d] - field[i0, j, k, d]) / np.float32(i1 - i0)
                    m[d, 1] = (field[i, j1, k, d] - field[i, j0, k, d]) / np.float32(j1 - j0)
                    m[d, 2] = (field[i, j, k1, d] - field[i, j, k0, d]) / np.float32(k1 - k0)
                    m[d, d] += np.float32(1)
                out[i, j, k] = (
                    m[0, 0] * (m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1])
                    - m[0, 1] * (m[1, 0] * m[2, 2] - m[1, 2] * m[2, 0])
                    + m[0, 2] * (m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0])
                )


def warp(image: np.ndarray, field: np.ndarray) -> np.ndarray:
    """image(x + u(x)), trilinear: float32 with the field's (D, H, W)."""
    out = np.empty(field.shape[:3], dtype=np.float32)
    _warp(np.ascontiguousarray(image, dtype=np.float32), field, out)
    return out


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The field of "first `inner`, then `outer`": x maps to x + inner(x) + outer(x + inner(x))."""
    out = np.empty_like(inner)
    _follow(outer, inner, 1, out)
    return out


def invert(field: np.ndarray, steps: int = INVERSE_STEPS) -> np.ndarray:
    """The inverse field v by fixed-point iteration v(y) = -u(y + v(y)) (Chen et al. 2008).

    Converges where the field does not fold and varies by less than a voxel per voxel; composing the two says how well.
    """
    inverse, other = -field, np.empty_like(field)
    for _ in range(steps):
        _follow(field, inverse, -1, other)
        # half a step: also converges where the field is steep
        inverse = np.float32(0.5) * (inverse + other)
    return inverse


def jacobian(field: np.ndarray) -> np.ndarray:
    """Determinant of the Jacobian of x + u(x), central differences: local change of volume, negative where it folds."""
    out = np.empty(field.shape[:3], dtype=np.float32)
    _jacobian(field, out)
    return out


def upsample(coarse: np.ndarray, shape: tuple[int, ...], step: float, offset: float = 0.0) -> np.ndarray:
    """Trilinear values of a coarse grid, whose node n lies at voxel n * step + offset, on the full grid; values as
    they are."""
    out = np.empty((*shape, 3), dtype=np.float32)
    _upsample(coarse, np.float32(step), np.float32(offset), out)
    return out


def mend_folds(field: np.ndarray) -> tuple[np.ndarray, int]:
    """A field whose Jacobian is nowhere below SMALLEST_JACOBIAN, and the number of voxels that were.

    Around such voxels the field is blended with a smoothed copy, wider and wider, until none is left. If that does
    not end, the whole displacement is smoothed and, at last, scaled down, which cannot fail: the zero field does not
    fold.
    """
    bad = jacobian(field) < SMALLEST_JACOBIAN
    count = int(bad.sum())
    if count == 0:
        return field, 0
    field = field.copy()
    for turn in range(MEND_ROUNDS):
        reach = 3 + turn // 4
        box = _box_around(bad, 4 * reach + 4)
        part = field[box]
        near = ndimage.uniform_filter(ndimage.binary_dilation(bad[box], iterations=reach).astype(np.float32), reach)
        part += near[..., None] * (_smooth(part, 1.0 + 0.1 * turn) - part)
        bad = jacobian(field) < SMALLEST_JACOBIAN
        if not bad.any():
            return field, count
    field = _smooth(field, 4.0)
    while (jacobian(field) < SMALLEST_JACOBIAN).any():
        field *= np.float32(0.9)
    return field, count


def _smooth(field: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(field, (sigma, sigma, sigma, 0), mode="nearest")


def _box_around(region: np.ndarray, margin: int) -> tuple[slice, ...]:
    inside = np.argwhere(region)
    return tuple(slice(max(a - margin, 0), b + margin + 1) for a, b in zip(inside.min(0), inside.max(0), strict=True))
