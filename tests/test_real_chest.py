"""Arms of the built-in cohort that only judge: fibrosis in the chest of a CT, and patients in whom nothing changes."""

import numpy as np
import pytest
import SimpleITK as sitk
from test_simulate import COARSE, SETTINGS, write

from helpers import real_data
from helpers.thorax_phantom import thorax
from lung4d.io.status import UnusableScan
from lung4d.io.tables import read_table
from lung4d.pipeline.door.cohort import make_cohort
from lung4d.simulate import acquisition, cohort, disease, motion, patient, real_chest, scene
from lung4d.simulate.anatomy import FIELD_OF_VIEW
from lung4d.simulate.grids import Grid, regrid, sample_at
from lung4d.simulate.tables import simulate_tables

ROOMY = Grid.centred(FIELD_OF_VIEW, (6.0, 4.0, 4.0))


def with_real(scans: list[str], masks: list[str] = (), patients: int = 2, **changes) -> dict:
    return {**COARSE, **changes, "real_anatomy": {"patients": patients, "scans": scans, "masks": list(masks)}}


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """A cohort with two patients who have the chest of a noise-free phantom, whose mask is given."""
    folder = tmp_path_factory.mktemp("chest")
    scan, truth = thorax((3.0, 3.0, 4.0), noise=0.0)
    mask = sitk.GetImageFromArray(truth)
    mask.CopyInformation(scan)
    sitk.WriteImage(scan, str(folder / "ct.nii.gz"))
    sitk.WriteImage(mask, str(folder / "mask.nii.gz"))
    return with_real([str(folder / "ct.nii.gz")], [str(folder / "mask.nii.gz")], no_disease_patients=3)


@pytest.fixture(scope="module")
def who(settings):
    return patient.find_patient(settings, "R001")


@pytest.fixture(scope="module")
def person(who):
    return scene.make_person(1, who)


@pytest.fixture(scope="module")
def still(person):
    return scene.place(person, ROOMY, motion.no_motion())


# Who is in the arms


def test_the_arms_are_added_to_the_same_patients_and_are_external(settings):
    alone = {**settings, "no_disease_patients": 0, "real_anatomy": {"patients": 0, "scans": [], "masks": []}}
    first, everyone = cohort.simulate_cohort(alone), cohort.simulate_cohort(settings)
    assert everyone[: len(first)] == first
    arms = {p.subject: p for p in everyone[len(first) :]}
    assert list(arms) == ["N001", "N002", "N003", "R001", "R002"]
    assert all((p.course.start > 0) == (s[0] == "R") and not p.dicom for s, p in arms.items())
    _, participants, outcomes = simulate_tables(settings)
    kept = make_cohort(*simulate_tables(settings)[:2]).participants
    assert dict(zip(kept["subject"], kept["site"], strict=True))["N002"] == "no disease"
    judged = participants[participants["subject"].isin(arms)]
    assert set(judged["split"]) == {"external"} and judged["followup_years"].gt(0).all()
    assert participants.loc[~participants["subject"].isin(arms), "split"].isna().all()
    assert set(participants["site"]) == {"simulated", "no disease", "real anatomy"}
    assert outcomes.set_index("subject")["chest"][["001", "N001", "R002"]].tolist() == [0, 0, 1]
    assert outcomes.set_index("subject")["extent_followup"][["N001", "N002", "N003"]].eq(0).all()


def test_everything_wrong_with_the_files_is_told_at_once_without_their_names(tmp_path):
    (tmp_path / "here.nii").touch()
    real = {"patients": 1, "scans": [str(tmp_path / "here.nii"), "gone.nii"], "masks": ["gone_too.nii"]}
    told = cohort.find_problems({**SETTINGS, "visits": [3, 2], "real_anatomy": real})
    assert len(told) == 4 and not any("gone" in sentence for sentence in told)
    assert "real_anatomy.masks has 1 files for 2 scans" in told[1]
    assert "real_anatomy.scans: number 2 names no file" in told[2]
    none = {**real, "scans": [], "masks": []}
    assert "scans is empty" in cohort.find_problems({**SETTINGS, "real_anatomy": none})[0]


def test_in_a_patient_without_disease_the_noise_free_visits_are_the_same(settings, tmp_path):
    facts = write(settings, patient.find_patient(settings, "N001"), tmp_path)
    assert [visit["extent"] for visit in facts["visits"]] == [0, 0]
    first, second = (sitk.ReadImage(str(f)) for f in sorted((tmp_path / "truth").glob("*noisefree*")))
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(first), sitk.GetArrayViewFromImage(second))


# The chest of a CT


def test_without_disease_and_motion_the_lung_shows_the_ct(settings, who, person, still):
    chest = real_chest.read_chest(who.chest_ct, who.chest_mask)
    source, _ = real_chest._points_of_patient(chest, cohort.generator(1, who.candidate, "build"))
    expected = sample_at(chest.hu, chest.grid, np.stack([regrid(axis, real_chest.GRID, ROOMY) for axis in source]))
    shown = scene.render_scan(person, still, disease.State(0.0), motion.no_motion())
    depth = regrid(person.anatomy.lung, real_chest.GRID, ROOMY)
    error = np.abs(shown - expected)
    assert np.percentile(error[depth > 4], 95) < 5 and np.percentile(error[depth > 4], 99) < 40
    assert np.percentile(error[depth < -4], 90) < 30
    assert still.cover.sum() == pytest.approx(np.count_nonzero(depth > 0), rel=0.05)


