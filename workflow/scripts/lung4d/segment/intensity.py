"""The intensity-based lung segmenter: two lungs of a CT in HU, without trained weights.

All steps work on an isotropic grid of 2 mm; `lungs` brings the result back to the scan's own voxels. Constants are
millimetres, millilitres and HU of human anatomy, not of a data set.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from lung4d.io import masks as mm
from lung4d.io.status import UnusableScan
from lung4d.segment import chest_wall
from lung4d.segment.airways import find_airway
from lung4d.segment.grid import SPACING
from lung4d.segment.left_right import CORE, body_middle, divide, nearest_side, with_pockets

AIR_LIMITS = (-600.0, -300.0)  # HU between which the threshold of air against tissue is looked for
EDGE_HU = -425.0  # the outline is drawn at no lower value: half-way from inflated lung to the chest wall
ROOM_AIR = -985.0  # HU: half of a part of the room's air is emptier than this
TUBE = 11.0  # mm: the trachea's largest radius; a ball of this size fits into lungs only
WALL = 3.0  # mm of airway wall and its partial volume
SKIN = 4.0  # mm: the chest wall is thicker everywhere
BONE = 250.0  # HU
SMOOTH = 8.0  # mm: vessels, hilar notches and subpleural disease narrower than twice this belong to the lung
COSTAL = 25.0  # mm: the same below the ribs, where a healthy lung has no hollow of this radius
LEAST_BULK = 0.15  # of the lungs, where a ball of 11 mm fits: 0.8 to 0.95, about 0.5 in severe honeycombing


@dataclass(frozen=True)
class Lungs:
    """On the working grid, (z, y, x): `labels` uint8 (1 right, 2 left); `added` bool: tissue that counts as lung;
    `air` bool: all air within the body; `airway` bool; `edge` HU where the outline against tissue is drawn;
    `sure_of_side` False where the side of the only lung was guessed."""

    labels: np.ndarray
    added: np.ndarray
    air: np.ndarray
    airway: np.ndarray
    edge: float
    sure_of_side: bool


def find_lungs(hu: np.ndarray, x_of_column: np.ndarray) -> Lungs:
    """Both lungs, or the only one, of `hu` (z, y, x; 2 mm, LPS order: z up, y to the back, x to the left).

    `x_of_column` are the patient coordinates (mm, LPS) of the columns, used where only one lung is in view. Raises
    UnusableScan where nothing looks like a lung.
    """
    outside = outside_air(hu)
    threshold = _air_threshold(hu[~outside])
    air = (hu < threshold) & ~outside
    box = mm.bounding_box(air, int(2 * SMOOTH / SPACING))
    if box is None:
        raise UnusableScan("No lungs found: there is no air inside the body.")
    # All that follows happens around the air inside the body.
    labels, added, airway = np.zeros(hu.shape, np.uint8), np.zeros_like(air), np.zeros_like(air)
    middle = body_middle(outside)
    middle = None if middle is None else middle - box[2].start
    labels[box], added[box], airway[box], sure = _lungs_in(hu[box], air[box], outside[box], middle, x_of_column[box[2]])
    return Lungs(labels, added, air, airway, max(threshold, EDGE_HU), sure)


def _lungs_in(
    hu: np.ndarray, air: np.ndarray, outside: np.ndarray, middle: float | None, x_of_column: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Labels, added tissue, airway, and whether the sides are sure."""
    bulk = mm.opened(air, TUBE, SPACING)
    airway = find_airway(hu, air, bulk)
    lungs_air = air & ~mm.dilate(airway, WALL, SPACING)
    # What is left around the airways, and other sheets thinner than the lungs, goes; edges of lungs stay.
    lungs_air &= mm.dilate(mm.opened(lungs_air, CORE, SPACING), CORE, SPACING)
    parts, sure = divide(lungs_air, middle, x_of_column)
    lungs = with_pockets(parts, hu)
    if np.count_nonzero(bulk & (lungs > 0)) < LEAST_BULK * np.count_nonzero(lungs):
        raise UnusableScan("No lungs found: the air in the scan is scattered.")
    gas = mm.dilate((parts > 0) & (lungs == 0), WALL, SPACING)
    skin = mm.dilate(outside, SKIN, SPACING)  # no lung's tissue is this close to the room's air
    lungs = _with_foam(lungs, air & ~gas & ~skin & ~mm.dilate_box(airway, 2 * WALL, SPACING))
    # In a narrow view nobody knows where the middle of the chest is, and so which side is the ribs'.
    polar = None if middle is None else chest_wall.around_chest(lungs)
    labels, added = _with_tissue(hu, lungs, airway, skin, polar)
    return labels, added, airway, sure


