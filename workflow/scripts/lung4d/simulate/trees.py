"""Arteries, veins and airways: trees that fill each lobe from the hilum, drawn as points with a volume.

Growth divides the space (after Wang et al. 1992 and Kitaoka et al. 1999): a branch runs part of the way to the centre
of the peripheral sites it serves, the sites are halved across their longest direction, and so on down to one site.
Radii follow Murray's law. A tree is kept as a cloud of points in cross-sections along its branches, so that any
deformation moves it without resampling: each centre-line point is displaced, the cloud is spread over the voxels.
"""

from dataclasses import dataclass

import numpy as np

from lung4d.simulate.anatomy import Anatomy
from lung4d.simulate.grids import sample_at, splat

SITE_VOLUME = 0.8  # ml of lung a terminal vessel serves
TERMINAL_RADIUS = 0.5  # mm
MURRAY = 1 / 2.8
SITE_DEPTH = 3.0  # mm below the pleura, nearest terminal


@dataclass(frozen=True)
class Branches:
    """Segments of a tree: start, end, direction at the start (3, n); radius mm, sites served, lobe (n,)."""

    start: np.ndarray
    end: np.ndarray
    heading: np.ndarray
    radius: np.ndarray
    sites: np.ndarray


@dataclass(frozen=True)
class Cloud:
    """Points along branches. Per point of the centre line: centre (3, n) mm, radius mm (n,) of the branch. Per point of
    the cloud: owner (index into centre), offset (3, m) mm from the centre, volume mm^3 (m,)."""

    centre: np.ndarray
    radius: np.ndarray
    owner: np.ndarray
    offset: np.ndarray
    volume: np.ndarray


@dataclass(frozen=True)
class Trees:
    vessels: Cloud
    lumen: Cloud
    wall: Cloud
    forks: np.ndarray  # (3, n) mm, forks of middle-sized vessels: what an expert would mark as landmarks


def grow(anatomy: Anatomy, rng: np.random.Generator) -> Trees:
    """Vessel and airway trees of one patient at baseline."""
    lobes = _lobes(anatomy)
    arteries, veins = (
        _merge(
            [_grow_lobe(anatomy, inside, root, rng) for inside, root in zip(lobes, _roots(anatomy, kind), strict=True)]
        )
        for kind in ("artery", "vein")
    )
    vessels = _merge([arteries, veins])
    airways = _beside(arteries, rng)
    thickness = 0.35 + 0.22 * airways.radius
    middle = (arteries.sites >= 6) & (arteries.sites <= 120)
    return Trees(
        vessels=_solid(vessels, vessels.radius, rng),
        lumen=_solid(airways, airways.radius, rng),
        wall=_ring(airways, airways.radius, thickness, rng),
        forks=arteries.end[:, middle],
    )


def without_branches(forks: np.ndarray) -> Trees:
    """No trees, for a chest that brings its own in its tissue; forks (3, n) mm are points in its vessels."""
    line, none = np.zeros((3, 0), np.float32), np.zeros(0)
    cloud = Cloud(line, none, none.astype(int), line, none)
    return Trees(cloud, cloud, cloud, forks)


def draw(cloud: Cloud, grid, move=None, widen: np.ndarray | None = None) -> np.ndarray:
    """Share of each voxel of `grid` that the cloud fills, float32 (D, H, W), below 1.

    `move` maps centre-line points (3, n) mm to where they are in this visit; `widen` (n,) scales cross-sections.
    """
    centre = cloud.centre if move is None else move(cloud.centre)
    if widen is None:
        points, volume = centre[:, cloud.owner] + cloud.offset, cloud.volume
    else:
        factor = widen[cloud.owner]
        points, volume = centre[:, cloud.owner] + cloud.offset * factor, cloud.volume * factor**2
    return np.minimum(splat(points, volume / (grid.voxel_ml() * 1000), grid), 1)


