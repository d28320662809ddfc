"""Trachea and main bronchi, so that they are no part of the lungs. Arrays are (z, y, x) on the working grid."""

import numpy as np
from scipy import ndimage

from lung4d.io import masks as mm
from lung4d.segment.grid import SPACING, millilitres

AIRWAY_ML = 80.0  # the trachea and main bronchi hold no more
LEAK_ML = 12.0  # that the airways grow by within 10 HU when they leak into a lung
AIRWAY_HEIGHT = 20.0  # mm, of the shortest piece of trachea that is believed
SPOT_AREA = (40.0, 700.0)  # mm2 of the trachea in a slice
DARK = -800.0  # HU of the trachea's lumen, partial volume included


def find_airway(hu: np.ndarray, air: np.ndarray, bulk: np.ndarray) -> np.ndarray:
    """Trachea and main bronchi, empty where no trachea is in view.

    Dark air is followed from the trachea wherever no ball of 11 mm fits (`bulk`, which is lung). The limit of darkness
    rises from -980 HU until the tree leaks through the bronchi's walls into the lungs: it grows by leaps or beyond
    what airways hold (explosion control).
    """
    seed = _trachea(hu, air, bulk)
    best = np.zeros_like(air)
    tubes = air & ~bulk
    reached = None
    for limit in range(-980, -850, 10):
        labels, _ = ndimage.label(tubes & (hu < limit))
        met = np.unique(labels[seed])
        grown = np.isin(labels, met[met > 0])
        volume = millilitres(grown.sum())
        if volume > AIRWAY_ML or (reached is not None and volume - reached > LEAK_ML):
            break
        best, reached = grown, volume
    return best | seed


def _trachea(hu: np.ndarray, air: np.ndarray, bulk: np.ndarray) -> np.ndarray:
    """The trachea where it lies alone in its slices: round spots of air, stacked over 20 mm, above the lungs' middle.

    Of several stacks the one that lasts longest; lung apices last a few slices, bowel lies too low.
    """
    labels, count = ndimage.label(air, mm.IN_PLANE)
    boxes = ndimage.find_objects(labels)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    middle = np.median(np.nonzero(bulk)[0]) if bulk.any() else 0
    round_spots = np.zeros(count + 1, bool)
    for number, box in enumerate(boxes, start=1):
        rows, columns = (side.stop - side.start for side in box[1:])
        area = sizes[number] * SPACING**2
        round_spots[number] = (
            SPOT_AREA[0] <= area <= SPOT_AREA[1]
            and max(rows, columns) <= 2.2 * min(rows, columns)
            and sizes[number] > 0.6 * rows * columns
        )
    stacks, _ = ndimage.label(round_spots[labels])
    best, tallest = 0, AIRWAY_HEIGHT
    for number, box in enumerate(ndimage.find_objects(stacks), start=1):
        height = (box[0].stop - box[0].start) * SPACING
        if height >= tallest and box[0].stop > middle and np.median(hu[box][stacks[box] == number]) < DARK:
            best, tallest = number, height
    return (stacks == best) & (best > 0)


def is_tube(pocket: np.ndarray) -> bool | np.bool:
    """A piece of airway: tall and thin."""
    heights = np.count_nonzero(pocket.any(axis=(1, 2)))
    return heights * SPACING >= AIRWAY_HEIGHT and np.count_nonzero(pocket) / heights * SPACING**2 < SPOT_AREA[1] / 2
