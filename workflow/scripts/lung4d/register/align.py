"""Pre-alignment: the affine map between two scans that lays their lung masks over each other.

Two visits may lie decimetres apart in scanner coordinates, and one may hold less of the lung than the other. Several
starts (as they lie, centres, centres and extents, apices, bases) are each refined on the masks' truncated distance
maps by Levenberg-Marquardt; the best wins. Points that leave the follow-up's field of view do not count.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from lung4d.io.status import UnusableScan
from lung4d.register.surface import signed_distance

GRID = 5.0  # mm, of the distance maps
TRUNCATION = 25.0  # mm, distances beyond which all is equal
POINTS = 6000
LEAST_VOLUME = 50.0  # ml, of a mask that can be aligned
STRETCH = (0.65, 1.5)  # smallest and largest length change that is believed
LEAST_SEEN = 0.3  # share of the baseline's lung that must lie in the follow-up's field of view


@dataclass(frozen=True)
class Affine:
    """Baseline point p (LPS mm) to `matrix` @ p + `offset` in the follow-up's world."""

    matrix: np.ndarray
    offset: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return points @ self.matrix.T + self.offset

    def inverse(self) -> "Affine":
        matrix = np.linalg.inv(self.matrix)
        return Affine(matrix, -matrix @ self.offset)

    def transform(self) -> sitk.AffineTransform:
        out = sitk.AffineTransform(3)
        out.SetMatrix(self.matrix.ravel().tolist())
        out.SetTranslation(self.offset.tolist())
        return out


@dataclass(frozen=True)
class _Map:
    """A mask's signed distance (mm, negative inside, truncated) and its gradient on a coarse grid, and its world."""

    channels: np.ndarray  # (4, D, H, W): distance and its derivatives along the grid's x, y, z
    origin: np.ndarray
    spacing: np.ndarray
    direction: np.ndarray
    points: np.ndarray  # (n, 3) world points of the lung

    def sample(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Distance (n,), its world gradient (n, 3), and whether the point lies in the field of view (n,)."""
        index = ((points - self.origin) @ self.direction / self.spacing).T[::-1]
        shape = np.array(self.channels.shape[1:])[:, None]
        seen = ((index > -0.5) & (index < shape - 0.5)).all(0)
        values = [ndimage.map_coordinates(channel, index, order=1, mode="nearest") for channel in self.channels]
        return values[0], np.stack(values[1:], axis=1) @ self.direction.T, seen


def align_masks(baseline: sitk.Image, followup: sitk.Image) -> Affine:
    """The affine map, baseline to follow-up, that best lays the lung masks (non-zero = lung) over each other.

    Raises UnusableScan if a mask is empty or if less than a third of the baseline's lung is in the follow-up's field
    of view.
    """
    fixed, moving = _distance_map(baseline), _distance_map(followup)
    near = _points_near(fixed)
    target = fixed.sample(near)[0]
    best, least = None, np.inf
    for start in _starts(fixed, moving):
        candidate, error = _refine(start, near, target, moving)
        if error < least:
            best, least = candidate, error
    if best is None:
        raise UnusableScan("the lung masks of this scan and of the baseline cannot be laid over each other")
    return best


def _distance_map(mask: sitk.Image) -> _Map:
    volume = np.count_nonzero(sitk.GetArrayViewFromImage(mask)) * np.prod(mask.GetSpacing()) / 1000
    if volume < LEAST_VOLUME:
        raise UnusableScan(f"a lung mask holds {volume:.1f} ml; at least {LEAST_VOLUME:g} ml are needed to align it")
    factors = [max(1, int(GRID / step)) for step in mask.GetSpacing()]
    coarse = sitk.BinShrink(sitk.Cast(mask > 0, sitk.sitkFloat32), factors)
    share = sitk.GetArrayFromImage(coarse)
    if min(share.shape) < 2 or not (share >= 0.5).any() or (share >= 0.5).all():
        raise UnusableScan("its lung mask fills the whole scan, or is nowhere thicker than a voxel")
    origin, spacing = np.array(coarse.GetOrigin()), np.array(coarse.GetSpacing())
    direction = np.array(coarse.GetDirection()).reshape(3, 3)
    step = spacing[::-1]
    distance = signed_distance(share, tuple(step))
    distance = np.clip(distance, -TRUNCATION, TRUNCATION)
    slopes = np.gradient(distance, *step)
    points = np.argwhere(share >= 0.5)[:, ::-1] * spacing @ direction.T + origin
    return _Map(np.stack([distance, *slopes[::-1]]), origin, spacing, direction, points)


def _points_near(lungs: _Map) -> np.ndarray:
    """World points in and around the lung, evenly thinned to at most POINTS."""
    index = np.argwhere(lungs.channels[0] < 0.5 * TRUNCATION)
    index = index[:: max(1, -(-len(index) // POINTS))]
    return index[:, ::-1] * lungs.spacing @ lungs.direction.T + lungs.origin


def _starts(fixed: _Map, moving: _Map) -> list[Affine]:
    a, b = fixed.points, moving.points
    same = np.eye(3)
    stretch = np.diag(np.clip(b.std(0) / np.maximum(a.std(0), 1.0), 0.8, 1.25))
    centred = b.mean(0) - a.mean(0)
    apex, base = centred.copy(), centred.copy()
    apex[2], base[2] = b[:, 2].max() - a[:, 2].max(), b[:, 2].min() - a[:, 2].min()
    starts = [Affine(same, shift) for shift in (np.zeros(3), centred, apex, base)]
    return [*starts, Affine(stretch, b.mean(0) - stretch @ a.mean(0))]


def _refine(start: Affine, points: np.ndarray, target: np.ndarray, moving: _Map) -> tuple[Affine, float]:
    """Levenberg-Marquardt on the difference of the distance maps; the map and its root mean square error, mm."""
    centre = points.mean(0)
    basis = np.concatenate([np.ones((len(points), 1)), (points - centre) / 100.0], axis=1)
    parameters = np.concatenate([(start(centre[None]))[0][None], 100.0 * start.matrix.T])  # (4, 3)
    slope: Any  # as `normal`, there once a step was taken
    damping, error, normal, slope = 1e-2, np.inf, None, None
    proposal = parameters
    for _ in range(40):
        distance, gradient, seen = moving.sample(basis @ proposal)
        inside = target < 0
        believable = _stretch_ok(proposal) and seen[inside].mean() > LEAST_SEEN
        residual = (distance - target)[seen]
        new = float(np.sqrt((residual**2).mean())) if believable else np.inf
        if new < error:
            gain, error, parameters, damping = error - new, new, proposal, max(damping / 4, 1e-6)
            rows = (basis[seen][:, :, None] * gradient[seen][:, None, :]).reshape(len(residual), 12)
            normal, slope = rows.T @ rows, rows.T @ residual
            if gain < 1e-3:
                break
        elif normal is None:
            break
        else:
            damping *= 6
            if damping > 1e4:
                break
        damped = normal + damping * np.diag(np.diag(normal)) + 1e-6 * np.trace(normal) * np.eye(12)
        proposal = parameters - np.linalg.solve(damped, slope).reshape(4, 3)
    matrix = parameters[1:].T / 100.0
    return Affine(matrix, parameters[0] - matrix @ centre), error


def _stretch_ok(parameters: np.ndarray) -> bool:
    lengths = np.linalg.svd(parameters[1:] / 100.0, compute_uv=False)
    return bool(STRETCH[0] < lengths.min() and lengths.max() < STRETCH[1] and np.linalg.det(parameters[1:]) > 0)
