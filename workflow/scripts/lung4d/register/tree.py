"""A tree over the keypoints, and exact min-sum belief propagation on it.

The energy of displacements d_i in steps is sum_i cost_i(d_i) + sum_edges weight_ij |d_i - d_j|^2 (Heinrich 2015, eq.
1).
"""

from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from scipy.sparse import coo_matrix, csgraph, csr_matrix
from scipy.spatial import cKDTree

NEIGHBOURS = 16


@dataclass(frozen=True)
class Tree:
    """A rooted tree. `order` lists nodes level by level from the root, `starts` where each level begins in it.

    parent: int64 (n,), -1 at the root; length: float32 (n,) of the edge to the parent, voxels, 0 at the root.
    """

    order: np.ndarray
    starts: np.ndarray
    parent: np.ndarray
    length: np.ndarray


def neighbour_graph(points: np.ndarray, density: np.ndarray, beta: float) -> csr_matrix:
    """Symmetric graph of the nearest neighbours, connected; distance = voxels + |difference of density| / beta.

    points: (n, 3) voxels, n >= 2; density: (n,) local mean HU. Parts that are not connected (two lungs) are bridged
    where they are closest.
    """
    near = min(NEIGHBOURS + 1, len(points))
    gaps, neighbours = cKDTree(points).query(points, near)
    i, j, gap = np.repeat(np.arange(len(points)), near - 1), neighbours[:, 1:].ravel(), gaps[:, 1:].ravel()
    _, part = csgraph.connected_components(coo_matrix((gap + 1, (i, j)), shape=(len(points),) * 2), directed=False)
    for number in range(1, part.max() + 1):
        ours, others = np.flatnonzero(part == number), np.flatnonzero(part < number)
        gaps, nearest = cKDTree(points[others]).query(points[ours])
        closest = gaps.argmin()
        i, j = np.append(i, ours[closest]), np.append(j, others[nearest[closest]])
        gap = np.append(gap, gaps[closest])
    length = np.maximum(gap + np.abs(density[i] - density[j]) / beta, 0.1)
    graph = csr_matrix((length, (i, j)), shape=(len(points),) * 2)
    return graph.maximum(graph.T)


