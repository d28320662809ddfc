"""One patient's trajectory: years asked for, files written, and what stands in them."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation

from helpers.ode_cases import model, save_model, section, write_cohort
from helpers.scripts import Named, run_job
from lung4d.biomarkers.measures import lung_volumes
from lung4d.convert import read
from lung4d.io.atomic import read_json
from lung4d.io.latents import load_codes
from lung4d.io.tables import read_table, write_table
from lung4d.io.volumes import open_volume
from lung4d.ode.decoding import MODES
from lung4d.ode.ensemble import load_ode
from lung4d.trajectories.dicom import write_synthetic_series
from lung4d.trajectories.generate import band_columns, given_sets, years_to_generate
from lung4d.trajectories.native_grid import NativeVisit, on_visit, visits_named
from lung4d.trajectories.provenance import ForecastOrigin, Placed, volume_hash
from lung4d.vqgan.model import load_vqgan, parameter_hash

YEARS = [0.0, 1.2004, 2.0]


def generated(folder, cohort, subject="001", sessions_left=None, originals=None, calibration=None, **changes):
    """Run the stage for one patient with a small model that draws changes; returns its folder and the inputs.

    originals: files of the visits as they were scanned (scans, lungs, inverses).
    """
    paths = write_cohort(folder, cohort, dict.fromkeys(cohort, "test"))
    if sessions_left is not None:
        table = read_table(paths.split).query("session in @sessions_left")
        write_table(table, paths.split)
    save_model(
        model(channels=4, drawn=2.0, factor=4, features=True, maps=2),
        folder / "ode.pt",
        parameter_hash(load_vqgan(paths.vqgan)),
        calibration,
    )
    out = folder / "generated"
    of_patient = [path for path in (*paths.volumes, *paths.masks) if f"sub-{subject}" in path.name]
    run_job(
        "generate_trajectories",
        input=Named(
            split=str(paths.split),
            vqgan=str(paths.vqgan),
            ode=str(folder / "ode.pt"),
            latents=str(folder / f"sub-{subject}"),
            volumes=[str(path) for path in of_patient if path.name.endswith("_ct.nii")],
            masks=[str(path) for path in of_patient if path.name.endswith(".nii.gz")],
            **(originals or {}),
        ),
        output=Named(folder=str(out)),
        params=Named(section("generate_trajectories", folders=paths.folders, **changes)),
        wildcards=Named(subject=subject),
        log=[str(folder / "generate.log")],
    )
    return out, paths


def hu(path) -> np.ndarray:
    return np.asanyarray(nib.load(path).dataobj).T


# ---- years


def test_years_at_an_interval_up_to_the_horizon_with_the_visits_own():
    years = years_to_generate(YEARS, [0, 1], None, 0.5, 1.0)
    assert years == [0.0, 0.5, 1.0, 1.2, 1.5, 2.0]
    assert years_to_generate(YEARS, [0, 1, 2], None, 1.0, 2.0) == [0.0, 1.0, 1.2, 2.0, 3.0, 4.0]
    assert years_to_generate([0.0], [0], None, 0.1, 0.3) == [0.0, 0.1, 0.2, 0.3]


def test_listed_years_with_the_visits_that_were_not_given():
    assert years_to_generate(YEARS, [0, 1, 2], [3, 0.25], 0.5, 2.0) == [0.25, 3.0]
    assert years_to_generate(YEARS, [0, 1], [3, 0.25, 3.0], 0.5, 2.0) == [0.25, 2.0, 3.0]
    with pytest.raises(ValueError, match="interval"):
        years_to_generate(YEARS, [0], None, 0.0, 2.0)


def test_given_sets():
    assert [given_sets(count) for count in (1, 2, 4)] == [[[0]], [[0, 1]], [[0, 1, 2, 3], [0, 1]]]


# ---- script


def test_files_names_and_table(tmp_path):
    out, paths = generated(tmp_path, {"001": YEARS, "002": [0.0]}, interval=1.0, horizon=1.0)
    table = read_table(out / "sub-001_trajectories.tsv")
    assert table.columns.tolist()[:5] == ["subject", "given", "years", "decoding", "file"]
    assert table.columns.tolist()[5:] == list(band_columns()) and table["mean_density_hu_low"].isna().all()
    assert (table["subject"] == "001").all() and (table["decoding"] == "drawn").all()
    asked = {given: rows["years"].tolist() for given, rows in table.groupby("given")}
    assert asked == {"01+02+03": [0.0, 1.0, 1.2, 2.0, 3.0], "01+02": [0.0, 1.0, 1.2, 2.0]}
    assert "sub-001_given-01+02_years-1.200_desc-generated_ct.nii.gz" in table["file"].tolist()
    endings = ("_desc-generated_ct.nii.gz", "_desc-generated_ct.json", "_latents.npz")
    expected = {name.replace(endings[0], ending) for name in table["file"] for ending in endings}
    strips = {"sub-001_plane-axial_strip.png", "sub-001_plane-coronal_strip.png"}
    tables = {"sub-001_trajectories.tsv", "sub-001_trajectories.parquet"}
    assert {path.name for path in out.iterdir()} == expected | tables | strips
    image, like = nib.load(out / table["file"][0]), nib.load(paths.volumes[0])
    assert image.get_data_dtype() == np.int16 and image.shape == like.shape
    assert np.array_equal(image.affine, like.affine)
    assert int(image.header["qform_code"]) == int(image.header["sform_code"]) == 1
    assert image.header.get_xyzt_units()[0] == "mm"


def test_a_calibrated_model_says_how_far_off_it_may_be(tmp_path):
    """Bands widen with the years from the nearest given visit; spreads are in HU and zero outside the lung."""
    near_and_slow = {"gap": 0.1, "pace": 1e9, "low": -0.5, "high": 0.5, "patients": 7}
    of_all = {"gap": np.inf, "pace": np.inf, "low": -1.5, "high": 2.0, "patients": 30}
    band = {"a": 1.0, "b": 10.0, "c": 0.0, "low": -1.5, "high": 2.0, "residuals": 50}
    other = band | {"b": 20.0}  # from one visit, written before there were groups
    band |= {"groups": [near_and_slow, of_all]}
    calibration = {"bands": {"mean_density_hu": [other, band]}, "carried": {}, "deviations": 1.6}
    out, paths = generated(tmp_path, {"001": YEARS}, interval=1.0, horizon=2.0, calibration=calibration)
    table = read_table(out / "sub-001_trajectories.tsv").query("given == '01+02+03'").set_index("years")
    row = table.loc[0.0]
    assert row["mean_density_hu_high"] - row["mean_density_hu_low"] == pytest.approx(1.0, abs=0.01)
    assert row["mean_density_hu_patients"] == 7
    for year, gap in ((1.0, 0.2004), (3.0, 1.0), (4.0, 2.0)):
        row, scale = table.loc[year], np.hypot(1, 10 * gap)
        middle = row["mean_density_hu_forecast"]
        assert row["mean_density_hu_patients"] == 30
        assert row["mean_density_hu_low"] == pytest.approx(middle - 1.5 * scale, abs=0.01)
        assert row["mean_density_hu_high"] == pytest.approx(middle + 2.0 * scale, abs=0.01)
    assert (
        table["high_attenuation_percent_low"].isna().all() and table["high_attenuation_percent_forecast"].notna().all()
    )
    alone, _ = generated(tmp_path / "one", {"001": YEARS[:1]}, interval=1.0, calibration=calibration)
    row = read_table(alone / "sub-001_trajectories.tsv").set_index("years").loc[2.0]
    assert row["mean_density_hu_high"] - row["mean_density_hu_low"] == pytest.approx(3.5 * np.hypot(1, 40), rel=1e-3)
    assert np.isnan(row["mean_density_hu_patients"])
    lung = nib.load(paths.masks[0]).get_fdata() > 0
    near, far = (
        nib.load(out / f"sub-001_given-01+02+03_years-{year}_desc-spread_map.nii.gz").get_fdata()
        for year in ("2.000", "4.000")
    )
    assert (near[lung] > 1).all() and not near[~lung].any() and far[lung].mean() > near[lung].mean()


@pytest.mark.parametrize("decoding", MODES)
def test_outside_the_lung_the_baselines_voxels_whatever_the_decoding(tmp_path, decoding):
    out, paths = generated(tmp_path, {"001": [0.0, 1.0]}, decoding=decoding, interval=1.0)
    baseline, region = open_volume(paths.volumes[0]), hu(paths.masks[0]) > 0
    assert baseline.max() == 900  # above the HU window, and still itself outside the lung
    volumes = [hu(path) for path in sorted(out.glob("*_ct.nii.gz"))]
    assert len(volumes) == 4
    assert all(np.array_equal(volume[~region], baseline[~region]) for volume in volumes)
    assert not np.array_equal(volumes[-1][region], volumes[-2][region])


def test_residual_decoding_at_a_given_visit_is_that_scan(tmp_path):
    """The visit's exact time is 1.2004 years, its file name says 1.200."""
    out, paths = generated(tmp_path, {"001": YEARS}, interval=5.0)
    region = hu(paths.masks[0]) > 0
    again = hu(out / "sub-001_given-01+02+03_years-1.200_desc-generated_ct.nii.gz")
    assert np.array_equal(again[region], open_volume(paths.volumes[1])[region])


