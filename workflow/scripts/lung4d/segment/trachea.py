"""The back wall of the trachea, whose shape tells an expiration.

The trachea's cartilage is open at the back. In a full breath the membrane there is flat or bows outward; breathing out
it bows forward into the lumen, which becomes a crescent (Stern 1993, Boiselle 2009). What this cannot tell: a shallow
expiration, in which the membrane stays flat; secretions on the back wall and a goitre, which look alike; and a trachea
that the lung mask holds, or that is narrower than 8 mm, which is not measured.
"""

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from lung4d.io import masks as mm
from lung4d.segment.airways import AIRWAY_HEIGHT, DARK, SPOT_AREA
from lung4d.segment.grid import SPACING, segmentation_grid
from lung4d.segment.intensity import outside_air

AIR = -500.0  # HU on the working grid
WIDEST = 34.0  # mm of a trachea from side to side; at the carina it is wider
FINE = (2.0, 0.5, 0.5)  # mm (z, y, x) of the grid on which its outline is drawn
BLUR = (1.0, 1.4, 1.4)  # voxels of that grid: 2 mm along the trachea and 0.7 mm across, against noise
MARGIN = 8.0  # mm around it
WALL = 0.6  # the outline is drawn at this share of the lumen's HU, so that thin walls against the lung count
NARROWEST = 8.0  # mm
FEWEST = 8  # slices of the fine grid
BOWED = 1.5  # mm as measured here: round and flat tracheas of phantoms reach 0.5, those of real full breaths -0.5


def trachea_bow(scan: sitk.Image, mask: sitk.Image) -> float | None:
    """How far (mm) the back wall of the trachea bows into its lumen; a round trachea is below 0, a flat wall about 0.

    The median over the slices that show lung and the trachea alone, above the lungs' middle; None where there are too
    few. About 0.7 of the true bow, whose thin corners are lost in the blur of scanner and grid. `scan` int16 HU and its
    lung `mask`, both in LPS order.
    """
    coarse = segmentation_grid(scan)
    lung = sitk.GetArrayFromImage(sitk.Resample(mask, coarse, sitk.Transform(), sitk.sitkNearestNeighbor, 0)) > 0
    spots = _spots(sitk.GetArrayFromImage(coarse), lung)
    box = mm.bounding_box(spots, round(MARGIN / SPACING))
    if box is None:
        return None
    hu, seed = _outlined(scan, coarse, spots, box)
    bows = [bow for plane, at in zip(hu, seed, strict=True) if at.any() and (bow := bow_of(plane, at)) is not None]
    return round(float(np.median(bows)), 2) if len(bows) >= FEWEST else None


def bow_of(plane: np.ndarray, seed: np.ndarray) -> float | None:
    """The bow (mm) in one slice of the fine grid, HU (y, x); `seed` bool marks the lumen roughly.

    The lumen's outline at the back, column by column: how far its middle lies before the less prominent of its two
    corners. None where the lumen is narrow, or not closed.
    """
    lumen = float(np.percentile(plane[seed], 10))
    labels, _ = ndimage.label(plane < WALL * lumen)
    met = np.bincount(labels[seed])
    if len(met) < 2:
        return None
    own = labels == 1 + int(met[1:].argmax())
    columns = np.flatnonzero(own.any(axis=0))
    width = len(columns)
    if own[[0, -1]].any() or own[:, [0, -1]].any() or width * FINE[2] < NARROWEST:
        return None
    back = (own.shape[0] - 1 - own[::-1].argmax(axis=0))[columns] * FINE[1]
    third, middle = width // 3, slice(2 * width // 5, width - 2 * width // 5)
    corner = min(back[:third].max(), back[-third:].max())
    return float(corner - back[middle].mean())


def _spots(hu: np.ndarray, lung: np.ndarray) -> np.ndarray:
    """The trachea on the working grid where it lies alone in a slice: spots of air as large as a trachea, stacked over
    20 mm; of several stacks the tallest."""
    slices = np.flatnonzero(lung.any(axis=(1, 2)))
    spots = np.zeros_like(lung)
    if not len(slices):
        return spots
    chest = slice(int(np.median(np.nonzero(lung)[0])), int(slices[-1]) + 1)
    air = (hu[chest] < AIR) & ~outside_air(hu[chest]) & ~mm.dilate(lung[chest], SPACING, SPACING)
    labels, count = ndimage.label(air, mm.IN_PLANE)
    area = np.bincount(labels.ravel(), minlength=count + 1) * SPACING**2
    sides = [[part.stop - part.start for part in box[1:]] for box in ndimage.find_objects(labels)]
    sizes = np.array([[0, 0], *sides]) * SPACING
    fits = (area >= SPOT_AREA[0]) & (area <= SPOT_AREA[1]) & (sizes.max(axis=1) <= WIDEST)
    fits[0] = False
    stacks, _ = ndimage.label(fits[labels])
    best, tallest = 0, AIRWAY_HEIGHT
    for number, box in enumerate(ndimage.find_objects(stacks), start=1):
        height = (box[0].stop - box[0].start) * SPACING
        if height >= tallest and np.percentile(hu[chest][box][stacks[box] == number], 25) < DARK:
            best, tallest = number, height
    own = (stacks == best) & (best > 0)
    alone = np.array([ndimage.label(plane)[1] == 1 for plane in own], bool)
    spots[chest] = own & alone[:, None, None]
    return spots


def _outlined(
    scan: sitk.Image, coarse: sitk.Image, spots: np.ndarray, box: tuple[slice, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """HU (smoothed) and spots in the `box` of the working grid, on the fine grid."""
    size = [round((part.stop - part.start) * SPACING / step) for part, step in zip(box, FINE, strict=True)]
    grid = sitk.Image(size[::-1], sitk.sitkUInt8)
    grid.SetSpacing(FINE[::-1])
    grid.SetDirection(coarse.GetDirection())
    corner = [part.start - 0.5 + 0.5 * step / SPACING for part, step in zip(box, FINE, strict=True)]
    grid.SetOrigin(coarse.TransformContinuousIndexToPhysicalPoint(corner[::-1]))
    marked = sitk.GetImageFromArray(spots.astype(np.uint8))
    marked.CopyInformation(coarse)
    drawn = sitk.Resample(scan, grid, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    seed = sitk.Resample(marked, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    hu = ndimage.gaussian_filter(sitk.GetArrayFromImage(drawn), BLUR)
    return hu, sitk.GetArrayFromImage(seed) > 0
