"""Reading CT: every format gives the same HU at the same physical points, and nothing that names a person."""

import gzip
import json
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from lung4d import ct
from lung4d.archives import unpack
from lung4d.files import UnusableScan, read_status
from one_script import run_script

OBLIQUE = (0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0)
AXIAL = (1, 0, 0, 0, 1, 0, 0, 0, 1)
IDENTIFIERS = {
    "PatientName": "Planted^Person",
    "PatientID": "PLANTED-ID-77",
    "PatientBirthDate": "19410203",
    "StudyDate": "20130405",
    "AcquisitionDate": "20130405",
    "InstitutionName": "Planted Hospital",
    "ReferringPhysicianName": "Planted^Doctor",
    "AccessionNumber": "PLANTED-ACC",
    "StationName": "PLANTEDSTATION",
    "DeviceSerialNumber": "PLANTED-SERIAL",
    "SeriesDescription": "Planted chest 1mm",
}


def volume(size=(40, 36, 24), spacing=(1.5, 1.5, 2.5), origin=(-30.0, -20.0, 100.0), direction=AXIAL):
    """A body of water in air with a ramp along each axis, int16 HU; size and spacing (x, y, z)."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in size[::-1]), indexing="ij")
    hu = np.where((np.abs(x - 20) < 14) & (np.abs(y - 18) < 12), 5 * x + 3 * y + z - 60, -1000).astype(np.int16)
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(np.asarray(direction, float).tolist())
    return image


def write_series(folder: Path, image: sitk.Image, *, slope=1.0, intercept=-1024.0, shift=(0, 0), tags=None, keep=None):
    """Write `image` as a DICOM CT series: one file a slice, shuffled names; `shift` moves each slice in-plane (mm)."""
    folder.mkdir(parents=True, exist_ok=True)
    hu = sitk.GetArrayFromImage(image)
    axes = np.array(image.GetDirection()).reshape(3, 3)
    uid = generate_uid()
    for index in range(len(hu)) if keep is None else keep:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        item = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        item.SOPClassUID, item.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        item.SeriesInstanceUID, item.StudyInstanceUID, item.FrameOfReferenceUID = uid, generate_uid(), generate_uid()
        item.Modality, item.SeriesNumber, item.InstanceNumber = "CT", 2, index + 1
        item.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        item.ConvolutionKernel, item.KVP, item.SliceThickness = ["B70f", "2"], 120, image.GetSpacing()[2]
        item.Manufacturer, item.ManufacturerModelName = "Maker", "Model 64"
        point = np.array(image.TransformIndexToPhysicalPoint((0, 0, index)))
        item.ImagePositionPatient = (point + index * (axes[:, :2] @ np.array(shift, float))).round(6).tolist()
        item.ImageOrientationPatient = axes[:, :2].T.ravel().round(8).tolist()
        item.PixelSpacing = [image.GetSpacing()[1], image.GetSpacing()[0]]
        item.Rows, item.Columns = hu.shape[1:]
        item.SamplesPerPixel, item.PhotometricInterpretation = 1, "MONOCHROME2"
        item.BitsAllocated = item.BitsStored = 16
        item.HighBit, item.PixelRepresentation = 15, 1
        item.RescaleSlope, item.RescaleIntercept = slope, intercept
        for name, value in (tags or {}).items():
            if value is None:
                delattr(item, name)
            else:
                setattr(item, name, value)
        item.PixelData = ((hu[index] - intercept) / slope).round().astype("<i2").tobytes()
        item.save_as(folder / f"{(index * 7919) % 1000:03d}-{index}.dcm")


def same(found: sitk.Image, expected: sitk.Image, at=200):
    """Both images hold the same values at the same physical points."""
    rng = np.random.default_rng(0)
    for index in rng.integers(0, expected.GetSize(), (at, 3)):
        point = expected.TransformIndexToPhysicalPoint(index.tolist())
        assert found[found.TransformPhysicalPointToIndex(point)] == expected[index.tolist()]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".mhd", ".nrrd"])
@pytest.mark.parametrize("direction", [AXIAL, OBLIQUE, (-1, 0, 0, 0, -1, 0, 0, 0, 1), (0, 0, 1, 1, 0, 0, 0, 1, 0)])
def test_formats_and_orientations(tmp_path, suffix, direction):
    image = volume(size=(40, 36, 34), direction=direction)
    sitk.WriteImage(image, str(tmp_path / f"ct{suffix}"))
    scan = ct.read_scan(tmp_path / f"ct{suffix}")
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
    found = sitk.GetArrayFromImage(ct.read_scan(tmp_path / "scaled.nii").image).T
    assert np.abs(found - stored).max() <= 2

    padded = sitk.Cast(image, sitk.sitkFloat32) + 0.4
    padded[0:3, 0:3, :] = -2048.0
    sitk.WriteImage(padded, str(tmp_path / "padded.mha"))
    values = sitk.GetArrayFromImage(ct.read_scan(tmp_path / "padded.mha").image)
    assert values.min() == -1024 and (values[:, 3:, 3:] == sitk.GetArrayViewFromImage(image)[:, 3:, 3:]).all()


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, -1024.0), (1.0, 0.0), (2.0, -2000.0)])
@pytest.mark.parametrize("direction", [AXIAL, OBLIQUE])
def test_dicom_round_trip(tmp_path, slope, intercept, direction):
    image = sitk.Cast(sitk.Round(sitk.Cast(volume(direction=direction), sitk.sitkFloat32) / 2) * 2, sitk.sitkInt16)
    write_series(tmp_path / "deep" / "er", image, slope=slope, intercept=intercept)
    (tmp_path / "notes.txt").write_text("no DICOM")
    scan = ct.read_scan(tmp_path)
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
        same(ct.read_scan(tmp_path / f"{name}.zip").image, image)


@pytest.mark.parametrize(
    "name", ["../escaped.dcm", "/escaped.dcm", "a/../../escaped.dcm", "..\\escaped.dcm", "C:/x.dcm"]
)
def test_zip_that_leaves_its_folder_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as bundle:
        bundle.writestr(name, b"x" * 200)
    with pytest.raises(UnusableScan, match="leads out"):
        ct.read_scan(tmp_path / "in.zip")
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
    assert ct.read_scan(tmp_path).image.GetSize() == (40, 36, 30)
    assert ct.read_scan(tmp_path, "3").image.GetSize() == (40, 36, 15)
    assert ct.read_scan(tmp_path, "thick chest").image.GetSize() == (40, 36, 15)
    uid = str(pydicom.dcmread(next((tmp_path / "thick").iterdir())).SeriesInstanceUID)
    assert ct.read_scan(tmp_path, uid).image.GetSize() == (40, 36, 15)
    with pytest.raises(UnusableScan, match="numbers 1, 3, 4, 5, 6, 7"):
        ct.read_scan(tmp_path, "99")


def test_copies_gaps_and_two_acquisitions(tmp_path):
    image = volume()
    write_series(tmp_path / "a" / "1", image)
    for file in list((tmp_path / "a" / "1").iterdir())[:3]:
        (tmp_path / "a" / f"copy-{file.name}").write_bytes(file.read_bytes())
    scan = ct.read_scan(tmp_path / "a")
    same(scan.image, image)
    assert scan.flags == ["3 slices were in the series twice."]

    write_series(tmp_path / "gap", image, keep=[i for i in range(24) if i != 9])
    scan = ct.read_scan(tmp_path / "gap")
    assert "interpolated" in scan.flags[0] and scan.image.GetSize() == image.GetSize()
    same(scan.image, image)  # the missing slice lies on the ramp between its neighbours

    write_series(tmp_path / "hole", image, keep=[*range(8), *range(13, 24)])
    with pytest.raises(UnusableScan, match="missing: a gap of 15"):
        ct.read_scan(tmp_path / "hole")

    write_series(tmp_path / "two" / "in", image, tags={"SeriesInstanceUID": "1.2.3", "AcquisitionNumber": 1})
    write_series(
        tmp_path / "two" / "ex", image - 7, tags={"SeriesInstanceUID": "1.2.3", "AcquisitionNumber": 2}, keep=range(20)
    )
    same(ct.read_scan(tmp_path / "two").image, image)
    write_series(tmp_path / "mix" / "in", image, tags={"SeriesInstanceUID": "1.2.3"})
    write_series(tmp_path / "mix" / "ex", image - 7, tags={"SeriesInstanceUID": "1.2.3"})
    with pytest.raises(UnusableScan, match="different images at the same position"):
        ct.read_scan(tmp_path / "mix")


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
    scan = ct.read_scan(tmp_path / "tilt")
    assert "tilted" in scan.flags[0]
    for point in [(0.0, 20.0, 110.0), (5.0, 33.0, 150.0), (-10.0, 50.0, 125.0)]:
        assert scan.image[scan.image.TransformPhysicalPointToIndex(point)] == pytest.approx(10 * point[1], abs=8)


def refusals(folder: Path):
    """Bad inputs by name: what to read and what its sentence says."""
    image = volume()
    hu = sitk.GetArrayFromImage(image)

    def write(name, array):
        sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / name))
        return folder / name

    (folder / "empty.nii.gz").write_bytes(b"")
    (folder / "text.nii.gz").write_text("not an image")
    (folder / "text.zip").write_text("not a zip")
    (folder / "scan.pdf").write_text("%PDF")
    (folder / "nothing").mkdir()
    sitk.WriteImage(image, str(folder / "whole.nii.gz"))
    sitk.WriteImage(image, str(folder / "whole.nii"))
    for name, source in {"cut.nii.gz": "whole.nii.gz", "cut.nii": "whole.nii"}.items():
        content = (folder / source).read_bytes()
        (folder / name).write_bytes(content[: int(0.8 * len(content))])
    nib.save(nib.Nifti1Image(np.zeros((40, 36, 24, 3), np.int16), np.eye(4)), folder / "4d.nii")
    write_series(folder / "colour", image, keep=range(4))
    write_series(folder / "raw", image + 1024, intercept=0.0, tags={"RescaleIntercept": None, "RescaleSlope": None})
    broken = folder / "broken"
    write_series(broken, image)
    victim = sorted(broken.iterdir())[5]
    victim.write_bytes(victim.read_bytes()[:-2000])
    not_finite = hu.astype(np.float32)
    not_finite[3, 4, 5] = np.nan
    far = volume(spacing=(1.5, 1.5, 20.0))
    sitk.WriteImage(far, str(folder / "far.nii"))
    return {
        "empty.nii.gz": "empty",
        "text.nii.gz": "cannot be read",
        "cut.nii.gz": "cut short",
        "cut.nii": "cut short",
        "text.zip": "damaged",
        "scan.pdf": "Unknown format",
        "nothing": "neither DICOM nor",
        "4d.nii": "3 volumes",
        "colour": "at least 10 slices",
        "raw": "no rescale intercept",
        "broken": "damaged or cannot be decoded",
        write("flat.mha", hu[0]).name: "single image",
        write("few.mha", hu[:5]).name: "Only 5 slices",
        write("constant.mha", np.full((20, 40, 40), -1000, np.int16)).name: "same value",
        write("unsigned.mha", (hu + 1024).astype(np.uint16)).name: "not Hounsfield",
        write("nan.mha", not_finite).name: "not finite",
        "far.nii": "20.0 mm apart",
    }


def test_bad_inputs_are_refused_in_a_sentence(tmp_path):
    for name, expected in refusals(tmp_path).items():
        with pytest.raises(UnusableScan) as caught:
            ct.read_scan(tmp_path / name)
            pytest.fail(f"{name} was read")
        sentence = str(caught.value)
        assert expected in sentence and sentence.endswith(".") and str(tmp_path) not in sentence, name
    with pytest.raises(FileNotFoundError):
        ct.read_scan(tmp_path / "absent.nii")


def test_noise_is_left_to_segment(tmp_path):
    noise = np.random.default_rng(0).normal(-300, 400, (30, 40, 40)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(tmp_path / "noise.nii.gz"))
    assert ct.read_scan(tmp_path / "noise.nii.gz").image.GetSize() == (40, 40, 30)


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


def run_convert(source: Path, out: Path, series=None) -> None:
    output = {"ct": out / "ct.nii.gz", "sidecar": out / "ct.json", "status": out / "status.json"}
    run_script("convert", {"source": source}, output, {"path": str(source), "series": series}, out / "convert.log")


def test_script_hands_on_a_bad_scan(tmp_path):
    (tmp_path / "bad.nii").write_bytes(b"")
    run_convert(tmp_path / "bad.nii", tmp_path / "out")
    status = read_status(tmp_path / "out" / "status.json")
    assert (status.ok, status.stage, status.reason) == (False, "convert", "The file is empty.")
    assert (tmp_path / "out" / "ct.nii.gz").read_bytes() == b""


def test_script_writes_what_viewers_open(tmp_path):
    image = volume(direction=OBLIQUE)
    sitk.WriteImage(image, str(tmp_path / "ct.mha"))
    run_convert(tmp_path / "ct.mha", tmp_path / "out")
    same(sitk.ReadImage(str(tmp_path / "out" / "ct.nii.gz")), image)
    file = nib.load(tmp_path / "out" / "ct.nii.gz")
    point = np.diag([-1, -1, 1, 1]) @ file.affine @ [10, 20, 5, 1]
    assert point[:3] == pytest.approx(image.TransformIndexToPhysicalPoint((10, 20, 5)), abs=1e-3)
    assert file.get_data_dtype() == np.int16
    facts = json.loads((tmp_path / "out" / "ct.json").read_text())
    assert facts["format"] == "MetaImage" and facts["size"] == [40, 36, 24]