def test_codes_are_the_nearest_of_the_forecast_latent(tmp_path):
    out, paths = generated(tmp_path, {"001": [0.0, 1.0]}, interval=1.0)
    codes, mask = load_codes(out / "sub-001_given-01+02_years-1.000_latents.npz")
    real, real_mask = load_codes(paths.latents[0] / "sub-001_ses-02_latents.npz")
    assert codes.dtype == np.int16 and np.array_equal(mask, real_mask)
    assert np.array_equal(codes[mask], real[mask])


def test_one_visit_gives_a_trajectory(tmp_path):
    out, _ = generated(tmp_path, {"001": [0.0]}, years=[0, 2.5])
    assert read_table(out / "sub-001_trajectories.tsv")[["given", "years"]].values.tolist() == [["01", 0], ["01", 2.5]]


def test_no_usable_scan_leaves_an_empty_table(tmp_path):
    out, _ = generated(tmp_path, {"001": [0.0, 1.0]}, sessions_left=[])
    assert read_table(out / "sub-001_trajectories.tsv").empty
    assert read_table(out / "sub-001_trajectories.tsv").columns.tolist()[:2] == ["subject", "given"]
    assert "no usable scan" in (tmp_path / "generate.log").read_text()


def test_unusable_scans_are_not_read(tmp_path):
    out, _ = generated(tmp_path, {"001": YEARS}, sessions_left=["01", "03"], years=[1])
    assert set(read_table(out / "sub-001_trajectories.tsv")["given"]) == {"01+03"}


