"""The isotropic 2 mm grid on which lungs are found, whatever the scan's own spacing."""

import numpy as np
import SimpleITK as sitk

SPACING = 2.0  # mm


def segmentation_grid(scan: sitk.Image) -> sitk.Image:
    """`scan` (HU, LPS order) as float32 at 2 mm isotropic; finer scans are averaged first, so that noise falls."""
    factors = [max(1, round(SPACING / spacing)) for spacing in scan.GetSpacing()]
    coarse = sitk.BinShrink(scan, factors) if max(factors) > 1 else scan
    extent = [n * s for n, s in zip(scan.GetSize(), scan.GetSpacing(), strict=True)]
    size = [max(1, round(length / SPACING)) for length in extent]
    origin = scan.TransformContinuousIndexToPhysicalPoint([SPACING / 2 / s - 0.5 for s in scan.GetSpacing()])
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize(size)
    resampler.SetOutputSpacing([SPACING] * 3)
    resampler.SetOutputDirection(scan.GetDirection())
    resampler.SetOutputOrigin(origin)
    resampler.SetUseNearestNeighborExtrapolator(True)
    resampler.SetOutputPixelType(sitk.sitkFloat32)
    return resampler.Execute(coarse)


def millilitres(voxels: int | np.ndarray) -> float | np.ndarray:
    """Volume (ml) of a number of working voxels."""
    return voxels * SPACING**3 / 1000
