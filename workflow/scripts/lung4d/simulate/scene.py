"""A chest at one visit: anatomy, disease and motion together, sampled at the voxels of a scan.

Nothing is resampled from an image: tissue is evaluated at the baseline points that the voxels' centres come from, trees
are moved branch by branch. So detail is as sharp at a follow-up as at baseline, and the displacement is exact.
"""

from dataclasses import dataclass

import numpy as np

from lung4d.simulate import anatomy as anatomies
from lung4d.simulate import builds, disease, motion, real_chest, trees
from lung4d.simulate.cohort import Patient, generator
from lung4d.simulate.grids import Grid, regrid, sample_at, sample_index

PLEURA = 1.6  # mm over which lung turns into wall
VESSEL, AIRWAY_WALL, LUMEN = 48.0, 20.0, -995.0


@dataclass(frozen=True)
class Person:
    """The baseline of one patient: everything a visit's scene is made from."""

    anatomy: anatomies.Anatomy
    trees: trees.Trees
    tissue: disease.Tissue
    frame: motion.Frame
    lumen_rank: np.ndarray  # disease rank where airways run, on the centre line of lumen and wall
    wall_rank: np.ndarray


@dataclass(frozen=True)
class Placement:
    """Where the voxels of a grid lie in the baseline. lung: flat indices of voxels that touch the lung; cover: share of
    each that is lung; site: its tissue; body: HU of the rest (D, H, W); vessels: share of each
    voxel that is vessel (D, H, W); right: True on the patient's right."""

    grid: Grid
    lung: np.ndarray
    cover: np.ndarray
    right: np.ndarray
    site: disease.Site
    body: np.ndarray
    vessels: np.ndarray


def make_person(seed: int, patient: Patient) -> Person:
    """One patient's baseline, from random numbers of its own for each part."""

    def numbers(purpose):
        return generator(seed, patient.candidate, purpose)

    if patient.chest_ct:
        chest, healthy = real_chest.build_chest(patient.chest_ct, patient.chest_mask, numbers("build"))
        drawn = disease.draw_tissue(chest, patient.smoking, numbers("tissue"))
        tissue = real_chest.with_own_tissue(drawn, healthy)
        grown = trees.without_branches(real_chest.vessel_points(chest, tissue, numbers("trees")))
    else:
        chest = anatomies.build(builds.draw_build(numbers("build"), patient.sex), numbers("anatomy"))
        tissue = disease.draw_tissue(chest, patient.smoking, numbers("tissue"))
        grown = trees.grow(chest, numbers("trees"))
    tissue = disease.with_course(tissue, chest, patient.course, numbers("course"))
    return Person(
        anatomy=chest,
        trees=grown,
        tissue=tissue,
        frame=motion.frame_of(chest),
        lumen_rank=sample_at(tissue.rank, chest.grid, grown.lumen.centre),
        wall_rank=sample_at(tissue.rank, chest.grid, grown.wall.centre),
    )


def place(person: Person, grid: Grid, moved: motion.Motion) -> Placement:
    """Lead the voxels of `grid` back to the baseline through both displacement fields."""
    chest, nodes = person.anatomy, motion.FIELD_GRID
    led = motion.led_back(moved.lung, steps=7)
    roughly = regrid(sample_at(chest.lung, chest.grid, led), nodes, grid)
    near = np.nonzero(roughly > -4)
    visit = grid.points_at(near)
    baseline = np.stack([regrid(f, nodes, grid)[near] for f in led])
    baseline = motion.refine_inverse(moved.lung, visit, baseline, steps=1)
    depth = sample_at(chest.lung, chest.grid, baseline)
    touched = depth > -PLEURA / 2
    baseline, depth = baseline[:, touched], depth[touched]
    body_index = chest.grid.to_index(motion.led_back(moved.body, steps=5))
    return Placement(
        grid=grid,
        lung=np.ravel_multi_index(near, grid.shape)[touched],
        cover=np.clip(0.5 + depth / PLEURA, 0, 1),
        right=sample_at(chest.midline, chest.grid, baseline) < 0,
        site=disease.visit_site(chest, person.tissue, baseline),
        body=sample_index(chest.body, np.stack([regrid(f, nodes, grid) for f in body_index])),
        vessels=trees.draw(person.trees.vessels, grid, moved.move_lung),
    )


def render_scan(person: Person, placement: Placement, state: disease.State, moved: motion.Motion) -> np.ndarray:
    """Noise-free HU (D, H, W) float32 at the voxel centres of the placement's grid, before kernel and slice profile."""
    hu = placement.body.copy()
    flat = hu.reshape(-1)
    tissue = disease.tissue_hu(placement.site, person.tissue, state, moved.density)
    flat[placement.lung] += placement.cover * (tissue - flat[placement.lung])
    tree, grid, move = person.trees, placement.grid, moved.move_lung
    lumen = trees.draw(tree.lumen, grid, move, disease.traction(person.lumen_rank, tree.lumen.radius, state.extent))
    wall = trees.draw(tree.wall, grid, move, disease.traction(person.wall_rank, tree.wall.radius, state.extent))
    for share, value in ((placement.vessels, VESSEL), (wall, AIRWAY_WALL), (lumen, LUMEN)):
        hu += share * (value - hu)
    return hu


def lung_labels(placement: Placement) -> np.ndarray:
    """Lung mask uint8 (D, H, W): 1 right, 2 left lung, vessels and airways within it included."""
    labels = np.zeros(placement.grid.shape, np.uint8)
    inside = placement.cover > 0.5
    labels.reshape(-1)[placement.lung[inside]] = np.where(placement.right[inside], 1, 2)
    return labels
