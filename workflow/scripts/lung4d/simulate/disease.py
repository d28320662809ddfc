"""The lung's tissue: healthy parenchyma, and fibrosis as a pure function of place (at baseline) and extent.

Each point of the lung has a rank: the extent (diseased share of the lung, 0 to 1) at which it falls ill. Ranks are
lowest below the pleura at the base and the back, with patches, as in usual interstitial pneumonia. What a point looks
like depends on how far the extent has passed its rank (severity): ground glass, then reticulation, then honeycombing
below the pleura. So the diseased share of the lung equals the extent by construction, and nothing of it heals.

Beside it, in patients with such a course (`lung4d.simulate.courses`): ground glass in patches of healthy tissue, which
goes, and upper lobes that lose density.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from lung4d.simulate.anatomy import Anatomy
from lung4d.simulate.courses import Course
from lung4d.simulate.grids import Grid, sample_all, sample_at, smooth_noise

HEALTHY_MEDIAN = -852.0  # HU of parenchyma without visible vessels
GROUND_GLASS = 190.0  # HU above the healthy parenchyma
STRAND = -170.0  # HU of the lines of reticulation
CYST, CYST_WALL = -930.0, -90.0
CYST_SPACING = 7.0  # mm
MATURES_OVER = 0.22  # extent past a point's rank, at which it is fully developed
GLASS_EDGE = 0.03  # past the rank of ground glass that goes, at which it has its full density
THINNEST = -980.0  # HU below which no tissue is thinned


@dataclass(frozen=True)
class State:
    """How ill a lung is at a visit: extent of fibrosis, share in ground glass that goes (both 0 to 1 of the lung), and
    HU that the upper lobes have lost."""

    extent: float
    glass: float = 0.0
    thinning: float = 0.0


@dataclass(frozen=True)
class Tissue:
    """Fields on the anatomy's grid (D, H, W) float32, all fixed to the baseline, and the centres of cysts (n, 3)."""

    rank: np.ndarray
    healthy: np.ndarray  # HU
    texture: np.ndarray  # sd 1, some mm
    strands: np.ndarray  # sd 1; its zero level sets are the lines of reticulation
    cysts: np.ndarray
    honeycombs: float  # 0 to 1, how readily this patient forms cysts
    still: np.ndarray  # share that neither breathes nor falls ill: what a real chest has of vessels and airways
    grain: float = 20.0  # HU per sd of texture in healthy tissue
    glass_rank: np.ndarray | None = None  # as `rank`, of ground glass that goes; None where there is none
    upper: np.ndarray | None = None  # 0 to 2, where density is lost


@dataclass(frozen=True)
class Site:
    """What the lung's voxels of one grid sample from baseline: all (n,), with their baseline points (3, n) mm."""

    points: np.ndarray
    rank: np.ndarray
    healthy: np.ndarray
    texture: np.ndarray
    strands: np.ndarray
    fissure: np.ndarray
    pleura: np.ndarray
    still: np.ndarray
    glass_rank: np.ndarray | None
    upper: np.ndarray | None


def draw_tissue(anatomy: Anatomy, smoking: str, rng: np.random.Generator) -> Tissue:
    grid = anatomy.grid
    patches = smooth_noise(rng, grid, 45.0), smooth_noise(rng, grid, 18.0)
    front = -(grid.axes()[1] - 10) / 80
    late = anatomy.pleura / 20 + 1.3 * anatomy.height + 0.3 * front + 0.35 * patches[0] + 0.4 * patches[1]
    late = late + rng.normal(0, 0.15) * np.sign(anatomy.midline)
    inside = anatomy.lung > 0
    levels = np.quantile(late[inside][::7], np.linspace(0, 1, 401))
    rank = np.interp(late, levels, np.linspace(0, 1, 401)).astype(np.float32)
    healthy = HEALTHY_MEDIAN + rng.normal(0, 12) + (5.0 if smoking == "never" else -5.0)
    healthy = healthy + 0.42 * grid.axes()[1] + 18 * smooth_noise(rng, grid, 35.0)
    if smoking != "never":
        burden = rng.uniform(0, 1.2)
        upper = np.clip(anatomy.height - 0.3, 0, 1) * np.clip(smooth_noise(rng, grid, 25.0) - 1.2 + burden, 0, 2)
        healthy = healthy - 60 * upper
    return Tissue(
        rank=rank,
        healthy=np.broadcast_to(healthy, grid.shape).astype(np.float32),
        texture=smooth_noise(rng, grid, 5.0),
        strands=smooth_noise(rng, grid, 7.0),
        cysts=_cysts(anatomy, rank, rng),
        honeycombs=float(rng.uniform(0.4, 1.0)),
        still=np.broadcast_to(np.float32(0), grid.shape),
    )


