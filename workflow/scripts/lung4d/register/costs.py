"""Patch dissimilarity of descriptor codes over a dense cube of displacements, by counting bits."""

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.extending import intrinsic

from lung4d.register.descriptors import BITS


@intrinsic
def popcount(typing_context, word):
    """Number of ones in a uint64, as the machine instruction (vectorised where the processor can)."""

    def generate(context, builder, signature, arguments):
        function = builder.module.declare_intrinsic("llvm.ctpop", [ir.IntType(64)])
        return builder.call(function, arguments)

    return types.uint64(types.uint64), generate


def displacement_costs(
    fixed: np.ndarray, moving: np.ndarray, points: np.ndarray, radius: int, step: int, patch: int
) -> np.ndarray:
    """Mean descriptor distance of the patch at each point of `fixed` to the displaced patches of `moving`.

    fixed, moving: uint64 codes (D, H, W); points: int64 (n, 3); radius: of the search, in steps of `step` voxels;
    patch: radius of the patch, sampled at every `step`-th voxel. Voxels beyond the border repeat it. Returns float32
    (n, W, W, W) in [0, 1], W = 2 radius + 1; the middle is the displacement 0.
    """
    width = 2 * radius + 1
    out = np.empty((len(points), width, width, width), dtype=np.float32)
    _costs(fixed, moving, points, radius, step, patch, out)
    return out


@njit(cache=True)
def _gather(codes, centre, radius, step, block):
    depth, height, width = codes.shape
    size = 2 * radius + 1
    for a in range(size):
        z = min(max(centre[0] + (a - radius) * step, 0), depth - 1)
        for b in range(size):
            y = min(max(centre[1] + (b - radius) * step, 0), height - 1)
            row = codes[z, y]
            for c in range(size):
                block[a, b, c] = row[min(max(centre[2] + (c - radius) * step, 0), width - 1)]


@njit(parallel=True, cache=True)
def _costs(fixed, moving, points, radius, step, patch, out):
    width, size = 2 * radius + 1, 2 * patch + 1
    reach = radius + patch
    scale = np.float32(1.0 / (BITS * size**3))
    for n in prange(len(points)):
        template = np.empty((size, size, size), np.uint64)
        block = np.empty((2 * reach + 1, 2 * reach + 1, 2 * reach + 1), np.uint64)
        bits = np.zeros((width, width, width), np.uint64)
        _gather(fixed, points[n], patch, step, template)
        _gather(moving, points[n], reach, step, block)
        for i in range(size):
            for j in range(size):
                for k in range(size):
                    word = template[i, j, k]
                    for a in range(width):
                        for b in range(width):
                            source = block[a + i, b + j, k : k + width]
                            count = bits[a, b]
                            for c in range(width):
                                count[c] += popcount(source[c] ^ word)
        for a in range(width):
            for b in range(width):
                for c in range(width):
                    out[n, a, b, c] = np.float32(bits[a, b, c]) * scale


def descriptor_distance(first: np.ndarray, second: np.ndarray, region: np.ndarray) -> float:
    """Mean share of differing bits of two volumes of codes within `region` (bool); NaN where the region is empty."""
    different = np.bitwise_count(first[region] ^ second[region])
    return float(different.mean() / BITS) if different.size else float("nan")