def test_a_model_of_another_stage_1_is_refused(tmp_path):
    paths = write_cohort(tmp_path, {"001": [0.0]}, {"001": "test"})
    save_model(model(channels=4), tmp_path / "ode.pt", "somebody else's")
    files = {"split": paths.split, "vqgan": paths.vqgan, "ode": tmp_path / "ode.pt", "latents": tmp_path / "sub-001"}
    with pytest.raises(ValueError, match="another 3D-VQ-GAN"):
        run_job(
            "generate_trajectories",
            input=Named({key: str(path) for key, path in files.items()}, volumes=[], masks=[]),
            output=Named(folder=str(tmp_path / "generated")),
            params=Named(section("generate_trajectories")),
            wildcards=Named(subject="001"),
            log=[str(tmp_path / "generate.log")],
        )
    assert torch.is_grad_enabled()


# ---- what a generated file says of itself


def test_every_volume_says_that_it_is_synthetic(tmp_path):
    out, paths = generated(tmp_path, {"001": YEARS}, interval=5.0)
    volumes = sorted(out.glob("*_ct.nii.gz"))
    for path in volumes:
        said = bytes(nib.load(path).header["descrip"]).rstrip(b"\0").decode()
        assert said.startswith("synthetic, lung4d") and said.endswith("not for diagnosis") and len(said) <= 79
        facts = read_json(str(path).replace(".nii.gz", ".json"))
        assert facts["synthetic"] is True and "not for diagnosis" in facts["statement"]
    facts = read_json(out / "sub-001_given-01+02_years-2.000_desc-generated_ct.json")
    assert facts["given_sessions"] == ["01", "02"] and facts["given_years"] == YEARS[:2] and facts["years"] == 2.0
    assert facts["vqgan_parameters_sha256"] == parameter_hash(load_vqgan(paths.vqgan))
    assert facts["ode_parameters_sha256"] == parameter_hash(load_ode(tmp_path / "ode.pt"))
    assert (facts["decoding"], facts["unit"], facts["window_hu"]) == ("drawn", "HU", [-1000.0, 500.0])
    assert facts["size"] == list(nib.load(volumes[0]).shape) and facts["grid_of_session"] == "01"


