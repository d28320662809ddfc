"""The check of registered pairs: its evidence on known scans, and ten pairs of the built-in cohort."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
import yaml
from scipy import ndimage

from helpers.pair_cases import WRONG_PAIRS
from helpers.running import ROOT
from lung4d.convert.read import read_scan
from lung4d.register import pair_check, pair_score, registration, surroundings
from lung4d.register.registration import RegistrationSettings
from lung4d.segment.masks import segment_by_intensity
from lung4d.simulate.cohort import scan_path, simulate_cohort
from lung4d.simulate.patient import write_patient

CONFIG = yaml.safe_load((ROOT / "config/config.yaml").read_text())
SETTINGS = dataclasses.replace(
    RegistrationSettings.from_params(SimpleNamespace(**CONFIG["register"])), spacing=4.0, keypoints=(300, 400)
)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Scans and masks by patient and visit: two patients with two visits each."""
    folder = tmp_path_factory.mktemp("cohort")
    settings = CONFIG["simulate"] | {"patients": 2, "visits": [2, 2], "spacing": [5.0, 3.2, 3.2], "seed": 77}
    found = []
    for patient in simulate_cohort(settings):
        write_patient(settings, patient, folder, folder)
        scans = [read_scan(folder / Path(scan_path(patient, visit)).name).image for visit in patient.visits]
        found.append([(scan, segment_by_intensity(scan).mask) for scan in scans])
    return found


def checked(baseline, followup):
    found = registration.register(*baseline, *followup, SETTINGS)
    return pair_check.check_pair(found, *baseline, *followup, SETTINGS)


@pytest.mark.parametrize("number", [0, 1])
def test_a_right_pair_is_not_flagged(cohort, number):
    baseline, followup = cohort[number]
    found = checked(baseline, followup)
    assert not [flag for flag in found.flags if "one chest" in flag]
    assert found.metrics["wrong_pair_score"] < pair_score.MOST_SCORE
    assert found.metrics["surroundings_agreement"] > 0.7


def wrong_pair(cohort, name):
    """Baseline with mask, follow-up with mask, and the signs that would fit."""
    other, signs = WRONG_PAIRS[name]
    scan = pair_check.reverse_axes(cohort[other][1][0], signs)
    return cohort[0][0], (scan, segment_by_intensity(scan).mask), signs


@pytest.mark.parametrize("name", WRONG_PAIRS)
def test_a_wrong_pair_is_doubtful(cohort, name):
    baseline, followup, _ = wrong_pair(cohort, name)
    found = registration.register(*baseline, *followup, SETTINGS)
    assert pair_score.is_doubtful(pair_check.score_pair(found, *baseline, *followup))


def test_the_flag_of_a_wrong_pair_says_which_signs_would_fit(cohort):
    baseline, followup, _ = wrong_pair(cohort, "turned about the long axis")
    (flag,) = [flag for flag in checked(baseline, followup).flags if "one chest" in flag]
    assert "It would fit if it were mirrored left to right and turned front to back;" in flag


@pytest.mark.slow
def test_the_flag_of_another_persons_scan_says_that_no_signs_would_fit(cohort):
    baseline, followup, _ = wrong_pair(cohort, "another person")
    (flag,) = [flag for flag in checked(baseline, followup).flags if "one chest" in flag]
    assert "another person" in flag and "would fit" not in flag


def structure(seed=0, shape=(60, 60, 60)):
    """Blobs of bone in a body without lungs, (D, H, W) HU."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.0)
    return np.where(noise / noise.std() > 1, 500.0, 40.0)


def test_surroundings_that_slid_a_little_agree_and_are_not_scattered():
    none = np.zeros((60, 60, 60), bool)
    first = surroundings.structure_map(structure(), none)
    moved = surroundings.structure_map(np.roll(structure(), (2, -3, 1), axis=(0, 1, 2)), none)
    found = surroundings.compare_surroundings(first, moved, ~none, 4.0)
    assert found["surroundings_agreement"] == pytest.approx(1.0, abs=1e-6)
    assert found["surroundings_scatter_mm"] == 0


def test_surroundings_of_another_person_do_not_agree():
    none = np.zeros((60, 60, 60), bool)
    first, other = (surroundings.structure_map(structure(seed), none) for seed in (0, 1))
    found = surroundings.compare_surroundings(first, other, ~none, 4.0)
    assert found["surroundings_agreement"] < 0.6 and found["surroundings_scatter_mm"] > 8


def test_a_scan_of_the_lungs_alone_has_no_surroundings():
    none = np.zeros((60, 60, 60), bool)
    empty = surroundings.structure_map(np.full(none.shape, -1000.0), none)
    assert surroundings.compare_surroundings(empty, empty, ~none, 4.0) == {}


def test_air_between_the_lungs_counts_and_room_air_does_not():
    lung = np.zeros((3, 20, 30), bool)
    lung[:, 5:15, 4:10] = lung[:, 5:15, 20:26] = True
    found = surroundings.structure_map(np.full(lung.shape, -1000.0), lung)
    assert (found[:, 7:13, 13:17] == -1).all()
    assert not found[:, :3].any() and not found[:, :, :3].any() and not found[lung].any()


def test_what_is_absent_adds_nothing_to_the_score_and_an_outlier_counts_four_spreads():
    assert pair_score.wrong_pair_score({}) == pair_score.OFFSET
    name, term = next(iter(pair_score.TERMS.items()))
    assert pair_score.wrong_pair_score({name: term.usual}) == pair_score.OFFSET
    assert (
        pair_score.wrong_pair_score({name: None})
        == pair_score.wrong_pair_score({name: float("nan")})
        == pair_score.OFFSET
    )
    far = pair_score.wrong_pair_score({name: term.usual + 100 * term.spread})
    assert far == pytest.approx(pair_score.OFFSET + 4 * term.weight)


@pytest.mark.parametrize("signs", [(True, False, False), (False, True, True), (True, True, True)])
@pytest.mark.parametrize("direction", [(1, 0, 0, 0, 1, 0, 0, 0, 1), (0, 0, 1, 1, 0, 0, 0, -1, 0)])
def test_axes_are_reversed_in_the_world_whatever_the_voxels_order(signs, direction):
    rng = np.random.default_rng(0)
    image = sitk.GetImageFromArray(rng.normal(size=(6, 8, 10)).astype(np.float32))
    image.SetDirection(direction)
    image.SetSpacing((1.0, 2.0, 3.0))
    turned = pair_check.reverse_axes(image, signs)
    middle = np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))
    for index in ((0, 0, 0), (3, 5, 2), (9, 7, 5)):
        away = np.array(image.TransformIndexToPhysicalPoint(index)) - middle
        mirrored = middle + np.where(signs, -away, away)
        there = turned.TransformPhysicalPointToIndex(mirrored.tolist())
        assert turned[there] == image[index]
    again = pair_check.reverse_axes(turned, signs)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(again), sitk.GetArrayFromImage(image))
