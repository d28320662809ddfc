"""Biomarkers: hand-made code maps and volumes with known answers, and the script on small files."""

from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from helpers.scripts import run_job
from lung4d.biomarkers.measures import code_frequencies, histogram_shape, lung_density, lung_volumes
from lung4d.biomarkers.table import (
    CORRECTED,
    DENSITIES,
    FLOOR_COLUMNS,
    FORETOLD,
    LOWER,
    OTHERWISE,
    READOUTS,
    biomarker_table,
    code_columns,
    readout_table,
)
from lung4d.io.latents import Latents, save_codes, save_latents
from lung4d.io.names import forecast_stem
from lung4d.io.status import Status, write_status
from lung4d.io.tables import read_table, write_table


def test_frequencies_of_a_hand_made_map_count_only_the_lung():
    codes = np.zeros((2, 2, 2), np.int16)
    codes[0] = [[1, 1], [3, 0]]
    codes[1] = 7  # outside the lung
    mask = np.zeros((2, 2, 2), bool)
    mask[0] = True
    np.testing.assert_allclose(code_frequencies(codes, mask), [0.25, 0.5, 0.0, 0.25])


def test_frequencies_sum_to_one():
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 256, (6, 16, 16)).astype(np.int16)
    frequencies = code_frequencies(codes, generator.random(codes.shape) < 0.3)
    assert frequencies.sum() == pytest.approx(1.0)
    assert (frequencies >= 0).all()


def test_empty_lung_gives_missing_values_and_unequal_shapes_an_error():
    assert np.isnan(code_frequencies(np.zeros((2, 2, 2), np.int16), np.zeros((2, 2, 2), bool))).all()
    assert np.isnan(lung_density(np.zeros((2, 2, 2), np.int16), np.zeros((2, 2, 2), bool))).all()
    with pytest.raises(ValueError, match="differ in shape"):
        code_frequencies(np.zeros((2, 2, 2), np.int16), np.zeros((2, 2, 3), bool))
    with pytest.raises(ValueError, match="differ in shape"):
        lung_density(np.zeros((2, 2, 2), np.int16), np.zeros((1, 2, 2), bool))


def test_density_and_high_attenuation_area_of_known_voxels():
    hu = np.array([[[-900, -600, -250, -249, -601, 3000]]], np.int16)
    mask = np.array([[[True, True, True, True, True, False]]])
    mean, high = lung_density(hu, mask)
    assert mean == pytest.approx((-900 - 600 - 250 - 249 - 601) / 5)
    assert high == pytest.approx(40.0)


@pytest.mark.parametrize("share", [0.5, 0.2, 0.75])
def test_shape_of_two_densities(share):
    """With a share p at the upper value: skewness (1 - 2p) / sqrt(p q), excess kurtosis (1 - 6 p q) / (p q)."""
    hu = np.full((4, 5, 6), 500, np.int16)
    mask = np.zeros(hu.shape, bool)
    mask[:, :, :5] = True
    hu[mask] = np.where(np.arange(100) < 100 * share, -300, -900)
    skewness, kurtosis = histogram_shape(hu, mask)
    both = share * (1 - share)
    assert skewness == pytest.approx((1 - 2 * share) / both**0.5, abs=1e-12)
    assert kurtosis == pytest.approx((1 - 6 * both) / both)


def test_shape_of_a_normal_distribution_is_zero_and_of_one_value_missing():
    hu = np.random.default_rng(0).normal(-800, 60, (40, 50, 50))
    assert histogram_shape(hu, np.ones(hu.shape, bool)) == pytest.approx((0, 0), abs=0.05)
    assert np.isnan(histogram_shape(np.full((2, 2, 2), -800), np.ones((2, 2, 2), bool))).all()
    assert np.isnan(histogram_shape(np.zeros((2, 2, 2)), np.zeros((2, 2, 2), bool))).all()


def test_lung_volume_of_an_oblique_mask(tmp_path):
    mask = np.zeros((10, 20, 30), np.uint8)
    mask[2:6, 5:15, 10:20] = 1
    mask[2:6, 5:15, 20:22] = 2  # the left lung
    affine = np.eye(4)
    turn = [[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, -1]]
    affine[:3, :3] = np.array(turn) * (1.5, 2.0, 5.0)
    nib.save(nib.Nifti1Image(mask.T, affine), tmp_path / "mask.nii.gz")
    assert lung_volumes(tmp_path / "mask.nii.gz")[0] == pytest.approx(4 * 10 * 12 * 15 / 1000)


