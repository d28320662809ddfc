"""Metrics against closed forms and other implementations; intervals against their nominal coverage."""

import numpy as np
import pytest

from lung4d import metrics


@pytest.fixture(scope="module")
def pair():
    random = np.random.default_rng(3)
    target = random.random((16, 20, 18), dtype=np.float32)
    prediction = np.clip(target + 0.1 * random.standard_normal(target.shape, dtype=np.float32), 0, 1)
    return prediction, target


def test_a_constant_shift_has_its_square_as_mse():
    target = np.full((4, 5, 6), 0.25, np.float32)
    assert metrics.mse(target + 0.1, target) == pytest.approx(0.01, rel=1e-5)
    assert metrics.psnr(target + 0.1, target) == pytest.approx(20.0, rel=1e-5)
    assert metrics.nrmse(target + 0.1, target) == pytest.approx(0.4, rel=1e-5)


def test_equal_images():
    image = np.random.default_rng(0).random((12, 12, 12), dtype=np.float32)
    assert metrics.mse(image, image) == 0
    assert metrics.psnr(image, image) == float("inf")
    assert metrics.ssim(image, image) == pytest.approx(1)


def test_a_region_counts_nothing_outside_it(pair):
    prediction, target = pair
    region = np.zeros(target.shape, bool)
    region[4:8, 5:9, 6:10] = True
    elsewhere = np.where(region, prediction, 1 - target)
    for metric in (metrics.mse, metrics.psnr, metrics.nrmse):
        assert metric(prediction, target, region) == metric(elsewhere, target, region)
    expected = np.mean((prediction[region].astype(float) - target[region]) ** 2)
    assert metrics.mse(prediction, target, region) == pytest.approx(expected, rel=1e-5)
    similarity = metrics.ssim_map(prediction, target)
    assert metrics.ssim(prediction, target, region) == pytest.approx(similarity[region].mean(), rel=1e-6)
    assert metrics.ssim(prediction, target, region, similarity) == metrics.ssim(prediction, target, region)


def test_an_empty_region_is_refused(pair):
    with pytest.raises(ValueError, match="region is empty"):
        metrics.mse(*pair, np.zeros(pair[0].shape, bool))


def test_against_scikit_image(pair):
    from skimage import metrics as oracle

    prediction, target = pair
    assert metrics.mse(prediction, target) == pytest.approx(oracle.mean_squared_error(target, prediction), rel=1e-5)
    expected = oracle.peak_signal_noise_ratio(target, prediction, data_range=1)
    assert metrics.psnr(prediction, target) == pytest.approx(expected, rel=1e-5)
    expected = oracle.normalized_root_mse(target, prediction, normalization="euclidean")
    assert metrics.nrmse(prediction, target) == pytest.approx(expected, rel=1e-5)


def test_ssim_against_monai(pair):
    torch = pytest.importorskip("torch")
    monai = pytest.importorskip("monai.metrics")
    one, other = (torch.as_tensor(image)[None, None] for image in pair)
    expected = monai.SSIMMetric(spatial_dims=3, data_range=1.0)(one, other).item()
    assert metrics.ssim(*pair) == pytest.approx(expected, abs=1e-4)


def test_ssim_says_which_size_it_needs():
    flat = np.zeros((8, 20, 20), np.float32)
    with pytest.raises(ValueError, match="11 voxels"):
        metrics.ssim(flat, flat)


def test_dice():
    one, other = np.zeros((2, 10), bool)
    assert np.isnan(metrics.dice_or_nan(one, other))
    one[:4], other[2:6] = True, True
    assert metrics.dice_or_nan(one, other) == 0.5
    assert metrics.dice_or_nan(one, one) == 1


def test_bootstrap_is_the_same_for_the_same_seed_and_covers_a_known_difference():
    differences = -0.5 + 0.1 * np.random.default_rng(1).standard_normal(40)
    interval = metrics.paired_bootstrap(differences, 1000, seed=1)
    assert interval == metrics.paired_bootstrap(differences, 1000, seed=1)
    assert interval.mean == pytest.approx(differences.mean())
    assert interval.low < -0.5 < interval.high < 0
    assert interval.excludes_zero()


def test_no_patient_and_one_patient_have_no_interval():
    assert np.isnan(metrics.paired_bootstrap(np.array([]), 100, 1)).all()
    mean, low, high = metrics.paired_bootstrap(np.array([0.3]), 100, 1)
    assert mean == 0.3
    assert np.isnan([low, high]).all()
    assert not metrics.paired_bootstrap(np.array([0.3]), 100, 1).excludes_zero()


@pytest.mark.parametrize("patients", [5, 8, 40])
def test_intervals_of_no_difference_cover_zero_as_often_as_they_say(patients):
    random = np.random.default_rng(7)
    trials = 600
    covered = sum(
        not metrics.paired_bootstrap(random.standard_normal(patients), 400, seed).excludes_zero()
        for seed in range(trials)
    )
    assert 0.92 <= covered / trials <= 0.98


def test_a_pooled_ratio_and_its_interval():
    random = np.random.default_rng(2)
    denominator = random.uniform(1, 3, 60)
    numerator = 0.3 * denominator + 0.05 * random.standard_normal(60)
    interval = metrics.ratio_bootstrap(numerator, denominator, 1000, 1)
    assert interval.mean == pytest.approx(numerator.sum() / denominator.sum())
    assert interval.low < 0.3 < interval.high
    assert interval.high - interval.low < 0.05
    assert np.isnan(metrics.ratio_bootstrap(np.zeros(3), np.zeros(3), 10, 1)).all()
