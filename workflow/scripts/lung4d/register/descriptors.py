"""MIND-SSC: modality-independent neighbourhood descriptors with self-similarity context (Heinrich et al. 2013).

Each of 12 channels compares two patches that surround a voxel (two of its six neighbours, not opposite ones):
exp(-(SSD - smallest SSD) / mean). For the search over many displacements the channels are quantised to 6 levels and
written as thermometer codes of 5 bits, 60 bits in one word: the sum of the channels' absolute differences is then the
number of bits that differ.
"""

import math

import numpy as np
from numba import njit, prange

BITS = 60  # 12 channels of 5 bits
NOISE_FLOOR = 30.0  # HU squared: where neighbouring patches differ less than this, they are taken as equal

_NEIGHBOURS = ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))
_CONTEXT = [(a, b) for a in range(6) for b in range(a) if a // 2 != b // 2]
_OFFSETS = np.array([_NEIGHBOURS[a] + _NEIGHBOURS[b] for a, b in _CONTEXT], dtype=np.int64)
_CHUNKS = 8  # of planes, worked on side by side


def mind_codes(image: np.ndarray, sigma: float = 1.0) -> np.ndarray:
    """Thermometer codes of MIND-SSC.

    image: (D, H, W) HU; sigma: of the patches' Gaussian weights, voxels (five taps, so at most about 1.2).
    Returns uint64 (D, H, W); the descriptor distance of two voxels is popcount(a ^ b) / 60.
    """
    image = np.ascontiguousarray(image, dtype=np.float32)
    codes = np.empty(image.shape, dtype=np.uint64)
    _codes(image, _OFFSETS, _taps(sigma), codes)
    return codes


def _taps(sigma: float) -> np.ndarray:
    weights = np.array([math.exp(-0.5 * (k / sigma) ** 2) for k in range(3)])
    return (weights / (weights[0] + 2 * weights[1] + 2 * weights[2])).astype(np.float32)


@njit(cache=True, fastmath=True)
def _smooth_differences(image, offsets, taps, x, rough, along, plane):
    """Squared differences of plane x for every channel, smoothed within the plane, into `plane` (12, H, W)."""
    depth, height, width = image.shape
    for c in range(12):
        upper = image[min(max(x + offsets[c, 0], 0), depth - 1)]
        lower = image[min(max(x + offsets[c, 3], 0), depth - 1)]
        for y in range(height):
            first = upper[min(max(y + offsets[c, 1], 0), height - 1)]
            second = lower[min(max(y + offsets[c, 4], 0), height - 1)]
            row = rough[y]
            i, j = offsets[c, 2], offsets[c, 5]
            for z in range(1, width - 1):
                difference = first[z + i] - second[z + j]
                row[z] = difference * difference
            row[0] = row[1]
            row[width - 1] = row[width - 2]
        for y in range(height):
            a, b = rough[max(y - 1, 0)], rough[min(y + 1, height - 1)]
            e, f = rough[max(y - 2, 0)], rough[min(y + 2, height - 1)]
            for z in range(width):
                along[z] = taps[0] * rough[y, z] + taps[1] * (a[z] + b[z]) + taps[2] * (e[z] + f[z])
            out = plane[c, y]
            for z in range(2, width - 2):
                out[z] = (
                    taps[0] * along[z]
                    + taps[1] * (along[z - 1] + along[z + 1])
                    + taps[2] * (along[z - 2] + along[z + 2])
                )
            for z in range(2):
                out[z] = along[z]
                out[width - 1 - z] = along[width - 1 - z]


@njit(cache=True, fastmath=True)
def _row_of_descriptors(ring, taps, x, depth, y, values, scale):
    """-log of the 12 channels of row (x, y) into `values` (12, W); `ring` holds the smoothed planes x - 2 .. x + 2."""
    width = values.shape[1]
    p0 = ring[x % 5]
    p1, p2 = ring[max(x - 1, 0) % 5], ring[min(x + 1, depth - 1) % 5]
    p3, p4 = ring[max(x - 2, 0) % 5], ring[min(x + 2, depth - 1) % 5]
    smallest = np.full(width, np.float32(1e30), np.float32)
    scale[:] = 0
    for c in range(12):
        for z in range(width):
            value = (
                taps[0] * p0[c, y, z] + taps[1] * (p1[c, y, z] + p2[c, y, z]) + taps[2] * (p3[c, y, z] + p4[c, y, z])
            )
            values[c, z] = value
            smallest[z] = min(smallest[z], value)
            scale[z] += value
    for z in range(width):
        scale[z] = np.float32(1) / max(scale[z] / np.float32(12) - smallest[z], np.float32(NOISE_FLOOR))
    for c in range(12):
        for z in range(width):
            values[c, z] = (values[c, z] - smallest[z]) * scale[z]


@njit(parallel=True, cache=True, fastmath=True)
def _codes(image, offsets, taps, codes):
    depth, height, width = image.shape
    for chunk in prange(_CHUNKS):
        begin, end = chunk * depth // _CHUNKS, (chunk + 1) * depth // _CHUNKS
        ring = np.empty((5, 12, height, width), np.float32)
        rough, along = np.empty((height, width), np.float32), np.empty(width, np.float32)
        values, scale = np.empty((12, width), np.float32), np.empty(width, np.float32)
        ready = max(begin - 2, 0)
        for x in range(begin, end):
            while ready < min(x + 3, depth):
                _smooth_differences(image, offsets, taps, ready, rough, along, ring[ready % 5])
                ready += 1
            for y in range(height):
                _row_of_descriptors(ring, taps, x, depth, y, values, scale)
                row = codes[x, y]
                for z in range(width):
                    row[z] = 0
                for c in range(12):
                    for z in range(width):
                        r = values[c, z]
                        # five times exp(-r), rounded, as that number of ones
                        word = np.uint64(0)
                        word += np.uint64(r < np.float32(2.302585)) << np.uint64(0)
                        word += np.uint64(r < np.float32(1.203973)) << np.uint64(1)
                        word += np.uint64(r < np.float32(0.693147)) << np.uint64(2)
                        word += np.uint64(r < np.float32(0.356675)) << np.uint64(3)
                        word += np.uint64(r < np.float32(0.105361)) << np.uint64(4)
                        row[z] |= word << np.uint64(5 * c)
