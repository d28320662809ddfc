"""The fingerprint of a scan: digests of its voxels, and the looks of its lungs at the scale of vessels.

The looks are what another kernel, other voxels, another field of view or a shift of the HU leave as they are, and
another breath does not: means over some millimetres, without what changes slowly, on a grid in mm about the middle of
the air in the chest. So neither the header's origin nor what lies outside the lungs counts.
"""

import hashlib

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from lung4d.io.fingerprint import Fingerprint

CELL = 5.0  # mm, of the grid
SHAPE = (40, 32, 44)  # z, y, x: 200 x 160 x 220 mm
BLUR = 3.0  # mm, sigma of the mean that a cell holds
SLOW = 6.0  # mm, sigma of what is taken off
FINEST = 2.0  # mm; finer voxels are averaged first
AIR_BELOW = -400.0  # HU
SMALLEST_PART = 0.1  # of the largest body of air in the chest: smaller ones are bowel gas
LEAST_AIR_ML = 200.0
WINDOW = (-1000.0, 100.0)  # HU
IN_PLANE = np.array([0, 1, 0])[:, None, None]  # neighbours of a voxel in its slice


def fingerprint_of(scan: sitk.Image) -> Fingerprint:
    """The fingerprint of a scan (int16 HU, LPS order)."""
    hu = np.ascontiguousarray(sitk.GetArrayViewFromImage(scan))
    varied = [plane for plane in hu if plane.min() != plane.max()]
    slices = tuple(hashlib.sha256(plane.tobytes()).hexdigest()[:12] for plane in varied)
    voxels = hashlib.sha256(f"{hu.shape}\n".encode() + hu.tobytes()).hexdigest()[:32]
    return Fingerprint(voxels, slices, lung_looks(hu, scan.GetSpacing()[::-1]))


def lung_looks(hu: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray | None:
    """The lungs' looks, int8 SHAPE, of HU (z, y, x) with this spacing (mm); None where the chest holds no air."""
    coarse, step = _block_means(hu, spacing)
    lungs = _air_in_chest(coarse)
    if lungs.sum() * np.prod(step) / 1000 < LEAST_AIR_ML:
        return None
    # A voxel that the lung's border cuts counts in part, so that the middle does not hang on the voxels' places.
    share = np.clip((AIR_BELOW + 200 - coarse) / 400, 0, 1) * ndimage.binary_dilation(lungs)
    middle = [float(np.average(np.arange(n), weights=share.sum(axis=other)))
              for n, other in zip(share.shape, ((1, 2), (0, 2), (0, 1)), strict=True)]  # fmt: skip
    axes = [centre + (np.arange(n) - (n - 1) / 2) * CELL / s
            for centre, n, s in zip(middle, SHAPE, step, strict=True)]  # fmt: skip
    points = np.meshgrid(*axes, indexing="ij")
    smooth = ndimage.gaussian_filter(np.clip(coarse, *WINDOW), BLUR / step)
    means = ndimage.map_coordinates(smooth, points, order=1, mode="nearest")
    inside = ndimage.map_coordinates(ndimage.gaussian_filter(share, BLUR / step), points, order=1)
    looks = (means - ndimage.gaussian_filter(means, SLOW / CELL)) * inside
    return np.rint(looks * (127 / max(np.abs(looks).max(), 1e-6))).astype(np.int8)


def _block_means(hu: np.ndarray, spacing: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Means over blocks of whole voxels of at most FINEST mm, or the voxels themselves, float32; and their spacing."""
    blocks = [max(1, int(FINEST / s)) for s in spacing]
    for axis, block in enumerate(blocks):
        size = hu.shape[axis] // block
        whole = hu[(slice(None),) * axis + (slice(size * block),)]
        parts = (*hu.shape[:axis], size, block, *hu.shape[axis + 1 :])
        hu = whole.reshape(parts).mean(axis=axis + 1, dtype=np.float32)
    return hu, np.array(spacing) * blocks


def _air_in_chest(hu: np.ndarray) -> np.ndarray:
    """Mask of the large bodies of air that reach no corner of a slice, where the room or padding is.

    Slice by slice, because the windpipe may lead out of the chest."""
    air = hu < AIR_BELOW
    labels, count = ndimage.label(air, ndimage.generate_binary_structure(3, 1) * IN_PLANE)
    outside = np.zeros(count + 1, bool)
    outside[np.unique(labels[:, [0, 0, -1, -1], [0, -1, 0, -1]])] = True
    labels, _ = ndimage.label(air & ~outside[labels])
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= max(sizes.max() * SMALLEST_PART, 1))[labels]