def spanning_tree(graph: csr_matrix) -> Tree:
    """Minimum spanning tree, rooted in the middle of its longest path, so that it has as few levels as can be.

    Raises ValueError if the graph is not connected.
    """
    count = graph.shape[0]
    edges = csgraph.minimum_spanning_tree(graph)
    edges = (edges + edges.T).tocsr()
    order, _ = csgraph.breadth_first_order(edges, 0, directed=False)
    if len(order) < count:
        raise ValueError(f"the keypoints' graph is not connected: {len(order)} of {count} nodes are reached")
    order, parent = csgraph.breadth_first_order(edges, order[-1], directed=False)
    path = [order[-1]]
    while parent[path[-1]] >= 0:
        path.append(parent[path[-1]])
    order, parent = csgraph.breadth_first_order(edges, path[len(path) // 2], directed=False)
    level = np.zeros(count, dtype=np.int64)
    for node in order[1:]:
        level[node] = level[parent[node]] + 1
    order = order[np.argsort(level[order], kind="stable")].astype(np.int64)
    parent = np.where(parent < 0, -1, parent).astype(np.int64)
    length = np.zeros(count, dtype=np.float32)
    length[order[1:]] = np.asarray(edges[order[1:], parent[order[1:]]]).ravel()
    return Tree(order, np.searchsorted(level[order], np.arange(level.max() + 2)), parent, length)


def min_marginals(costs: np.ndarray, tree: Tree, weights: np.ndarray) -> np.ndarray:
    """Min-marginals of every node and displacement, each up to a constant (exact: Felzenszwalb & Huttenlocher 2005).

    costs: float32 (n, W, W, W); weights: float32 (n,) of |d - d_parent|^2 in steps. Returns float32 (n, W, W, W).
    """
    beliefs = costs.copy()
    messages = np.zeros_like(costs)
    for level in range(len(tree.starts) - 2, 0, -1):
        nodes = tree.order[tree.starts[level] : tree.starts[level + 1]]
        _send_up(beliefs, messages, nodes, weights)
        for node in nodes:  # in turn: siblings add to the same parent
            beliefs[tree.parent[node]] += messages[node]
    for level in range(1, len(tree.starts) - 1):
        nodes = tree.order[tree.starts[level] : tree.starts[level + 1]]
        _send_down(beliefs, messages, nodes, tree.parent, weights)
    return beliefs


@njit(cache=True, fastmath=True)
def min_convolution(source, weight, first, second, target):
    """target[d] = min over e of source[e] + weight |d - e|^2, less its minimum; all (W, W, W) float32, two as scratch.

    Separable, and exact though it looks only at |d - e|^2 <= (max - min) / weight: farther ones cannot be smaller.
    """
    width = source.shape[0]
    low, high = source[0, 0, 0], source[0, 0, 0]
    for a in range(width):
        for b in range(width):
            for c in range(width):
                low = min(low, source[a, b, c])
                high = max(high, source[a, b, c])
    reach = min(width - 1, int(np.sqrt((high - low) / weight)))
    for a in range(width):
        first[a] = source[a]
        for e in range(max(a - reach, 0), min(a + reach, width - 1) + 1):
            rise = np.float32(weight * (a - e) * (a - e))
            for b in range(width):
                for c in range(width):
                    first[a, b, c] = min(first[a, b, c], source[e, b, c] + rise)
    for a in range(width):
        for b in range(width):
            second[a, b] = first[a, b]
            for e in range(max(b - reach, 0), min(b + reach, width - 1) + 1):
                rise = np.float32(weight * (b - e) * (b - e))
                for c in range(width):
                    second[a, b, c] = min(second[a, b, c], first[a, e, c] + rise)
    for a in range(width):
        for b in range(width):
            line, out = second[a, b], target[a, b]
            for c in range(width):
                out[c] = line[c] - low
            for k in range(1, reach + 1):
                rise = np.float32(weight * k * k - low)
                for c in range(width - k):
                    out[c] = min(out[c], line[c + k] + rise)
                    out[c + k] = min(out[c + k], line[c] + rise)


@njit(parallel=True, cache=True, fastmath=True)
def _send_up(beliefs, messages, nodes, weights):
    width = beliefs.shape[1]
    for n in prange(len(nodes)):
        node = nodes[n]
        first = np.empty((width, width, width), np.float32)
        second = np.empty((width, width, width), np.float32)
        min_convolution(beliefs[node], weights[node], first, second, messages[node])


@njit(parallel=True, cache=True, fastmath=True)
def _send_down(beliefs, messages, nodes, parent, weights):
    width = beliefs.shape[1]
    for n in prange(len(nodes)):
        node = nodes[n]
        first = np.empty((width, width, width), np.float32)
        second = np.empty((width, width, width), np.float32)
        rest = beliefs[parent[node]] - messages[node]
        message = np.empty((width, width, width), np.float32)
        min_convolution(rest, weights[node], first, second, message)
        beliefs[node] += message


def soft_argmin(marginals: np.ndarray, gamma: float) -> np.ndarray:
    """Expected displacement under softmax(-gamma marginals), in steps: float32 (n, 3) of (n, W, W, W)."""
    count, width = marginals.shape[:2]
    flat = marginals.reshape(count, -1)
    share = np.exp(-gamma * (flat - flat.min(1, keepdims=True))).reshape(marginals.shape)
    share /= share.sum((1, 2, 3), keepdims=True)
    steps = np.arange(width, dtype=np.float32) - (width - 1) / 2
    return np.stack([share.sum(axes) @ steps for axes in ((2, 3), (1, 3), (1, 2))], axis=1).astype(np.float32)