def test_the_longest_description_fits_the_header():
    many = ForecastOrigin("x" * 40, ("visit",) * 99, (0.0,) * 99, -123.456, "residual", (-1000, 500), "a", "b", "c")
    assert len(many.description.encode()) <= 79


def test_two_runs_leave_the_same_bytes(tmp_path):
    contents = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        out, _ = generated(tmp_path / name, {"001": [0.0, 1.0]}, interval=2.0, horizon=1.0, dicom=True)
        contents.append({str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()})
    assert contents[0] == contents[1]
    assert any(name.endswith(".dcm") for name in contents[0])


# ---- the visits' own grids


def test_which_visits_are_drawn():
    given = ["01", "02", "03"]
    named = {which: visits_named(which, given) for which in ("none", "baseline", "last", "given")}
    assert named == {"none": [], "baseline": ["01"], "last": ["03"], "given": given}


BREATH = 1.1  # how much larger the lung is at the visit than at the baseline


def breathing_chest():
    """A baseline-space grid with the visit on it, and the visit as scanned: a lung with smooth texture that is 1.1
    times as large there, known in closed form. The inverse field is p -> p / 1.1."""

    def lung_at(points):
        x, y, z = np.moveaxis(points, -1, 0)
        inside = (x / 60) ** 2 + (y / 50) ** 2 + (z / 70) ** 2 < 1
        return inside, -750 + 80 * np.sin(x / 12) * np.cos(y / 15) + 60 * np.sin(z / 14)

    def image(values, spacing, start):
        made = sitk.GetImageFromArray(values)
        made.SetSpacing([spacing] * 3)
        made.SetOrigin([start] * 3)
        return made

    def points(size, spacing, start):
        axis = start + spacing * np.arange(size)
        return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)[..., ::-1]  # (z, y, x) holding x y z

    inside, texture = lung_at(points(80, 2.0, -79.0))
    grid = image(np.rint(np.where(inside, texture, 40)).astype(np.int16), 2.0, -79.0)
    inside, texture = lung_at(points(72, 2.5, -88.0) / BREATH)
    scan = np.rint(np.where(inside, texture, 100)).astype(np.int16)
    vectors = points(60, 3.0, -88.5) * (1 / BREATH - 1)
    inverse = sitk.GetImageFromArray(np.ascontiguousarray(vectors, dtype=np.float32), isVector=True)
    inverse.SetSpacing([3.0] * 3)
    inverse.SetOrigin([-88.5] * 3)
    lung = image(inside.astype(np.uint8), 2.5, -88.0)
    return grid, NativeVisit(image(scan, 2.5, -88.0), lung, inverse)


