"""Right and left lung: told apart where they touch, and rid of pockets that are no lung.

Arrays are (z, y, x) on the working grid, axes in LPS order: x grows to the patient's left.
"""

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from lung4d.io import masks as mm
from lung4d.io.status import UnusableScan
from lung4d.segment.airways import is_tube
from lung4d.segment.grid import SPACING, millilitres

CORE = 3.0  # mm: what is thinner than twice this is no core of a lung
SMALLEST_CORE_ML = 20.0
SMALLEST_POCKET_ML = 0.5
WIDEST_LUNG = 210.0  # mm from side to side; wider is two lungs in one
GAS_MARGIN = 60.0  # HU below the lungs' median, where a separate pocket is gas of bowel or stomach
GAS_HU = -930.0  # and below this
CONTACT = 0.1  # of a pocket's surface; one that touches the lung with more is part of it


def divide(air: np.ndarray, middle: float | None, x_of_column: np.ndarray) -> tuple[np.ndarray, bool]:
    """Labels 1 (right), 2 (left) and higher (pockets) of the lungs' air, and whether the sides are sure.

    Lungs that touch are told apart by their cores: the air is eroded until it falls into two large parts beside each
    other, which are then grown back over it (watershed of the depth). `middle` is the column of the body's middle,
    where known. Raises UnusableScan where no part is large.
    """
    depth = mm.distance_outside(~np.pad(air, 1), SPACING)[1:-1, 1:-1, 1:-1]
    for radius in (CORE, 4.5, 6.0, 8.0, 10.0, 13.0, 16.0, 20.0):
        cores, sizes = mm.largest_parts(depth > radius)
        if radius == CORE and (len(sizes) == 0 or millilitres(sizes[0]) < SMALLEST_CORE_ML):
            raise UnusableScan("No lungs found: no large air-filled region inside the body.")
        pair = _pair(cores, sizes)
        if pair:
            return _grow(air, depth, _ordered(cores, pair)), True
    cores, _ = mm.largest_parts(depth > CORE)
    single = cores == 1
    columns = np.flatnonzero(single.any(axis=(0, 1)))
    if (columns[-1] - columns[0]) * SPACING > WIDEST_LUNG:  # both lungs in one part that nothing divides
        between = middle if middle is not None else (columns[0] + columns[-1]) / 2
        right = np.arange(air.shape[2]) < between
        return _grow(air, depth, np.where(single, np.where(right, 1, 2), 0)), True
    side, sure = _side(single, middle, x_of_column)
    return _grow(air, depth, np.where(single, side, np.where(cores > 0, cores + 1, 0))), sure


def _pair(cores: np.ndarray, sizes: np.ndarray) -> tuple[int, int] | None:
    """The numbers of two cores that are the lungs (lower x first), None where there are no two beside each other."""
    boxes = ndimage.find_objects(cores, max_label=4)
    for other in range(1, min(4, len(sizes))):
        if sizes[other] < 0.15 * sizes[0]:
            return None
        first, second = boxes[0], boxes[other]
        widths = [(box[2].stop - box[2].start) * SPACING for box in (first, second)]
        overlap = min(first[0].stop, second[0].stop) - max(first[0].start, second[0].start)
        shorter = min(box[0].stop - box[0].start for box in (first, second))
        centres = [_column(cores[box] == label) + box[2].start for box, label in ((first, 1), (second, other + 1))]
        across = (centres[1] - centres[0]) * SPACING
        if max(widths) < WIDEST_LUNG and overlap > 0.5 * shorter and abs(across) > 50:
            return (1, other + 1) if across > 0 else (other + 1, 1)
    return None


def _column(mask: np.ndarray) -> float:
    """Mean column of a mask."""
    columns = mask.sum(axis=(0, 1))
    return float((columns * np.arange(len(columns))).sum() / columns.sum())


def _ordered(cores: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
    """Core labels with 1 for the right lung, 2 for the left, higher numbers for the rest."""
    order = np.arange(cores.max() + 1) + 2
    order[0], order[pair[0]], order[pair[1]] = 0, 1, 2
    return order[cores]


def body_middle(outside: np.ndarray) -> float | None:
    """Column of the body's middle, None where room air does not show on both of its flanks (a narrow view)."""
    if (outside[:, :, [0, -1]].mean(axis=(0, 1)) < 0.25).any():
        return None
    return _column(~outside)


def _side(lung: np.ndarray, middle: float | None, x_of_column: np.ndarray) -> tuple[int, bool]:
    """1 (right) or 2 (left) for the only lung, and whether that is sure: by the body's middle where it is known,
    otherwise by the patient coordinate (x grows to the left)."""
    column = float(np.flatnonzero(lung.any(axis=(0, 1))).mean())
    if middle is not None:
        return (1 if column < middle else 2), True
    return (1 if np.interp(column, np.arange(len(x_of_column)), x_of_column) < 0 else 2), False


def _grow(air: np.ndarray, depth: np.ndarray, cores: np.ndarray) -> np.ndarray:
    """Basins of `cores` (1 right, 2 left, others pockets) over the air; air without a core is dropped."""
    cores = np.where(np.isin(cores, _small(cores)), 0, cores)
    parts, _ = ndimage.label(air)
    air = air & np.isin(parts, np.unique(parts[cores > 0]))
    box = mm.bounding_box(air)
    basins = sitk.MorphologicalWatershedFromMarkers(
        sitk.GetImageFromArray(-depth[box]), sitk.GetImageFromArray(cores[box].astype(np.uint16)), False, False
    )
    labels = np.zeros(air.shape, np.uint16)
    labels[box] = np.where(air[box], sitk.GetArrayFromImage(basins), 0)
    return labels


def with_pockets(labels: np.ndarray, hu: np.ndarray | None) -> np.ndarray:
    """Pockets (labels above 2) join the lung that they touch most; those that touch none go. So do pieces of airway
    and, where `hu` is given, gas of bowel and stomach (emptier than the lungs), if no more than a leak joins them."""
    lungs = np.where(labels > 2, 0, labels).astype(np.uint8)
    lungs_median = 0.0 if hu is None else np.median(hu[lungs > 0])
    for pocket in np.unique(labels[labels > 2]):
        here = labels == pocket
        around = lungs[mm.dilate_box(here, SPACING, SPACING) & ~here]
        touching = np.bincount(around, minlength=3)[1:3]
        empty = hu is not None and np.median(hu[here]) < min(lungs_median - GAS_MARGIN, GAS_HU)
        foreign = (empty or is_tube(here)) and touching.sum() < CONTACT * len(around)
        if touching.any() and not foreign:
            lungs[here] = 1 + np.argmax(touching)
    return lungs


def _small(cores: np.ndarray) -> np.ndarray:
    """Labels of cores too small to be told from noise."""
    sizes = np.bincount(cores.ravel())
    return np.flatnonzero(millilitres(sizes) < SMALLEST_POCKET_ML)


def nearest_side(lungs: np.ndarray) -> np.ndarray:
    """For every voxel the side, 1 or 2, of the lung next to it (worked out on every second voxel)."""
    coarse = lungs[::2, ::2, ::2]
    right, left = (mm.distance_outside(coarse == side, 2 * SPACING) for side in (1, 2))
    sides = np.where(right <= left, 1, 2).astype(np.uint8)
    for axis, size in enumerate(lungs.shape):
        sides = np.repeat(sides, 2, axis=axis).take(np.arange(size), axis=axis)
    return sides
