"""Lung volume foretold beside the scans: known volumes and dense shares, masks of known height, and what is written."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from scipy import ndimage

from helpers.ode_cases import model, write_cohort
from helpers.visit_cases import patient_of
from lung4d.biomarkers.measures import lung_volumes
from lung4d.evaluate import findings
from lung4d.evaluate.records import BETTER
from lung4d.evaluate.volume.errors import find_volumes, volume_table
from lung4d.evaluate.volume.model import MODEL, foretold_volumes
from lung4d.evaluate.volume.rivals import FULL, MEASURED, VolumeSeries, volume_series
from lung4d.evaluate.volume.wording import volume_words
from lung4d.io.tables import read_table
from lung4d.ode.calibration import COLUMNS
from lung4d.ode.ensemble import Ensemble
from lung4d.ode.volume import DENSE, FEATURES, VOLUMES, GivenVolumes, VolumeModel, VolumeModels, held_out_volumes
from lung4d.trajectories.shrink import Shrinking, displacements, shrinking
from lung4d.visits.patient import find_patients

WINDOW = (-1000.0, 500.0)


def residuals_of(cases):
    """The forecasts of every visit from every shorter series; cases: years and dense share (n,) by subject, whose
    forecasts are what will be seen."""
    rows = []
    for subject, (years, dense, told) in cases.items():
        for count in range(1, len(years)):
            for visit in range(count, len(years)):
                gap = years[visit] - years[count - 1]
                keys = (subject, "train", count, years[visit], gap, DENSE)
                rows.append((*keys, dense[visit], told[visit], dense[count - 1]))
    return pd.DataFrame(rows, columns=COLUMNS)


def drawn(patients, seed, breath=0.0, per_dense=-0.01, pace=4.0):
    """Residuals and volumes of patients who lose 1 % a point of dense lung; `breath`: sd of log V from scan to scan."""
    random = np.random.default_rng(seed)
    cases, volumes = {}, {}
    for number in range(patients):
        years = np.round(np.append(0, random.uniform(0.5, 1.5, 3)).cumsum(), 3)
        dense = random.uniform(5, 20) + random.uniform(0, pace) * years
        logs = random.normal(8.4, 0.15) + per_dense * dense + breath * random.normal(size=4)
        cases[f"{number:03d}"] = years, dense, dense
        volumes[f"{number:03d}"] = years, np.exp(logs)
    return residuals_of(cases), volumes


# ---- the model


def test_without_noise_the_numbers_come_back_exactly_and_so_do_the_volumes():
    residuals, volumes = drawn(12, 1)
    model = VolumeModel.of(held_out_volumes(residuals, volumes))
    assert (model.per_year, model.per_dense, model.per_seen) == pytest.approx((0, -0.01, -0.01), abs=1e-6)
    years, seen = volumes["003"]
    dense = residuals.query("subject == '003' and given == 1")["observed"].to_numpy()
    first = residuals.query("subject == '003' and given == 1")["at_hand"].iloc[0]
    made = model.forecast(GivenVolumes(years[:1], seen[:1], np.array([first])), years[1:], dense)
    np.testing.assert_allclose(made, np.repeat(seen[1:, None], 3, 1), rtol=1e-3)


def test_where_nothing_changes_but_the_breath_the_mean_of_the_given_scans_stays():
    residuals, volumes = drawn(120, 2, breath=0.06, per_dense=0.0)
    model = VolumeModel.of(held_out_volumes(residuals, volumes))
    assert (model.per_year, model.per_dense) == pytest.approx((0, 0), abs=0.015)
    flat = VolumeModel(0.0, 0.0, 0.0, model.bands)
    made = flat.forecast(GivenVolumes(np.array([0, 1.0]), np.array([4000, 4840.0]), np.ones(2)), [2.0, 9.0], np.ones(2))
    np.testing.assert_allclose(made[:, 0], 4400)  # neither the deeper nor the shallower breath, at any year
    assert (made[:, 1] < 4400).all() and (made[:, 2] > 4400).all()


def test_of_a_deeper_breath_in_the_given_scans_most_is_taken_out_by_the_dense_lung_that_it_thins():
    random = np.random.default_rng(3)
    cases, volumes = {}, {}
    for number in range(60):
        years, deep = np.arange(4.0), 0.06 * random.normal(size=4)
        truth = 10 + random.uniform(0, 4) * years
        cases[f"{number:03d}"] = years, truth - 40 * deep, truth
        volumes[f"{number:03d}"] = years, np.exp(8.4 - 0.01 * truth + deep)
    model = VolumeModel.of(held_out_volumes(residuals_of(cases), volumes))

    def forecast(deep):
        given = GivenVolumes(np.array([0, 1.0]), 4000 * np.exp([deep, deep]), 10 - 40 * np.array([deep, deep]))
        return model.forecast(given, [2.0], np.array([10.0]))[0, 0]

    assert abs(np.log(forecast(0.06) / forecast(0.0))) < 0.03


def test_the_band_holds_nine_in_ten_of_new_patients():
    model = VolumeModel.of(held_out_volumes(*drawn(80, 4, breath=0.06)))
    residuals, volumes = drawn(100, 5, breath=0.06)
    inside = []
    for subject, own in residuals.query("given == 2").groupby("subject"):
        years, seen = volumes[subject]
        dense = residuals.query("subject == @subject").drop_duplicates("given")["at_hand"].to_numpy()[:2]
        made = model.forecast(GivenVolumes(years[:2], seen[:2], dense), years[2:], own["forecast"].to_numpy())
        inside += ((made[:, 1] <= seen[2:]) & (seen[2:] <= made[:, 2])).tolist()
    assert 0.84 < np.mean(inside) < 0.97


def test_visits_at_one_time_count_once_and_rows_without_a_volume_are_left_out():
    residuals = residuals_of({"001": (np.array([0, 1.0, 2.0]), np.array([5, 6.0, 7.0]), np.array([5, 6.0, 7.0]))})
    doubled = np.array([0, 0, 1.0, 2.0]), np.array([4000, 4410, 4300, np.nan])
    rows = held_out_volumes(residuals, {"001": doubled})
    assert len(rows) == 1 and rows["at_hand"].iloc[0] == pytest.approx(np.log(4200))
    assert rows[FEATURES].iloc[0].tolist() == [1, 1, 0]
    assert held_out_volumes(residuals, {}).empty


def test_the_model_file_keeps_plain_numbers_and_an_older_one_foretells_nothing():
    residuals, volumes = drawn(30, 6, breath=0.05)
    kept = VolumeModels({name: VolumeModel.of(held_out_volumes(residuals, volumes)) for name in VOLUMES})
    assert VolumeModels.from_record(kept.record()) == kept
    lungs = dict.fromkeys(VOLUMES, np.array([4000.0, 3900.0]))
    asked = lungs, [0.0, 1.0], np.array([5.0, 6.0]), [2.0, 3.0], np.array([7.0, 8.0])
    assert np.isfinite(kept.forecast(*asked)[VOLUMES[1]]).all()
    assert all(np.isnan(made).all() for made in VolumeModels.from_record({}).forecast(*asked).values())
    few = VolumeModel.of(held_out_volumes(residuals[residuals["subject"] < "002"], volumes))
    assert few.bands is None and np.isnan(VolumeModels({VOLUMES[0]: few}).forecast(*asked)[VOLUMES[0]][:, 1:]).all()


def test_models_are_fitted_to_the_masks_of_the_patients_that_were_judged(tmp_path):
    residuals, volumes = drawn(8, 7)
    patients = [patient_of(subject, "train", years, WINDOW) for subject, (years, _) in volumes.items()]
    for patient, (_, ml) in zip(patients, volumes.values(), strict=True):
        for scan, volume in zip(patient.scans, ml, strict=True):
            path = tmp_path / f"sub-{scan.subject}/sub-{scan.subject}_ses-{scan.session}_desc-lung_mask.nii.gz"
            path.parent.mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(np.ones((4, 4, 6), np.uint8), np.diag([1, 1, volume / 0.096, 1.0])), path)
    models = VolumeModels.of(residuals, patients, tmp_path).models
    assert list(models) == list(VOLUMES) and models[VOLUMES[1]].per_dense == pytest.approx(-0.01, abs=1e-5)


# ---- its measures


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (1, 1, -1)])
def test_the_lowest_third_counts_a_slice_in_part(tmp_path, signs):
    mask = np.zeros((6, 6, 9), np.uint8)  # x, y, z
    for slice_, wide in zip(range(2, 6), (4, 3, 2, 1), strict=True):
        mask[:wide, :2, slice_ if signs[2] > 0 else 8 - slice_] = 1
    affine = np.diag([*(np.array([10, 10, 25]) * signs), 1.0])
    for order, name in (((0, 1, 2), "axial"), ((2, 0, 1), "sagittal")):
        turned = affine[:, [*order, 3]]
        nib.save(nib.Nifti1Image(np.transpose(mask, order), turned), tmp_path / f"{name}.nii.gz")
        total, lower = lung_volumes(tmp_path / f"{name}.nii.gz")
        assert total == pytest.approx(2.5 * 2 * (4 + 3 + 2 + 1))
        assert lower == pytest.approx(2.5 * 2 * (4 + 3 / 3))
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), affine), tmp_path / "empty.nii.gz")
    assert lung_volumes(tmp_path / "empty.nii.gz") == (0, 0)


# ---- beside its rivals


def judged(model_off, patients=60):
    """Patients who lose at a pace of their own, which the model knows but for `model_off` of log V."""
    random, years, everyone = np.random.default_rng(8), np.arange(4.0), []
    for number in range(patients):
        full = 5000 * np.exp(-random.uniform(0, 0.12) * years)
        seen = 0.9 * full * np.exp(random.normal(0, 0.03, 4))
        made = 0.9 * full * np.exp(model_off * random.normal(size=4))
        made = np.stack([made, 0.85 * made, 1.15 * made], 1)
        split = ("train", "val", "test")[number % 3]
        volumes = {MEASURED: seen, FULL: full}
        everyone.append(VolumeSeries(f"{number:03d}", split, split, years, volumes, made))
    return everyone


def test_the_model_is_held_against_every_rival_and_its_band_against_its_promise():
    table = volume_table(judged(0.01), 300, 1)
    rows = table[table["method"] == MODEL].set_index("target")
    assert rows.loc[FULL, "factor"] == pytest.approx(1 / 0.9, rel=0.01) and rows.loc[MEASURED, "factor"] == 1
    assert rows.loc[FULL, "error"] < 60 and (rows["chosen_on"] == [0, 20]).all()
    assert (table.loc[table["method"] != MODEL, "model_high"] < 0).all() and rows["model_high"].isna().all()
    assert rows.loc[MEASURED, "coverage"] == 1 and rows.loc[FULL, "coverage"] > 0.8 and (rows["width"] > 0).all()
    found = {one.target: one for one in find_volumes(table, findings.verdict) if one.method == MODEL}
    assert found[FULL].hardest_verdict == BETTER and found[FULL].hardest.endswith("times a factor")
    said = volume_words(found.values())[0]
    assert "Of all rivals it gains least on" in said and "Its 90 % band holds 100 % of the visits" in said


def test_the_forecast_that_is_judged_comes_from_the_first_two_visits_with_a_volume(tmp_path):
    paths = write_cohort(tmp_path, {"001": [0.0, 1.0, 2.0, 3.5]}, {"001": "test"})
    (patient,) = find_patients(read_table(paths.split), tmp_path, tmp_path, WINDOW)
    ode = Ensemble([model(channels=4, drawn=2.0, factor=4, features=True, maps=2)])
    models = VolumeModels({VOLUMES[0]: VolumeModel(-0.1, 0.0, 0.0, None)})
    measured = {("001", "01"): 4000.0, ("001", "03"): 3600.0, ("001", "04"): 3500.0}
    made = foretold_volumes(patient, measured, ode, models, WINDOW)
    assert list(made) == [("001", "04")]
    assert made["001", "04"][0] == pytest.approx(np.sqrt(4000 * 3600) * np.exp(-0.1 * 2.5))
    assert foretold_volumes(patient, measured, ode, VolumeModels({}), WINDOW) == {}
    assert foretold_volumes(patient, {("001", "01"): 4000.0}, ode, models, WINDOW) == {}
    (series,) = volume_series([patient], measured, {}, made)
    assert np.isnan(series.made[:2]).all() and series.made[2, 0] == made["001", "04"][0]


def test_without_forecasts_there_is_no_row_of_the_model():
    everyone = [VolumeSeries(one.subject, one.split, one.set, one.years, one.volumes) for one in judged(0.01, 9)]
    table = volume_table(everyone, 20, 1)
    assert MODEL not in set(table["method"]) and table["model_difference"].isna().all()


# ---- shrinking


def lung():
    """Two cones on a grid of (40, 36, 36), wide below."""
    z, y, x = np.indices((40, 36, 36))
    return ((y - 17.5) ** 2 + (abs(x - 17.5) - 7) ** 2 < (4 + (34 - z) / 12) ** 2) & (z >= 5) & (z < 35)


@pytest.mark.parametrize("upwards", [True, False])
@pytest.mark.parametrize(("total", "lower"), [(0.8, 0.8), (0.85, 0.7), (1.1, 1.15)])
def test_the_lung_and_its_lowest_third_get_the_volumes_that_are_foretold(total, lower, upwards):
    region = lung() if upwards else lung()[::-1]
    how = shrinking(region, total, lower, upwards)
    shrunk = ndimage.map_coordinates(region.astype(np.float32), how.origins(region.shape), order=1)

    def below(volume, height):
        """What of it lies below `height`, in voxels from the foot of the grid."""
        areas = volume.sum((1, 2)) if upwards else volume.sum((1, 2))[::-1]
        return np.interp(height + 0.5, np.arange(41), np.concatenate([[0], np.cumsum(areas)]))

    middle = how.centre[0] if upwards else 39 - how.centre[0]
    assert shrunk.sum() / region.sum() == pytest.approx(total, rel=0.02)
    third = below(shrunk, middle + how.along * (14.5 - middle))
    assert third / below(region, 14.5) == pytest.approx(lower, rel=0.03)


def test_one_factor_for_all_is_isotropic_and_too_small_a_third_is_too():
    how = shrinking(lung(), 0.729, 0.729, True)
    assert how.along == pytest.approx(0.9) and how.across == pytest.approx(0.9)
    assert shrinking(lung(), 0.9, 0.02, True).across == pytest.approx(0.9 ** (1 / 3))
    there = how.moved((40, 36, 36))
    np.testing.assert_allclose(how.centre[:, None] + (there[:, 3, 4, 5] - how.centre)[:, None] / 0.9, [[3], [4], [5]])
    still = Shrinking(np.zeros(3), 1.0, np.ones(4)).origins((4, 3, 2))
    np.testing.assert_allclose(still, np.indices((4, 3, 2)))


def test_the_field_is_in_mm_of_the_patient():
    grid = sitk.Image([6, 5, 4], sitk.sitkInt16)
    grid.SetSpacing((2.0, 3.0, 4.0))
    grid.SetDirection((0, -1, 0, 1, 0, 0, 0, 0, 1))  # the grid's first axis is the patient's y
    field = displacements(Shrinking(np.array([1.0, 2, 3]), 0.5, np.full(4, 0.5)), grid)
    assert field.GetPixel(3, 2, 1) == (0, 0, 0)
    assert field.GetPixel(5, 2, 3) == pytest.approx((0, -2.0, -4.0))
    assert field.GetPixel(3, 4, 1) == pytest.approx((3.0, 0, 0))
