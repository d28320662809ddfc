"""Known motions of real chest scans: a breathing lung that slides along the chest wall, with dense truth.

The moved scan shows at y what the scan shows at y + v(y). Inside the lung v is smooth: the diaphragm rises by 20 to
30 mm, the chest falls by some millimetres, and random fields of two widths are added. Outside, the chest wall follows
only a part of it, so that the lung slides along the ribs. The tissue keeps its mass (the density changes with the
volume) and noise is added. The truth at x is u = the inverse of v, by fixed-point iteration.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from lung4d.register import fields

CHEST_WALL_SHARE = 0.3  # of the lung's motion, at the ribs
RANDOM = ((25.0, 2.0), (12.0, 0.5))  # (width mm, standard deviation mm) of the random fields
NOISE = 20.0  # HU
NOISE_WIDTH = 0.5  # voxels
INVERSE_STEPS = 60


@dataclass(frozen=True)
class Moved:
    """scan: HU (D, H, W); mask: bool; truth: float32 (D, H, W, 3), voxels, lung points of the fixed scan to `scan`."""

    scan: np.ndarray
    mask: np.ndarray
    truth: np.ndarray


def move(fixed: sitk.Image, lung: np.ndarray, spacing: float, seed: int) -> Moved:
    """`fixed`: the scan at its own resolution (HU); lung: bool (D, H, W) on an isotropic grid of `spacing` mm whose
    first voxel is the scan's; the motion is drawn from `seed`."""
    rng = np.random.default_rng(seed)
    inside = breathing(lung, spacing, rng)
    tissue = keep_mass(sample(fixed, inside, spacing), fields.jacobian(inside))
    return scanned(fixed, lung, spacing, inside, tissue, rng)


def scanned(fixed: sitk.Image, lung: np.ndarray, spacing: float, inside: np.ndarray, tissue: np.ndarray, rng) -> Moved:
    """The moved scan: `tissue` HU in the moved lung, the chest around it, and noise."""
    outside = _at_the_wall(inside, lung, spacing)
    mask = fields.warp(lung, inside) >= 0.5
    around = sample(_without_lung(fixed, lung, spacing), outside, spacing)
    noise = ndimage.gaussian_filter(rng.normal(size=lung.shape), NOISE_WIDTH)
    scan = np.where(mask, tissue, around) + NOISE / noise.std() * noise
    return Moved(scan.clip(-1024, 3000).astype(np.float32), mask, fields.invert(inside, INVERSE_STEPS))


def keep_mass(tissue: np.ndarray, squeezed: np.ndarray) -> np.ndarray:
    """HU of tissue that is squeezed to 1 / `squeezed` of its volume."""
    return np.clip((tissue + 1000) * np.maximum(squeezed, 0.3) - 1000, -1024, 1000)


def breathing(lung: np.ndarray, spacing: float, rng: np.random.Generator) -> np.ndarray:
    """v inside the lung, voxels (z up, y to the back, x to the left), smooth everywhere."""
    shape = lung.shape
    where = np.argwhere(lung)
    low, high = where.min(0), where.max(0)
    centre = where.mean(0)
    z, y, x = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij")
    depth = np.clip((high[0] - z) / (high[0] - low[0]), 0, 1.15)  # 0 at the apex, 1 at the base
    back = np.clip((y - low[1]) / (high[1] - low[1]), 0, 1)
    rise = rng.uniform(24, 34) * depth ** rng.uniform(1.2, 1.8) * (0.75 + 0.25 * back)
    # the base of the moved lung lies higher: what is at y there comes from below
    flow = np.stack([-rise, (y - centre[1]) * rng.uniform(0.02, 0.06), (x - centre[2]) * rng.uniform(0.0, 0.04)], -1)
    flow[..., 1:] *= spacing
    for width, size in RANDOM:
        for axis in range(3):
            field = ndimage.gaussian_filter(rng.normal(size=shape).astype(np.float32), width / spacing)
            flow[..., axis] += size / field[lung].std() * field
    return np.ascontiguousarray(flow / spacing, dtype=np.float32)


def _at_the_wall(inside: np.ndarray, lung: np.ndarray, spacing: float) -> np.ndarray:
    """v outside the lung: whole below the diaphragm, where the surface faces down, a share of it along the ribs."""
    distance = ndimage.gaussian_filter((ndimage.distance_transform_edt(~lung) * spacing).astype(np.float32), 3.0)
    slope = np.gradient(distance)
    down = np.clip(-slope[0] / (np.sqrt(sum(part**2 for part in slope)) + 1e-6), 0, 1) ** 2
    share = CHEST_WALL_SHARE + (1 - CHEST_WALL_SHARE) * ndimage.gaussian_filter(down, 8.0 / spacing)
    return np.ascontiguousarray(inside * share[..., None], dtype=np.float32)


def sample(scan: sitk.Image, flow: np.ndarray, spacing: float) -> np.ndarray:
    """The scan at x + flow(x) by cubic B-splines, from its own resolution: no grid in between blurs it."""
    vectors = sitk.GetImageFromArray(flow[..., ::-1].astype(np.float64) * spacing, isVector=True)
    grid = isotropic_grid(scan, flow.shape[:3], spacing)
    vectors.CopyInformation(grid)
    moved = sitk.Resample(scan, grid, sitk.DisplacementFieldTransform(vectors), sitk.sitkBSpline, -1024.0)
    return sitk.GetArrayFromImage(moved)


def _without_lung(scan: sitk.Image, lung: np.ndarray, spacing: float) -> sitk.Image:
    """The scan on the isotropic grid with the lung filled from its surroundings, for what slides over it."""
    values = sitk.GetArrayFromImage(on_isotropic_grid(scan, lung.shape, spacing))
    region = ndimage.binary_dilation(lung, iterations=2)
    nearest = ndimage.distance_transform_edt(region, return_distances=False, return_indices=True)
    filled = np.where(region, ndimage.gaussian_filter(values[tuple(nearest)], 1.0), values)
    image = sitk.GetImageFromArray(filled.astype(np.float32))
    image.CopyInformation(isotropic_grid(scan, lung.shape, spacing))
    return image


def isotropic_grid(scan: sitk.Image, shape: tuple[int, int, int], spacing: float) -> sitk.Image:
    """An empty image (D, H, W) of `spacing` mm that starts at the scan's first voxel."""
    grid = sitk.Image([int(n) for n in shape[::-1]], sitk.sitkUInt8)
    grid.SetSpacing([spacing] * 3)
    grid.SetOrigin(scan.GetOrigin())
    grid.SetDirection(scan.GetDirection())
    return grid


def on_isotropic_grid(scan: sitk.Image, shape: tuple[int, int, int], spacing: float) -> sitk.Image:
    """The scan by cubic B-splines on `isotropic_grid`, float32."""
    same = sitk.Transform(3, sitk.sitkIdentity)
    grid = isotropic_grid(scan, shape, spacing)
    return sitk.Resample(sitk.Cast(scan, sitk.sitkFloat32), grid, same, sitk.sitkBSpline, -1024.0)
