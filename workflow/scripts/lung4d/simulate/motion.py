"""Where each point of the baseline lies at a visit: breathing, posture, shrinkage, and sliding along the chest wall.

A displacement field maps a baseline point p to p + u(p) at the visit. There are two: of the lungs, and of the body
around them. They agree at the mediastinum and the diaphragm, and differ along the ribs, where the lung slides: there
the difference is tangential to the pleura. Fields are given on FIELD_GRID and are, by definition, trilinear between its
nodes; everything that samples them samples the same function, so the truth is exact up to the inversion (invert).
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from lung4d.simulate.anatomy import FIELD_OF_VIEW, Anatomy
from lung4d.simulate.grids import Grid, regrid, sample_all, smooth_noise

FIELD_GRID = Grid.centred([f + 12 for f in FIELD_OF_VIEW], (6.0, 6.0, 6.0))  # all voxels lie within it
STEEPEST = 0.55  # largest norm of the gradient of a displacement in the lung
SHRINKAGE = 0.75  # share of the lung volume lost per share of the lung that fell ill since baseline


@dataclass(frozen=True)
class Motion:
    """Displacements (3, d, h, w) mm on FIELD_GRID of the lungs and of the body; `density` is the lung's relative
    density from the depth of breath alone (1 at baseline)."""

    lung: np.ndarray
    body: np.ndarray
    density: float

    def move_lung(self, points: np.ndarray) -> np.ndarray:
        """Visit positions (3, n) mm of baseline lung points (3, n)."""
        return points + sample_all(self.lung, FIELD_GRID, points)


@dataclass(frozen=True)
class Frame:
    """The anatomy on FIELD_GRID, as far as motion needs it."""

    inside: np.ndarray  # in the lung
    around: np.ndarray  # in the lung or near it
    normal: np.ndarray  # (3, ...), into the lung
    near_pleura: np.ndarray  # 1 at the pleura, 0 deep inside
    free: np.ndarray  # 0 in the chest wall, 1 well inside the cage
    height: np.ndarray
    hilum: np.ndarray  # (3, ...), the nearest hilum


def frame_of(anatomy: Anatomy) -> Frame:
    lung, wall, height = (regrid(f, anatomy.grid, FIELD_GRID) for f in (anatomy.lung, anatomy.wall, anatomy.height))
    gradient = np.stack(np.gradient(lung, *FIELD_GRID.spacing))
    normal = gradient / np.maximum(np.linalg.norm(gradient, axis=0), 1e-3)
    left = regrid(anatomy.midline, anatomy.grid, FIELD_GRID)
    share = np.clip(0.5 + left / 60, 0, 1)
    right_hilum, left_hilum = (np.reshape(h, (3, 1, 1, 1)) for h in anatomy.hila)
    depth = np.clip((wall + 2) / 32, 0, 1)
    return Frame(
        inside=lung > 0,
        around=lung > -10,
        normal=normal,
        near_pleura=np.exp(-((np.maximum(lung, 0) / 18) ** 2)),
        free=depth * depth * (3 - 2 * depth),
        height=height,
        hilum=right_hilum + share * (left_hilum - right_hilum),
    )


def no_motion() -> Motion:
    still = np.zeros((3, *FIELD_GRID.shape), np.float32)
    return Motion(still, still, 1.0)


def draw_motion(frame: Frame, lost_extent: float, largest: float, rng: np.random.Generator) -> Motion:
    """Motion of one visit: breathing and posture of at most `largest` mm in the lung, then the shrinkage that
    `lost_extent` (share of the lung fallen ill since baseline) brings, on top."""
    points = FIELD_GRID.points()
    posture = _posture(points, rng)
    lung, body = _along_the_wall(frame, posture, _breath(frame, points, rng))
    reach = np.linalg.norm(lung, axis=0)[frame.inside].max()
    wanted = largest * rng.uniform(0.5, 0.97)
    lung, body = (f * np.float32(wanted / max(reach, 1e-6)) for f in (lung, body))
    density = 1 / max(_volume_ratio(lung, frame.inside), 0.5)
    shrink = _shrink(frame, points, 1 - (1 - min(SHRINKAGE * lost_extent, 0.6)) ** (1 / 3))
    return Motion(_quantise(_calm(lung + shrink, frame.around)), _quantise(body + shrink), float(density))


def breathe_and_shrink(frame: Frame, breath: float, full: float, largest: float, rng: np.random.Generator) -> Motion:
    """Motion of one visit by volumes: the lung's is to be `breath` times that at baseline by the depth of breath alone
    (less where that would move it by more than `largest` mm), and `full` times by shrinkage, on top."""
    points = FIELD_GRID.points()
    posture = _posture(points, rng)
    lung, body = _along_the_wall(frame, np.zeros_like(posture), _breath(frame, points, rng, depth=10.0))
    share, wider = np.float32(0), _volume_ratio(lung, frame.inside) - 1
    for _ in range(4):  # the volume is nearly linear in the share
        share += np.float32((breath - _jacobian_mean(posture + share * lung, frame.inside)) / wider)
    reach = np.linalg.norm(posture + share * lung, axis=0)[frame.inside].max()
    share *= np.float32(min(1.0, largest / reach))
    lung, body = _calm(posture + share * lung, frame.around), posture + share * body
    density = 1 / _jacobian_mean(lung, frame.inside)
    shrink = _shrink(frame, points, _strength(frame, points, full))
    return Motion(_quantise(_calm(lung + shrink, frame.around)), _quantise(body + shrink), float(density))


def _along_the_wall(frame: Frame, posture: np.ndarray, breath: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Displacements of lung and body: where the wall holds the body back, the lung goes on along the wall."""
    body = posture + frame.free * breath
    ahead = (1 - frame.free) * breath
    across = (ahead * frame.normal).sum(0) * frame.near_pleura
    return body + ahead - _smooth(across * frame.normal, 1.0), body


