"""Known answers for the parts of the keypoint registration."""

import itertools

import numpy as np
import pytest
from scipy import ndimage
from scipy.sparse import csgraph, csr_matrix
from scipy.spatial.distance import squareform

from lung4d.register import changed, costs, dense, descriptors, fields, keypoints, refine, tree
from lung4d.register.correspondence import edge_weights


@pytest.fixture(scope="module")
def texture():
    noise = np.random.default_rng(0).normal(size=(26, 28, 30))
    return (600 * ndimage.gaussian_filter(noise, 1.2)).astype(np.float32)


def plain_mind(image, sigma):
    """MIND-SSC with scipy's shifts and filters, (12, D, H, W)."""
    neighbours = [np.eye(3, dtype=int)[a] * sign for a in range(3) for sign in (1, -1)]
    channels = []
    for a, b in itertools.product(range(6), range(6)):
        if b < a and a // 2 != b // 2:
            first, second = (ndimage.shift(image, -neighbours[n], order=0, mode="nearest") for n in (a, b))
            channels.append(ndimage.gaussian_filter((first - second) ** 2, sigma, radius=2, mode="nearest"))
    channels = np.stack(channels)
    channels -= channels.min(0)
    return np.exp(-channels / np.maximum(channels.mean(0), descriptors.NOISE_FLOOR))


def test_codes_are_thermometers_of_mind(texture):
    expected = np.rint(5 * plain_mind(texture, 1.0))[:, 4:-4, 4:-4, 4:-4]
    codes = descriptors.mind_codes(texture)[4:-4, 4:-4, 4:-4]
    for channel in range(12):
        word = (codes >> np.uint64(5 * channel)) & np.uint64(31)
        count = np.bitwise_count(word)
        assert np.array_equal(word, (np.uint64(1) << count.astype(np.uint64)) - np.uint64(1))  # ones from below
        assert (np.abs(count - expected[channel]) > 0).mean() < 1e-3  # rounding at a threshold
        assert np.abs(count - expected[channel]).max() <= 1
    assert codes.max() < 1 << descriptors.BITS


def test_descriptors_do_not_see_linear_changes_of_intensity(texture):
    same = descriptors.mind_codes(texture) ^ descriptors.mind_codes(100 - 3 * texture)
    assert np.bitwise_count(same)[3:-3, 3:-3, 3:-3].mean() < 0.5


def test_costs_equal_a_naive_count(texture):
    fixed = descriptors.mind_codes(texture)
    moving = descriptors.mind_codes(np.roll(texture, 1, axis=2))
    points = np.array([[12, 14, 15], [2, 27, 0]])
    radius, step, patch = 2, 2, 1
    found = costs.displacement_costs(fixed, moving, points, radius, step, patch)
    last = np.array(fixed.shape) - 1
    for n, displacement in itertools.product(range(2), itertools.product(range(5), repeat=3)):
        total = 0
        for offset in itertools.product(range(-patch, patch + 1), repeat=3):
            here = np.clip(points[n] + step * np.array(offset), 0, last)
            there = points[n] + step * np.array(offset) + step * (np.array(displacement) - radius)
            total += int(fixed[tuple(here)] ^ moving[tuple(np.clip(there, 0, last))]).bit_count()
        assert found[(n, *displacement)] == pytest.approx(total / 60 / 27, abs=1e-6)


def test_keypoints_lie_on_corners_and_keep_their_distance():
    image = np.zeros((40, 40, 40), dtype=np.float32)
    image[10:20, 10:20, 10:20] = 500
    strength = keypoints.distinctiveness(image, np.ones(image.shape, bool), 1.4)
    points = keypoints.strongest_peaks(strength, 5, 8)
    corners = np.array(list(itertools.product((9.5, 19.5), repeat=3)))
    nearest = np.abs(points[:, None] - corners).max(-1)
    assert len(points) == 8
    assert (nearest.min(1) <= 3).all() and len(set(nearest.argmin(1))) == 8
    region = np.zeros(image.shape, bool)
    region[:15] = True
    assert (keypoints.strongest_peaks(keypoints.distinctiveness(image, region, 1.4), 5, 99)[:, 0] < 15).all()


