"""Lung masks: from intensities or from a user; those of the lungmask network are in `network`.

A mask is uint8 on the scan's own grid: 0 elsewhere, 1 right lung, 2 left lung.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from lung4d.io import masks as mm
from lung4d.io.nifti import is_whole
from lung4d.io.status import UnusableScan
from lung4d.segment import intensity, left_right
from lung4d.segment.grid import SPACING, segmentation_grid

RIGHT, LEFT = 1, 2
GUESSED_SIDE = "One lung in view; its side was told from the patient coordinates."


@dataclass(frozen=True)
class Segmentation:
    """`mask` uint8 on the scan's grid (1 right, 2 left) and sentences that a person should read."""

    mask: sitk.Image
    flags: list[str] = field(default_factory=list)


def segment_by_intensity(scan: sitk.Image) -> Segmentation:
    """Both lungs of `scan` (int16 HU, LPS order) without trained weights; raises UnusableScan where there are none."""
    coarse = segmentation_grid(scan)
    found = intensity.find_lungs(sitk.GetArrayFromImage(coarse), _x_of_column(coarse))
    return Segmentation(_to_scan(found, coarse, scan), [] if found.sure_of_side else [GUESSED_SIDE])


def read_mask(path: str | Path) -> sitk.Image:
    """A user's mask file; raises UnusableScan where it cannot be read as one volume."""
    try:
        mask = sitk.ReadImage(str(path))
    except RuntimeError:
        raise UnusableScan("The mask given cannot be read; give NIfTI, MHA or NRRD.") from None
    if Path(path).name.lower().endswith((".nii", ".nii.gz")) and not is_whole(Path(path)):
        raise UnusableScan("The mask given is cut short; copy it again.")
    if mask.GetDimension() != 3 or mask.GetNumberOfComponentsPerPixel() != 1:
        raise UnusableScan("The mask given is not one volume of labels.")
    return mask


def take_mask(given: sitk.Image, scan: sitk.Image) -> Segmentation:
    """A user's mask on the grid of `scan` (nearest neighbour), whatever its labels, divided into right and left.

    Raises UnusableScan where it is empty or does not meet the scan.
    """
    given = sitk.Cast(given != 0, sitk.sitkUInt8)
    if not sitk.GetArrayViewFromImage(given).any():
        raise UnusableScan("The mask given is empty; give one whose lungs are not 0, or none.")
    whole = sitk.GetArrayFromImage(sitk.Resample(given, scan, sitk.Transform(), sitk.sitkNearestNeighbor, 0)) > 0
    if not whole.any():
        raise UnusableScan("The mask given does not overlap the scan.")
    coarse = segmentation_grid(scan)
    outside = intensity.outside_air(sitk.GetArrayFromImage(coarse))
    region = _on(coarse, _like(whole.astype(np.float32), scan), sitk.sitkLinear) > 0.5
    labels, sure = left_right.divide(region, left_right.body_middle(outside), _x_of_column(coarse))
    nearest = left_right.nearest_side(left_right.with_pockets(labels, None))
    sides = _on(scan, _like(nearest, coarse), sitk.sitkNearestNeighbor)
    return Segmentation(_like(np.where(whole, sides, 0).astype(np.uint8), scan), [] if sure else [GUESSED_SIDE])


def _x_of_column(grid: sitk.Image) -> np.ndarray:
    """Patient coordinate x (mm, LPS) of the columns of `grid`, in its middle row and slice."""
    width, height, depth = grid.GetSize()
    return np.array([grid.TransformIndexToPhysicalPoint((i, height // 2, depth // 2))[0] for i in range(width)])


def _to_scan(found: intensity.Lungs, coarse: sitk.Image, scan: sitk.Image) -> sitk.Image:
    """The mask on the scan's own voxels.

    The working grid says which region belongs to which lung; the edge against tissue is drawn by the threshold on the
    scan's own values, within one working voxel of it. Tissue that counts as lung keeps the working grid's outline.
    """
    core = mm.erode(np.pad(found.labels > 0, 1, mode="edge"), SPACING, SPACING)[1:-1, 1:-1, 1:-1]
    solid = core | found.added
    near = _widened(found.labels) * ~(found.air & (found.labels == 0))
    box = _box_on(scan, coarse, near > 0)
    region = sitk.RegionOfInterest(scan, *box)
    smooth = _on(region, _like(solid.astype(np.float32), coarse), sitk.sitkLinear) > 0.5
    sides = _on(region, _like(near, coarse), sitk.sitkNearestNeighbor)
    lung = smooth | (sitk.GetArrayViewFromImage(region) < found.edge)
    mask = sitk.Image(scan.GetSize(), sitk.sitkUInt8)
    mask.CopyInformation(scan)
    part = sitk.GetImageFromArray(np.where(lung, sides, 0).astype(np.uint8))
    return sitk.Paste(mask, part, part.GetSize(), destinationIndex=box[1])


def _widened(labels: np.ndarray) -> np.ndarray:
    """Labels grown by one voxel into the background; where both lungs reach a voxel it stays background."""
    grown = [mm.dilate_box(labels == side, SPACING, SPACING) & (labels == 0) for side in (RIGHT, LEFT)]
    return labels + (grown[0] & ~grown[1]) * np.uint8(RIGHT) + (grown[1] & ~grown[0]) * np.uint8(LEFT)


def _like(array: np.ndarray, grid: sitk.Image) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(grid)
    return image


def _on(grid: sitk.Image, image: sitk.Image, interpolator: int) -> np.ndarray:
    """`image` at the voxels of `grid`, continued beyond its edge."""
    resampler = sitk.ResampleImageFilter()
    resampler.SetReferenceImage(grid)
    resampler.SetInterpolator(interpolator)
    resampler.SetUseNearestNeighborExtrapolator(True)
    return sitk.GetArrayFromImage(resampler.Execute(image))


def _box_on(scan: sitk.Image, coarse: sitk.Image, mask: np.ndarray) -> tuple[list[int], list[int]]:
    """Size and start (x, y, z voxels of `scan`) of the box around `mask`, which lies on the grid `coarse`."""
    box = mm.bounding_box(mask)[::-1]
    ratio = np.array(coarse.GetSpacing()) / scan.GetSpacing()  # the two grids have parallel axes
    first = np.array(scan.TransformPhysicalPointToContinuousIndex(coarse.GetOrigin()))
    low = np.floor(first + ([part.start for part in box] - np.array(1.0)) * ratio).astype(int)
    high = np.ceil(first + ([part.stop for part in box] * ratio)).astype(int)
    low = np.maximum(low, 0)
    high = np.minimum(high, np.array(scan.GetSize()) - 1)
    return (high - low + 1).tolist(), low.tolist()