def test_table_pads_codes_that_a_scan_does_not_use():
    keys = {"kind": "real", "given": "", "years": 0.0, **dict.fromkeys(READOUTS, 1.0)}
    rows = [
        keys | {"subject": "001", "session": "01", "frequencies": np.array([0.5, 0.5])},
        keys | {"subject": "002", "session": "01", "frequencies": np.array([0.0, 0.0, 0.0, 1.0])},
        keys | {"subject": "003", "session": "01", "frequencies": np.array([np.nan])},
    ]
    table = biomarker_table(rows)
    assert code_columns(table) == ["code_000", "code_001", "code_002", "code_003"]
    np.testing.assert_allclose(table.loc[:1, code_columns(table)].sum(axis=1), 1.0)
    assert table.loc[2, code_columns(table)].isna().all()
    assert list(biomarker_table([]).columns)[:5] == ["subject", "kind", "session", "given", "years"]


def _nifti(array: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.ascontiguousarray(array.T), np.eye(4)), path)
    return path


def make_files(folder: Path, subjects: list[str]) -> SimpleNamespace:
    """Three visits a patient and one generated volume; lung density rises by 100 HU a visit, code 1 with it."""
    shape, factor = (8, 16, 16), 4
    mask = np.zeros(shape, np.uint8)
    mask[:, 4:12, 4:12] = 1
    small = mask[::factor, ::factor, ::factor] > 0
    split = []
    for subject in subjects:
        latents, generated = folder / f"extract_latents/sub-{subject}", folder / f"generate_trajectories/sub-{subject}"
        for visit in (1, 2, 3):
            stem = f"sub-{subject}_ses-{visit:02d}"
            volume = np.full(shape, -1000, np.int16)
            volume[mask > 0] = -900 + 100 * visit
            codes = np.zeros(small.shape, np.int16)
            codes[:visit] = 1
            zeros = np.zeros((2, *small.shape), np.float32)
            save_latents(Latents(codes, zeros, zeros, small), latents / f"{stem}_latents.npz")
            _nifti(volume, folder / f"resample/sub-{subject}/{stem}_desc-preproc_ct.nii")
            _nifti(mask, folder / f"resample/sub-{subject}/{stem}_desc-lung_mask.nii.gz")
            smaller = mask.copy()
            smaller[: visit - 1] = 0  # on its own grid the lung shrinks from visit to visit
            _nifti(smaller, folder / f"segment/sub-{subject}/{stem}_desc-lung_mask.nii.gz")
            ratios = {
                "log_volume_ratio": np.log(1 - 0.1 * (visit - 1)),
                "log_mass_ratio": np.log(1 + 0.1 * (visit - 1)),
            }
            write_status(
                Status(True, "resample", metrics=ratios), folder / f"resample/sub-{subject}/{stem}_status.json"
            )
            taken = Status(True, "register", metrics={"differs_in": "kernel; contrast" if visit == 3 else ""})
            write_status(taken, folder / f"register/sub-{subject}/{stem}_status.json")
            split.append({"subject": subject, "session": f"{visit:02d}", "years": visit - 1.0, "split": "train"})
        stem = forecast_stem(subject, ["01", "02"], 2.0)
        _nifti(volume + np.int16(50), generated / f"{stem}_desc-generated_ct.nii.gz")
        save_codes(np.full(small.shape, 5), small, generated / f"{stem}_latents.npz")
        listing = {"subject": subject, "given": "01+02", "years": 2.0, "decoding": "residual"}
        listing["file"] = f"{stem}_desc-generated_ct.nii.gz"
        write_table(pd.DataFrame([listing]), generated / f"sub-{subject}_trajectories.tsv")
    write_table(pd.DataFrame(split, columns=["subject", "session", "years", "split"]), folder / "split.tsv")
    return SimpleNamespace(split=folder / "split.tsv")


def _run(inputs: SimpleNamespace, folder: Path, match: bool = False) -> pd.DataFrame:
    output = SimpleNamespace(table=folder / "biomarkers.tsv", readouts=folder / "readouts.tsv")
    stages = ("segment", "register", "resample", "extract_latents", "generate_trajectories")
    params = SimpleNamespace(folders={stage: folder / stage for stage in stages}, match=match)
    run_job("biomarkers", input=inputs, output=output, params=params, log=[folder / "log.txt"])
    assert output.table.with_suffix(".parquet").exists()
    return read_table(output.table)


def test_script_measures_every_scan_and_every_generated_volume(tmp_path):
    table = _run(make_files(tmp_path, ["001", "002"]), tmp_path)
    assert len(table) == 8
    real = table[table["kind"] == "real"].set_index(["subject", "session"])
    assert real.loc[("001", "01"), "mean_density_hu"] == -800
    assert real.loc[("002", "03"), "mean_density_hu"] == -600
    assert real.loc[("002", "03"), "high_attenuation_percent"] == 100
    assert real.loc[("001", "01"), ["code_000", "code_001"]].tolist() == [0.5, 0.5]
    generated = table[table["kind"] == "generated"].set_index("subject")
    assert generated.loc["001", "given"] == "01+02"
    assert generated.loc["001", "session"] == ""
    assert generated.loc["001", "mean_density_hu"] == -550
    assert generated.loc["001", "code_005"] == 1.0
    np.testing.assert_allclose(table[code_columns(table)].sum(axis=1), 1.0)
    # at the baseline and of generated scans the densities themselves
    same = table[(table["session"] == "01") | (table["kind"] == "generated")]
    assert (same[CORRECTED].to_numpy() == same[DENSITIES].to_numpy()).all()
    assert real.loc[("002", "03"), CORRECTED].tolist() == [pytest.approx(-1000 + 200 * 1.2), 0.0]  # -600 HU times 0.8
    assert real.loc[("002", "02"), "mean_density_hu_corrected"] == pytest.approx(-1000 + 200 * 1.1)