def _lobes(anatomy: Anatomy) -> list[np.ndarray]:
    """Flat indices of the voxels that vessels may end in, per lobe: right upper, middle, lower, left upper, lower."""
    inside = np.flatnonzero((anatomy.lung > SITE_DEPTH) & (anatomy.fissure > 1.5))
    right, upper, above = (
        test.reshape(-1)[inside] for test in (anatomy.midline < 0, anatomy.oblique > 0, anatomy.horizontal > 0)
    )
    lobes = (right & upper & above, right & upper & ~above, right & ~upper, ~right & upper, ~right & ~upper)
    return [inside[lobe] for lobe in lobes]


def _roots(anatomy: Anatomy, kind: str) -> list[np.ndarray]:
    """Where the five lobes' trees begin, (3,) mm each: arteries at the hila, veins below and behind them."""
    right, left = (hilum + (np.array([-6.0, 4, 0]) if kind == "vein" else 0.0) for hilum in anatomy.hila)
    return [right, right, right, left, left]


def _grow_lobe(anatomy: Anatomy, inside: np.ndarray, root: np.ndarray, rng: np.random.Generator) -> Branches:
    sites = _sites(anatomy, inside, rng)
    group = np.zeros(sites.shape[1], int)
    start, heading = root[:, None].astype(float), np.zeros((3, 1))
    parts = []
    while sites.shape[1]:
        count = np.bincount(group)
        centre = np.stack([np.bincount(group, s) for s in sites]) / count
        single = count == 1
        share = np.where(single, 1.0, rng.uniform(0.3, 0.5, len(count)))
        end = start + share * (centre - start)
        end += np.where(single, 0, 0.08) * np.linalg.norm(end - start, axis=0) * rng.standard_normal(end.shape)
        parts.append((start, end, heading, count))
        heading = (end - start) / np.maximum(np.linalg.norm(end - start, axis=0), 1e-6)
        going_on = ~single[group]
        sites, group = sites[:, going_on], group[going_on]
        group = 2 * group + _upper_half(sites, group)
        kept, group = np.unique(group, return_inverse=True)
        start, heading = end[:, kept // 2], heading[:, kept // 2]
    start, end, heading, count = (np.concatenate(p, axis=-1) for p in zip(*parts, strict=True))
    radius = TERMINAL_RADIUS * count**MURRAY * rng.uniform(0.9, 1.1, len(count))
    return Branches(start, end, heading, radius, count)


def _sites(anatomy: Anatomy, inside: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scattered points (3, n) mm in the voxels `inside`, one per SITE_VOLUME."""
    n = max(int(len(inside) * anatomy.grid.voxel_ml() / SITE_VOLUME), 2)
    chosen = rng.choice(inside, n, replace=False)
    points = anatomy.grid.points_at(np.unravel_index(chosen, anatomy.grid.shape))
    return points + rng.uniform(-1, 1, points.shape)


def _upper_half(sites: np.ndarray, group: np.ndarray) -> np.ndarray:
    """1 for sites in the upper half of their group along the group's longest direction, 0 for the others."""
    n = group.max(initial=-1) + 1
    count = np.maximum(np.bincount(group, minlength=n), 1)
    centred = sites - (np.stack([np.bincount(group, s, minlength=n) for s in sites]) / count)[:, group]
    moments = np.empty((n, 3, 3))
    for i in range(3):
        for j in range(3):
            moments[:, i, j] = np.bincount(group, centred[i] * centred[j], minlength=n) / count
    longest = np.linalg.eigh(moments)[1][:, :, 2]
    along = np.einsum("in,ni->n", centred, longest[group])
    order = np.lexsort((along, group))
    rank = np.empty(len(group), int)
    rank[order] = np.arange(len(group)) - np.concatenate([[0], np.cumsum(count)[:-1]])[group[order]]
    return (rank >= (count[group] + 1) // 2).astype(int)


def _merge(trees: list[Branches]) -> Branches:
    return Branches(*(np.concatenate([getattr(t, f) for t in trees], -1) for f in Branches.__dataclass_fields__))


def _beside(arteries: Branches, rng: np.random.Generator) -> Branches:
    """Airways run beside the arteries, about as wide; the smallest show only once disease widens them."""
    kept = arteries.sites >= 3
    radius = 0.85 * arteries.radius[kept]
    aside = np.array([0.3, -0.9, 0.3])[:, None] * (arteries.radius[kept] + radius + 0.7)
    return Branches(
        arteries.start[:, kept] + aside,
        arteries.end[:, kept] + aside,
        arteries.heading[:, kept],
        radius,
        arteries.sites[kept],
    )


def _centre_line(tree: Branches, step: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (3, n) about `step` mm apart on curved branches, the branch of each, and the mm each stands for."""
    along = tree.end - tree.start
    length = np.linalg.norm(along, axis=0)
    pieces = np.maximum(np.ceil(length / np.maximum(step, 0.6 * tree.radius)), 1).astype(int)
    branch = np.repeat(np.arange(len(length)), pieces)
    t = (np.arange(len(branch)) - np.repeat(np.cumsum(pieces) - pieces, pieces) + 0.5) / pieces[branch]
    bend = 0.35 * length * tree.heading  # leave in the parent's direction, arrive in one's own
    bend = np.where(tree.sites > 1, bend - 0.35 * along * (np.abs(tree.heading).sum(0) > 0), 0)
    points = tree.start[:, branch] + t * along[:, branch] + (t * (1 - t) ** 2)[None] * bend[:, branch]
    return points, branch, length[branch] / pieces[branch]


def _sections(tree: Branches, per_section: np.ndarray, inner: np.ndarray, outer: np.ndarray, rng) -> Cloud:
    """A cloud with `per_section` points (per branch) spread evenly between two radii in each cross-section."""
    centre, branch, step = _centre_line(tree, 1.0)
    count = per_section[branch]
    owner = np.repeat(np.arange(len(branch)), count)
    k = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    low, high = inner[branch][owner] ** 2, outer[branch][owner] ** 2
    radius = np.sqrt(low + (high - low) * (k + 0.5) / count[owner])
    angle = 2.39996 * k + rng.uniform(0, 2 * np.pi, len(branch))[owner]
    first, second = _frames(tree)
    own = branch[owner]
    offset = radius * (np.cos(angle) * first[:, own] + np.sin(angle) * second[:, own])
    volume = np.pi * (high - low) * step[owner] / count[owner]
    return Cloud(centre.astype(np.float32), tree.radius[branch], owner, offset.astype(np.float32), volume)


def _solid(tree: Branches, radius: np.ndarray, rng) -> Cloud:
    return _sections(tree, np.ceil(np.pi * radius**2 / 1.3).astype(int), np.zeros_like(radius), radius, rng)


def _ring(tree: Branches, radius: np.ndarray, thickness: np.ndarray, rng) -> Cloud:
    around = np.ceil(2 * np.pi * (radius + thickness / 2) / 1.2).astype(int)
    return _sections(tree, around, radius, radius + thickness, rng)


def _frames(tree: Branches) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors (3, n) across each branch."""
    along = tree.end - tree.start
    along = along / np.maximum(np.linalg.norm(along, axis=0), 1e-6)
    helper = np.where(np.abs(along[0]) < 0.9, np.array([[1.0], [0], [0]]), np.array([[0.0], [1], [0]]))
    first = np.cross(along, helper, axis=0)
    first /= np.linalg.norm(first, axis=0)
    return first, np.cross(along, first, axis=0)


def pick_landmarks(trees: Trees, anatomy: Anatomy, number: int, rng: np.random.Generator) -> np.ndarray:
    """Up to `number` forks (3, n) mm that lie at least 4 mm inside the lung, spread by farthest-point sampling."""
    forks = trees.forks[:, sample_at(anatomy.lung, anatomy.grid, trees.forks.astype(np.float32)) > 4]
    if forks.shape[1] <= number:
        return forks
    chosen = [int(rng.integers(forks.shape[1]))]
    nearest = np.full(forks.shape[1], np.inf)
    for _ in range(number - 1):
        nearest = np.minimum(nearest, ((forks - forks[:, chosen[-1:]]) ** 2).sum(0))
        chosen.append(int(nearest.argmax()))
    return forks[:, chosen]