def test_the_lungs_fit_the_field_of_view_and_have_their_sides(person, still):
    middle = person.anatomy.lung[2:-2, 2:-2, 2:-2] > 0
    assert middle.sum() == (person.anatomy.lung > 0).sum()
    side = still.site.points[2] < 0
    assert (side == still.right).mean() > 0.98
    right, left = person.anatomy.hila
    assert -60 < right[2] < -15 and 15 < left[2] < 60


def test_patients_of_one_ct_differ(settings, person):
    other = scene.make_person(1, patient.find_patient(settings, "R002"))
    both = [p.anatomy.lung > 0 for p in (person, other)]
    dice = 2 * (both[0] & both[1]).sum() / (both[0].sum() + both[1].sum())
    assert 0.6 < dice < 0.97


def test_the_diseased_share_is_the_extent_and_vessels_stay(person, still):
    healthy = disease.tissue_hu(still.site, person.tissue, disease.State(0.0))
    aerated, vessel = still.site.still == 0, still.site.still == 1
    inside = still.cover > 0.5
    for extent in (0.1, 0.3, 0.5):
        now = disease.tissue_hu(still.site, person.tissue, disease.State(extent), density=1.1)
        assert (still.site.rank < extent)[inside].mean() == pytest.approx(extent, abs=0.02)
        changed = disease.tissue_hu(still.site, person.tissue, disease.State(extent)) != healthy
        assert changed[inside & aerated].mean() == pytest.approx(extent, abs=0.05)
        np.testing.assert_allclose(now[vessel], healthy[vessel], atol=0.01)
    assert vessel.sum() > 20 and aerated.mean() > 0.6


def test_disease_changes_nothing_outside_the_lungs(person, still):
    before, after = (
        scene.render_scan(person, still, disease.State(extent), motion.no_motion()) for extent in (0.0, 0.6)
    )
    outside = np.ones(ROOMY.shape, bool)
    outside.reshape(-1)[still.lung[still.cover > 0]] = False
    np.testing.assert_array_equal(before[outside], after[outside])
    assert np.mean(before[~outside] != after[~outside]) > 0.4


def test_noise_is_new_at_every_visit(who, person, still):
    taken = acquisition.Acquisition("standard", ROOMY, 6.0, 40.0)
    hu = scene.render_scan(person, still, disease.State(0.2), motion.no_motion())
    numbers = [cohort.generator(1, who.candidate, "noise", session) for session in ("01", "02")]
    clean = acquisition.blur(hu, "standard", ROOMY, 6.0)
    body = clean > -900
    noises = [(acquisition.acquire(hu, taken, rng) - clean)[body] for rng in numbers]
    assert abs(np.corrcoef(noises)[0, 1]) < 0.02
    quiet = {**COARSE, "noise": 0.0}
    assert patient._acquisition(quiet, who, who.visits[0]).noise == 0


def test_a_patient_is_written_with_all_of_the_truth(settings, who, tmp_path):
    facts = write(settings, who, tmp_path)
    for visit in facts["visits"]:
        extent = who.course.extent(visit["years"])
        assert visit["extent"] == pytest.approx(extent, abs=0.02)
    assert len(list((tmp_path / "images").iterdir())) == 2
    marks = read_table(tmp_path / "truth/sub-R001_ses-02_desc-truth_landmarks.tsv")
    assert len(marks) >= 20


def test_a_scan_of_one_lung_is_refused(tmp_path):
    scan, _ = thorax((4.0, 4.0, 5.0), sides=(2,))
    sitk.WriteImage(scan, str(tmp_path / "ct.nii.gz"))
    with pytest.raises(UnusableScan, match="Only one lung"):
        real_chest.build_chest(str(tmp_path / "ct.nii.gz"), "", np.random.default_rng(0))


# Real CT


@pytest.mark.slow
@pytest.mark.skipif(real_data.folder() is None, reason=real_data.REASON)
@pytest.mark.parametrize("name", ["thorax_full/thorax_phase00_cropxy.nii.gz", "lung2_5mm/lung2_image.nrrd"])
def test_a_real_chest_has_lungs_that_fall_ill(name):
    settings = with_real([str(real_data.folder() / name)])
    who = patient.find_patient(settings, "R001")
    person = scene.make_person(1, who)
    placement = scene.place(person, ROOMY, motion.no_motion())
    inside = placement.cover > 0.5
    assert 2000 < inside.sum() * ROOMY.voxel_ml() < 7000
    assert -900 < np.median(placement.site.healthy[inside]) < -780
    changed = placement.site.healthy != disease.tissue_hu(placement.site, person.tissue, disease.State(0.3))
    assert changed[inside & (placement.site.still == 0)].mean() == pytest.approx(0.3, abs=0.06)
