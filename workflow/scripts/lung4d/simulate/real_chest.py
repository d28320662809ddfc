"""A thorax taken from a chest CT: its lungs, its body and its healthy tissue, in the form that the simulator uses.

The scan is smoothed, so that its noise does not go with the anatomy from visit to visit; each patient has it mirrored
or not, scaled and bent a little. What the CT shows in the lung is the healthy tissue, vessels and airways included:
they are moved with it, but neither breathe nor fall ill.
"""

from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from skimage.morphology import convex_hull_image

from lung4d.convert import read
from lung4d.io.masks import bounding_box
from lung4d.io.status import UnusableScan
from lung4d.segment import masks
from lung4d.simulate.anatomy import COARSE, FIELD_OF_VIEW, SOFT, Anatomy
from lung4d.simulate.disease import HEALTHY_MEDIAN, Tissue
from lung4d.simulate.grids import Grid, regrid, sample_at, smooth_noise

GRID = Grid.centred(FIELD_OF_VIEW, (2.0, 2.0, 2.0))
DENOISE = 1.0  # mm, sigma
SURFACE_SPACING = 1.5  # mm in the plane, about, at which the lungs' surface is worked out
MARGIN = 12.0  # mm between the lungs and the edge of the field of view
WARP = 90.0, 4.0  # mm, scale and sd of the individual deviation
RIM = 2.0  # mm on either side of the lungs' surface, where the CT shows a mixture of lung and wall
REACH = 2.5  # mm, sigma of the average by which either side is continued over the surface
AIRWAY = -945.0, -975.0  # HU between which healthy tissue turns into the air of airways and bullae
VESSEL = -600.0, -400.0  # the same, into vessels and other dense structures


@dataclass(frozen=True)
class Chest:
    """A scan: smoothed HU (D, H, W) on `grid`, and the lungs' surface (signed distance, mm, positive inside) with their
    labels (1 right, 2 left) on `surface_grid`; all in mm from the middle of the lungs' box, whose size is `extent`."""

    hu: np.ndarray
    grid: Grid
    surface: np.ndarray
    labels: np.ndarray
    surface_grid: Grid
    extent: np.ndarray


def build_chest(scan: str, mask: str, rng: np.random.Generator) -> tuple[Anatomy, np.ndarray]:
    """One patient's anatomy from the CT at `scan`, and its healthy tissue: HU (D, H, W) float32 on the anatomy's grid.

    `mask` is a file with the lungs, or empty: they are segmented by intensity. Raises UnusableScan for a scan with one
    lung, and as `lung4d.convert.read` and `lung4d.segment.masks` do.
    """
    chest = read_chest(scan, mask)
    source, coarse = _points_of_patient(chest, rng)
    surface = sample_at(chest.surface, chest.surface_grid, source)
    hu = sample_at(chest.hu, chest.grid, source)
    lung = np.minimum(surface, _inside_scan(chest.grid, source))
    right, left = _sides(chest, coarse)
    if not (right.any() and left.any()):
        raise UnusableScan("Only one lung is in the scan; give a CT of the whole chest.")
    inside = np.argwhere(lung > 0)[:, 0]
    height = (np.arange(GRID.shape[0]) - inside.min()) / (inside.max() - inside.min())
    far = np.broadcast_to(np.float32(99), GRID.shape)
    anatomy = Anatomy(
        grid=GRID,
        lung=lung,
        pleura=np.maximum(lung, 0),
        wall=regrid(_inside_cage(right | left), COARSE, GRID),
        midline=regrid(_distance(right) - _distance(left), COARSE, GRID) / 2,
        fissure=far,
        oblique=far,
        horizontal=far,
        height=np.broadcast_to(np.clip(height, 0, 1).astype(np.float32).reshape(-1, 1, 1), GRID.shape),
        body=_continued(hu, surface < -RIM, SOFT),
        hila=_hila(right, left),
    )
    return anatomy, _continued(hu, lung > RIM, HEALTHY_MEDIAN)


def with_own_tissue(tissue: Tissue, healthy: np.ndarray) -> Tissue:
    """`tissue` with `healthy` (HU) in place of the procedural parenchyma, and what in it is vessel or airway."""
    air, dense = (np.clip((healthy - start) / (end - start), 0, 1) for start, end in (AIRWAY, VESSEL))
    return replace(tissue, healthy=healthy, still=np.maximum(air, dense), grain=0.0)


def vessel_points(anatomy: Anatomy, tissue: Tissue, rng: np.random.Generator) -> np.ndarray:
    """Up to 500 points (3, n) mm in vessels at least 4 mm inside the lung: what an expert could mark as landmarks."""
    found = np.argwhere((tissue.healthy > np.mean(VESSEL)) & (anatomy.lung > 4))
    chosen = rng.permutation(len(found))[:500]
    return anatomy.grid.points_at(tuple(found[chosen].T))