def with_course(tissue: Tissue, anatomy: Anatomy, course: Course, rng: np.random.Generator) -> Tissue:
    """The tissue with what the patient's course needs besides fibrosis."""
    grid, inside = anatomy.grid, anatomy.lung > 0
    if course.glass:
        patches = smooth_noise(rng, grid, 30.0) + 0.5 * smooth_noise(rng, grid, 12.0)
        levels = np.quantile(patches[inside][::7], np.linspace(0, 1, 401))
        rank = np.interp(patches, levels, np.linspace(0, 1, 401))
        tissue = replace(tissue, glass_rank=rank.astype(np.float32))
    if course.thinning:
        upper = np.clip((anatomy.height - 0.45) / 0.3, 0, 1) * np.clip(1 + 0.5 * smooth_noise(rng, grid, 25.0), 0, 2)
        tissue = replace(tissue, upper=np.broadcast_to(upper, grid.shape).astype(np.float32))
    return tissue


def visit_site(anatomy: Anatomy, tissue: Tissue, points: np.ndarray) -> Site:
    """Sample everything that the tissue at baseline points (3, n) mm needs."""
    fields = (
        tissue.rank,
        tissue.healthy,
        tissue.texture,
        tissue.strands,
        anatomy.fissure,
        anatomy.pleura,
        tissue.still,
    )
    more = (tissue.glass_rank, tissue.upper)
    sampled = [None if field is None else sample_at(field, anatomy.grid, points) for field in more]
    return Site(points, *sample_all(fields, anatomy.grid, points), *sampled)


def tissue_hu(site: Site, tissue: Tissue, state: State, density: float = 1.0) -> np.ndarray:
    """HU (n,) of the lung's tissue in `state`; `density` > 1 is a shallower breath (air squeezed out)."""
    hu = (site.healthy + 1000) * density - 1000 + tissue.grain * site.texture
    hu += 210 * np.exp(-((site.fissure / 0.9) ** 2))
    if site.upper is not None:
        hu -= np.minimum(state.thinning * site.upper, np.maximum(hu - THINNEST, 0))
    if site.glass_rank is not None:
        share = _rise(state.glass - site.glass_rank, 0, GLASS_EDGE) * (site.rank >= state.extent)
        hu += share * (GROUND_GLASS + 35 * site.texture)
    if state.extent > 0:
        _fall_ill(hu, site, tissue, state.extent)
    return hu + site.still * (site.healthy - hu)


def _fall_ill(hu: np.ndarray, site: Site, tissue: Tissue, extent: float) -> None:
    """Turn HU (n,) of healthy tissue into what it is at `extent`."""
    severity = np.clip((extent - site.rank) / MATURES_OVER, 0, 1.5)
    ill = np.flatnonzero(severity > 0)
    level, pleura = severity[ill], site.pleura[ill]
    glass = _rise(level, 0, 0.3) * (1 - 0.35 * _rise(level, 0.6, 1.0))
    lines = 0.85 * _rise(level, 0.2, 0.8)
    comb = _rise(level, 0.7 + 0.5 * (1 - tissue.honeycombs), 1.35) * _rise(-pleura, -18, -7)
    now = hu[ill] + glass * (GROUND_GLASS + 35 * site.texture[ill])
    on_line = lines * np.clip(1.6 - np.abs(site.strands[ill]) / 0.22, 0, 1)
    now += on_line * (STRAND - now)
    cystic = np.flatnonzero(comb > 0.02)
    if len(cystic):
        now[cystic] += comb[cystic] * (_honeycomb(site.points[:, ill[cystic]], tissue.cysts) - now[cystic])
    hu[ill] = now


def traction(rank: np.ndarray, radius: np.ndarray, extent: float) -> np.ndarray:
    """How much wider airways are than without disease (traction bronchiectasis): by the rank of where they run and
    their healthy radius, mm; the large ones hardly change."""
    ill = np.clip((extent + 0.05 - rank) / 0.3, 0, 1) * (extent > 0)
    return 1 + 1.4 * ill * np.exp(-((radius / 2.2) ** 2))


def _rise(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """Smooth step from 0 at `low` to 1 at `high`."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _cysts(anatomy: Anatomy, rank: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Centres (n, 3) mm of cysts-to-be: a jittered lattice in the parts near the pleura that can fall ill."""
    grid = anatomy.grid
    lattice = Grid.centred([n * s for n, s in zip(grid.shape, grid.spacing, strict=True)], (CYST_SPACING,) * 3)
    points = lattice.points().reshape(3, -1)
    points = points + rng.uniform(-0.5, 0.5, points.shape).astype(np.float32) * CYST_SPACING
    near = (sample_at(anatomy.lung, grid, points) > -6) & (sample_at(anatomy.pleura, grid, points) < 30)
    return points[:, near & (sample_at(rank, grid, points) < 0.9)].T


def _honeycomb(points: np.ndarray, cysts: np.ndarray) -> np.ndarray:
    """HU (n,) of cysts with shared walls at `points` (3, n): the Voronoi cells of the cysts' centres."""
    near, far = cKDTree(cysts).query(points.T, k=2)[0].T
    wall = np.clip(1.4 - (far - near) / 1.6, 0, 1)
    return (CYST + wall * (CYST_WALL - CYST)).astype(np.float32)
