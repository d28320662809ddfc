"""Reading CT: every format gives the same HU at the same physical points, and nothing that names a person."""

import gzip
import itertools
import json
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from helpers import real_data
from helpers.ct_files import AXIAL, IDENTIFIERS, OBLIQUE, same, volume, write_series
from helpers.scripts import run_script
from lung4d.convert import read
from lung4d.convert.archives import unpack
from lung4d.convert.dicom.choice import choose_series
from lung4d.convert.dicom.headers import Slice
from lung4d.convert.volumes.names import companions
from lung4d.io.hounsfield import AIR
from lung4d.io.status import UnusableScan, read_status


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".mhd", ".nrrd"])
@pytest.mark.parametrize("direction", [AXIAL, OBLIQUE, (-1, 0, 0, 0, -1, 0, 0, 0, 1), (0, 0, 1, 1, 0, 0, 0, 1, 0)])
def test_formats_and_orientations(tmp_path, suffix, direction):
    image = volume(size=(40, 36, 34), direction=direction)
    sitk.WriteImage(image, str(tmp_path / f"ct{suffix}"))
    scan = read.read_scan(tmp_path / f"ct{suffix}")
    same(scan.image, image)
    axes = np.array(scan.image.GetDirection()).reshape(3, 3)
    assert (np.argmax(np.abs(axes), axis=0) == [0, 1, 2]).all() and (np.diag(axes) > 0).all()
    assert scan.image.GetPixelID() == sitk.sitkInt16
    assert axes[0, 1] == pytest.approx(-0.28 if direction == OBLIQUE else 0, abs=1e-6)  # oblique stays oblique


def test_nifti_scaling_padding_and_floats(tmp_path):
    image = volume()
    stored = sitk.GetArrayFromImage(image).T
    file = nib.Nifti1Image((stored / 2 + 512).astype(np.int16), np.diag([-1.5, -1.5, 2.5, 1]))
    file.header.set_slope_inter(2, -1024)
    nib.save(file, tmp_path / "scaled.nii")
    raw = np.frombuffer((tmp_path / "scaled.nii").read_bytes()[352:], np.int16)
    assert raw.min() != sitk.GetArrayViewFromImage(image).min()
    found = sitk.GetArrayFromImage(read.read_scan(tmp_path / "scaled.nii").image).T
    assert np.abs(found - stored).max() <= 2

    padded = sitk.Cast(image, sitk.sitkFloat32) + 0.4
    padded[0:3, 0:3, :] = -2048.0
    sitk.WriteImage(padded, str(tmp_path / "padded.mha"))
    values = sitk.GetArrayFromImage(read.read_scan(tmp_path / "padded.mha").image)
    assert values.min() == -1024 and (values[:, 3:, 3:] == sitk.GetArrayViewFromImage(image)[:, 3:, 3:]).all()


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, -1024.0), (1.0, 0.0), (2.0, -2000.0)])
@pytest.mark.parametrize("direction", [AXIAL, OBLIQUE])
def test_dicom_round_trip(tmp_path, slope, intercept, direction):
    image = sitk.Cast(sitk.Round(sitk.Cast(volume(direction=direction), sitk.sitkFloat32) / 2) * 2, sitk.sitkInt16)
    write_series(tmp_path / "deep" / "er", image, slope=slope, intercept=intercept)
    (tmp_path / "notes.txt").write_text("no DICOM")
    scan = read.read_scan(tmp_path)
    same(scan.image, image)
    assert scan.facts["kernel"] == "B70f 2" and scan.facts["kvp"] == 120 and scan.facts["slice_thickness_mm"] == 2.5
    assert scan.facts["spacing_mm"] == pytest.approx([1.5, 1.5, 2.5]) and scan.facts["size"] == [40, 36, 24]


