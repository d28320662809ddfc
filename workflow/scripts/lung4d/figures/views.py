"""Native scans on a common viewing grid around the lungs, so that scans of any resolution make pictures alike."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from lung4d.io.hounsfield import AIR
from lung4d.io.nifti import read_image

Spacing = tuple[float, float, float]  # (z, y, x) mm


@dataclass(frozen=True)
class View:
    """An axis-parallel LPS grid: origin and spacing (x, y, z) in mm, size in voxels."""

    origin: tuple[float, ...]
    spacing: tuple[float, float, float]
    size: tuple[int, ...]

    @property
    def zyx_spacing(self) -> Spacing:
        return self.spacing[::-1]


def read(path: str | Path) -> sitk.Image:
    return read_image(path)


def view_of(image: sitk.Image, mask: sitk.Image, spacing: float = 1.5, margin: float = 20.0) -> View:
    """A view `margin` mm around the mask's voxels, or of the whole image where the mask is empty."""
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(mask > 0)
    if statistics.HasLabel(1):
        index, size = np.split(np.array(statistics.GetBoundingBox(1)), 2)
        source, margin = mask, margin
    else:
        index, size, source, margin = np.zeros(3, int), np.array(image.GetSize()), image, 0.0
    corners = [
        source.TransformContinuousIndexToPhysicalPoint(
            [float(i + s * f) - 0.5 for i, s, f in zip(index, size, which, strict=True)]
        )
        for which in np.ndindex(2, 2, 2)
    ]
    low, high = np.min(corners, axis=0) - margin, np.max(corners, axis=0) + margin
    counts = np.maximum(np.ceil((high - low) / spacing), 1).astype(int)
    return View(tuple(map(float, low + spacing / 2)), (spacing,) * 3, tuple(map(int, counts)))


def on_view(image: sitk.Image, view: View, mask: bool = False) -> np.ndarray:
    """The image sampled on the view, (D, H, W): linear HU as float32, or a mask as bool by the nearest voxel.

    A low-pass is left out: these arrays are for looking at.
    """
    interpolator = sitk.sitkNearestNeighbor if mask else sitk.sitkLinear
    sampled = sitk.Resample(
        image, view.size, sitk.Transform(), interpolator, view.origin, view.spacing,
        np.eye(3).ravel().tolist(), 0.0 if mask else AIR, sitk.sitkUInt8 if mask else sitk.sitkFloat32,
    )  # fmt: skip
    array = sitk.GetArrayFromImage(sampled)
    return array > 0 if mask else array
