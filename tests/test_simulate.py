"""The built-in cohort: its tables, its images, and above all that its truth is true."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from helpers import real_data
from helpers.scripts import run_script
from lung4d.io.tables import read_table
from lung4d.simulate import acquisition, cohort, disease, motion, patient, scene
from lung4d.simulate.grids import Grid, regrid, sample_all, sample_at, splat
from lung4d.simulate.tables import count_cohort, simulate_tables

SETTINGS = {
    "seed": 1,
    "patients": 24,
    "disease": True,
    "max_years": 6.0,
    "visits": [2, 6],
    "spacing": [2.5, 1.6, 1.6],
    "max_displacement": 15.0,
    "censoring": 0.4,
    "faults": [],
    "noise": 1.0,
    "pace": 1.0,
    "no_disease_patients": 0,
    "real_anatomy": {"patients": 0, "scans": [], "masks": []},
}
COARSE = {**SETTINGS, "spacing": [5.0, 3.2, 3.2]}


def read(path: Path) -> sitk.Image:
    if not path.is_dir():
        return sitk.ReadImage(str(path))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(path)))
    return reader.Execute()


def bytes_of(folder: Path) -> dict[str, str]:
    files = (f for f in sorted(folder.rglob("*")) if f.is_file())
    return {f.relative_to(folder).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def write(settings: dict, who: cohort.Patient, folder: Path, visits: int = 2) -> dict:
    short = dataclasses.replace(who, visits=who.visits[:visits])
    return patient.write_patient(settings, short, folder / "images", folder / "truth")


@pytest.fixture(scope="module")
def person():
    return scene.make_person(1, patient.find_patient(SETTINGS, "001"))


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    """Two visits of one patient at the usual voxels, of a standard kernel; their folder and facts."""
    folder = tmp_path_factory.mktemp("native")
    who = patient.find_patient(SETTINGS, "001")
    visits = tuple(dataclasses.replace(v, kernel="standard") for v in who.visits)
    return folder, write(SETTINGS, dataclasses.replace(who, visits=visits), folder)


# Tables


def test_tables_are_a_function_of_the_settings_and_equal_the_written_ones(tmp_path):
    tables = dict(zip(("scans", "participants", "outcomes"), simulate_tables(SETTINGS), strict=True))
    outputs = {name: str(tmp_path / f"{name}.tsv") for name in tables}
    run_script("simulate_tables", {}, outputs, {"settings": SETTINGS}, tmp_path / "log.txt")
    for name, table in tables.items():
        written = read_table(outputs[name])
        assert list(written.columns) == list(table.columns)
        for column in table:
            if table[column].dtype.kind == "f":
                np.testing.assert_allclose(written[column], table[column], rtol=1e-5)
            else:
                assert list(written[column].dropna()) == list(table[column].dropna())
    log = (tmp_path / "log.txt").read_text()
    assert "eligible patients" in log and "events" in log and "visits" in log


def test_the_usual_cohort_has_visits_and_events_enough():
    counts = count_cohort(cohort.simulate_cohort(SETTINGS))
    assert 70 <= counts["visits"] <= 90
    assert counts["eligible patients (3 visits or more)"] >= 18
    assert 11 <= counts["events"] <= 17
    assert counts["patients written as DICOM"] == 8


@pytest.mark.parametrize("disease", [True, False])
def test_visits_happen_while_the_patient_is_alive_and_followed(disease):
    for who in cohort.simulate_cohort({**SETTINGS, "disease": disease, "patients": 60}):
        years = [visit.years for visit in who.visits]
        assert years[0] == 0 and years == sorted(set(years)) and 2 <= len(years) <= 6
        assert years[-1] < who.followup_years and years[-1] <= 6
        extent = who.course.extent(np.linspace(0, 6, 50))
        assert np.all(np.diff(extent) >= 0) and np.all(extent <= 1)
        assert (extent[0] > 0) == disease


def test_a_longer_cohort_begins_with_the_same_patients_and_another_seed_has_others():
    short = cohort.simulate_cohort({**SETTINGS, "patients": 3})
    assert cohort.simulate_cohort(SETTINGS)[:3] == short
    assert cohort.simulate_cohort({**SETTINGS, "patients": 3, "seed": 2}) != short


def test_survival_times_follow_the_stated_hazard():
    """The cumulative hazard at death is exponential with mean 1, whatever the covariates."""
    reached = []
    for candidate in range(600):
        rng = cohort.generator(5, candidate, "record")
        age, sex, smoking, course = cohort._person(rng, SETTINGS)
        death = cohort._death_years(rng, age, sex, smoking, course)
        clock = np.linspace(0, death, 2000)
        extent = course.extent(clock)
        relative = cohort.log_hazard(extent, np.gradient(extent, clock), age, sex == "M", smoking == "current")
        reached.append(np.trapezoid(cohort.BASE_HAZARD * np.exp(relative), clock))
    assert np.mean(reached) == pytest.approx(1, abs=0.1)
    assert np.median(reached) == pytest.approx(np.log(2), abs=0.1)


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_about_the_asked_share_is_censored(share):
    who = cohort.simulate_cohort({**SETTINGS, "patients": 200, "censoring": share})
    assert 1 - np.mean([p.event for p in who]) == pytest.approx(share, abs=0.1)


@pytest.mark.parametrize(("key", "value"), [("visits", [3, 2]), ("censoring", 1.0), ("faults", ["fog"])])
def test_settings_that_cannot_be_name_the_key(key, value):
    with pytest.raises(ValueError, match=f"simulate.{key}"):
        cohort.simulate_cohort({**SETTINGS, key: value})


def test_faults_are_last_visits_of_three_patients():
    plain = cohort.simulate_cohort(SETTINGS)
    with_faults = cohort.simulate_cohort({**SETTINGS, "faults": ["noise", "empty", "water"]})
    extra = [(a, b) for a, b in zip(plain, with_faults, strict=True) if a != b]
    assert sorted(b.visits[-1].fault for _, b in extra) == ["empty", "noise", "water"]
    for before, after in extra:
        assert after.visits[:-1] == before.visits and len(before.visits) >= 3
        assert before.visits[-1].years < after.visits[-1].years <= after.followup_years


# Grids


def test_splat_keeps_the_total_and_is_the_adjoint_of_sample():
    rng = np.random.default_rng(0)
    grid = Grid.centred((40, 40, 40), (4.0, 2.0, 3.0))
    points = rng.uniform(-14, 14, (3, 50)).astype(np.float32)
    weights, volume = rng.random(50), rng.random(grid.shape)
    spread = splat(points, weights, grid)
    assert spread.sum() == pytest.approx(weights.sum(), rel=1e-5)
    assert (spread * volume).sum() == pytest.approx(weights @ sample_at(volume, grid, points), rel=1e-4)


def test_regridding_a_linear_function_is_exact():
    coarse, fine = Grid.centred((60, 60, 60), (6.0,) * 3), Grid.centred((40, 36, 42), (2.0, 1.2, 1.5))
    z, y, x = coarse.points()
    expected = fine.points()
    np.testing.assert_allclose(
        regrid(z + 2 * y - x, coarse, fine), expected[0] + 2 * expected[1] - expected[2], atol=1e-4
    )


# Motion


def test_breathing_and_posture_stay_below_the_largest_displacement_and_do_not_fold(person):
    reaches = []
    for seed in range(12):
        moved = motion.draw_motion(person.frame, 0.0, 15.0, np.random.default_rng(seed))
        reaches.append(np.linalg.norm(moved.lung, axis=0)[person.frame.inside].max())
        gradient = np.stack([np.stack(np.gradient(f, *motion.FIELD_GRID.spacing)) for f in moved.lung])
        jacobian = np.linalg.det(np.moveaxis(gradient, (0, 1), (-2, -1)) + np.eye(3))
        assert jacobian[person.frame.inside].min() > 0.3
    assert max(reaches) <= 15 and max(reaches) > 9 and min(reaches) > 2


def test_the_lung_slides_along_the_ribs_and_not_through_them(person):
    lung = regrid(person.anatomy.lung, person.anatomy.grid, motion.FIELD_GRID)
    costal = (np.abs(lung) < 3) & (person.frame.free < 0.3)
    sliding, through = [], []
    for seed in range(6):
        moved = motion.draw_motion(person.frame, 0.0, 15.0, np.random.default_rng(seed))
        jump = moved.lung - moved.body
        across = (jump * person.frame.normal).sum(0)
        sliding.append(np.median(np.linalg.norm(jump - across * person.frame.normal, axis=0)[costal]))
        through.append(np.median(np.abs(across)[costal]))
    assert np.mean(sliding) > 1.0
    assert np.mean(through) < 0.25 * np.mean(sliding)


def test_lungs_shrink_as_the_extent_grows(person):
    volumes = []
    for lost in (0.0, 0.15, 0.3, 0.45):
        moved = motion.draw_motion(person.frame, lost, 1e-3, np.random.default_rng(1))
        volumes.append(motion._volume_ratio(moved.lung, person.frame.inside))
    assert volumes[0] == pytest.approx(1, abs=0.01)
    assert np.all(np.diff(volumes) < -0.05)


def test_voxels_are_led_back_to_within_a_tenth_of_a_millimetre(person):
    moved = motion.draw_motion(person.frame, 0.3, 15.0, np.random.default_rng(3))
    grid = Grid.centred(motion.FIELD_OF_VIEW, (5.0, 3.2, 3.2))
    placement = scene.place(person, grid, moved)
    visit = grid.points_at(np.unravel_index(placement.lung, grid.shape))
    error = np.linalg.norm(moved.move_lung(placement.site.points) - visit, axis=0)
    assert np.percentile(error, 99) < 0.03 and error.max() < 0.15


# Disease


def test_the_diseased_share_is_the_extent_and_grows_from_the_base_below_the_pleura(person):
    grid = Grid.centred(motion.FIELD_OF_VIEW, (5.0, 3.2, 3.2))
    site = scene.place(person, grid, motion.no_motion()).site
    healthy = disease.tissue_hu(site, person.tissue, disease.State(0.0))
    for extent in (0.1, 0.3, 0.5):
        changed = disease.tissue_hu(site, person.tissue, disease.State(extent)) != healthy
        assert changed.mean() == pytest.approx(extent, abs=0.03)
        assert np.all(changed[site.rank < 0.9 * extent])
    height = sample_at(np.ascontiguousarray(person.anatomy.height), person.anatomy.grid, site.points)
    first = site.rank < 0.15
    assert height[first].mean() < height[~first].mean() - 0.15
    assert site.pleura[first].mean() < 0.7 * site.pleura[~first].mean()


def test_without_disease_nothing_changes_but_breathing_and_acquisition(tmp_path):
    settings = {**COARSE, "disease": False}
    facts = write(settings, patient.find_patient(settings, "001"), tmp_path)
    assert [visit["extent"] for visit in facts["visits"]] == [0, 0]
    first, second = (read(f) for f in sorted((tmp_path / "truth").glob("*noisefree*")))
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(first), sitk.GetArrayViewFromImage(second))
    *_, outcomes = simulate_tables(settings)
    assert outcomes["extent_baseline"].max() == outcomes["extent_followup"].max() == 0


# Files


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        for subject in ("002", "003"):  # as NIfTI, as DICOM
            settings = {**COARSE, "seed": seed}
            write(settings, patient.find_patient(settings, subject), tmp_path / folder, visits=1)
    first, again, other = (bytes_of(tmp_path / folder) for folder in "abc")
    assert first == again
    for name in ("images/ses-01/IM00001.dcm", "images/sub-002_ses-01_ct.nii.gz", "truth/sub-003_truth.json"):
        assert first[name] != other[name]


def test_dicom_series_is_read_with_the_geometry_of_the_truth(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    who = patient.find_patient(COARSE, "003")
    write(COARSE, who, tmp_path, visits=1)
    folder = tmp_path / "images" / "ses-01"
    scan, mask = read(folder), read(tmp_path / "truth/sub-003_ses-01_desc-truth_mask.nii.gz")
    assert scan.GetSize() == mask.GetSize()
    np.testing.assert_allclose(scan.GetSpacing(), mask.GetSpacing(), atol=1e-3)
    np.testing.assert_allclose(scan.GetOrigin(), mask.GetOrigin(), atol=1e-2)
    np.testing.assert_allclose(scan.GetDirection(), np.eye(3).ravel())
    hu, lung = sitk.GetArrayViewFromImage(scan), sitk.GetArrayViewFromImage(mask)
    assert hu.min() == -1024 and -900 < np.median(hu[lung > 0]) < -700
    header = pydicom.dcmread(next(folder.iterdir()), stop_before_pixels=True)
    assert "Synthetic" in str(header.PatientName) and header.PatientID == "SYNTHETIC-003"
    assert header.ConvolutionKernel == "B50f" or header.ConvolutionKernel in ("B30f", "B70f")


def test_faulty_scans_are_written_and_have_no_lungs(tmp_path):
    settings = {**COARSE, "faults": ["noise", "empty", "water"]}
    for who in cohort.simulate_cohort(settings):
        visit = who.visits[-1]
        if not visit.fault:
            continue
        alone = dataclasses.replace(who, visits=(who.visits[0], visit))
        facts = patient.write_patient(settings, alone, tmp_path / "images", tmp_path / "truth")
        path = tmp_path / "images" / Path(cohort.scan_path(who, visit)).name
        assert facts["visits"][-1]["fault"] == visit.fault
        assert not list((tmp_path / "truth").glob(f"sub-{who.subject}_ses-{visit.session}_*"))
        if visit.fault == "empty":
            assert path.stat().st_size == 0
            continue
        hu = sitk.GetArrayFromImage(read(path))
        if visit.fault == "noise":
            assert hu.std() > 300
        else:
            middle = tuple(slice(n // 2 - 5, n // 2 + 5) for n in hu.shape)
            assert abs(hu[middle].mean()) < 20 and hu[middle].min() > -400


# Truth, at the usual voxels


def warped_back(folder: Path, shift: float = 0.0, still: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The second scan on the baseline's grid through the written field (moved by `shift` mm), the noise-free image of
    its disease there, and where the lung is, a voxel or two inside its surface."""
    truth = folder / "truth"
    baseline = read(truth / "sub-001_ses-01_desc-truth_mask.nii.gz")
    field = sitk.ReadImage(str(truth / "sub-001_ses-02_desc-truth_xfm.nii.gz"), sitk.sitkVectorFloat64)
    values = sitk.GetArrayFromImage(field) * (not still) + [0, 0, shift]
    moved = sitk.GetImageFromArray(values, isVector=True)
    moved.CopyInformation(field)
    scan = sitk.Cast(read(folder / "images/sub-001_ses-02_ct.nii.gz"), sitk.sitkFloat32)
    warped = sitk.Resample(scan, baseline, sitk.DisplacementFieldTransform(moved), sitk.sitkLinear, -1024)
    expected = sitk.GetArrayFromImage(read(truth / "sub-001_ses-02_desc-noisefree_ct.nii.gz"))
    inside = ndimage.binary_erosion(sitk.GetArrayFromImage(baseline) > 0, iterations=2)
    return sitk.GetArrayFromImage(warped), expected, inside


