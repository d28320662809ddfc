"""One patient's trajectory: years asked for, files written, and what stands in them."""

import nibabel as nib
import numpy as np
import pytest
import torch

from lung4d.latents import load_codes
from lung4d.ode.model import save_ode
from lung4d.ode.trajectories import given_sets, years_to_generate
from lung4d.tables import read_table
from lung4d.volumes import open_volume
from lung4d.vqgan.model import load_vqgan, parameter_hash
from ode_cases import Named, model, run_script, section, write_cohort

YEARS = [0.0, 1.2004, 2.0]


def generated(folder, cohort, subject="001", sessions_left=None, **changes):
    """Run the stage for one patient with a small model that draws changes; returns its folder and the inputs."""
    paths = write_cohort(folder, cohort, dict.fromkeys(cohort, "test"))
    if sessions_left is not None:
        table = read_table(paths.split).query("session in @sessions_left")
        table.to_csv(paths.split, sep="\t", index=False)
    save_ode(model(channels=4, drawn=2.0), folder / "ode.pt", parameter_hash(load_vqgan(paths.vqgan)))
    out = folder / "generated"
    of_patient = [path for path in (*paths.volumes, *paths.masks) if f"sub-{subject}" in path.name]
    run_script(
        "generate_trajectories",
        input=Named(
            split=str(paths.split),
            vqgan=str(paths.vqgan),
            ode=str(folder / "ode.pt"),
            latents=str(folder / f"sub-{subject}"),
            volumes=[str(path) for path in of_patient if path.name.endswith("_ct.nii")],
            masks=[str(path) for path in of_patient if path.name.endswith(".nii.gz")],
        ),
        output=Named(folder=str(out)),
        params=Named(section("generate_trajectories", **changes)),
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
    assert table.columns.tolist() == ["subject", "given", "years", "decoding", "file"]
    assert (table["subject"] == "001").all() and (table["decoding"] == "residual").all()
    asked = {given: rows["years"].tolist() for given, rows in table.groupby("given")}
    assert asked == {"01+02+03": [0.0, 1.0, 1.2, 2.0, 3.0], "01+02": [0.0, 1.0, 1.2, 2.0]}
    assert "sub-001_given-01+02_years-1.200_desc-generated_ct.nii.gz" in table["file"].tolist()
    expected = {*table["file"], *(name.replace("_desc-generated_ct.nii.gz", "_latents.npz") for name in table["file"])}
    tables = {"sub-001_trajectories.tsv", "sub-001_trajectories.parquet"}
    assert {path.name for path in out.iterdir()} == expected | tables
    image, like = nib.load(out / table["file"][0]), nib.load(paths.volumes[0])
    assert image.get_data_dtype() == np.int16 and image.shape == like.shape
    assert np.array_equal(image.affine, like.affine)
    assert int(image.header["qform_code"]) == int(image.header["sform_code"]) == 1
    assert image.header.get_xyzt_units()[0] == "mm"


@pytest.mark.parametrize("decoding", ["residual", "pure", "mix"])
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
    save_ode(model(channels=4), tmp_path / "ode.pt", "somebody else's")
    files = {"split": paths.split, "vqgan": paths.vqgan, "ode": tmp_path / "ode.pt", "latents": tmp_path / "sub-001"}
    with pytest.raises(ValueError, match="another 3D-VQ-GAN"):
        run_script(
            "generate_trajectories",
            input=Named({key: str(path) for key, path in files.items()}, volumes=[], masks=[]),
            output=Named(folder=str(tmp_path / "generated")),
            params=Named(section("generate_trajectories")),
            wildcards=Named(subject="001"),
            log=[str(tmp_path / "generate.log")],
        )
    assert torch.is_grad_enabled()
