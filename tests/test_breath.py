"""Densities without breath, and visits of one noise and sharpness: lungs with known answers."""

import numpy as np
import pytest
from scipy import ndimage

from lung4d.biomarkers.breath import corrected_densities, corrected_high_attenuation, corrected_mean
from lung4d.biomarkers.matching import inner_lung, match_visits, quiet_lung, roughness
from lung4d.biomarkers.measures import lung_density

SHAPE = (18, 48, 52)


def lung() -> np.ndarray:
    z, y, x = np.meshgrid(*(np.linspace(-1.1, 1.1, n) for n in SHAPE), indexing="ij")
    return z**2 + y**2 + x**2 < 1


def tissue(size=1.2) -> np.ndarray:
    """Lung with vessels, HU: dense blobs in air-filled tissue."""
    blobs = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(SHAPE), size)
    return (-860 + 500 * (blobs > 1.6 * blobs.std())).astype(np.float32)


def noise(seed: int, hu: float, grain: float = 0.0) -> np.ndarray:
    white = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(SHAPE), grain)
    return (hu * white / white.std()).astype(np.float32)


@pytest.mark.parametrize("ratio", [0.8, 1.0, 1.15])
def test_breath_alone_changes_no_corrected_density(ratio):
    """The same tissue in `ratio` times the volume: 1 + HU / 1000 grams a ml go with 1 / ratio."""
    mask, first = lung(), tissue() + noise(1, 30)
    later = (first + 1000) / np.float32(ratio) - 1000
    mean, high = lung_density(first, mask)
    ratios = {"log_volume_ratio": np.log(ratio), "log_mass_ratio": 0.0}
    found = corrected_densities(later, mask, mean, ratios)
    assert found["mean_density_hu_corrected"] == mean
    assert found["high_attenuation_percent_corrected"] == pytest.approx(high, abs=0.01)
    if ratio != 1:
        assert abs(lung_density(later, mask)[0] - mean) > 15


def test_total_mass_is_kept_and_disease_adds_to_it():
    assert corrected_mean(-800.0, 0.0) == -800.0
    assert corrected_mean(-800.0, np.log(1.1)) == pytest.approx(-780)  # a tenth more tissue
    nothing = np.zeros(SHAPE, bool)
    assert np.isnan(corrected_high_attenuation(tissue(), nothing, 0.0))
    unknown = corrected_densities(tissue(), lung(), -800.0, {"log_volume_ratio": 0.0, "log_mass_ratio": None})
    assert np.isnan(unknown["mean_density_hu_corrected"])


def test_equal_visits_stay_equal_to_the_bit_and_lungs_of_one_density_as_they_are():
    mask, scan = lung(), np.rint(tissue() + noise(1, 40)).astype(np.int16)
    first, second = match_visits([scan, scan], mask)
    assert (first == second).all() and (first[~mask] == scan[~mask]).all()
    even = np.full(SHAPE, -800, np.int16)
    assert all((visit == -800).all() for visit in match_visits([even, even], mask))
    small = np.zeros(SHAPE, bool)
    small[5:7, 5:7, 5:7] = True
    assert (match_visits([scan, scan], small)[0] == scan).all() and (inner_lung(small) == small).all()


def test_a_sharp_visit_is_brought_to_a_copy_that_was_blurred():
    mask = lung()
    sharp = tissue() + noise(1, 45)
    soft = ndimage.gaussian_filter(sharp, (0.6, 0.9, 0.9))
    one, other = match_visits([sharp, soft], mask)
    quiet = quiet_lung([sharp, soft], mask)
    np.testing.assert_allclose(roughness(one, quiet), roughness(other, quiet), rtol=0.08)
    inner = inner_lung(mask)
    before, after = (np.sqrt(np.mean((a - b)[inner] ** 2)) for a, b in ((sharp, soft), (one, other)))
    assert after < 0.2 * before
    # and so is the share that is read
    before, after = (lung_density(a, inner)[1] - lung_density(b, inner)[1] for a, b in ((sharp, soft), (one, other)))
    assert abs(after) < 0.35 * abs(before)


def test_more_noise_no_longer_reads_as_disease():
    mask = lung()
    quietly, loudly = tissue(3) + 80 + noise(1, 20, 0.6), tissue(3) + 80 + noise(2, 110)
    inner = inner_lung(mask)
    today = lung_density(loudly, mask)[1] - lung_density(quietly, mask)[1]
    matched = np.subtract(*(lung_density(visit, inner)[1] for visit in match_visits([loudly, quietly], mask)))
    assert today > 2 and abs(matched) < 0.25 * today