def test_zip_of_dicom_and_of_one_volume(tmp_path):
    image = volume()
    write_series(tmp_path / "series", image)
    sitk.WriteImage(image, str(tmp_path / "ct.nrrd"))
    for name, files in {"dicom": sorted((tmp_path / "series").iterdir()), "nrrd": [tmp_path / "ct.nrrd"]}.items():
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as bundle:
            for file in files:
                bundle.write(file, f"a/b/{file.name}")
        same(read.read_scan(tmp_path / f"{name}.zip").image, image)


@pytest.mark.parametrize(
    "name", ["../escaped.dcm", "/escaped.dcm", "a/../../escaped.dcm", "..\\escaped.dcm", "C:/x.dcm"]
)
def test_zip_that_leaves_its_folder_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as bundle:
        bundle.writestr(name, b"x" * 200)
    with pytest.raises(UnusableScan, match="leads out"):
        read.read_scan(tmp_path / "in.zip")
    assert not list(tmp_path.glob("**/escaped*"))


def test_zip_limits_links_and_damage(tmp_path):
    (tmp_path / "out").mkdir()
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("zeros", bytes(5_000_000))
    with pytest.raises(UnusableScan, match="more than its limit"):
        unpack(tmp_path / "bomb.zip", tmp_path / "out", most_bytes=1_000_000)
    with pytest.raises(UnusableScan, match="at most 0"):
        unpack(tmp_path / "bomb.zip", tmp_path / "out", most_entries=0)
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as bundle:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        bundle.writestr(link, "/etc/passwd")
    with pytest.raises(UnusableScan, match="symbolic link"):
        unpack(tmp_path / "link.zip", tmp_path / "out")
    (tmp_path / "half.zip").write_bytes((tmp_path / "bomb.zip").read_bytes()[:900])
    with pytest.raises(UnusableScan, match="damaged"):
        unpack(tmp_path / "half.zip", tmp_path / "out")


def test_series_rule_and_override(tmp_path):
    thin, thick = volume(size=(40, 36, 30)), volume(size=(40, 36, 15), spacing=(1.5, 1.5, 5.0))
    coronal = volume(size=(40, 36, 34), direction=(1, 0, 0, 0, 0, 1, 0, -1, 0))
    write_series(tmp_path / "thick", thick, tags={"SeriesNumber": 3, "SeriesDescription": "Thick Chest"})
    write_series(tmp_path / "thin", thin, tags={"SeriesNumber": 4})
    write_series(tmp_path / "coronal", coronal, tags={"SeriesNumber": 5})
    write_series(
        tmp_path / "mip",
        volume(size=(40, 36, 34)),
        tags={"SeriesNumber": 6, "ImageType": ["DERIVED", "SECONDARY", "MIP"]},
    )
    write_series(tmp_path / "pet", volume(size=(40, 36, 34)), tags={"SeriesNumber": 7, "Modality": "PT"})
    write_series(tmp_path / "scout", volume(size=(40, 36, 2)), tags={"SeriesNumber": 1})
    scan = read.read_scan(tmp_path)
    assert scan.image.GetSize() == (40, 36, 30)
    assert [scan.facts[name] for name in ("series_number", "series_found", "series_suitable")] == [4, 6, 2]
    assert read.read_scan(tmp_path, "3").image.GetSize() == (40, 36, 15)
    assert read.read_scan(tmp_path, "thick chest").image.GetSize() == (40, 36, 15)
    uid = str(pydicom.dcmread(next((tmp_path / "thick").iterdir())).SeriesInstanceUID)
    assert read.read_scan(tmp_path, uid).image.GetSize() == (40, 36, 15)
    with pytest.raises(UnusableScan, match="numbers 1, 3, 4, 5, 6, 7"):
        read.read_scan(tmp_path, "99")


