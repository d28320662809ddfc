"""Breath, shrinkage and lung function of the built-in cohort: images and laboratory tell of the same lung."""

from dataclasses import replace

import numpy as np
import pytest

from lung4d.simulate import anatomy, builds, cohort, lung_function, motion, patient, scene
from lung4d.simulate.courses import Course
from lung4d.simulate.tables import simulate_tables, visits_table

SETTINGS = {
    "seed": 1,
    "patients": 60,
    "disease": True,
    "max_years": 6.0,
    "visits": [3, 5],
    "spacing": [5.0, 3.2, 3.2],
    "max_displacement": 40.0,
    "censoring": 0.3,
    "faults": [],
    "noise": 1.0,
    "pace": 1.0,
    "lung_function": {"measured": True, "lead": 0.0, "missing": 0.33},
    "no_disease_patients": 0,
    "real_anatomy": {"patients": 0, "scans": [], "masks": []},
}
COURSE = Course(0.13, 0.6, 1.0)


def function(**changed):
    return {**SETTINGS, "lung_function": SETTINGS["lung_function"] | changed}


@pytest.fixture(scope="module")
def person():
    return scene.make_person(1, patient.find_patient(SETTINGS, "001"))


def test_where_nothing_is_measured_nobody_is_another():
    off = function(measured=False)
    assert "lung_function" not in cohort.used_settings(off) and visits_table(off) is None
    for table, measured in zip(simulate_tables(off), simulate_tables(SETTINGS), strict=True):
        assert table.equals(measured)


def test_a_third_of_the_visits_has_no_lung_function():
    table = visits_table(SETTINGS)
    scans = simulate_tables(SETTINGS)[0]
    assert table[["subject", "session"]].equals(scans[["subject", "session"]])
    assert table["fvc_l"].isna().equals(table["dlco_pct"].isna())
    assert table["fvc_l"].isna().mean() == pytest.approx(0.33, abs=0.08)
    assert visits_table(SETTINGS).equals(table)
    assert not visits_table(function(missing=0.0)).isna().any().any()
    seen = table["fvc_l"].dropna()
    assert seen.min() > 1.2 and seen.max() < 6 and 2.5 < seen.median() < 4


def test_lung_function_falls_with_the_lung_and_its_noise_is_that_of_a_laboratory():
    numbers = np.array([lung_function.measure(COURSE, 5.0, 2.0, 0.0, np.random.default_rng(i)) for i in range(800)])
    lost = float(COURSE.extent(2.0) - COURSE.extent(0.0))
    assert numbers[:, 0].mean() == pytest.approx(0.72 * 5 * (1 - 0.75 * lost), rel=0.01)
    assert numbers[:, 0].std() / numbers[:, 0].mean() == pytest.approx(0.04, abs=0.004)
    assert numbers[:, 1].mean() == pytest.approx(90 - 120 * COURSE.extent(2.0), abs=1)
    assert numbers[:, 1].std() == pytest.approx(8, abs=0.8)


def test_with_a_lead_it_tells_what_ct_does_not_show_yet():
    now, ahead = (
        lung_function.measure(COURSE, 5.0, years, lead, np.random.default_rng(0)) for years, lead in ((2, 0), (1, 1))
    )
    assert now == ahead


def test_the_laboratory_knows_the_size_of_the_chest_that_the_scan_shows():
    ratios = []
    for who in cohort.simulate_cohort(SETTINGS)[:8]:
        build = builds.draw_build(cohort.generator(1, who.candidate, "build"), who.sex)
        chest = anatomy.build(build, cohort.generator(1, who.candidate, "anatomy"))
        litres = (chest.lung > 0).sum() * chest.grid.voxel_ml() / 1000
        ratios.append(lung_function.baseline_litres(float(np.prod(build.size)), 1.0) / litres)
    assert np.mean(ratios) == pytest.approx(1, abs=0.03) and np.std(ratios) < 0.05


@pytest.mark.parametrize(("breath", "full"), [(1.15, 1.0), (0.9, 0.9), (1.05, 0.8), (1.0, 0.7)])
def test_the_lung_has_the_volume_that_breath_and_shrinkage_make(person, breath, full):
    moved = motion.breathe_and_shrink(person.frame, breath, full, 60.0, np.random.default_rng(3))
    inside = person.frame.inside
    assert 1 / moved.density == pytest.approx(breath, abs=0.02)  # what folds is smoothed afterwards
    assert motion._jacobian_mean(moved.lung, inside) == pytest.approx(breath * full, abs=0.025)
    gradient = sum(g**2 for f in moved.lung for g in np.gradient(f, *motion.FIELD_GRID.spacing))
    assert np.sqrt(gradient[person.frame.around].max()) < motion.STEEPEST + 0.02


def test_a_breath_that_would_move_the_lung_too_far_is_a_smaller_one(person):
    moved = motion.breathe_and_shrink(person.frame, 1.25, 1.0, 12.0, np.random.default_rng(3))
    assert np.linalg.norm(moved.lung, axis=0)[person.frame.inside].max() <= 12.1
    assert 1.01 < 1 / moved.density < 1.15


def test_scans_have_the_volume_that_the_truth_tells(tmp_path):
    who = patient.find_patient(SETTINGS, "002")
    fast = replace(who, course=Course(0.13, 0.6, 1.0), visits=(who.visits[0], who.visits[2]))
    first, last = patient.write_patient(SETTINGS, fast, tmp_path / "images", tmp_path / "truth")["visits"]
    for visit in (first, last):
        assert 0.78 < visit["breath"] < 1.02
        assert sum(visit["volume_ml"].values()) == pytest.approx(visit["breath"] * visit["full_breath_ml"], rel=0.03)
    assert last["full_breath_ml"] < 0.95 * first["full_breath_ml"]
