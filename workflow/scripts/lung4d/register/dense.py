"""From displacements at keypoints to a dense field: a polyharmonic spline with the kernel |r|, the 3-D thin-plate
spline."""

import numpy as np
from numba import njit, prange
from scipy import linalg

from lung4d.register.fields import upsample

GRID_STEP = 4  # voxels between the nodes at which the spline is evaluated; trilinear between them
_SCALE = 100.0  # voxels; keeps the equations well conditioned


@njit(parallel=True, cache=True, fastmath=True)
def _evaluate(nodes, points, coefficients, out):
    count = points.shape[1]
    for i in prange(len(nodes)):
        x, y, z = nodes[i, 0], nodes[i, 1], nodes[i, 2]
        s0, s1, s2 = np.float32(0), np.float32(0), np.float32(0)
        for j in range(count):
            a, b, c = x - points[0, j], y - points[1, j], z - points[2, j]
            r = np.sqrt(a * a + b * b + c * c)
            s0 -= r * coefficients[0, j]
            s1 -= r * coefficients[1, j]
            s2 -= r * coefficients[2, j]
        out[i, 0], out[i, 1], out[i, 2] = s0, s1, s2
        for d in range(3):
            out[i, d] += (
                coefficients[d, count]
                + x * coefficients[d, count + 1]
                + y * coefficients[d, count + 2]
                + z * coefficients[d, count + 3]
            )


def fit_spline(points: np.ndarray, displacements: np.ndarray, smoothing: float | np.ndarray) -> np.ndarray:
    """Coefficients float64 (n + 4, 3) of -sum_j c_j |x - x_j| + affine, x in units of 100 voxels (Duchon 1977).

    points: (n, 3) voxels; displacements: (n, 3) voxels; smoothing: of all points or (n,) of each, 0 interpolates. Where
    the points lie in one plane (within a voxel) the affine part is a constant, which this kernel allows.
    """
    x = np.asarray(points, dtype=np.float64) / _SCALE
    count = len(x)
    squared = (x**2).sum(1)
    kernel = squared[:, None] + squared[None] - 2 * (x @ x.T)
    flat = np.linalg.svd(x - x.mean(0), compute_uv=False)[-1] * _SCALE < np.sqrt(count)
    size = count + (1 if flat else 4)
    system = np.zeros((size, size))
    np.sqrt(np.maximum(kernel, 0, out=kernel), out=kernel)
    system[:count, :count] = -kernel
    system[np.arange(count), np.arange(count)] = smoothing
    system[:count, count] = 1
    if not flat:
        system[:count, count + 1 :] = x
    system[count:, :count] = system[:count, count:].T
    right = np.zeros((size, 3))
    right[:count] = displacements
    coefficients = np.zeros((count + 4, 3))
    coefficients[:size] = linalg.solve(system, right, overwrite_a=True, overwrite_b=True, check_finite=False)
    return coefficients


def evaluate_spline(where: np.ndarray, points: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """The spline at `where` (m, 3) voxels: float32 (m, 3) voxels."""
    out = np.empty((len(where), 3), dtype=np.float32)
    _evaluate(
        np.ascontiguousarray(where / _SCALE, dtype=np.float32),
        np.ascontiguousarray((points / _SCALE).T, dtype=np.float32),
        np.ascontiguousarray(coefficients.T, dtype=np.float32),
        out,
    )
    return out


def dense_field(
    points: np.ndarray, displacements: np.ndarray, shape: tuple[int, ...], smoothing: float | np.ndarray
) -> np.ndarray:
    """Field float32 (D, H, W, 3), voxels, through the displacements (n, 3) of the keypoints (n, 3); smoothing: see
    `fit_spline`."""
    coefficients = fit_spline(points, displacements, smoothing)
    axes = [np.arange(0, n + GRID_STEP, GRID_STEP) for n in shape]
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    coarse = evaluate_spline(nodes.reshape(-1, 3), points, coefficients).reshape(*nodes.shape)
    return upsample(coarse, shape, GRID_STEP)
