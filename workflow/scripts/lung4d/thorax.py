"""The intensity-based lung segmenter: two lungs of a CT in HU, without trained weights.

All steps work on an isotropic grid of 2 mm; `lungs.segment` brings the result back to the scan's own voxels.
Constants are millimetres, millilitres and HU of human anatomy, not of a data set.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from skimage.filters import threshold_otsu

from lung4d import morphology as mm
from lung4d.files import UnusableScan

SPACING = 2.0  # mm, of the working grid
AIR_LIMITS = (-600.0, -300.0)  # HU between which the threshold of air against tissue is looked for
EDGE_HU = -425.0  # the outline is drawn at no lower value: half-way from inflated lung to the chest wall
ROOM_AIR = -985.0  # HU: half of a part of the room's air is emptier than this
CORE = 3.0  # mm: what is thinner than twice this is no core of a lung
TUBE = 11.0  # mm: the trachea's largest radius; a ball of this size fits into lungs only
AIRWAY_ML = 80.0  # the trachea and main bronchi hold no more
LEAK_ML = 12.0  # that the airways grow by within 10 HU when they leak into a lung
AIRWAY_HEIGHT = 20.0  # mm, of the shortest piece of trachea that is believed
SPOT_AREA = (40.0, 700.0)  # mm2 of the trachea in a slice
DARK = -800.0  # HU of the trachea's lumen, partial volume included
WALL = 3.0  # mm of airway wall and its partial volume
SKIN = 4.0  # mm: the chest wall is thicker everywhere
BONE = 250.0  # HU
SMOOTH = 8.0  # mm: vessels, hilar notches and subpleural disease narrower than twice this belong to the lung
COSTAL = 25.0  # mm: the same below the ribs, where a healthy lung has no hollow of this radius
THICK = 4.0  # mm: half of what counts as a good thickness of lung
HALF_CHEST = 65.0  # mm from the middle of a lung to the middle of the chest
ANGLES = 360
GAS_MARGIN = 60.0  # HU below the lungs' median, where a separate pocket is gas of bowel or stomach
GAS_HU = -930.0  # and below this
CONTACT = 0.1  # of a pocket's surface; one that touches the lung with more is part of it
SMALLEST_CORE_ML = 20.0
SMALLEST_POCKET_ML = 0.5
WIDEST_LUNG = 210.0  # mm from side to side; wider is two lungs in one


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


def working_grid(scan: sitk.Image) -> sitk.Image:
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
    airway = _airway(hu, air)
    lungs_air = air & ~mm.dilate(airway, WALL, SPACING)
    # What is left around the airways, and other sheets thinner than the lungs, goes; edges of lungs stay.
    lungs_air &= mm.dilate(mm.opened(lungs_air, CORE, SPACING), CORE, SPACING)
    parts, sure = divide(lungs_air, middle, x_of_column)
    lungs = with_pockets(parts, hu)
    gas = mm.dilate((parts > 0) & (lungs == 0), WALL, SPACING)
    skin = mm.dilate(outside, SKIN, SPACING)  # no lung's tissue is this close to the room's air
    lungs = _with_foam(lungs, air & ~gas & ~skin & ~mm.dilate_box(airway, 2 * WALL, SPACING))
    # In a narrow view nobody knows where the middle of the chest is, and so which side is the ribs'.
    costal = _behind(lungs) if middle is not None else np.zeros_like(air)
    labels, added = _with_tissue(hu, lungs, airway, skin, costal)
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


def _airway(hu: np.ndarray, air: np.ndarray) -> np.ndarray:
    """Trachea and main bronchi, empty where no trachea is in view.

    Dark air is followed from the trachea wherever no ball of 11 mm fits (that is lung). The limit of darkness rises
    from -980 HU until the tree leaks through the bronchi's walls into the lungs: it grows by leaps or beyond what
    airways hold (explosion control).
    """
    bulk = mm.opened(air, TUBE, SPACING)
    seed = _trachea(hu, air, bulk)
    best = np.zeros_like(air)
    tubes = air & ~bulk
    reached = 0.0
    for limit in range(-980, -850, 10):
        labels, _ = ndimage.label(tubes & (hu < limit))
        met = np.unique(labels[seed])
        grown = np.isin(labels, met[met > 0])
        volume = grown.sum() * SPACING**3 / 1000
        if volume > AIRWAY_ML or volume - reached > LEAK_ML:
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
    heights = np.flatnonzero(bulk.any(axis=(1, 2)))
    middle = np.median(np.nonzero(bulk)[0]) if len(heights) else 0
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


def divide(air: np.ndarray, middle: float | None, x_of_column: np.ndarray) -> tuple[np.ndarray, bool]:
    """Labels 1 (right), 2 (left) and higher (pockets) of the lungs' air, and whether the sides are sure.

    Lungs that touch are told apart by their cores: the air is eroded until it falls into two large parts beside each
    other, which are then grown back over it (watershed of the depth). `middle` is the column of the body's middle,
    where known. Raises UnusableScan where no part is large.
    """
    depth = mm.distance_outside(~np.pad(air, 1), SPACING)[1:-1, 1:-1, 1:-1]
    for radius in (CORE, 4.5, 6.0, 8.0, 10.0, 13.0, 16.0, 20.0):
        cores, sizes = mm.largest_parts(depth > radius)
        if radius == CORE and (len(sizes) == 0 or sizes[0] * SPACING**3 / 1000 < SMALLEST_CORE_ML):
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
        foreign = (empty or _is_tube(here)) and touching.sum() < CONTACT * len(around)
        if touching.any() and not foreign:
            lungs[here] = 1 + np.argmax(touching)
    return lungs


def _is_tube(pocket: np.ndarray) -> bool:
    """A piece of airway: tall and thin."""
    heights = np.count_nonzero(pocket.any(axis=(1, 2)))
    return heights * SPACING >= AIRWAY_HEIGHT and np.count_nonzero(pocket) / heights * SPACING**2 < SPOT_AREA[1] / 2


def _small(cores: np.ndarray) -> np.ndarray:
    """Labels of cores too small to be told from noise."""
    sizes = np.bincount(cores.ravel())
    return np.flatnonzero(sizes * SPACING**3 / 1000 < SMALLEST_POCKET_ML)


def _with_foam(lungs: np.ndarray, air: np.ndarray) -> np.ndarray:
    """Lungs with the air without a core that is near them: cysts of honeycombing, of which a chain is followed over
    walls of one voxel, and strips of lung between dense bands."""
    foam = air & (lungs == 0)
    parts, _ = ndimage.label(mm.dilate(foam | (lungs > 0), SPACING, SPACING))
    foam &= np.isin(parts, np.unique(parts[lungs > 0]))
    return np.where(foam, nearest_side(lungs), lungs).astype(np.uint8)


def nearest_side(lungs: np.ndarray) -> np.ndarray:
    """For every voxel the side, 1 or 2, of the lung next to it (worked out on every second voxel)."""
    coarse = lungs[::2, ::2, ::2]
    right, left = (mm.distance_outside(coarse == side, 2 * SPACING) for side in (1, 2))
    sides = np.where(right <= left, 1, 2).astype(np.uint8)
    for axis, size in enumerate(lungs.shape):
        sides = np.repeat(sides, 2, axis=axis).take(np.arange(size), axis=axis)
    return sides


def _with_tissue(
    hu: np.ndarray, lungs: np.ndarray, airway: np.ndarray, skin: np.ndarray, costal: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Close each lung over its vessels and dense disease: labels with them, and the tissue that was added.

    Everywhere by a small radius; in `costal`, where the pleura is convex in everyone, by a large one.
    """
    wide = mm.opened(airway, 4.0, SPACING)
    barred = skin | mm.dilate(wide, WALL, SPACING) | (hu > BONE)
    labels = lungs.copy()
    for side in (1, 2):
        own = lungs == side
        free = ~barred & (lungs == 0)
        small = mm.closed(own, SMOOTH, SPACING) & free
        large = mm.closed(own, COSTAL, SPACING) & free & costal if costal.any() else small
        whole = mm.filled(own | small | large)
        labels[whole & (labels == 0)] = side
    return labels, (labels > 0) & (lungs == 0)


def _behind(lungs: np.ndarray) -> np.ndarray:
    """Voxels with a good thickness of lung between them and the middle axis of the chest, slice by slice.

    The axis runs half-way between the lungs, or beside the only one on its inner side.
    """
    centres = {side: np.array(ndimage.center_of_mass(lungs == side)) for side in (1, 2) if (lungs == side).any()}
    row, column = np.mean([centre[1:] for centre in centres.values()], axis=0)
    if len(centres) == 1:
        column += (1 if 1 in centres else -1) * HALF_CHEST / SPACING
    rows, columns = np.ogrid[: lungs.shape[1], : lungs.shape[2]]
    distance = np.hypot(rows - row, columns - column).astype(np.float32)
    angle = ((np.arctan2(rows - row, columns - column) / np.pi + 1) * (ANGLES // 2)).astype(int) % ANGLES
    nearest = np.full((len(lungs), ANGLES), np.inf, np.float32)
    z, y, x = np.nonzero(mm.opened(lungs > 0, THICK, SPACING))
    np.minimum.at(nearest, (z, angle[y, x]), distance[y, x])
    return distance > nearest[:, angle] + 3 * THICK / SPACING