@pytest.mark.slow
def test_the_truth_leads_the_visit_back_to_the_noise_free_image(native):
    folder, facts = native
    noise = facts["visits"][1]["noise_hu"]

    def error(**change):
        warped, expected, inside = warped_back(folder, **change)
        low = [ndimage.gaussian_filter(image.astype(float), [0.6, 1, 1]) for image in (warped, expected)]
        return np.sqrt(np.mean((low[0] - low[1])[inside] ** 2))

    right = error()
    assert right < noise
    assert right < 0.6 * error(shift=3.0)
    assert right < 0.5 * error(still=True)


def test_truth_field_and_landmarks_agree_and_lie_in_the_lungs(native):
    folder, facts = native
    truth = folder / "truth"
    field = sitk.ReadImage(str(truth / "sub-001_ses-02_desc-truth_xfm.nii.gz"), sitk.sitkVectorFloat64)
    assert max(field.GetSpacing()) <= 3
    transform = sitk.DisplacementFieldTransform(field)
    masks = [read(truth / f"sub-001_ses-0{i}_desc-truth_mask.nii.gz") for i in (1, 2)]
    pairs = read_table(truth / "sub-001_ses-02_desc-truth_landmarks.tsv").to_numpy()
    assert len(pairs) >= 40
    for pair in pairs:
        np.testing.assert_allclose(transform.TransformPoint(pair[:3]), pair[3:], atol=0.01)
        for mask, point in zip(masks, (pair[:3], pair[3:]), strict=True):
            assert mask[mask.TransformPhysicalPointToIndex(point)] > 0
    moved = np.linalg.norm(pairs[:, 3:] - pairs[:, :3], axis=1)
    assert 1 < moved.max() <= facts["visits"][1]["displacement_max_mm"] + 1e-3