def test_the_visit_itself_comes_back_to_its_own_grid():
    grid, visit = breathing_chest()
    hu = sitk.GetArrayFromImage(grid)
    back = on_visit(hu, hu < 0, grid, visit)
    scan, lung = sitk.GetArrayFromImage(visit.scan), sitk.GetArrayFromImage(visit.lung) > 0
    assert back.dtype == np.int16 and back.shape == scan.shape
    assert np.array_equal(back[~lung], scan[~lung])
    deep = ndimage.binary_erosion(lung, iterations=2)  # at the surface a linear sample mixes lung and body
    assert np.abs(back[deep].astype(int) - scan[deep]).max() < 6
    assert not np.array_equal(back[lung], scan[lung])
    later = on_visit(np.where(hu < 0, hu + 100, hu), hu < 0, grid, visit)
    assert np.abs(later[deep].astype(int) - back[deep] - 100).max() <= 1
    assert np.array_equal(later[~lung], scan[~lung])


def test_a_visit_without_a_lung_is_its_own_scan():
    grid, visit = breathing_chest()
    hu = sitk.GetArrayFromImage(grid)
    empty = NativeVisit(visit.scan, visit.lung * 0, visit.inverse)
    assert np.array_equal(on_visit(hu, hu < 0, grid, empty), sitk.GetArrayFromImage(visit.scan))


def test_native_volumes_and_their_series_lie_on_the_visits_grids(tmp_path):
    """The visits' own scans are the resampled volumes moved by 10 mm: what is generated there is moved by as much."""
    moved, originals = tmp_path / "moved", {"scans": [], "lungs": [], "inverses": []}
    for name in ("moved", "plain", "native"):
        (tmp_path / name).mkdir()
    plain, _ = generated(tmp_path / "plain", {"001": YEARS}, interval=5.0)
    for session in ("01", "02", "03"):
        stem = f"sub-001_ses-{session}"
        for kind, name in (("scans", "_desc-preproc_ct.nii"), ("lungs", "_desc-lung_mask.nii.gz")):
            image = sitk.ReadImage(str(tmp_path / "plain/sub-001" / f"{stem}{name}"))
            image.SetOrigin(np.add(image.GetOrigin(), (10.0, 0, 0)).tolist())
            originals[kind].append(str(moved / f"{stem}{name}"))
            sitk.WriteImage(image, originals[kind][-1])
        vectors = np.full((30, 30, 30, 3), (-10, 0, 0), np.float32)
        field = sitk.GetImageFromArray(vectors, isVector=True)
        field.SetOrigin((-40.0, -40.0, -40.0))
        field.SetSpacing((3.0, 3.0, 3.0))
        originals["inverses"].append(str(moved / f"{stem}_from-native_to-baseline_xfm.nii.gz"))
        sitk.WriteImage(field, originals["inverses"][-1])
    out, _ = generated(
        tmp_path / "native", {"001": YEARS}, originals=originals, interval=5.0, native="last", dicom=True
    )
    name = "sub-001_given-01+02_years-2.000"
    native, scan = nib.load(out / f"{name}_space-02_desc-generated_ct.nii.gz"), nib.load(originals["scans"][1])
    assert np.array_equal(native.affine, scan.affine) and native.shape == scan.shape
    lung = hu(originals["lungs"][1]) > 0
    there = hu(out / f"{name}_space-02_desc-generated_ct.nii.gz")
    assert np.array_equal(there[lung], hu(plain / f"{name}_desc-generated_ct.nii.gz")[lung])
    assert np.array_equal(there[~lung], hu(originals["scans"][1])[~lung])
    assert read_json(out / f"{name}_space-02_desc-generated_ct.json")["grid_of_session"] == "02"
    assert {path.name.split("_space-")[1][:2] for path in out.glob("*given-01+02+03*_space-*")} == {"03"}
    series = list(out.glob("*_desc-generated_dicom"))
    assert series and all("_space-" in path.name for path in series)