def _posture(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A small shift and turn of the whole body."""
    shift = rng.normal(0, [2.0, 1.5, 2.0])
    turn = np.deg2rad(rng.normal(0, [1.0, 0.6, 0.8]))  # about z, y, x
    z, y, x = points
    turned = np.stack([turn[2] * y - turn[1] * x, turn[0] * x - turn[2] * z, turn[1] * z - turn[0] * y])
    return turned + shift.reshape(3, 1, 1, 1)


def _breath(frame: Frame, points: np.ndarray, rng: np.random.Generator, depth: float | None = None) -> np.ndarray:
    """Another depth of breath (mm, drawn unless given): the diaphragm goes furthest, the apex stays; plus local
    irregularity."""
    depth = rng.choice([-1, 1]) * rng.uniform(4, 11) if depth is None else depth
    low = np.clip(1 - frame.height, 0, 1) ** 1.3
    along = depth * low
    forward = 0.15 * along * np.clip((60 - points[1]) / 120, 0, 1)
    irregular = np.stack([smooth_noise(rng, FIELD_GRID, 80.0) for _ in range(3)])
    return np.stack([along, forward, np.zeros_like(along)]) + irregular * np.reshape([1.2, 0.9, 0.9], (3, 1, 1, 1))


def _shrink(frame: Frame, points: np.ndarray, linear: float) -> np.ndarray:
    """Volume loss towards the hila, most at the base, where lengths shrink by 1.45 times the share `linear`; the chest
    wall follows, ever less outwards."""
    strength = linear * (0.55 + 0.9 * np.clip(1 - frame.height, 0, 1))
    away = points - frame.hilum
    follow = np.clip(1.15 - np.linalg.norm(away / np.reshape([190.0, 150, 150], (3, 1, 1, 1)), axis=0), 0.25, 1)
    return -strength * follow * away


def _strength(frame: Frame, points: np.ndarray, full: float) -> float:
    """The share of lengths by which `_shrink` makes the lung's volume `full` times what it was."""
    share = 1 - full ** (1 / 3)
    for _ in range(6):
        lost = 1 - _jacobian_mean(_shrink(frame, points, share), frame.inside)
        share *= (1 - full) / lost if lost > 1e-9 else 1.0
    return share


def _jacobian_mean(field: np.ndarray, inside: np.ndarray) -> float:
    """Lung volume after over before, by the determinant of the field's Jacobian."""
    gradients = np.stack([np.stack(np.gradient(f, *FIELD_GRID.spacing))[:, inside] for f in field])
    return float(np.linalg.det(np.moveaxis(gradients, -1, 0) + np.eye(3)).mean())


def _calm(field: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Smooth a field until it is steep nowhere in `where`: no folds, and a fixed-point inversion that converges."""
    for _ in range(8):
        gradient = sum(g**2 for f in field for g in np.gradient(f, *FIELD_GRID.spacing))
        if gradient[where].max() < STEEPEST**2:
            break
        field = _smooth(field, 0.8)
    return field


def _smooth(field: np.ndarray, sigma: float) -> np.ndarray:
    return np.stack([ndimage.gaussian_filter(f, sigma, mode="nearest") for f in field])


def _volume_ratio(field: np.ndarray, inside: np.ndarray) -> float:
    """Lung volume after over before: the mean of 1 + divergence."""
    divergence = sum(np.gradient(field[a], FIELD_GRID.spacing[a], axis=a) for a in range(3))
    return float(1 + divergence[inside].mean())


def _quantise(field: np.ndarray) -> np.ndarray:
    """Steps of 1/32 mm, so that the written truth is what the images were made with, and compresses."""
    return (np.rint(field * 32) / 32).astype(np.float32)


def led_back(field: np.ndarray, steps: int) -> np.ndarray:
    """Baseline points (3, d, h, w) mm that `field` brings to the nodes of FIELD_GRID, by fixed-point iteration
    (Chen et al. 2008): x + v(x) + u(x + v(x)) = x.

    u contracts (its gradient is below STEEPEST): an error shrinks at least by that factor with each step.
    """
    nodes = FIELD_GRID.points()
    return refine_inverse(field, nodes, nodes - field, steps) if field.any() else nodes


def refine_inverse(field: np.ndarray, visit: np.ndarray, baseline: np.ndarray, steps: int) -> np.ndarray:
    """Take `steps` fixed-point steps from `baseline` (3, ...) mm towards the points that `field` brings to `visit`.

    Needed at the voxels themselves too: between the nodes of FIELD_GRID the inverse is not linear.
    """
    for _ in range(steps if field.any() else 0):
        baseline = visit - sample_all(field, FIELD_GRID, baseline)
    return baseline