def test_the_mask_of_a_visit_is_the_baselines_moved(native):
    folder, facts = native
    first, second = (read(folder / f"truth/sub-001_ses-0{i}_desc-truth_mask.nii.gz") for i in (1, 2))
    back = sitk.DisplacementFieldTransform(
        sitk.ReadImage(str(folder / "truth/sub-001_ses-02_desc-truth_xfm.nii.gz"), sitk.sitkVectorFloat64)
    )
    moved = sitk.GetArrayFromImage(sitk.Resample(second, first, back, sitk.sitkNearestNeighbor))
    baseline = sitk.GetArrayFromImage(first)
    for side in (1, 2):
        overlap = 2 * np.sum((moved == side) & (baseline == side)) / (np.sum(moved == side) + np.sum(baseline == side))
        assert overlap > 0.985
    volumes = [sum(visit["volume_ml"].values()) for visit in facts["visits"]]
    assert all(2000 < volume < 7000 for volume in volumes)
    assert json.loads((folder / "truth/sub-001_truth.json").read_text())["visits"] == facts["visits"]


# A fair judge: against real CT


def thresholded_lung(hu: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Air not connected to the image's sides, closed over vessels: the same quick mask for real and simulated CT."""
    labels, _ = ndimage.label(hu < -400)
    sides = np.unique(np.concatenate([labels[:, [0, -1]].ravel(), labels[:, :, [0, -1]].ravel()]))
    large = np.flatnonzero(np.bincount(labels.ravel()) * np.prod(spacing) > 3e5)
    reach = max(1, round(6 / spacing[1]))
    disc = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1]) <= reach
    inside = np.isin(labels, np.setdiff1d(large, sides))
    return np.stack([ndimage.binary_closing(np.pad(s, reach), disc)[reach:-reach, reach:-reach] for s in inside])


