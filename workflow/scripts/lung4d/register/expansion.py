"""What breath did between the baseline and a visit: the lung's volume, its mass, and the local expansion.

Breath and shrinkage change the lung's volume and, at the same mass, its density; disease adds mass. All numbers here
are 0 where a visit is the baseline itself, bit for bit.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

BLOCK = 4  # voxels along each axis of the patient's grid that one voxel of the map stands for
_HERE = sitk.Transform(3, sitk.sitkIdentity)


@dataclass(frozen=True)
class Weighed:
    """Lungs as they were scanned: their volume (ml), and their mass (g) where air is -1000 HU and water 0."""

    volume_ml: float
    mass_g: float


def weigh_lungs(scan: sitk.Image, mask: sitk.Image) -> Weighed:
    """Volume and mass of the lungs of `mask` (not 0) in `scan` (HU), on its own grid: 1 + HU / 1000 grams a ml."""
    voxel = float(np.prod(mask.GetSpacing())) / 1000
    values = sitk.GetArrayViewFromImage(scan)[sitk.GetArrayViewFromImage(mask) > 0]
    return Weighed(values.size * voxel, float((1 + values.astype(np.float64) / 1000).sum()) * voxel)


def log_ratios(visit: Weighed, baseline: Weighed) -> dict[str, float | None]:
    """Natural logarithms of the visit's volume and mass over the baseline's; None where one of two is not above 0."""
    pairs = {"volume": (visit.volume_ml, baseline.volume_ml), "mass": (visit.mass_g, baseline.mass_g)}
    return {
        f"log_{what}_ratio": float(np.log(now / first)) if now > 0 and first > 0 else None
        for what, (now, first) in pairs.items()
    }


def expansion_map(log_jacobian: sitk.Image, baseline_mask: sitk.Image, grid: sitk.Image) -> sitk.Image:
    """Logarithm of the visit's local volume over the baseline's, float32, on the patient's grid at a coarse step.

    log_jacobian: the map that stage register leaves on the grid of the displacement field (about 3 mm), from central
    differences of the displacement in mm, 0 outside the lung of `baseline_mask`; grid: the baseline's lung, not 0, on
    the patient's grid. A voxel of the map is the mean over the lung in a block of BLOCK voxels a side, 0 where there is
    none, so that (D, H, W) becomes (D, H, W) / BLOCK, rounded up. The autoencoder compresses by 4 or by 8: who needs
    the step of its latents averages further.
    """
    on_field = sitk.Image(log_jacobian.GetSize(), sitk.sitkUInt8)
    on_field.CopyInformation(log_jacobian)
    lung = sitk.Resample(baseline_mask, on_field, _HERE, sitk.sitkNearestNeighbor, 0) > 0
    within = sitk.Cast(log_jacobian, sitk.sitkFloat32) * sitk.Cast(lung, sitk.sitkFloat32)
    # only what was measured counts: the zeros around the lung are left out of every mean
    summed, share = (
        sitk.GetArrayFromImage(sitk.Resample(image, grid, _HERE, sitk.sitkLinear, 0.0, sitk.sitkFloat32))
        for image in (within, sitk.Cast(lung, sitk.sitkFloat32))
    )
    inside = sitk.GetArrayViewFromImage(grid) > 0
    above, below = (_block_sums(np.where(inside, values, 0)) for values in (summed, share))
    mean = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    image = sitk.GetImageFromArray(mean.astype(np.float32))
    image.SetDirection(grid.GetDirection())
    image.SetSpacing([BLOCK * spacing for spacing in grid.GetSpacing()])
    image.SetOrigin(grid.TransformContinuousIndexToPhysicalPoint([(BLOCK - 1) / 2] * 3))
    return image


def _block_sums(values: np.ndarray) -> np.ndarray:
    """Sums over blocks of BLOCK voxels a side, float64; a block that reaches beyond the grid has fewer voxels."""
    padded = np.pad(values.astype(np.float64), [(0, -size % BLOCK) for size in values.shape])
    depth, height, width = (size // BLOCK for size in padded.shape)
    return padded.reshape(depth, BLOCK, height, BLOCK, width, BLOCK).sum(axis=(1, 3, 5))
