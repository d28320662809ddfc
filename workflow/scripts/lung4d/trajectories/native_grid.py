"""A generated volume on a visit's own grid and in its breathing state, so that it lies on the scan that was taken."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from lung4d.io.masks import bounding_box
from lung4d.io.nifti import read_image
from lung4d.resample import sample, transform_of


@dataclass(frozen=True)
class NativeVisit:
    """One visit as it was scanned: `scan` int16 HU, `lung` its mask (not 0), on one grid; `inverse` the displacement
    field in mm (LPS) that takes a point of this visit to the baseline."""

    scan: sitk.Image
    lung: sitk.Image
    inverse: sitk.Image


def read_visit(scan: str | Path, lung: str | Path, inverse: str | Path) -> NativeVisit:
    return NativeVisit(*map(read_image, (scan, lung, inverse)))


def visits_named(native: str, given: list[str]) -> list[str]:
    """The sessions, of those `given` in time order, that `native` names: none, baseline, last or given."""
    return {"none": [], "baseline": given[:1], "last": given[-1:], "given": given}[native]


def on_visit(hu: np.ndarray, region: np.ndarray, grid: sitk.Image, visit: NativeVisit) -> np.ndarray:
    """int16 HU (D, H, W) on the visit's native grid: the generated volume in the lung, the visit's own scan elsewhere.

    hu (D, H, W) and region, the lung (D, H, W), are on `grid` in the baseline's space. A voxel counts as lung where
    the visit's mask and the region, brought there by the field, both say so: elsewhere nothing was generated.
    """
    native = sitk.GetArrayFromImage(visit.scan)
    box = bounding_box(sitk.GetArrayViewFromImage(visit.lung) > 0)
    if box is None:
        return native
    target = visit.lung[tuple(slice(part.start, part.stop) for part in reversed(box))]
    moved = sample(_image(hu, grid), visit.inverse, target)
    reached = sitk.Resample(
        _image(region.astype(np.uint8), grid), target, transform_of(visit.inverse, target), sitk.sitkNearestNeighbor, 0
    )
    lung = (sitk.GetArrayViewFromImage(target) > 0) & (sitk.GetArrayViewFromImage(reached) > 0)
    native[box] = np.where(lung, sitk.GetArrayViewFromImage(moved), native[box])
    return native


def _image(values: np.ndarray, grid: sitk.Image) -> sitk.Image:
    image = sitk.GetImageFromArray(values)
    image.CopyInformation(grid)
    return image