def test_no_keypoints_without_structure_or_region():
    flat, region = np.full((12, 12, 12), -800, np.float32), np.ones((12, 12, 12), bool)
    assert len(keypoints.strongest_peaks(keypoints.distinctiveness(flat, region, 1.4), 3, 10)) == 0
    assert len(keypoints.strongest_peaks(keypoints.distinctiveness(flat, ~region, 1.4), 3, 10)) == 0


def test_spanning_tree_weighs_as_much_as_scipys():
    points = np.random.default_rng(1).integers(0, 60, size=(120, 3))
    points = np.unique(points, axis=0)
    density = np.random.default_rng(2).normal(-800, 80, len(points))
    full = np.linalg.norm(points[:, None] - points[None], axis=-1) + np.abs(density[:, None] - density) / 150
    expected = csgraph.minimum_spanning_tree(csr_matrix(full)).sum()
    found = tree.spanning_tree(tree.neighbour_graph(points, density, 150.0))
    assert found.length.sum() == pytest.approx(expected, rel=1e-5)
    assert (found.parent < 0).sum() == 1 and sorted(found.order) == list(range(len(points)))
    level = np.searchsorted(found.starts, np.argsort(found.order), side="right")
    below = found.parent >= 0
    assert (level[below] == level[found.parent[below]] + 1).all()  # parents one level up


def test_two_clusters_are_bridged():
    left, right = np.random.default_rng(3).integers(0, 10, size=(2, 40, 3))
    points = np.unique(np.concatenate([left, right + 500]), axis=0)
    found = tree.spanning_tree(tree.neighbour_graph(points, np.zeros(len(points)), 150.0))
    assert len(found.order) == len(points)
    assert (found.length > 400).sum() == 1


def test_unconnected_graph_is_refused():
    with pytest.raises(ValueError, match="not connected"):
        tree.spanning_tree(csr_matrix(squareform([1.0, 0, 0, 0, 0, 1.0])))


@pytest.mark.parametrize("weight", [0.003, 0.2, 5.0])
def test_min_convolution_equals_brute_force(weight):
    source = (9 * np.random.default_rng(4).random((5, 5, 5))).astype(np.float32)
    grid = np.stack(np.meshgrid(*[np.arange(5)] * 3, indexing="ij"), -1).reshape(-1, 3)
    apart = ((grid[:, None] - grid[None]) ** 2).sum(-1)
    expected = (source.ravel()[None] + weight * apart).min(1).reshape(5, 5, 5) - source.min()
    found, first, second = (np.empty_like(source) for _ in range(3))
    tree.min_convolution(source, np.float32(weight), first, second, found)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_belief_propagation_equals_brute_force():
    rng = np.random.default_rng(5)
    width, parent, length = 3, [1, -1, 1, 2], np.array([2.0, 0, 3.0, 1.0])
    costs_ = rng.random((4, width, width, width)).astype(np.float32)
    edges = csr_matrix((length[[0, 2, 3]], ([0, 2, 3], [1, 1, 2])), shape=(4, 4))
    chain = tree.spanning_tree(edges.maximum(edges.T))
    weights = edge_weights(chain.length, 0.3, 1, 1.0)
    found = tree.min_marginals(costs_, chain, weights)
    labels = np.stack(np.meshgrid(*[np.arange(width)] * 3, indexing="ij"), -1).reshape(-1, 3)
    pair = ((labels[:, None] - labels[None]) ** 2).sum(-1)
    unary = costs_.reshape(4, -1)
    # energy of all 27^4 assignments
    energy = unary[0][:, None, None, None] + unary[1][None, :, None, None] + unary[2][None, None, :, None] + unary[3]
    for node in (0, 2, 3):
        other = parent[node]
        shape = [1, 1, 1, 1]
        shape[node] = shape[other] = 27
        energy = energy + (0.3 / length[node] * pair).reshape(shape)
    for node in range(4):
        expected = energy.min(tuple(a for a in range(4) if a != node))
        marginal = found[node].ravel()
        np.testing.assert_allclose(marginal - marginal.min(), expected - expected.min(), atol=1e-5)


def test_soft_argmin_of_a_parabola():
    steps = np.arange(-3, 4)
    z, y, x = np.meshgrid(steps, steps, steps, indexing="ij")
    bowl = 2.0 * ((z - 0.4) ** 2 + (y + 1) ** 2 + x**2)
    np.testing.assert_allclose(tree.soft_argmin(bowl[None].astype(np.float32), 1.0), [[0.4, -1, 0]], atol=0.02)