# ---- DICOM


FORECAST = ForecastOrigin("P7", ("01", "02"), (0.0, 1.0), 2.5, "residual", (-1000, 500), "a" * 64, "b" * 64, "c" * 64)


def oblique_volume(folder):
    """A NIfTI on a turned grid with three different spacings, to both ends of the range of HU."""
    turn = Rotation.from_euler("xyz", (20, -15, 35), degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = np.diag([-1, -1, 1]) @ turn * (0.7331, 0.9123456789, 2.4)
    affine[:3, 3] = (-151.123456, 87.5, -1203.0625)
    values = np.random.default_rng(0).normal(-400, 450, (12, 34, 45)).clip(-1024, 3071).astype(np.int16)
    values[0, 0, :2] = -1024, 3071
    nib.save(nib.Nifti1Image(values.T, affine), folder / "like.nii")
    return Placed("sub-P7_given-01+02_years-2.500", values, folder / "like.nii", "01")


def test_a_dicom_series_reads_back_as_it_was(tmp_path):
    volume = oblique_volume(tmp_path)
    write_synthetic_series(volume, tmp_path, FORECAST)
    folder = tmp_path / "sub-P7_given-01+02_years-2.500_desc-generated_dicom"
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    image, like = sitk.ReadImage(names), sitk.ReadImage(str(tmp_path / "like.nii"))
    assert np.array_equal(sitk.GetArrayFromImage(image), volume.hu)
    np.testing.assert_allclose(image.GetOrigin(), like.GetOrigin(), atol=1e-5)
    np.testing.assert_allclose(image.GetSpacing(), like.GetSpacing(), rtol=1e-6)
    np.testing.assert_allclose(image.GetDirection(), like.GetDirection(), atol=1e-6)
    own = read.read_scan(folder)
    assert sitk.GetArrayFromImage(own.image).size == volume.hu.size and own.facts["format"] == "DICOM"


def test_a_dicom_series_says_that_it_is_synthetic_and_names_nobody(tmp_path):
    volume = oblique_volume(tmp_path)
    write_synthetic_series(volume, tmp_path, FORECAST)
    headers = [pydicom.dcmread(path) for path in sorted(tmp_path.rglob("*.dcm"))]
    first = headers[0]
    assert first.ImageType[:2] == ["DERIVED", "SECONDARY"]
    assert (first.ContentQualification, first.BurnedInAnnotation) == ("RESEARCH", "NO")
    assert "SYNTHETIC" in first.SeriesDescription and "not for diagnosis" in first.DerivationDescription
    assert first.PatientID == "P7" and str(first.PatientName) == first.PatientBirthDate == first.StudyDate == ""
    assert len({header.SOPInstanceUID for header in headers}) == len(headers) == 12
    assert len({header.SeriesInstanceUID for header in headers}) == 1


def test_identifiers_of_series_follow_from_their_content(tmp_path):
    volume = oblique_volume(tmp_path)
    other = replace(volume, name="other", hu=volume.hu + np.int16(1))
    later = replace(volume, name="later")
    write_synthetic_series(volume, tmp_path, FORECAST)
    write_synthetic_series(other, tmp_path, FORECAST)
    write_synthetic_series(later, tmp_path, replace(FORECAST, years=3.5))
    headers = [pydicom.dcmread(next(folder.iterdir())) for folder in sorted(tmp_path.glob("*_dicom"))]
    assert len({header.SeriesInstanceUID for header in headers}) == 3
    assert len({header.StudyInstanceUID for header in headers}) == 1
    assert len({header.FrameOfReferenceUID for header in headers}) == 1


# ---- lung volume


def foretelling(per_year=-0.1):
    """A calibration that holds models of lung volume: `per_year` of log V for the whole lung, twice that below."""
    band = {"a": 0.1, "b": 0.0, "c": 0.0, "low": -1.0, "high": 2.0, "residuals": 50}
    one = {"per_year": per_year, "per_dense": 0.0, "per_seen": 0.0, "bands": [band, band]}
    both = {"lung_volume_ml": one, "lung_volume_lower_ml": one | {"per_year": 2 * per_year}}
    return {"bands": {}, "carried": {}, "deviations": 1.6, "volume": both}


def test_lung_volume_is_foretold_in_the_table_and_the_sidecar(tmp_path):
    out, paths = generated(tmp_path, {"001": YEARS}, interval=1.0, horizon=2.0, calibration=foretelling())
    table = read_table(out / "sub-001_trajectories.tsv").set_index(["given", "years"])
    total, lower = lung_volumes(paths.masks[0])
    row = table.loc["01+02", 2.0]
    expected = total * np.exp(-0.1 * (2.0 - 1.2004 / 2))
    assert row["lung_volume_ml_forecast"] == pytest.approx(expected, rel=1e-4)
    assert row["lung_volume_ml_low"] == pytest.approx(expected * np.exp(-0.1), rel=1e-4)
    assert row["lung_volume_ml_high"] == pytest.approx(expected * np.exp(0.2), rel=1e-4)
    assert row["lung_volume_lower_ml_forecast"] == pytest.approx(lower * np.exp(-0.2 * (2.0 - 1.2004 / 2)), rel=1e-4)
    told = read_json(out / row["file"].replace(".nii.gz", ".json"))
    assert told["lung_volume_ml_forecast"] == pytest.approx(expected, abs=0.06)
    assert not list(out.glob("*shrunk*"))


def test_a_shrunk_volume_has_its_field_beside_it_and_says_what_it_is(tmp_path):
    asked = {"years": [0.0, 2.0], "shrink": True}
    out, _ = generated(tmp_path, {"001": YEARS[:1]}, calibration=foretelling(), **asked)
    stem = "sub-001_given-01_years-2.000"
    source, made = (out / f"{stem}_desc-{name}_ct.nii.gz" for name in ("generated", "shrunk"))
    told = read_json(out / f"{stem}_desc-shrunk_ct.json")
    assert told["synthetic"] and told["lung_volume_ml_times"] == pytest.approx(np.exp(-0.2), abs=1e-4)
    assert told["lung_volume_lower_ml_times"] == pytest.approx(np.exp(-0.4), abs=1e-4)
    assert told["generated_volume"] == source.name and told["generated_volume_sha256"] == volume_hash(source)
    assert told["shrunk_volume_sha256"] == volume_hash(made) and "resampled" in told["statement"]
    assert np.array_equal(nib.load(made).affine, nib.load(source).affine)
    field = sitk.ReadImage(str(out / f"{stem}_from-generated_to-shrunk_xfm.nii.gz"))
    grid = sitk.ReadImage(str(source))
    assert field.GetSize() == grid.GetSize() and field.GetOrigin() == pytest.approx(grid.GetOrigin())
    towards = sitk.GetArrayFromImage(field)[0, :, :, 2], sitk.GetArrayFromImage(field)[-1, :, :, 2]
    upwards = grid.GetDirection()[8]
    assert (upwards * towards[0] > 0).all() and (upwards * towards[1] < 0).all()
    still = hu(out / "sub-001_given-01_years-0.000_desc-shrunk_ct.nii.gz")
    np.testing.assert_allclose(still, hu(out / "sub-001_given-01_years-0.000_desc-generated_ct.nii.gz"), atol=1)


def test_an_older_model_shrinks_nothing_and_says_so(tmp_path):
    out, _ = generated(tmp_path, {"001": YEARS[:1]}, years=[2.0], shrink=True)
    assert read_table(out / "sub-001_trajectories.tsv")["lung_volume_ml_forecast"].isna().all()
    assert not list(out.glob("*shrunk*")) and "nothing to shrink to" in (tmp_path / "generate.log").read_text()
