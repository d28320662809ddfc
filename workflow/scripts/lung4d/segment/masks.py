"""Lung masks: from intensities or from a user; those of the lungmask network are in `network`.

A mask is uint8 on the scan's own grid: 0 elsewhere, 1 right lung, 2 left lung.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from lung4d.io import masks as mm
from lung4d.io.status import UnusableScan
from lung4d.segment import given_mask, intensity, left_right
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


def use_mask(path: str | Path, scan: sitk.Image) -> Segmentation:
    """The user's mask at `path` on the grid of `scan`, as `take_mask` makes it."""
    mask, flags = given_mask.read_mask(path)
    found = take_mask(mask, scan)
    return Segmentation(found.mask, [*flags, *found.flags])


def take_mask(given: sitk.Image, scan: sitk.Image) -> Segmentation:
    """A user's mask on the grid of `scan` (nearest neighbour), whatever its labels, divided into right and left.

    Raises UnusableScan where it is empty, does not meet the scan, or cannot be its lungs; where it fits badly and has
    the scan's number of voxels in another place, for that.
    """
    labels = given_mask.labels_of(given)
    elsewhere = given_mask.other_place(given, scan)
    whole = sitk.GetArrayFromImage(sitk.Resample(labels.image, scan, sitk.Transform(), sitk.sitkNearestNeighbor, 0)) > 0
    if not whole.any():
        where = f": it has {elsewhere}; correct its header" if elsewhere else ""
        raise UnusableScan(f"The mask given does not overlap the scan{where}.")
    lost = UnusableScan(f"The mask given does not fit the scan and its voxels, as many, lie otherwise: {elsewhere}.")
    try:
        mask, flags, other = _divided(labels.image, whole, scan)
    except UnusableScan as reason:
        raise (lost if elsewhere else reason) from None
    if other and elsewhere:
        raise lost
    told = [other] if other else [given_mask.MOVED.format(elsewhere)] if elsewhere else []
    return Segmentation(mask, [*labels.flags, *told, *flags])


def _divided(labels: sitk.Image, whole: np.ndarray, scan: sitk.Image) -> tuple[sitk.Image, list[str], str]:
    """The mask of `whole` (z, y, x on the scan's grid) divided into right and left, flags of its place, and one where
    they are not the lungs found by intensity. Raises UnusableScan where it cannot be lungs."""
    coarse = segmentation_grid(scan)
    hu, x_of_column = sitk.GetArrayFromImage(coarse), _x_of_column(coarse)
    outside = intensity.outside_air(hu)
    region = _on(coarse, _like(whole.astype(np.float32), scan), sitk.sitkLinear) > 0.5
    numbers = sitk.GetArrayFromImage(sitk.Resample(labels, coarse, sitk.Transform(), sitk.sitkNearestNeighbor, 0))
    flags = given_mask.check_place(numbers * region, hu, outside)
    try:
        parts, sure = left_right.divide(region, left_right.body_middle(outside), x_of_column)
    except UnusableScan:
        raise UnusableScan("The mask given has no part as large as a lung; give the lungs.") from None
    lungs = left_right.with_pockets(parts, None)
    if mirrored := given_mask.other_sides(numbers * region, lungs):
        flags.append(mirrored)
    sides = _on(scan, _like(left_right.nearest_side(lungs), coarse), sitk.sitkNearestNeighbor)
    mask = _like(np.where(whole, sides, 0).astype(np.uint8), scan)
    return mask, flags if sure else [*flags, GUESSED_SIDE], given_mask.other_lungs(lungs, hu, x_of_column)


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
