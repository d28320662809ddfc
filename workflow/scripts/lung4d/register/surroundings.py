"""What a registration did not look at: the bones and airways around the lungs, compared block by block.

The lungs of any two people can be laid over each other, upside down too. Their ribs, spines and tracheae cannot: those
of a person stay where they are from visit to visit, but for the breath, in which the ribs slide by up to some
centimetres along the lung.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage

BONE = (150.0, 450.0)  # HU: no bone, and all bone
AIRWAY = (-500.0, -850.0)  # HU: no air, and all air
WINDOW = 5  # voxels from the middle of a block to its edge
REACH = 4  # voxels that a block is looked for in each direction
STEP = 8  # voxels between the blocks' middles
LEAST_SPREAD = 0.12  # of a block's map: a block of muscle alone says nothing
FEWEST_BLOCKS = 8


def structure_map(hu: np.ndarray, lung: np.ndarray) -> np.ndarray:
    """Bone as values up to 1, air between the lungs as values down to -1, all else 0; float32 of hu's shape.

    hu: (D, H, W) HU, about 4 mm; lung: bool, the lungs, which are left out with their rim.
    """
    bone = np.clip((hu - BONE[0]) / (BONE[1] - BONE[0]), 0, 1)
    air = np.clip((AIRWAY[0] - hu) / (AIRWAY[0] - AIRWAY[1]), 0, 1) * _between(lung)
    return np.where(ndimage.binary_dilation(lung), 0, bone - air).astype(np.float32)


def _between(lung: np.ndarray) -> np.ndarray:
    """Voxels with lung on both sides in their row (along the last axis): the mediastinum, without the room's air."""
    before = np.maximum.accumulate(lung, axis=2)
    behind = np.maximum.accumulate(lung[..., ::-1], axis=2)[..., ::-1]
    return before & behind


def compare_surroundings(
    baseline: np.ndarray, followup: np.ndarray, seen: np.ndarray, spacing: float
) -> dict[str, float]:
    """How well the blocks of one structure map are found in another near the same place.

    baseline, followup: `structure_map` on one grid of `spacing` mm; seen: bool, where both scans have voxels.
    Returns `surroundings_agreement`, the median over blocks of the best correlation within REACH voxels, -1 to 1, and
    `surroundings_scatter_mm`, the median distance between where a block was found and where its six nearest are
    found on average. Empty where fewer than FEWEST_BLOCKS blocks hold bone or air.
    """
    middles = _blocks(baseline, seen)
    if len(middles) < FEWEST_BLOCKS:
        return {}
    size = 2 * WINDOW + 1
    mean = ndimage.uniform_filter(followup, size)
    spread = np.sqrt(np.maximum(ndimage.uniform_filter(followup**2, size) - mean**2, 0))
    spread = np.maximum(spread, LEAST_SPREAD / 2)  # an empty place is like nothing
    found = [_find(baseline, followup, spread, middle) for middle in middles]
    best, shifts = map(np.array, zip(*found, strict=True))
    distance = np.linalg.norm(middles[:, None] - middles[None], axis=-1)
    nearest = distance.argsort(axis=1, kind="stable")[:, 1:7]
    away = np.linalg.norm(shifts - shifts[nearest].mean(axis=1), axis=1)
    return {
        "surroundings_agreement": float(np.median(best)),
        "surroundings_scatter_mm": float(np.median(away) * spacing),
    }


def _blocks(structure: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Middles (n, 3) of the blocks that hold enough structure and lie, with all their reach, in both scans."""
    around = WINDOW + REACH
    if min(structure.shape) <= 2 * around:
        return np.empty((0, 3), int)
    size = 2 * WINDOW + 1
    mean = ndimage.uniform_filter(structure, size)
    spread = np.sqrt(np.maximum(ndimage.uniform_filter(structure**2, size) - mean**2, 0))
    lattice = np.zeros(structure.shape, bool)
    inner: tuple[slice, ...] = tuple(slice(around, n - around, STEP) for n in structure.shape)
    lattice[inner] = True
    whole = ndimage.minimum_filter(seen, size)
    return np.argwhere(lattice & whole & (spread > LEAST_SPREAD))


def _find(
    baseline: np.ndarray, followup: np.ndarray, spread: np.ndarray, middle: np.ndarray
) -> tuple[float, np.ndarray]:
    """The best correlation of the block at `middle` with one of the follow-up's within REACH, and the shift there.

    spread: of the follow-up's block around each voxel.
    """
    block = baseline[_around(middle, WINDOW)]
    block = block - block.mean()
    windows = sliding_window_view(followup[_around(middle, WINDOW + REACH)], block.shape)
    products = np.einsum("abcxyz,xyz->abc", windows, block)  # the window's mean drops out: the block's own is 0
    found = products / (block.size * block.std() * spread[_around(middle, REACH)])
    where = np.unravel_index(found.argmax(), found.shape)
    return float(found[where]), np.array(where, float) - REACH


def _around(middle: np.ndarray, reach: int) -> tuple[slice, ...]:
    return tuple(slice(place - reach, place + reach + 1) for place in middle)