@pytest.mark.parametrize(
    ("why", "better", "other"),
    [
        ("1 mm beside 5 mm", (1.0, 260, {}), (5.0, 260, {})),
        ("5 mm of all beside 1 mm of a part", (5.0, 260, {}), (1.0, 120, {})),
        ("1 mm of the chest beside 5 mm of chest and abdomen", (1.0, 250, {}), (5.0, 600, {})),
        ("thin slices beside thin slices far apart", (2.0, 260, {}), (10.0, 260, {"SliceThickness": 1.0})),
        ("Siemens, sharp beside soft", (1.0, 260, {}), (1.0, 260, {"ConvolutionKernel": "B30f"})),
        ("GE", (1.0, 260, {"ConvolutionKernel": "LUNG"}), (1.0, 260, {"ConvolutionKernel": "STANDARD"})),
        ("Philips", (1.0, 260, {"ConvolutionKernel": "YC"}), (1.0, 260, {"ConvolutionKernel": "B"})),
        ("Canon", (1.0, 260, {"ConvolutionKernel": "FC51"}), (1.0, 260, {"ConvolutionKernel": "FC08"})),
        ("supine beside prone", (1.0, 260, {"PatientPosition": "FFS"}), (1.0, 260, {"PatientPosition": "HFP"})),
        ("inspiration", (1.0, 250, {"SeriesDescription": "INSP 1mm"}), (1.0, 260, {"SeriesDescription": "LUNG_EXP"})),
        ("the lower number where all else is the same", (1.0, 260, {}), (1.0, 260, {"SeriesNumber": 8})),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_rule_decides(why, better, other):
    """Each series is (slice spacing in mm, span in mm, tags); the other comes first, with the lower number."""
    slices = [*headers(other, 3), *headers(better, 7)]
    chosen, _ = choose_series(slices)
    assert len(chosen) == better[1] // better[0] and chosen[0].header.SeriesInstanceUID == "7"


def headers(series, number):
    """Slices without files: what the rule looks at."""
    spacing, span, tags = series
    tags = {"SeriesNumber": number, "SliceThickness": spacing, "ConvolutionKernel": ["B70f", "2"], **tags}
    header = pydicom.Dataset()
    header.update({"Modality": "CT", "PixelSpacing": [0.7, 0.7], "SeriesInstanceUID": str(number)})
    for name, value in tags.items():
        setattr(header, name, value)
    directions = np.eye(3)[:2]
    return [Slice(Path("none"), header, directions, np.array([0, 0, i * spacing])) for i in range(int(span / spacing))]


def test_gantry_tilt_is_undone(tmp_path):
    """A plane that is straight in space is straight again in the resampled volume, at the right place."""
    true = volume(size=(40, 60, 24), spacing=(1.5, 1.5, 2.5))
    shift = 0.6  # mm a slice along y, tan(13 degrees) * 2.5 mm
    grid = np.arange(60) * 1.5 - 20.0
    tilted = sitk.GetArrayFromImage(true).astype(float)
    for index in range(24):
        tilted[index] = (10 * (grid + index * shift))[:, None]  # HU = 10 * y of the patient
    tilted[:, :2] = -1000
    image = sitk.GetImageFromArray(tilted.round().astype(np.int16))
    image.CopyInformation(true)
    write_series(tmp_path / "tilt", image, shift=(0, shift))
    scan = read.read_scan(tmp_path / "tilt")
    assert "tilted" in scan.flags[0]
    for point in [(0.0, 20.0, 110.0), (5.0, 33.0, 150.0), (-10.0, 50.0, 125.0)]:
        assert scan.image[scan.image.TransformPhysicalPointToIndex(point)] == pytest.approx(10 * point[1], abs=8)


def test_what_a_sidecar_says_of_the_acquisition_is_told_as_in_dicom(tmp_path):
    sitk.WriteImage(volume(), str(tmp_path / "ct.nii.gz"))
    told = {"SliceThickness": 2.5, "ConvolutionKernel": ["B70f", "2"], "PatientPosition": "FFP", "PatientName": "P"}
    (tmp_path / "ct.json").write_text(json.dumps(told))
    facts = read.read_scan(tmp_path / "ct.nii.gz").facts
    assert (facts["slice_thickness_mm"], facts["kernel"], facts["patient_position"]) == (2.5, "B70f 2", "FFP")
    assert "P" not in facts.values()


def test_a_changed_sidecar_or_file_of_voxels_makes_convert_due(tmp_path):
    sitk.WriteImage(volume(), str(tmp_path / "ct.mhd"))
    (tmp_path / "ct.json").write_text("{}")
    (tmp_path / "other.json").write_text("{}")
    assert companions(str(tmp_path / "ct.mhd")) == [str(tmp_path / "ct.json"), str(tmp_path / "ct.raw")]
    assert companions(str(tmp_path)) == companions(str(tmp_path / "gone.nii.gz")) == []


def test_a_scan_that_is_gone_is_no_fault_of_the_scan(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        read.read_scan(tmp_path / "absent.nii")
    assert str(tmp_path) not in str(caught.value)


def test_noise_is_left_to_segment(tmp_path):
    noise = np.random.default_rng(0).normal(-300, 400, (30, 40, 40)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(tmp_path / "noise.nii.gz"))
    assert read.read_scan(tmp_path / "noise.nii.gz").image.GetSize() == (40, 40, 30)


def test_no_identifier_survives(tmp_path):
    image = volume()
    write_series(tmp_path / "series", image, tags=IDENTIFIERS)
    for key in ("descrip", "aux_file", "ITK_FileNotes", "PatientName"):
        image.SetMetaData(key, "Planted^Person")
    sitk.WriteImage(image, str(tmp_path / "named.nrrd"))
    file = nib.Nifti1Image(sitk.GetArrayFromImage(image).T, np.eye(4))
    file.header["descrip"] = b"Planted^Person"
    file.header["db_name"] = b"PLANTED-ID-77"
    file.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Planted^Person"))
    nib.save(file, tmp_path / "named.nii.gz")
    planted = [text.encode() for text in ["Planted", "PLANTED", "19410203", "20130405"]]
    for number, source in enumerate(["series", "named.nrrd", "named.nii.gz"]):
        out = tmp_path / f"out-{number}"
        run_convert(tmp_path / source, out)
        written = [path for path in out.rglob("*") if path.is_file()]
        assert len(written) == 4
        for path in written:
            content = path.read_bytes()
            content = content if path.suffix != ".gz" else gzip.decompress(content)
            assert not [text for text in planted if text in content], path.name
        assert read_status(out / "status.json").ok


def run_convert(source: Path, out: Path, series=None, kernel=None) -> None:
    output = {"ct": out / "ct.nii.gz", "sidecar": out / "ct.json", "status": out / "status.json"}
    params = {"path": str(source), "series": series, "kernel": kernel}
    run_script("convert", {"source": source}, output, params, out / "convert.log")


def test_script_hands_on_a_bad_scan(tmp_path):
    (tmp_path / "bad.nii").write_bytes(b"")
    run_convert(tmp_path / "bad.nii", tmp_path / "out")
    status = read_status(tmp_path / "out" / "status.json")
    assert (status.ok, status.stage, status.reason) == (False, "convert", "The file is empty; copy it again.")
    assert (tmp_path / "out" / "ct.nii.gz").read_bytes() == b""


def test_script_writes_what_viewers_open(tmp_path):
    image = volume(direction=OBLIQUE)
    sitk.WriteImage(image, str(tmp_path / "ct.mha"))
    run_convert(tmp_path / "ct.mha", tmp_path / "out", kernel="very sharp")
    same(sitk.ReadImage(str(tmp_path / "out" / "ct.nii.gz")), image)
    file = nib.load(tmp_path / "out" / "ct.nii.gz")
    point = np.diag([-1, -1, 1, 1]) @ file.affine @ [10, 20, 5, 1]
    assert point[:3] == pytest.approx(image.TransformIndexToPhysicalPoint((10, 20, 5)), abs=1e-3)
    assert file.get_data_dtype() == np.int16
    facts = json.loads((tmp_path / "out" / "ct.json").read_text())
    assert facts["format"] == "MetaImage" and facts["size"] == [40, 36, 24]
    assert facts["kernel_in_table"] == "very sharp" and "contrast" not in facts
    assert read_status(tmp_path / "out" / "status.json").metrics["kernel"] == "very sharp"


ORIENTATIONS = ("LPS", "RAS", "LAS", "RPI", "PSR", "AIL", "SRA", "oblique", "oblique RAS", "double oblique PIR")


def orientation(name):
    """Direction cosines by the letters of an orientation, turned by 20 and 10 degrees where it is (double) oblique."""
    letters = name.split()[-1] if name.split()[-1].isupper() else "LPS"
    axes = np.array(sitk.DICOMOrientImageFilter.GetDirectionCosinesFromOrientation(letters)).reshape(3, 3)
    turn = sitk.Euler3DTransform()
    turn.SetRotation(np.deg2rad(10.0 if "double" in name else 0.0), 0.0, np.deg2rad(20.0 if "oblique" in name else 0.0))
    return (np.array(turn.GetMatrix()).reshape(3, 3) @ axes).ravel()


def assert_marks_are_in_place(original: sitk.Image, written: Path, marks: list[tuple[int, int, int]]):
    """Marked voxels of `original` lie at the same points of the written file, by SimpleITK and by nibabel's affine."""
    image, file = sitk.ReadImage(str(written)), nib.load(written)
    values = np.asanyarray(file.dataobj)
    assert nib.aff2axcodes(file.affine) == ("L", "P", "S")
    assert np.prod(image.GetSpacing()) == pytest.approx(np.prod(original.GetSpacing()), rel=1e-4)
    assert sorted(image.GetSize()) == sorted(original.GetSize())
    for mark in marks:
        point = original.TransformIndexToPhysicalPoint(mark)
        where = image.TransformPhysicalPointToContinuousIndex(point)
        assert np.abs(np.array(where) - np.rint(where)).max() < 2e-3
        assert image[np.rint(where).astype(int).tolist()] == original[mark]
        ras = np.append(np.array(point) * [-1, -1, 1], 1)
        assert values[tuple(np.rint(np.linalg.inv(file.affine) @ ras)[:3].astype(int))] == original[mark]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        *itertools.product(ORIENTATIONS, ["ct.nii.gz", "ct.nrrd", "ct.mha"]),
        *((name, "DICOM") for name in ("LPS", "RAS", "LAS", "RPI", "oblique", "oblique RAS")),
    ],
)
def test_every_voxel_stays_where_it_was(tmp_path, name, form):
    image = volume(size=(40, 36, 34), spacing=(0.7, 1.1, 2.3), direction=orientation(name))
    marks = [(1, 2, 3), (37, 5, 30), (20, 33, 11), (39, 35, 33)]
    for number, mark in enumerate(marks):
        image[mark] = 1000 + number
    source = tmp_path / form
    if form == "DICOM":
        write_series(source, image)
    else:
        sitk.WriteImage(image, str(source))
    run_convert(source, tmp_path / "out")
    assert_marks_are_in_place(image, tmp_path / "out" / "ct.nii.gz", marks)


@pytest.mark.skipif(real_data.folder() is None, reason=real_data.REASON)
def test_a_real_oblique_scan_stays_where_it_was(tmp_path):
    source = real_data.folder() / "ct64" / "ct-64-transformed.nrrd"
    run_convert(source, tmp_path / "out")
    original = sitk.ReadImage(str(source))
    original = sitk.Cast(sitk.Clamp(original, lowerBound=AIR), sitk.sitkInt16)
    rng = np.random.default_rng(0)
    marks = [tuple(map(int, mark)) for mark in rng.integers(0, original.GetSize(), (100, 3))]
    assert_marks_are_in_place(original, tmp_path / "out" / "ct.nii.gz", marks)
