"""Dense disease below the ribs: lung that looks like the chest wall, told from it by where the ribs are.

Seen from the middle axis of the chest, slice by slice, lung and ribs are maps of distances (mm) over slice and angle.
In health the lung ends a few millimetres inside the ribs, everywhere. Where it ends deeper and what fills the gap is
as dense as soft tissue, not fat, the gap is consolidated lung (or fluid, which no value tells from it). Arrays are
(z, y, x) on the working grid, maps (z, angle).
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from lung4d.io import masks as mm
from lung4d.segment.grid import SPACING

ANGLES = 360
FRONT, BACK = (45, 135), (250, 290)  # degrees: where ribs are cartilage, which shows no bone, and the spine
STEEPEST = 0.8  # mm that the ribs may draw in per mm upwards; steeper is the dome above the apex
USUAL = 15.0  # percentile of the distances from lung to ribs that a lung without disease below the pleura keeps
ALIKE = 3.0  # mm above this distance that hold at least ...
LEAST_ALIKE = 0.2  # ... this share of them, or the ribs say nothing about where the pleura is
HALF_CHEST = 65.0  # mm from the middle of a lung to the middle of the chest
THICK = 4.0  # mm: half of what counts as a good thickness of lung
RIB = 180.0  # HU, thin ribs in thick slices included
BETWEEN_RIBS = 40.0  # mm between two ribs, over which they are interpolated at most
LONELY = (13, 5)  # slices and degrees: what lies farther out than all around it within these ...
SCAPULA = 4.0  # ... by more than these mm is no rib
FAT = (-200.0, -60.0)  # HU; darker is air and its edges
EDGE = 3.0  # mm from the lung's end, within which partial volume looks like fat
GAP = 6.0  # mm deeper than usual, from which on a gap is believed
SHALLOW, DEEP = 16.0, 45.0  # mm of a gap: believed anywhere, or where lung is back at the ribs below it
SMOOTHED = (5, 5)  # slices and degrees of the median over neighbouring gaps
PATCH = 3  # slices and degrees of the smallest patch that counts


@dataclass(frozen=True)
class Polar:
    """Distance (mm, (y, x)) from the middle axis of the chest and angle (whole degrees, (y, x); 90 is the front)."""

    distance: np.ndarray
    angle: np.ndarray

    def furthest(self, mask: np.ndarray) -> np.ndarray:
        """Distance of the outermost voxel of `mask` per slice and angle; -inf where there is none."""
        result = np.full((len(mask), ANGLES), -np.inf, np.float32)
        z, y, x = np.nonzero(mask)
        np.maximum.at(result, (z, self.angle[y, x]), self.distance[y, x])
        return result

    def nearest(self, mask: np.ndarray, beyond: np.ndarray) -> np.ndarray:
        """Distance of the innermost voxel of `mask` farther out than `beyond`; inf where there is none."""
        result = np.full((len(mask), ANGLES), np.inf, np.float32)
        z, y, x = np.nonzero(mask)
        angle, distance = self.angle[y, x], self.distance[y, x]
        out = distance > beyond[z, angle]
        np.minimum.at(result, (z[out], angle[out]), distance[out])
        return result


def around_chest(lungs: np.ndarray) -> Polar:
    """Polar coordinates around the axis half-way between the lungs, or beside the only one on its inner side."""
    centres = {side: np.array(ndimage.center_of_mass(lungs == side)) for side in (1, 2) if (lungs == side).any()}
    row, column = np.mean([centre[1:] for centre in centres.values()], axis=0)
    if len(centres) == 1:
        column += (1 if 1 in centres else -1) * HALF_CHEST / SPACING
    rows, columns = np.ogrid[: lungs.shape[1], : lungs.shape[2]]
    distance = np.hypot(rows - row, columns - column).astype(np.float32) * SPACING
    angle = ((np.arctan2(rows - row, columns - column) / np.pi + 1) * (ANGLES // 2)).astype(int) % ANGLES
    return Polar(distance, angle)


def behind(lungs: np.ndarray, polar: Polar) -> np.ndarray:
    """Voxels with a good thickness of lung between them and the middle axis of the chest."""
    solid = mm.opened(lungs > 0, THICK, SPACING)
    nearest = polar.nearest(solid, np.full((len(lungs), ANGLES), -np.inf))
    return polar.distance > nearest[:, polar.angle] + 3 * THICK


def dense_gaps(hu: np.ndarray, lungs: np.ndarray, free: np.ndarray, polar: Polar) -> np.ndarray:
    """Tissue in `free` that fills the place of lung between `lungs` and the ribs."""
    end = polar.furthest(lungs)
    ribs, seen = rib_cage(hu, end, polar)
    angle = np.arange(ANGLES)
    aside = np.logical_or.reduce([(angle > low) & (angle < high) for low, high in (FRONT, BACK)])
    steep = np.gradient(np.nan_to_num(ribs), SPACING, axis=0) < -STEEPEST
    gap = np.where(~aside & ~steep & np.isfinite(end), ribs - end, np.nan)
    known = np.isfinite(gap)
    at_ribs = gap[seen & known]
    cushion = np.percentile(at_ribs, USUAL) if at_ribs.size else 0.0
    if np.count_nonzero((at_ribs >= cushion) & (at_ribs <= cushion + ALIKE)) <= LEAST_ALIKE * at_ribs.size:
        return np.zeros_like(free)
    limit = ribs - cushion
    fat = polar.nearest((hu > FAT[0]) & (hu < FAT[1]), end + EDGE)
    depth = ndimage.median_filter(np.where(known, np.minimum(limit, fat) - end, 0.0), size=SMOOTHED)
    sure = ndimage.median_filter(np.where(known, np.minimum(limit, fat - SPACING) - end, 0.0), size=SMOOTHED)
    back_below = np.logical_or.accumulate(known & (sure < GAP), axis=0)  # z grows upwards
    patch = (sure >= GAP) & ((depth <= SHALLOW) | (back_below & (depth <= DEEP)))
    depth = np.where(ndimage.binary_opening(patch, np.ones((PATCH, PATCH))), depth, 0.0)
    outward = polar.distance - end[:, polar.angle]
    return free & (outward > 0) & (outward <= depth[:, polar.angle]) & (hu < RIB)


def rib_cage(hu: np.ndarray, end: np.ndarray, polar: Polar) -> tuple[np.ndarray, np.ndarray]:
    """Distance of the ribs' inner face beyond the lungs' `end`, interpolated between ribs (NaN where there are none),
    and where bone was seen."""
    bone = polar.nearest(hu > RIB, end - SPACING)
    around = ndimage.grey_opening(np.where(np.isfinite(bone), bone, 1000.0), size=LONELY)
    seen = bone <= around + SCAPULA
    cage = np.full(bone.shape, np.nan, np.float32)
    slices = np.arange(len(bone))
    for angle in range(ANGLES):
        ribs = np.flatnonzero(seen[:, angle])
        if len(ribs) < 2:
            continue
        above = ribs[np.searchsorted(ribs, slices).clip(max=len(ribs) - 1)]
        below = ribs[(np.searchsorted(ribs, slices, "right") - 1).clip(min=0)]
        inner = np.interp(slices, ribs, bone[ribs, angle])
        known = (above >= slices) & (below <= slices) & ((above - below) * SPACING <= BETWEEN_RIBS)
        cage[:, angle] = np.where(known, inner, np.nan)
    return cage, seen
