"""Identifiers planted in every place where a source can hold one, and a search through all that the workflow writes.

The same run then loses a scan by config/qc.tsv.
"""

import gzip
import shutil
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from helpers.ct_files import IDENTIFIERS, OBLIQUE, PLANTED, write_series
from helpers.running import jobs_of, read_json, snakemake, times, write_cohort
from helpers.thorax_phantom import thorax

pytestmark = pytest.mark.slow

# A folder may be named after a patient: Snakemake itself keeps the paths of its inputs, results/ must not.
PATIENT_FOLDER = "Nachname, Förname (2)"
DATES = ["2013-04-05", "2014-06-07"]
FORBIDDEN = [*PLANTED, *DATES, "20140607"]


def named_nifti(image: sitk.Image, path: Path) -> None:
    """A NIfTI with a name in each text of its header, and in an extension."""
    sitk.WriteImage(image, str(path))
    file = nib.load(path)
    file = nib.Nifti1Image(np.asanyarray(file.dataobj), file.affine, file.header)
    file.header["descrip"], file.header["aux_file"] = b"Planted^Person", b"Planted^Person"
    file.header["db_name"], file.header["intent_name"] = b"PLANTED-ID-77", b"PLANTED-ID-77"
    file.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Planted^Person 20130405"))
    nib.save(file, path)