def test_spline_passes_through_keypoints_and_keeps_affine_motion():
    rng = np.random.default_rng(6)
    points = np.unique(rng.integers(0, 40, size=(150, 3)), axis=0)
    values = rng.normal(size=points.shape)
    coefficients = dense.fit_spline(points, values, 0.0)
    np.testing.assert_allclose(dense.evaluate_spline(points, points, coefficients), values, atol=1e-3)
    matrix, shift = 0.05 * rng.normal(size=(3, 3)), [1.0, -2.0, 3.0]
    field = dense.dense_field(points, points @ matrix.T + shift, (37, 41, 43), 0.02)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in (37, 41, 43)), indexing="ij"), -1)
    np.testing.assert_allclose(field, grid @ matrix.T + shift, atol=1e-3)


def test_spline_of_points_in_a_plane_is_finite():
    points = np.stack(np.meshgrid([5], np.arange(0, 30, 6), np.arange(0, 30, 6), indexing="ij"), -1).reshape(-1, 3)
    field = dense.dense_field(points, np.full(points.shape, 2.0), (20, 30, 30), 0.02)
    np.testing.assert_allclose(field, 2.0, atol=1e-3)


def wave(shape=(24, 26, 28), height=1.2):
    """A smooth field and its Jacobian's determinant by hand."""
    z, y, x = np.meshgrid(*(np.arange(n, dtype=float) for n in shape), indexing="ij")
    field = np.stack([height * np.sin(x / 6), height * np.cos(z / 7), 0.1 * y + 0.2 * x], -1)
    dz_dx, dy_dz, dx_dy = height / 6 * np.cos(x / 6), -height / 7 * np.sin(z / 7), 0.1
    determinant = 1.2 + dz_dx * dy_dz * dx_dy
    return field.astype(np.float32), determinant


def test_jacobian_of_an_analytic_field():
    field, expected = wave()
    inner = (slice(1, -1),) * 3
    np.testing.assert_allclose(fields.jacobian(field)[inner], expected[inner], atol=2e-3)


def test_warp_is_linear_interpolation(texture):
    field, _ = wave(texture.shape)
    where = np.moveaxis(np.stack(np.meshgrid(*(np.arange(n) for n in texture.shape), indexing="ij"), -1) + field, -1, 0)
    expected = ndimage.map_coordinates(texture, where, order=1, mode="nearest")
    np.testing.assert_allclose(fields.warp(texture, field), expected, atol=0.02)


def test_composition_and_inverse_undo_each_other():
    field, _ = wave()
    field[..., 2] = 0.8 * np.sin(np.arange(28) / 5)
    inverse = fields.invert(field)
    inner = (slice(4, -4),) * 3
    assert np.abs(fields.compose(inverse, field)[inner]).max() < 0.02
    assert np.linalg.norm(fields.compose(inverse, field), axis=-1)[inner].max() < 0.03
    shift = np.broadcast_to(np.float32([1, 2, 3]), field.shape).copy()
    np.testing.assert_allclose(fields.compose(shift, field), field + shift, atol=1e-6)
    # inner first: x + inner(x), then outer there
    outer = field.copy()
    expected = fields.warp(np.ascontiguousarray(outer[..., 0]), shift) + 1
    np.testing.assert_allclose(fields.compose(outer, shift)[..., 0], expected, atol=1e-5)


@pytest.mark.parametrize("height", [12.0, 40.0])
def test_folds_are_mended(height):
    field, _ = wave((40, 40, 40), 0.5)
    z, y, x = np.meshgrid(*[np.arange(40)] * 3, indexing="ij")
    bump = np.exp(-((z - 20) ** 2 + (y - 20) ** 2 + (x - 20) ** 2) / 30)
    field[..., 2] -= (height * bump).astype(np.float32)
    assert fields.jacobian(field).min() < 0
    mended, count = fields.mend_folds(field)
    assert count > 0 and fields.jacobian(mended).min() >= fields.SMALLEST_JACOBIAN
    if height < 20:  # far from the fold nothing changes
        np.testing.assert_array_equal(mended[:4], field[:4])