def outside_air(hu: np.ndarray) -> np.ndarray:
    """Air around the body, slice by slice: it holds a corner of the slice, or lies open to its edge and is empty.

    In-plane, because air passes through mouth and trachea into the lungs. The second rule takes the gap between table
    and body, and leaves a lung, even one with emphysema, that a narrow field of view cuts.
    """
    labels, count = ndimage.label(hu < AIR_LIMITS[1], mm.IN_PLANE)
    sides = [labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]]
    contact = sum(np.bincount(side.ravel(), minlength=count + 1) for side in sides)
    corner = np.zeros(count + 1, bool)
    corner[np.unique(labels[:, :: hu.shape[1] - 1, :: hu.shape[2] - 1])] = True
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    empty = np.bincount(labels[hu < ROOM_AIR], minlength=count + 1)
    outside = corner | ((contact**2 > 0.5 * sizes) & (empty > 0.5 * sizes))
    outside[0] = False
    return outside[labels]


def _air_threshold(body: np.ndarray) -> float:
    """Otsu's threshold between air and tissue of the voxels within the body, held in the range of human lungs."""
    if body.size == 0:
        raise UnusableScan("No lungs found: there is no body in the scan.")
    inner = body[(body > -1020) & (body < 300)]
    if inner.size < 100 or inner.min() == inner.max():
        raise UnusableScan("No lungs found: there is no tissue in the scan.")
    return float(np.clip(threshold_otsu(inner, nbins=128), *AIR_LIMITS))


def _with_foam(lungs: np.ndarray, air: np.ndarray) -> np.ndarray:
    """Lungs with the air without a core that is near them: cysts of honeycombing, of which a chain is followed over
    walls of one voxel, and strips of lung between dense bands."""
    foam = air & (lungs == 0)
    parts, _ = ndimage.label(mm.dilate(foam | (lungs > 0), SPACING, SPACING))
    foam &= np.isin(parts, np.unique(parts[lungs > 0]))
    return np.where(foam, nearest_side(lungs), lungs).astype(np.uint8)


def _with_tissue(
    hu: np.ndarray, lungs: np.ndarray, airway: np.ndarray, skin: np.ndarray, polar: chest_wall.Polar | None
) -> tuple[np.ndarray, np.ndarray]:
    """Close each lung over its vessels and dense disease: labels with them, and the tissue that was added.

    Everywhere by a small radius; below the ribs (seen from the axis of `polar`), where the pleura is convex in
    everyone, by a large one, and up to where the ribs say that the pleura is.
    """
    wide = mm.opened(airway, 4.0, SPACING)
    barred = skin | mm.dilate(wide, WALL, SPACING) | (hu > BONE)
    below_ribs = np.zeros_like(skin) if polar is None else chest_wall.behind(lungs, polar)
    labels = lungs.copy()
    for side in (1, 2):
        own = lungs == side
        free = ~barred & (lungs == 0)
        small = mm.closed(own, SMOOTH, SPACING) & free
        large = mm.closed(own, COSTAL, SPACING) & free & below_ribs if below_ribs.any() else small
        whole = mm.filled(own | small | large)
        labels[whole & (labels == 0)] = side
    if polar is not None:
        gaps = chest_wall.dense_gaps(hu, labels > 0, below_ribs & ~barred & (labels == 0), polar)
        labels[gaps] = nearest_side(labels)[gaps]
    return labels, (labels > 0) & (lungs == 0)
