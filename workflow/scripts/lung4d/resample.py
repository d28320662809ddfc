"""The original scan sampled once, through the displacement field, on the patient's grid.

Every scan of a patient, the baseline included, takes the same path: low-pass on its native grid, then one linear
sampling. Sampling a warped image again would smooth follow-ups twice, and lost texture would look like change.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from lung4d.io.hounsfield import AIR

FWHM = 2 * np.sqrt(2 * np.log(2))  # full width at half maximum of a Gaussian of sigma 1


@dataclass(frozen=True)
class Resampled:
    """`volume` int16 HU and `mask` uint8 on the patient's grid; `outside` is the share of lung beyond the scan."""

    volume: sitk.Image
    mask: sitk.Image
    outside: float


def lung_grid(mask: sitk.Image, shape: tuple[int, int, int], margin: float | None) -> sitk.Image:
    """The patient's grid: `shape` (D, H, W) voxels over the lung box of `mask` plus `margin` mm.

    It has the mask's direction, ends where the scan ends, and its spacing follows from the shape, so it is
    anisotropic. `margin` None takes the whole scan. Returns a mask on that grid (nearest neighbour).
    """
    size = np.array(mask.GetSize(), float)
    spacing = np.array(mask.GetSpacing())
    low, high = np.zeros(3), size  # edges, in voxels from the first voxel's outer corner
    if margin is not None:
        lung = sitk.GetArrayViewFromImage(mask) > 0
        if not lung.any():
            raise ValueError("the lung mask is empty")
        # projections onto the axes x, y, z of the (z, y, x) array
        spans = [np.flatnonzero(lung.any(axis=axes))[[0, -1]] for axes in ((0, 1), (0, 2), (1, 2))]
        low = np.maximum(low, np.array([first for first, _ in spans]) - margin / spacing)
        high = np.minimum(high, np.array([last + 1 for _, last in spans]) + margin / spacing)
    steps = (high - low) / np.array(shape[::-1])  # native voxels per new voxel
    grid = sitk.ResampleImageFilter()
    grid.SetSize([int(n) for n in shape[::-1]])
    grid.SetOutputSpacing((spacing * steps).tolist())
    grid.SetOutputDirection(mask.GetDirection())
    grid.SetOutputOrigin(mask.TransformContinuousIndexToPhysicalPoint((low + steps / 2 - 0.5).tolist()))
    grid.SetInterpolator(sitk.sitkNearestNeighbor)
    return grid.Execute(mask)


def lowpass_sigma(scan: sitk.Image, grid: sitk.Image) -> np.ndarray:
    """Standard deviations (mm; scan axes x, y, z) of the Gaussian that takes the scan's resolution to the grid's.

    A voxel is taken as a Gaussian whose full width at half maximum is the spacing, so that variances subtract:
    sigma^2 = (t^2 - s^2) / (8 ln 2), s the scan's spacing along its axis and t the grid's in that direction; 0 where
    the grid is finer (Cardoso et al., Scale factor point spread function matching, MICCAI 2015).
    """
    axes = np.array(scan.GetDirection()).reshape(3, 3)
    grid_axes = np.array(grid.GetDirection()).reshape(3, 3)
    # The grid's spacing as seen along an axis of the scan; for parallel axes simply the spacing.
    target_squared = (axes.T @ grid_axes) ** 2 @ np.array(grid.GetSpacing()) ** 2
    return np.sqrt(np.maximum(target_squared - np.array(scan.GetSpacing()) ** 2, 0)) / FWHM


def lowpass(scan: sitk.Image, sigma: np.ndarray) -> sitk.Image:
    """`scan` as float32 HU, smoothed on its own grid by a Gaussian of `sigma` mm along x, y, z."""
    values = sitk.GetArrayFromImage(scan).astype(np.float32)
    for axis, (width, spacing) in enumerate(zip(sigma, scan.GetSpacing(), strict=True)):
        if width > 0.05 * spacing:  # a narrower Gaussian has no weight on the neighbours
            ndimage.gaussian_filter1d(values, width / spacing, axis=2 - axis, output=values, mode="nearest")
    smooth = sitk.GetImageFromArray(values)
    smooth.CopyInformation(scan)
    return smooth


