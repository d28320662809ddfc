"""The small leaves: whole files or none, statuses, names, tables, volumes and latents on disk."""

import gzip
import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from lung4d.io import latents, names, nifti, tables, volumes
from lung4d.io.atomic import atomic, leave_empty, read_json, write_json, write_text
from lung4d.io.status import Status, first_failure, read_status, write_status


def test_atomic_leaves_the_old_file_on_an_error(tmp_path):
    path = tmp_path / "deep" / "a.nii.gz"
    write_text("old", path)
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        assert temporary.name.endswith("a.nii.gz") and temporary.parent == path.parent
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and list(path.parent.iterdir()) == [path]
    with atomic(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new" and list(path.parent.iterdir()) == [path]
    with pytest.raises(FileNotFoundError), atomic(path):
        pass  # nothing was written
    assert path.read_text() == "new"


def test_json_refuses_nan(tmp_path):
    write_json({"a": [1, None, "é"]}, tmp_path / "a.json")
    assert read_json(tmp_path / "a.json") == {"a": [1, None, "é"]}
    with pytest.raises(ValueError):
        write_json({"a": float("nan")}, tmp_path / "b.json")
    assert not (tmp_path / "b.json").exists()


def test_statuses(tmp_path):
    good = Status(True, "segment", metrics={"volume_ml": 3000.5, "kernel": None}, flags=["Look at it."])
    bad = Status(False, "convert", "The file is empty.", metrics={"x": 1})
    write_status(good, tmp_path / "good.json")
    write_status(bad, tmp_path / "bad.json")
    assert replace(read_status(tmp_path / "good.json"), digest="") == good
    assert first_failure(tmp_path / "good.json") is None
    handed_on = first_failure(tmp_path / "good.json", tmp_path / "bad.json")
    assert handed_on == Status(False, "convert", "The file is empty.")
    leave_empty(tmp_path / "new" / "a.nii", tmp_path / "b.nii")
    assert (tmp_path / "new" / "a.nii").read_bytes() == b"" == (tmp_path / "b.nii").read_bytes()


def test_a_status_has_a_digest_of_all_files_so_far(tmp_path):
    def digest(content, name, before=()):
        (tmp_path / "ct.nii").write_bytes(content)
        path = tmp_path / name
        write_status(Status(True, "convert"), path, [tmp_path / "ct.nii", path], before)
        return read_status(path).digest

    first = digest(b"a", "1.json")
    assert len(first) == 16 and digest(b"a", "2.json") == first != digest(b"b", "3.json")
    after = [digest(b"c", f"{name}-after.json", [tmp_path / f"{name}.json"]) for name in "123"]
    assert after[0] == after[1] != after[2]


@pytest.mark.parametrize(
    ("name", "entities"),
    [
        ("sub-001_ses-02_ct.nii.gz", {"sub": "001", "ses": "02", "suffix": "ct"}),
        ("x/sub-001_ses-02_desc-preproc_ct.nii", {"sub": "001", "ses": "02", "desc": "preproc", "suffix": "ct"}),
        (
            "sub-A1_given-01+02_years-3.500_desc-generated_ct.nii.gz",
            {"sub": "A1", "given": "01+02", "years": "3.500", "desc": "generated", "suffix": "ct"},
        ),
        (
            "sub-001_given-01+02_years-3.500_latents.npz",
            {"sub": "001", "given": "01+02", "years": "3.500", "suffix": "latents"},
        ),
        ("sub-001_ses-02_status.json", {"sub": "001", "ses": "02", "suffix": "status"}),
        ("sub-001", {"sub": "001"}),
        ("sub-001_given-01_years-2.500", {"sub": "001", "given": "01", "years": "2.500"}),
    ],
)
def test_names(name, entities):
    assert names.parse_name(name) == entities


def test_names_of_scans_and_forecasts():
    assert names.scan_of("results/resample/sub-01/sub-01_ses-2_desc-lung_mask.nii.gz") == ("01", "2")
    assert names.forecast_stem("001", ["01", "02"], 3.50049) == "sub-001_given-01+02_years-3.500"


def test_tables_keep_identifiers_and_have_a_twin(tmp_path):
    frame = pd.DataFrame(
        {
            "subject": ["01", "NA"],
            "session": ["007", "1e5"],
            "years": [0.0, np.nan],
            "split": ["train", None],
            "n": [1, 2],
        }
    )
    tables.write_table(frame, tmp_path / "a.tsv")
    for path in (tmp_path / "a.tsv", tmp_path / "a.parquet"):
        read = tables.read_table(path)
        assert list(read["subject"]) == ["01", "NA"] and list(read["session"]) == ["007", "1e5"]
        assert read["years"][0] == 0 and np.isnan(read["years"][1]) and read["split"].isna()[1]
    empty = pd.DataFrame(columns=["subject", "session", "stage", "reason"], dtype=str)
    tables.write_table(empty, tmp_path / "empty.tsv")
    assert list(tables.read_table(tmp_path / "empty.tsv").columns) == list(empty.columns)


def test_window_there_and_back():
    hu = np.array([-2000.0, -1000, -250, 500, 900])
    unit = volumes.to_unit(hu, (-1000, 500))
    assert unit.dtype == np.float32 and unit == pytest.approx([-0.5, -0.5, 0, 0.5, 0.5])
    assert volumes.from_unit(unit, (-1000, 500)) == pytest.approx([-1000, -1000, -250, 500, 500], abs=1e-3)
    assert volumes.from_unit(np.array([0.7]), (-1000, 500)) == pytest.approx([500])


def test_volumes_are_memory_mapped_and_written_like_another(tmp_path):
    hu = np.random.default_rng(0).integers(-1000, 500, (4, 5, 6)).astype(np.int16)
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((10.0, -20.0, 30.0))
    image.SetDirection((0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0))
    sitk.WriteImage(image, str(tmp_path / "a.nii"))
    volume = volumes.open_volume(tmp_path / "a.nii")
    assert isinstance(volume, np.memmap) and (volume == hu).all()
    volume[0, 0, 0] = 1  # a copy on write: nobody changes another stage's file
    assert (volumes.open_volume(tmp_path / "a.nii") == hu).all()
    for name in ("b.nii", "b.nii.gz"):
        volumes.write_like(hu + 0.4, tmp_path / "a.nii", tmp_path / name)
        again = sitk.ReadImage(str(tmp_path / name))
        assert (sitk.GetArrayViewFromImage(again) == hu).all()
        for index in [(0, 0, 0), (5, 4, 3)]:
            expected = image.TransformIndexToPhysicalPoint(index)
            assert again.TransformIndexToPhysicalPoint(index) == pytest.approx(expected, abs=1e-4)
    sitk.WriteImage(sitk.Cast(image > 0, sitk.sitkUInt8) * 2, str(tmp_path / "m.nii.gz"))
    assert (volumes.open_mask(tmp_path / "m.nii.gz") == (hu > 0)).all()
    assert nib.load(tmp_path / "b.nii").header["descrip"].item() == b""


def test_values_beyond_int16_are_clipped(tmp_path):
    sitk.WriteImage(sitk.Image(3, 3, 3, sitk.sitkInt16), str(tmp_path / "a.nii"))
    volumes.write_like(np.full((3, 3, 3), 40000.0), tmp_path / "a.nii", tmp_path / "b.nii")
    assert (volumes.open_volume(tmp_path / "b.nii") == 32767).all()


def test_latents_there_and_back(tmp_path):
    rng = np.random.default_rng(0)
    saved = latents.Latents(
        codes=rng.integers(0, 256, (2, 3, 4)).astype(np.int16),
        embeddings=rng.normal(size=(5, 2, 3, 4)).astype(np.float32),
        continuous=rng.normal(size=(5, 2, 3, 4)).astype(np.float32),
        mask=rng.random((2, 3, 4)) > 0.5,
    )
    path = tmp_path / "sub-001_ses-01_latents.npz"
    latents.save_latents(saved, path)
    found = latents.load_latents(path)
    for name in ("codes", "embeddings", "continuous", "mask"):
        assert (getattr(found, name) == getattr(saved, name)).all()
        assert getattr(found, name).dtype == getattr(saved, name).dtype
    codes, mask = latents.load_codes(path)
    assert (codes == saved.codes).all() and (mask == saved.mask).all()
    latents.save_codes(saved.codes.astype(int), saved.mask, tmp_path / "codes.npz")
    assert latents.load_codes(tmp_path / "codes.npz")[0].dtype == np.int16


def test_pooled_mask():
    mask = np.zeros((8, 8, 8), bool)
    mask[3, 4, 7] = True
    pooled = latents.pool_mask(mask, 4)
    assert pooled.shape == (2, 2, 2) and pooled[0, 1, 1] and pooled.sum() == 1


def test_status_file_is_readable_json(tmp_path):
    write_status(Status(True, "convert"), tmp_path / "s.json")
    assert set(json.loads((tmp_path / "s.json").read_text())) == {"ok", "stage", "reason", "metrics", "flags", "digest"}


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("ending", ["nii", "nii.gz", "NII.GZ"])
def test_a_nifti_file_is_as_long_as_nibabel_says(tmp_path, kind, order, ending):
    image = kind(np.ones((3, 4, 5, 2), "int16"), np.eye(4), kind.header_class(endianness=order))
    image.header.extensions.append(nib.nifti1.Nifti1Extension(6, b"a comment of a scanner"))
    path, plain = tmp_path / f"a.{ending}", tmp_path / "plain.nii"
    image.to_filename(plain)
    unpacked = plain.read_bytes()
    assert len(unpacked) > 600
    path.write_bytes(gzip.compress(unpacked) if ending.lower().endswith("gz") else unpacked)
    assert nifti.promised_bytes(path) == len(unpacked) and nifti.is_whole(path)
    for length in (len(unpacked) - 1, 300, 2, 0):
        path.write_bytes(gzip.compress(unpacked[:length]) if ending.lower().endswith("gz") else unpacked[:length])
        assert not nifti.is_whole(path)


def test_what_begins_otherwise_is_no_nifti_file(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"NRRD0004" + bytes(1000))
    with pytest.raises(ValueError, match="no header of a NIfTI file"):
        nifti.promised_bytes(tmp_path / "a.nii")
    assert not nifti.is_whole(tmp_path / "a.nii") and not nifti.is_whole(tmp_path / "none.nii")