def write_sources(folder: Path) -> list[dict]:
    """Six scans of three patients, in every format, one of them damaged; the rows of scans.tsv."""
    image, truth = thorax(spacing=(4.0, 4.0, 5.0))
    folder.mkdir()
    write_series(folder / "dicom", image, tags=IDENTIFIERS)
    named_nifti(image + 3, folder / "ct.nii.gz")
    mask = sitk.GetImageFromArray((truth > 0).astype(np.uint8))
    mask.CopyInformation(image)
    named_nifti(mask, folder / "mask.nii.gz")
    for name, scan in {"ct.nrrd": image, "ct.mha": image + 6}.items():  # a copy of the visit before would be left out
        for key in ("PatientName", "Comment", "ITK_FileNotes", "0010|0010"):
            scan.SetMetaData(key, "Planted^Person 20130405")
        scan.SetDirection(OBLIQUE)
        sitk.WriteImage(scan, str(folder / name))
    with zipfile.ZipFile(folder / "study.zip", "w") as bundle:
        for file in (folder / "dicom").iterdir():
            bundle.write(file, f"Planted Person/{file.name}")
    write_series(folder / "damaged", image, tags=IDENTIFIERS)
    victim = next((folder / "damaged").iterdir())
    victim.write_bytes(victim.read_bytes()[:-100])
    names = ["dicom", "ct.nii.gz", "ct.nrrd", "ct.mha", "study.zip", "damaged"]
    return [
        {
            "subject": f"00{1 + number // 2}",
            "session": f"0{1 + number % 2}",
            "date": DATES[number % 2],
            "path": f"{folder.name}/{name}",
            "mask": f"{folder.name}/mask.nii.gz" if name == "ct.nii.gz" else "",
        }
        for number, name in enumerate(names)
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run up to the resampled volumes."""
    folder = tmp_path_factory.mktemp("named")
    rows = write_sources(folder / PATIENT_FOLDER)
    write_cohort(folder, pd.DataFrame(rows))
    snakemake("--cores", "2", "scans", folder=folder)
    return folder


def contents(path: Path) -> str:
    """All that a search could find in a file, in lower case: its bytes, unpacked, and the cells of a table."""
    data = path.read_bytes()
    if path.suffix == ".gz" and data:
        data = gzip.decompress(data)
    text = data.decode("latin-1")
    if path.suffix == ".parquet":
        text += pd.read_parquet(path).to_csv()
    return f"{path.name}\n{text}".lower()


def test_the_search_finds_what_was_planted(run):
    for name in ("ct.nii.gz", "ct.nrrd", "ct.mha", "mask.nii.gz"):
        assert PLANTED[0] in contents(run / PATIENT_FOLDER / name), name
    slice_text = contents(next((run / PATIENT_FOLDER / "dicom").iterdir()))
    assert all(text in slice_text for text in PLANTED)
    assert DATES[0] in contents(run / "config/scans.tsv")


def test_nothing_written_names_a_person_a_place_or_a_day(run):
    sources = {run / PATIENT_FOLDER, run / "config"}
    written = [path for path in run.rglob("*") if path.is_file() and not sources & set(path.parents)]
    assert len(written) > 60
    for path in written:
        text = contents(path)
        assert [planted for planted in FORBIDDEN if planted.lower() in text] == [], path


def test_no_result_or_log_names_a_source_path(run):
    for path in (run / "results").rglob("*"):
        assert path.is_dir() or "nachname" not in contents(path), path


def test_shards_say_no_more(run, tmp_path):
    """The Snakemake inside a shard's job names the user's files, which stay out of results/ with its log too."""
    folder = shutil.copytree(run, tmp_path / "run")
    next((folder / "results/resample/sub-001").glob("*_status.json")).unlink()
    snakemake("--cores", "2", "--config", "shard=1", "--", "scans", folder=folder)
    assert len(list((folder / "results/logs/shards/scans").iterdir())) > 1
    assert "nachname" in "".join(contents(path) for path in (folder / ".snakemake/log").iterdir())
    for path in (folder / "results").rglob("*"):
        text = "" if path.is_dir() else contents(path)
        assert [planted for planted in ["nachname", *FORBIDDEN] if planted.lower() in text] == [], path


def test_dates_become_years_and_the_damaged_scan_a_sentence(run):
    table = pd.read_csv(run / "results/split/split.tsv", sep="\t", dtype={"subject": str, "session": str})
    assert set(table["years"].round(2)) == {0.0, 1.17}
    assert len(table) == 5
    status = read_json(run / "results/convert/sub-003/sub-003_ses-02_status.json")
    assert not status["ok"] and status["reason"].endswith("is damaged or cannot be decoded; export the series again.")
    sidecar = read_json(run / "results/convert/sub-001/sub-001_ses-01_ct.json")
    assert (sidecar["series_number"], sidecar["series_found"], sidecar["series_suitable"]) == (2, 1, 1)


def test_every_image_has_one_geometry_for_all_viewers(run):
    images = [path for path in (run / "results").rglob("*.nii*") if path.stat().st_size]
    assert len(images) > 25
    for path in images:
        file, image = nib.load(path), sitk.ReadImage(str(path))
        (qform, qcode), (sform, scode) = file.get_qform(coded=True), file.get_sform(coded=True)
        assert qcode > 0 and scode > 0 and file.header.get_xyzt_units()[0] == "mm", path
        assert qform == pytest.approx(sform, abs=1e-3), path
        for corner in np.ndindex(2, 2, 2):
            index = [int(c * (n - 1)) for c, n in zip(corner, image.GetSize(), strict=True)]
            point = np.array(image.TransformIndexToPhysicalPoint(index)) * [-1, -1, 1]
            assert nib.affines.apply_affine(file.affine, index) == pytest.approx(point, abs=0.01), path


@pytest.mark.parametrize("subject", ["001", "002"])  # axial; oblique
def test_resampled_lungs_are_where_the_scanner_saw_them(run, subject):
    results, name = run / "results", f"sub-{subject}/sub-{subject}_ses-01_desc-lung_mask.nii.gz"
    native, resampled = (lung_centre(results / stage / name) for stage in ("segment", "resample"))
    assert native == pytest.approx(resampled, abs=5.0)  # voxels of the tiny grid are 10 mm and more


def lung_centre(path: Path) -> np.ndarray:
    """World coordinates (RAS, mm) of the middle of a mask."""
    file = nib.load(path)
    voxels = np.argwhere(np.asanyarray(file.dataobj) > 0)
    return nib.affines.apply_affine(file.affine, voxels.mean(axis=0))


def test_a_scan_left_out_by_qc_reruns_only_the_split_and_the_table(run):
    (run / "config/qc.tsv").write_text("subject\tsession\treason\n002\t02\tthe apex is cut off\n")
    before = times(run / "results")
    jobs = jobs_of(snakemake("--cores", "2", "scans", folder=run))
    assert jobs == {"split": 1, "qc": 1, "scans": 1}
    table = pd.read_csv(run / "results/split/split.tsv", sep="\t", dtype=str)
    assert ("002", "02") not in set(zip(table["subject"], table["session"], strict=True)) and len(table) == 4
    after = times(run / "results")
    touched = {name for name in after if after[name] != before.get(name)}
    assert {name.split("/")[0] for name in touched} == {"split", "qc", "logs"}
    assert not jobs_of(snakemake("--cores", "2", "scans", folder=run))