def sample(scan: sitk.Image, field: sitk.Image | None, grid: sitk.Image) -> sitk.Image:
    """int16 HU of `scan` at the points p + u(p) of `grid`, after the low-pass; `field` None is the identity.

    `field` holds u in mm (LPS) on a grid over the baseline; beyond its edge the nearest displacement counts, and
    beyond the scan's edge the nearest voxel.
    """
    smooth = lowpass(scan, lowpass_sigma(scan, grid))
    resampler = sitk.ResampleImageFilter()
    resampler.SetReferenceImage(grid)
    resampler.SetTransform(transform_of(field, grid))
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.SetUseNearestNeighborExtrapolator(True)
    values = sitk.GetArrayFromImage(resampler.Execute(smooth))
    hu = sitk.GetImageFromArray(np.rint(np.clip(values, AIR, 32767)).astype(np.int16))
    hu.CopyInformation(grid)
    return hu


def transform_of(field: sitk.Image | None, grid: sitk.Image) -> sitk.Transform:
    """The displacement field as a transform; None becomes a field of zeros, so that every scan takes one path."""
    if field is None:
        field = sitk.Image([2, 2, 2], sitk.sitkVectorFloat64, 3)
        field.SetOrigin(grid.GetOrigin())
        extent = np.array(grid.GetSize()) * np.array(grid.GetSpacing())
        field.SetSpacing(extent.tolist())
        field.SetDirection(grid.GetDirection())
    # ITK takes a displacement of zero beyond the field's last point: continue the field outwards over the grid.
    corners = [
        grid.TransformIndexToPhysicalPoint([i * (n - 1) for i, n in zip(corner, grid.GetSize(), strict=True)])
        for corner in np.ndindex(2, 2, 2)
    ]
    indices = np.array([field.TransformPhysicalPointToContinuousIndex(corner) for corner in corners])
    before = np.maximum(0, np.ceil(-indices.min(axis=0))).astype(int)
    after = np.maximum(0, np.ceil(indices.max(axis=0) - (np.array(field.GetSize()) - 1))).astype(int)
    padded = sitk.ZeroFluxNeumannPad(field, (before + 1).tolist(), (after + 1).tolist())
    return sitk.DisplacementFieldTransform(sitk.Cast(padded, sitk.sitkVectorFloat64))


def outside_share(scan: sitk.Image, field: sitk.Image | None, mask: sitk.Image) -> float:
    """Share of the lung of `mask` (on the grid) whose points p + u(p) lie beyond the scan's edge."""
    inside = sitk.Image(scan.GetSize(), sitk.sitkUInt8) + 1
    inside.CopyInformation(scan)
    reached = sitk.Resample(inside, mask, transform_of(field, mask), sitk.sitkNearestNeighbor, 0)
    lung = sitk.GetArrayViewFromImage(mask) > 0
    return float(1 - sitk.GetArrayViewFromImage(reached)[lung].mean()) if lung.any() else 0.0


def resample_visit(
    scan: sitk.Image, field: sitk.Image, baseline: sitk.Image, baseline_mask: sitk.Image,
    shape: tuple[int, int, int], margin: float | None,
) -> Resampled:  # fmt: skip
    """One visit on the patient's grid: its own values in the baseline's lung, the baseline's elsewhere."""
    grid = lung_grid(baseline_mask, shape, margin)
    here = sample(baseline, None, grid)
    visit = sample(scan, field, grid)
    lung = sitk.GetArrayViewFromImage(grid) > 0
    volume = sitk.GetImageFromArray(np.where(lung, sitk.GetArrayViewFromImage(visit), sitk.GetArrayViewFromImage(here)))
    volume.CopyInformation(grid)
    return Resampled(volume, sitk.Cast(grid, sitk.sitkUInt8), outside_share(scan, field, grid))
