"""Lungs of which a part falls ill between two scans: real chests, a disease of our own, dense truth.

A front starts at foci under the pleura, low and at the back rather than elsewhere, and has taken a share of the lung at
the first scan and a larger one at the second (a front), or a new region all at once (a jump). Tissue that falls ill
becomes denser, with a texture and strands that belong to it, and shrinks by a known share of its volume: the
displacement is the gradient of a potential whose divergence is that share, so the tissue around is drawn along. On
top the lung breathes as in motion.py, less deep, since both scans are to be taken at full breath. Healthy tissue keeps
its mass; vessels and walls of airways stay as they are.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import fft, ndimage

from lung4d.register import fields
from motion import Moved, breathing, keep_mass, on_isotropic_grid, sample, scanned

BREATH = 0.5  # of the motion in motion.py: the diaphragm rises by 10 to 14 mm
EDGE = 0.03  # share of the lung, over which a front goes from healthy to ill
ILL_TISSUE, GRAIN, STRAND = -520.0, 110.0, 200.0  # HU: mean, sd of its texture, lines in it
OPAQUE = (0.35, 0.95)  # share of what was there that ill tissue hides, where it is mild and where it is severe
ILL, WELL = 0.5, 0.05  # rise of the share of disease in a voxel, above and below which it fell ill or did not


@dataclass(frozen=True)
class Course:
    """Shares of the lung that are ill at the two scans; a jump takes a region of its own; log of the volume that
    tissue keeps which falls ill."""

    before: float
    after: float
    jump: bool
    shrinkage: float


@dataclass(frozen=True)
class IllPair:
    """fixed: HU (D, H, W) of the first scan; moved: the second; fell_ill, well: bool (D, H, W) in the first lung."""

    fixed: np.ndarray
    moved: Moved
    fell_ill: np.ndarray
    well: np.ndarray


def fall_ill(scan: sitk.Image, lung: np.ndarray, spacing: float, course: Course, seed: int) -> IllPair:
    """`scan` at its own resolution (HU); lung: bool (D, H, W) on an isotropic grid of `spacing` mm whose first voxel is
    the scan's; everything else is drawn from `seed`."""
    rng = np.random.default_rng(seed)
    front, other = (_arrival(lung, spacing, rng) for _ in range(2))
    look = _Look(*(_noise(rng, lung, width / spacing) for width in (2.5, 5.0, 20.0)))
    before = _taken(front, course.before)
    new = _taken(other, course.after - course.before) if course.jump else _taken(front, course.after)
    after = np.maximum(before, new)
    shrink = _shrinking(course.shrinkage * ndimage.gaussian_filter((after - before) * lung, 3.0 / spacing))
    breath = BREATH * breathing(lung, spacing, rng)
    inside = fields.compose(fields.invert(shrink), breath)  # second scan to first
    illness = fields.warp(after, inside)
    squeezed = fields.jacobian(inside) ** (1 - illness) * fields.jacobian(breath) ** illness
    tissue = look.of(sample(scan, inside, spacing), illness, inside)
    still = np.zeros_like(inside)
    first = look.of(sitk.GetArrayFromImage(on_isotropic_grid(scan, lung.shape, spacing)), before * lung, still)
    moved = scanned(scan, lung, spacing, inside, keep_mass(tissue, squeezed), rng)
    rise = after - before
    return IllPair(first, moved, lung & (rise > ILL), lung & (rise < WELL))


@dataclass(frozen=True)
class _Look:
    """texture, strands, severity: sd 1, fixed to the first scan's tissue; strands run where theirs is near 0."""

    texture: np.ndarray
    strands: np.ndarray
    severity: np.ndarray

    def of(self, healthy: np.ndarray, illness: np.ndarray, flow: np.ndarray) -> np.ndarray:
        """HU at voxels that `flow` leads to the first scan, from their HU if healthy and their share of disease."""
        texture, strands, severity = (fields.warp(one, flow) for one in (self.texture, self.strands, self.severity))
        ill = ILL_TISSUE + GRAIN * texture + STRAND * np.exp(-((strands / 0.25) ** 2))
        hidden = OPAQUE[0] + (OPAQUE[1] - OPAQUE[0]) * np.clip(0.5 + severity / 2, 0, 1)
        return healthy + illness * hidden * (ill - healthy)


def _arrival(lung: np.ndarray, spacing: float, rng: np.random.Generator) -> np.ndarray:
    """0 to 1 by the share of the lung that the front has taken before it reaches a voxel."""
    inside = np.argwhere(lung)
    low, high = inside.min(0), inside.max(0)
    height, back = ((inside[:, a] - low[a]) / (high[a] - low[a]) for a in (0, 1))
    depth = (ndimage.distance_transform_edt(lung) * spacing)[lung]
    chance = np.exp(-depth / 8 - 2 * height + back)
    foci = inside[rng.choice(len(inside), size=rng.integers(3, 9), replace=False, p=chance / chance.sum())]
    seeds = np.ones(lung.shape, bool)
    seeds[tuple(foci.T)] = False
    distance = ndimage.distance_transform_edt(seeds) * spacing + 8 * _noise(rng, lung, 10.0 / spacing)
    levels = np.quantile(distance[lung], np.linspace(0, 1, 401))
    return np.interp(distance, levels, np.linspace(0, 1, 401)).astype(np.float32)


def _taken(arrival: np.ndarray, share: float) -> np.ndarray:
    return np.clip((share - arrival) / EDGE + 0.5, 0, 1).astype(np.float32) if share > 0 else np.zeros_like(arrival)


def _shrinking(divergence: np.ndarray) -> np.ndarray:
    """The field (D, H, W, 3), voxels, without curl whose divergence this is, less its mean over a box twice as wide."""
    shape = [fft.next_fast_len(2 * n) for n in divergence.shape]
    waves = np.meshgrid(*(2 * np.pi * np.fft.fftfreq(n) for n in shape[:2]), 2 * np.pi * np.fft.rfftfreq(shape[2]),
                        indexing="ij", sparse=True)  # fmt: skip
    length = sum(wave**2 for wave in waves)
    length[0, 0, 0] = 1
    potential = -fft.rfftn(divergence, shape) / length
    box = tuple(slice(n) for n in divergence.shape)
    parts = [fft.irfftn(1j * wave * potential, shape)[box] for wave in waves]
    return np.ascontiguousarray(np.stack(parts, -1), dtype=np.float32)


def _noise(rng: np.random.Generator, lung: np.ndarray, width: float) -> np.ndarray:
    field = ndimage.gaussian_filter(rng.normal(size=lung.shape).astype(np.float32), width)
    return field / field[lung].std()
