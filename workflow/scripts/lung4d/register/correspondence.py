"""One level of the coarse-to-fine search: keypoints, costs, tree, symmetric marginals, displacements."""

import logging
from dataclasses import dataclass

import numpy as np

from lung4d.register.costs import displacement_costs
from lung4d.register.tree import min_marginals, neighbour_graph, soft_argmin, spanning_tree

logger = logging.getLogger("lung4d")

COST_SCALE = 100.0  # the dissimilarity counts in percent of differing bits


@dataclass(frozen=True)
class Level:
    """Lengths in voxels of the working grid. alpha: per mm and mm squared of displacement difference, see
    `edge_weights`."""

    radius: int  # of the search, in steps
    step: int
    cube: int
    patch: int  # radius in steps
    keypoints: int  # at most
    alpha: float


@dataclass(frozen=True)
class Matches:
    """displacements: float32 (n, 3), voxels; asymmetry: median distance of the forward from the backward answer,
    voxels."""

    displacements: np.ndarray
    asymmetry: float


def match(
    points: np.ndarray, density: np.ndarray, fixed: np.ndarray, moving: np.ndarray, level: Level,
    beta: float, gamma: float, spacing: float, say: np.ndarray,
) -> Matches:  # fmt: skip
    """Displacements of the keypoints `points` (n, 3) that best match the codes `fixed` to `moving`.

    density: local mean HU; all volumes (D, H, W) on one grid of `spacing` mm; beta, gamma: see `registration.Settings`;
    say: float32 (n,), weight of what each keypoint's own patch tells (`lung4d.register.changed`). Forward and backward
    min-marginals are averaged (Heinrich 2015).
    """
    tree = spanning_tree(neighbour_graph(points, density[tuple(points.T)], beta))
    weights = edge_weights(tree.length, level.alpha, level.step, spacing)
    forward = _marginals(fixed, moving, points, level, tree, weights, say)
    there = level.step * soft_argmin(forward, gamma)
    reached = np.clip(np.rint(points + there).astype(np.int64), 0, np.array(fixed.shape) - 1)
    backward = _marginals(moving, fixed, reached, level, tree, weights, say)
    back = level.step * soft_argmin(backward, gamma)
    asymmetry = float(np.median(np.linalg.norm(there + back, axis=1)))
    forward += backward[:, ::-1, ::-1, ::-1]
    displacements = level.step * soft_argmin(forward, gamma / 2)
    logger.info(
        "%d keypoints, tree of %d levels, median displacement %.2f mm, forward against backward %.2f mm",
        len(points),
        len(tree.starts) - 1,
        spacing * np.median(np.linalg.norm(displacements, axis=1)),
        spacing * asymmetry,
    )
    return Matches(displacements.astype(np.float32), asymmetry)


def edge_weights(length: np.ndarray, alpha: float, step: int, spacing: float) -> np.ndarray:
    """Weights of |d_i - d_j|^2 (steps) such that the energy is alpha * (difference in mm)^2 / (length in mm)."""
    millimetres = np.maximum(length, 0.1) * spacing
    return (alpha * (step * spacing) ** 2 / millimetres).astype(np.float32)


def _marginals(fixed, moving, points, level, tree, weights, say):
    costs = displacement_costs(fixed, moving, points, level.radius, level.step, level.patch)
    costs *= (COST_SCALE * say)[:, None, None, None]
    return min_marginals(costs, tree, weights)
