"""A follow-up through its displacement field on its baseline's grid, with everything outside the lung taken from the
baseline."""

import numpy as np
import SimpleITK as sitk

from lung4d.io.hounsfield import AIR


def replace_non_lung(
    scan: sitk.Image, field: sitk.Image, baseline: sitk.Image, baseline_mask: sitk.Image
) -> sitk.Image:
    """`scan` sampled through `field` (linear) where `baseline_mask` is not 0, and `baseline` unchanged elsewhere.

    Returns int16 HU on the baseline's grid; lung points that leave the scan's field of view get -1024 HU.
    """
    out = sitk.GetArrayFromImage(sitk.Cast(baseline, sitk.sitkInt16))
    lung = sitk.GetArrayViewFromImage(baseline_mask) > 0
    inside = np.argwhere(lung)
    low, high = inside.min(0), inside.max(0) + 1
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    target = sitk.RegionOfInterest(baseline, (high - low)[::-1].tolist(), low[::-1].tolist())
    transform = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    clamped = sitk.Clamp(scan, sitk.sitkFloat32, AIR, float(np.iinfo(np.int16).max))
    warped = sitk.GetArrayFromImage(sitk.Resample(clamped, target, transform, sitk.sitkLinear, AIR))
    out[box][lung[box]] = np.rint(warped[lung[box]])
    image = sitk.GetImageFromArray(out)
    image.CopyInformation(baseline)
    return image