def read_chest(scan: str, mask: str) -> Chest:
    """The CT at `scan`, denoised, and its lungs from the file `mask`, or segmented by intensity where it is empty."""
    image = read.read_scan(scan).image
    found = masks.use_mask(mask, image) if mask else masks.segment_by_intensity(image)
    labels = sitk.GetArrayFromImage(found.mask)
    box = bounding_box(labels > 0)
    spacing = image.GetSpacing()[::-1]
    middle = [(part.start + part.stop - 1) / 2 * s for part, s in zip(box, spacing, strict=True)]
    grid = Grid(labels.shape, spacing, tuple(-m for m in middle))
    hu = sitk.GetArrayFromImage(image).astype(np.float32)
    for axis, s in enumerate(spacing):
        hu = ndimage.gaussian_filter1d(hu, DENOISE / s, axis=axis, mode="nearest", truncate=3)
    surface, coarse_labels, surface_grid = _surface(labels, grid)
    extent = np.array([(part.stop - part.start) * s for part, s in zip(box, spacing, strict=True)])
    return Chest(hu, grid, surface, coarse_labels, surface_grid, extent)


def _surface(labels: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray, Grid]:
    """Signed distance to the lungs' surface, the labels, and their grid: fewer voxels in the plane, all slices.

    Between slices the distance is interpolated, not the mask, so thick slices leave no steps.
    """
    step = max(1, round(SURFACE_SPACING / grid.spacing[1]))
    thinned = labels[:, ::step, ::step]
    spacing = (grid.spacing[0], grid.spacing[1] * step, grid.spacing[2] * step)
    inside = thinned > 0
    # Maurer's distance is to the outermost voxels of one side: the mean of both is to the surface between them.
    surface = (_maurer(inside, spacing) - _maurer(~inside, spacing)) / 2
    return ndimage.gaussian_filter(surface, (0, 0.7, 0.7)), thinned, Grid(thinned.shape, spacing, grid.origin)


def _maurer(inside: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    image = sitk.GetImageFromArray(inside.view(np.uint8))
    image.SetSpacing(spacing[::-1])
    distance = sitk.SignedMaurerDistanceMap(image, insideIsPositive=True, squaredDistance=False, useImageSpacing=True)
    return sitk.GetArrayFromImage(distance)


def _points_of_patient(chest: Chest, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points (3, D, H, W) mm of the scan that lie at the points of GRID and of COARSE in this patient."""
    largest = np.minimum((np.array(FIELD_OF_VIEW) - 2 * MARGIN) / chest.extent, 1.04)
    size = largest * rng.uniform(0.92, 1.0, 3) * [1, 1, rng.choice([-1, 1])]
    bend = np.stack([WARP[1] * smooth_noise(rng, COARSE, WARP[0]) for _ in range(3)])
    coarse = COARSE.points() / np.reshape(size, (3, 1, 1, 1)).astype(np.float32) + bend
    return np.stack([regrid(axis, COARSE, GRID) for axis in coarse]), coarse


def _inside_scan(grid: Grid, points: np.ndarray) -> np.ndarray:
    """Distance (D, H, W) of `points` from the border of what was scanned, mm, negative beyond it."""
    inside = [
        np.minimum(along - start, start + (n - 1) * step - along)
        for along, start, n, step in zip(points, grid.origin, grid.shape, grid.spacing, strict=True)
    ]
    return np.minimum.reduce(inside).astype(np.float32)


def _sides(chest: Chest, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Right and left lung, bool, at `points` (3, d, h, w) of the scan, whose x may be mirrored."""
    index = chest.surface_grid.to_index(points)
    labels = ndimage.map_coordinates(chest.labels, index, order=0, mode="constant", prefilter=False)
    mirrored = points[2, 0, 0, 0] > points[2, 0, 0, -1]
    return (labels == 2, labels == 1) if mirrored else (labels == 1, labels == 2)


def _distance(inside: np.ndarray) -> np.ndarray:
    """Signed distance on COARSE, mm, negative inside."""
    outside = ndimage.distance_transform_edt(~inside, COARSE.spacing)
    return (outside - ndimage.distance_transform_edt(inside, COARSE.spacing)).astype(np.float32)


def _inside_cage(lung: np.ndarray) -> np.ndarray:
    """About the depth inside the rib cage, mm: of the lungs' convex outline slice by slice, which downwards never
    narrows, since the cage goes on around the abdomen."""
    below_apex = np.maximum.accumulate(lung[::-1], axis=0)[::-1]
    cage = np.stack([convex_hull_image(s) if s.any() else s for s in below_apex])
    return -ndimage.gaussian_filter(_distance(cage), 1)


def _hila(right: np.ndarray, left: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Right and left, (3,) mm: half-way from the middle of each lung to the middle of both."""
    centres = [COARSE.points_at(np.nonzero(side)).mean(axis=1) for side in (right, left)]
    middle = np.mean(centres, axis=0)
    return tuple((centre + middle) / 2 for centre in centres)


def _continued(values: np.ndarray, known: np.ndarray, beyond: float) -> np.ndarray:
    """`values` (on GRID) where they are `known`, near there their weighted mean, farther away `beyond`."""
    sigma = [REACH / s for s in GRID.spacing]
    weight = ndimage.gaussian_filter(known.astype(np.float32), sigma, truncate=3)
    total = ndimage.gaussian_filter(np.where(known, values, 0), sigma, truncate=3)
    near = np.where(weight > 1e-3, total / np.maximum(weight, 1e-3), np.float32(beyond))
    return np.where(known, values, near)