def test_script_brings_visits_to_one_noise_where_it_is_told_to(tmp_path):
    table = _run(make_files(tmp_path, ["001"]), tmp_path, match=True)
    assert table["mean_density_hu"].round(3).tolist() == [-800, -700, -600, -550]  # lungs of one density stay


BANDS = [f"{measure}_{end}" for measure in DENSITIES for end in ("low", "high", "patients")]
BANDS += [f"{volume}_{part}" for volume in FORETOLD for part in ("forecast", "low", "high")]


def test_bands_stand_beside_the_generated_scan_that_they_are_of():
    rows = pd.DataFrame(
        {"subject": ["1", "1"], "kind": ["generated", "real"], "session": ["", "01"], "given": ["01", ""]}
    )
    rows = rows.assign(years=[1.0, 0.0], **dict.fromkeys(READOUTS, 0.0))
    drawn = pd.DataFrame({"subject": ["1"], "given": ["01"], "years": [1.0], "mean_density_hu_low": [-3.0]})
    table = readout_table(rows, drawn).set_index("kind")
    assert table.loc["generated", "mean_density_hu_low"] == -3 and np.isnan(table.loc["real", "mean_density_hu_low"])
    assert table["mean_density_hu_high"].isna().all() and len(table) == 2


def test_a_foretold_change_stands_beside_what_repeat_scans_differ_by():
    kinds = ["real", "real", *["generated"] * 4]
    rows = pd.DataFrame({"subject": "1", "kind": kinds, "session": ["01", "02", "", "", "", ""]})
    rows["given"] = ["", "", *["01+02"] * 4]
    rows = rows.assign(years=[0.0, 1.0, 0.5, 1.0, 2.0, 3.0], **dict.fromkeys(READOUTS, 0.0))
    rows["mean_density_hu"] = [-850.0, -800.0, -820.0, -800.0, -796.0, -780.0]
    drawn = rows[rows["kind"] == "generated"][["subject", "given", "years"]]
    drawn = drawn.assign(mean_density_hu_low=-810.0, mean_density_hu_high=[-700.0, -700.0, -700.0, -801.0])
    drawn = drawn.assign(mean_density_hu_patients=[30.0, 30.0, 10.0, 7.0])
    table = readout_table(rows, drawn).query("kind == 'generated'").set_index("years")[FLOOR_COLUMNS]
    assert table.loc[[0.5, 1.0]].isna()[FLOOR_COLUMNS[:2]].all(axis=None)  # not after the last given scan
    assert table.loc[2.0].tolist() == [4.0, 5.0, "change", ""]
    assert table.loc[3.0].tolist() == [20.0, 5.0, "half of the band", "the band knows 7 patients with such forecasts"]


def test_readouts_for_clinicians(tmp_path):
    _run(make_files(tmp_path, ["001", "002"]), tmp_path)
    table = read_table(tmp_path / "readouts.tsv")
    assert table.columns.tolist() == [
        "subject",
        "kind",
        "session",
        "given",
        "years",
        *READOUTS,
        LOWER,
        OTHERWISE,
        *BANDS,
        *FLOOR_COLUMNS,
    ]
    assert table[BANDS].isna().all(axis=None)  # the model that drew these had none
    assert table["kind"].tolist() == ["generated", "real", "real", "real"] * 2
    one = table[table["subject"] == "001"]
    assert one["given"].tolist() == ["01+02", "", "", ""]
    assert one[OTHERWISE].tolist() == ["", "", "", "kernel; contrast"]
    # 8 x 8 x 8 voxels of 1 mm^3, a slice less a visit; the generated scan lies in the baseline's lung
    np.testing.assert_allclose(one["lung_volume_ml"], [0.512, 0.512, 0.448, 0.384])
    assert one[["skewness", "kurtosis"]].isna().all(axis=None)  # a lung of one density


def test_script_without_any_usable_scan_leaves_an_empty_table(tmp_path):
    table = _run(make_files(tmp_path, []), tmp_path)
    assert table.empty
    assert {"subject", "kind", "session", "given", "years", "mean_density_hu"} <= set(table.columns)