def test_good_field_is_left_alone():
    field, _ = wave()
    mended, count = fields.mend_folds(field)
    assert count == 0 and mended is field


@pytest.fixture(scope="module")
def ball():
    """(texture, a ball of lung) large enough for the surface to have an inside."""
    noise = np.random.default_rng(1).normal(size=(44, 46, 48))
    z, y, x = np.indices(noise.shape)
    lung = (z - 22) ** 2 + (y - 23) ** 2 + (x - 24) ** 2 < 17**2
    return (-800 + 900 * ndimage.gaussian_filter(noise, 1.2)).astype(np.float32), lung


def test_features_do_not_see_density_and_dose(ball):
    image, lung = ball
    same = refine.features(image, lung, 7, 1e-3).normalised
    denser = refine.features(1.3 * image + 150, lung, 7, 1e-3).normalised
    np.testing.assert_allclose(denser[lung], same[lung], atol=1e-3)
    assert not same[~lung].any()


def test_features_are_values_less_mean_over_spread(ball):
    image, lung = ball
    centre = (22, 23, 24)
    around = image[19:26, 20:27, 21:28].astype(float)
    expected = (image[centre] - around.mean()) / np.hypot(around.std(), 50)
    assert refine.features(image, lung, 7, 50.0).normalised[centre] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("kernel", ["intensity", "surface"])
def test_gradients_are_derivatives(ball, kernel):
    image, lung = ball
    fixed = refine.features(image, lung, 7, 50.0)
    moving = refine.features(fields.warp(image, shift_of(image.shape, (0.4, -0.3, 0.2))), lung, 7, 50.0)
    point = np.array([[12, 10, 13] if kernel == "intensity" else [11, 12, 3]], dtype=np.int32)
    where = tuple(point[0])

    def both(offset):
        field = np.zeros((*fixed.distance.shape, 3), np.float32)
        field[where] = offset
        gradient = np.zeros_like(field)
        if kernel == "intensity":
            say = np.full(fixed.distance.shape, 0.5, np.float32)
            refine._intensity_gradient(fixed.normalised, moving.normalised, point, field, say, gradient)
            block = tuple(slice(2 * n, 2 * n + 2) for n in where)
            grid = np.indices((2, 2, 2)).reshape(3, -1).T + 2 * point[0] + 2 * np.asarray(offset)
            values = ndimage.map_coordinates(moving.normalised.astype(float), grid.T, order=1)
            return 0.5 * ((values - fixed.normalised[block].ravel()) ** 2).sum(), gradient[where]
        refine._surface_gradient(fixed.distance, moving.distance, point, field, np.float32(0.5), gradient)
        value = ndimage.map_coordinates(
            moving.distance.astype(float), (point[0] + np.asarray(offset))[:, None], order=1
        )
        return 0.25 * (value[0] - fixed.distance[where]) ** 2, gradient[where]

    offset, step = np.array([0.13, -0.21, 0.32]), 1e-3
    numeric = [(both(offset + step * e)[0] - both(offset - step * e)[0]) / (2 * step) for e in np.eye(3)]
    if kernel == "intensity":  # the kernel moves the block by half-resolution voxels, two of the full
        assert np.allclose(both(offset)[1], np.array(numeric) / 2, rtol=1e-2, atol=1e-3)
    else:
        assert np.allclose(both(offset)[1], numeric, rtol=1e-2, atol=1e-4)


def test_the_gradient_of_smoothness_is_that_of_weighted_differences():
    rng = np.random.default_rng(2)
    field, weight = rng.normal(size=(4, 5, 6, 3)).astype(np.float32), rng.uniform(size=(4, 5, 6)).astype(np.float32)
    found, step = np.zeros_like(field), 1e-3

    def energy(of):
        mean = [(np.delete(weight, 0, a) + np.delete(weight, -1, a)) / 2 for a in range(3)]
        return sum((m[..., None] * np.diff(of.astype(float), axis=a) ** 2).sum() / 2 for a, m in enumerate(mean))

    refine._smoothness_gradient(field, weight, found)
    for where in ((0, 0, 0, 1), (1, 2, 3, 0), (3, 4, 5, 2)):
        ahead, behind = field.astype(float), field.astype(float)
        ahead[where] += step
        behind[where] -= step
        assert found[where] == pytest.approx((energy(ahead) - energy(behind)) / (2 * step), rel=1e-3, abs=1e-4)


