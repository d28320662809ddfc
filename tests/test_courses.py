"""Courses of the disease in the built-in cohort: who has which, what it does to the lung, and what the truth says."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from helpers.running import ROOT
from lung4d.pipeline.door.configuration import load_yaml, overlaid
from lung4d.simulate import cohort, courses, disease, motion, patient, scene
from lung4d.simulate.anatomy import FIELD_OF_VIEW
from lung4d.simulate.courses import COURSES, Course
from lung4d.simulate.grids import Grid
from lung4d.simulate.tables import simulate_tables
from lung4d.visits.split import split_patients

OFF = dict.fromkeys(COURSES, 0)
SETTINGS = {
    "seed": 1,
    "patients": 40,
    "disease": True,
    "max_years": 6.0,
    "visits": [3, 5],
    "spacing": [5.0, 3.2, 3.2],
    "max_displacement": 15.0,
    "censoring": 0.3,
    "faults": [],
    "noise": 1.0,
    "pace": 1.0,
    "courses": OFF,
    "no_disease_patients": 3,
    "real_anatomy": {"patients": 0, "scans": [], "masks": []},
}
MIXED = {"stable": 0.3, "slow": 0.2, "fast": 0.15, "acute": 0.1, "treated": 0.15, "resolving": 0.05, "emphysema": 0.05}
CLOCK = np.linspace(0, 6, 121)


def with_courses(**weights):
    return {**SETTINGS, "courses": OFF | weights}


@pytest.fixture(scope="module")
def mixed():
    return cohort.simulate_cohort(with_courses(**MIXED))


def test_without_weights_the_cohort_is_what_it_was():
    before = {key: value for key, value in SETTINGS.items() if key != "courses"}
    assert cohort.used_settings(SETTINGS) == before
    for table, was in zip(simulate_tables(SETTINGS), simulate_tables(before), strict=True):
        assert table.equals(was)
    assert "antifibrotic_start" not in simulate_tables(SETTINGS)[1]
    assert cohort.used_settings(with_courses(slow=1.0))["courses"] == {"slow": 1.0}


def test_each_course_has_its_share_of_the_patients(mixed):
    counts = Counter(who.course.name for who in mixed)
    assert counts == {name: round(40 * share) for name, share in MIXED.items()} | {"": 3}
    longer = cohort.simulate_cohort({**with_courses(**MIXED), "patients": 60})
    assert longer[:40] == mixed[:40]


def test_extent_goes_on_as_the_course_says(mixed):
    for who in mixed[:40]:
        course, extent = who.course, who.course.extent(CLOCK)
        rise = 100 * (course.extent(1.0) - course.extent(0.0))
        assert np.all(np.diff(extent) >= 0) and 0.03 <= extent[0] <= 0.4 and extent[-1] < 1
        if course.name == "stable":
            assert extent[0] == extent[-1]
        elif course.name == "fast":
            assert 3.5 < rise < 16
        elif course.name in ("slow", "resolving", "emphysema"):
            assert 0.9 < rise < 4.5


def test_an_acute_worsening_comes_between_two_visits_and_after_two(mixed):
    acute = [who for who in mixed if who.course.name == "acute"]
    for who in acute:
        years = [visit.years for visit in who.visits]
        before = sum(year < who.course.step_year for year in years)
        assert 2 <= before < len(years)
        calm = replace(who.course, step=0.0)
        assert who.course.extent(years[before - 1]) == pytest.approx(calm.extent(years[before - 1]), abs=0.005)
        assert who.course.extent(years[before]) > calm.extent(years[before]) + 0.1


def test_treatment_halves_the_pace_from_its_start_on():
    untreated = Course(0.13, 0.6, 0.85, name="treated")
    later = replace(untreated, treated_year=1.0)
    assert later.extent(0.7) == untreated.extent(0.7)
    assert later.extent(3.0) == pytest.approx(untreated.extent(2.0))
    earlier = replace(untreated, treated_year=-0.3)
    assert earlier.extent(2.0) == pytest.approx(untreated.extent(1.0))


def test_tables_tell_the_start_of_a_treatment_and_the_truth_the_course(mixed):
    _, participants, outcomes = simulate_tables(with_courses(**MIXED))
    treated = outcomes["course"] == "treated"
    assert participants["antifibrotic_start"].notna().equals(treated)
    assert outcomes.loc[treated, "change_years"].tolist() == participants.loc[treated, "antifibrotic_start"].tolist()
    assert outcomes["change_years"].notna().equals(outcomes["course"].isin(["treated", "acute"]))


def test_what_goes_and_what_thins_is_where_the_truth_says():
    who = cohort.simulate_cohort(with_courses(slow=1.0))[0]
    grid = Grid.centred(FIELD_OF_VIEW, (6.0, 4.0, 4.0))
    both = replace(who, course=replace(who.course, glass=0.15, thinning=15.0))
    plain, person = scene.make_person(1, who), scene.make_person(1, both)
    site = scene.place(person, grid, motion.no_motion()).site
    fibrosis = disease.tissue_hu(scene.place(plain, grid, motion.no_motion()).site, plain.tissue, disease.State(0.2))
    assert np.array_equal(disease.tissue_hu(site, person.tissue, disease.State(0.2)), fibrosis)

    glass = disease.tissue_hu(site, person.tissue, disease.State(0.2, glass=0.15)) - fibrosis
    seen = glass != 0
    assert seen.mean() == pytest.approx(0.15 * 0.8, abs=0.03) and np.all(site.rank[seen] >= 0.2)
    assert 100 < np.median(glass[seen]) < 250

    lost = fibrosis - disease.tissue_hu(site, person.tissue, disease.State(0.2, thinning=30.0))
    height = np.ascontiguousarray(np.broadcast_to(person.anatomy.height, person.anatomy.grid.shape))
    height = scene.sample_at(height, person.anatomy.grid, site.points)
    assert lost.min() >= -1e-3 and lost.max() < 61
    healthy = site.rank > 0.25
    assert lost[healthy & (height > 0.7)].mean() > 20 and np.all(lost[height < 0.4] < 1e-3)


def test_visits_of_a_resolving_patient_lose_their_ground_glass(tmp_path):
    settings = with_courses(resolving=1.0)
    who = replace(patient.find_patient(settings, "001"))
    short = replace(who, visits=(who.visits[0], who.visits[2]))
    facts = patient.write_patient(settings, short, tmp_path / "images", tmp_path / "truth")["visits"]
    first, last = (visit["ground_glass_that_goes"] for visit in facts)
    assert first > 0.04 and last < 0.5 * first
    assert "density_lost_hu" not in facts[0]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"courses": {"slow": 0.5, "fast": 0.4}}, "the weights sum to 0.9; give shares of the patients that sum to 1"),
        (
            {"courses": {"slow": 0.99, "fast": 0.01}},
            "fast is 0.01 of 40 patients, which is nobody; raise it, or give 0",
        ),
        ({"courses": {"slow": 1.0}, "visits": [2, 5]}, "visits begins with 2; with simulate.courses give 3 or more"),
        ({"courses": {"slow": 1.0}, "disease": False}, "no meaning where simulate.disease is false"),
    ],
)
def test_weights_that_make_no_cohort_are_refused(changed, said):
    (told,) = cohort.find_problems({**SETTINGS, **changed})
    assert said in told


def test_the_sequence_of_courses_follows_the_weights_from_the_start():
    names: list[str] = []
    for _ in range(10):
        names.append(courses.next_course({"stable": 0.5, "fast": 0.3, "slow": 0.2}, Counter(names)))
    assert Counter(names[:5]) == {"stable": 2, "fast": 2, "slow": 1} or Counter(names[:5])["stable"] == 3
    assert Counter(names) == {"stable": 5, "fast": 3, "slow": 2}


# How scans are taken


def test_a_stated_share_of_later_visits_is_acquired_in_another_way():
    settings = {**SETTINGS, "patients": 60, "acquisition_changes": 0.2}
    scans = [(who, visit) for who in cohort.simulate_cohort(settings)[:60] for visit in who.visits[1:]]
    assert np.mean([visit.changed for _, visit in scans]) == pytest.approx(0.2, abs=0.07)
    for who, visit in scans:
        first, this = (patient._acquisition(settings, who, one) for one in (who.visits[0], visit))
        assert (visit.kernel != who.visits[0].kernel) == visit.changed and not who.visits[0].changed
        assert (this == first) != visit.changed
    nobody = cohort.simulate_cohort({**settings, "acquisition_changes": 0})
    assert not any(visit.changed for who in nobody for visit in who.visits)
    usual = cohort.simulate_cohort({**SETTINGS, "patients": 60, "acquisition_changes": None})
    assert [[v.years for v in who.visits] for who in usual] == [[v.years for v in who.visits] for who in nobody]


def test_a_second_site_scans_otherwise_and_is_never_trained_on():
    settings = {**SETTINGS, "second_site_patients": 40}
    everybody = cohort.simulate_cohort(settings)
    assert everybody[:43] == cohort.simulate_cohort(SETTINGS)
    second = everybody[43:]
    assert {who.site for who in second} == {"second site"} and second[0].subject == "S001"
    participants = simulate_tables(settings)[1].set_index("subject")
    assert set(participants.loc[[who.subject for who in second], "split"]) == {"external"}
    ours, theirs = (
        [patient._acquisition(settings, who, visit) for who in group for visit in who.visits]
        for group in (everybody[:40], second)
    )
    sharp, thickness = (
        [np.mean([f(a) for a in group]) for group in (ours, theirs)]
        for f in (lambda taken: taken.kernel == "sharp", lambda taken: taken.thickness)
    )
    assert sharp[1] < 0.6 * sharp[0] and thickness[1] > 1.15 * thickness[0]


def test_the_cohort_of_the_benchmark_has_enough_patients_of_each_frequent_course_to_test_on():
    """Whatever the generator becomes: who is in it was fixed before a model was trained on it."""
    config = load_yaml(ROOT / "config/config.yaml")
    for name in ("forecasting", "mixed"):
        config = overlaid(config, load_yaml(ROOT / f"benchmarks/{name}.yaml"))
    settings = {**config["simulate"], "real_anatomy": SETTINGS["real_anatomy"]}
    scans, people, outcomes = simulate_tables(settings)
    visits = scans.groupby("subject").size().to_dict()
    given = people.loc[people["split"].notna()].set_index("subject")["split"].to_dict()
    split = config["split"]
    sets = split_patients(visits, given, split["seed"], split["val"], split["test"])
    test = outcomes[outcomes["subject"].map(sets) == "test"]
    counts = Counter(test["course"])
    assert len(test) == 110 and counts["stable"] == 41
    assert all(counts[course] >= 15 for course in ("slow", "fast", "treated"))
    assert min(visits.values()) >= 3 and (test["subject"].map(visits) >= 5).sum() >= 20