@pytest.mark.slow
@pytest.mark.skipif(real_data.folder() is None, reason=real_data.REASON)
def test_healthy_lungs_have_the_histogram_of_real_ones():
    """Without disease, with kernels like the real scans' (soft, standard): percentiles within 50 HU of their mean."""
    names = (
        "thorax_full/thorax_phase00_cropxy.nii.gz",
        "lung2_5mm/lung2_image.nrrd",
        "chest_5mm/Lung_Dx-A0001_5mm_kernelB.nii.gz",
    )
    wanted = (5, 25, 50, 75, 95)
    real = []
    for name in names:
        image = sitk.DICOMOrient(sitk.ReadImage(str(real_data.folder() / name)), "LPS")
        hu = np.maximum(sitk.GetArrayFromImage(image), -1024)
        real.append(np.percentile(hu[thresholded_lung(hu, image.GetSpacing()[::-1])], wanted))
    simulated = []
    for i, who in enumerate(cohort.simulate_cohort({**SETTINGS, "disease": False, "patients": 6})):
        person, rng = scene.make_person(1, who), np.random.default_rng(i)
        taken = acquisition.draw_acquisition(("soft", "standard")[i % 2], SETTINGS["spacing"], rng)
        placement = scene.place(person, taken.grid, motion.no_motion())
        hu = acquisition.acquire(
            scene.render_scan(person, placement, disease.State(0.0), motion.no_motion()), taken, rng
        )
        simulated.append(np.percentile(hu[thresholded_lung(hu, taken.grid.spacing)], wanted))
    difference = np.mean(simulated, axis=0) - np.mean(real, axis=0)
    assert np.abs(difference).max() < 50, difference


def test_sampling_a_vector_field_between_nodes_is_linear(person):
    moved = motion.draw_motion(person.frame, 0.1, 15.0, np.random.default_rng(0))
    node = np.array([motion.FIELD_GRID.origin], np.float32).T + np.float32(6 * 20)
    ahead = sample_all(moved.lung, motion.FIELD_GRID, node + np.float32([[3], [0], [0]]))
    ends = [sample_all(moved.lung, motion.FIELD_GRID, node + np.float32([[d], [0], [0]])) for d in (0, 6)]
    np.testing.assert_allclose(ahead, (ends[0] + ends[1]) / 2, atol=1e-4)