def squeezed(image, lung, share):
    """The image of tissue squeezed to `share` of its volume along z, its mass kept, and the flow that leads there."""
    flow = np.zeros((*image.shape, 3), np.float32)
    flow[..., 0] = (share - 1) * (np.indices(image.shape)[0] - 22)
    return (fields.warp(image, fields.invert(flow)) + 1000) / share - 1000, flow


def test_what_motion_and_mass_explain_is_no_change(ball):
    image, lung = ball
    even = ndimage.gaussian_filter(image, 3.0)
    followup, flow = squeezed(even, lung, 0.9)
    both = lung, fields.warp(lung, fields.invert(flow)) >= 0.5
    inner = ndimage.binary_erosion(lung, iterations=4)
    assert np.abs((followup - even)[inner]).mean() > 15
    assert changed.unexplained_change(even, followup, both, flow, 7)[inner].max() < 6
    assert changed.unexplained_change(even, 1.1 * (even + 1000) - 1000, (lung, lung), 0 * flow, 7)[inner].max() < 1


def test_tissue_that_fell_ill_is_a_change_and_has_less_say(ball):
    image, lung = ball
    ill = lung & (np.indices(lung.shape)[2] > 30)
    still = np.zeros((*image.shape, 3), np.float32)
    change = changed.unexplained_change(image, image + 200 * ill, (lung, lung), still, 7)
    deep = ndimage.binary_erosion(ill, iterations=4)
    assert change[deep] == pytest.approx(200, abs=1)
    assert change[ndimage.binary_erosion(lung & ~ill, iterations=4)].max() < 1
    say = changed.say(change, 30.0)
    assert say[deep].max() < 0.06 and say[~ndimage.binary_dilation(ill, iterations=5) & lung].min() == 1
    assert not changed.unexplained_change(image, image - 999 * ill, (lung, lung & ~ill), still, 7)[deep].any()
    assert changed.say(np.float32([0, 30, 50, 1e6]), 30.0) == pytest.approx([1, 1, 0.5, 0.002])


def test_refinement_goes_by_what_has_a_say(ball):
    """Half of the ball shows other tissue in the second scan: unheard, it does not pull at the rest."""
    image, lung = ball
    other = np.random.default_rng(5).normal(size=image.shape)
    new = np.indices(lung.shape)[2] > 26
    moved = np.where(new, -800 + 900 * ndimage.gaussian_filter(other, 1.2), image).astype(np.float32)
    fixed, moving = refine.features(image, lung, 7, 50.0), refine.features(moved, lung, 7, 50.0)
    still = np.zeros((*image.shape, 3), np.float32)
    errors = [
        np.abs(refine.refine(fixed, moving, still, say.astype(np.float32), 60, 0.5, 0.5))[lung & new].mean()
        for say in (np.ones(lung.shape), np.where(new, changed.LEAST, 1))
    ]
    assert errors[1] < errors[0] / 3


def shift_of(shape, offset):
    return np.broadcast_to(np.asarray(offset, np.float32), (*shape, 3)).copy()


def heard(lung):
    """Every place has its full say."""
    return np.ones(lung.shape, np.float32)


def test_refinement_finds_what_is_left_of_a_shift(ball):
    image, lung = ball
    truth = (0.7, -0.5, 0.9)
    back = shift_of(image.shape, [-n for n in truth])
    moved, moved_lung = fields.warp(image, back), fields.warp(lung, back) >= 0.5
    fixed, moving = refine.features(image, lung, 7, 120.0), refine.features(moved, moved_lung, 7, 120.0)
    found = refine.refine(fixed, moving, shift_of(image.shape, (0.2, 0.0, 0.3)), heard(lung), 60, 0.6, 0.5)
    error = np.linalg.norm(found - np.asarray(truth, np.float32), axis=-1)[ndimage.binary_erosion(lung, iterations=3)]
    assert error.mean() < 0.15 and np.percentile(error, 95) < 0.3  # voxels; 0.9 before


def test_refinement_leaves_equal_scans_alone(ball):
    same = refine.features(*ball, 7, 120.0)
    still = np.zeros((*ball[0].shape, 3), np.float32)
    assert not refine.refine(same, same, still, heard(ball[1]), 10, 0.6, 0.5).any()
