"""Inputs as hospitals really deliver them, and what each must give: the cases of test_bad_inputs.py, and the rows of
docs/bad-inputs.md.

Every handled case must give the HU of `volume()` at the same physical points, with exactly the flags named here; every
refused one exactly its sentence.
"""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from helpers import acquisition_cases
from helpers.ct_files import compress, volume, write_enhanced, write_series

HEADER_NUMBERS = "header numbers before geometry"
COPY = "it is cut short or damaged; copy it again."


@dataclass(frozen=True)
class Case:
    """`words` for the table, `write` makes the input in a folder and returns its path; `handled` says how, or `refused`
    is the sentence. `series` is the column of scans.tsv. Of `resampled` values other tests know more. `kind` names what
    goes wrong, where it goes wrong in many ways."""

    words: str
    write: Callable[[Path], Path]
    handled: str = ""
    refused: str = ""
    flags: tuple[str, ...] = ()
    series: str | None = None
    resampled: bool = False
    kind: str = ""


CASES: list[Case] = []


def case(words: str, **expected):
    """Add the decorated writer to CASES."""

    def add(write: Callable[[Path], Path]) -> Callable[[Path], Path]:
        CASES.append(Case(words, write, **expected))
        return write

    return add


def files_of(folder: Path) -> list[Path]:
    """The slices of a written series, by position."""
    return sorted(folder.glob("*.dcm"), key=lambda path: int(path.stem.split("-")[1]))


def edit(folder: Path, change: Callable[[Dataset], None]) -> Path:
    """Change every DICOM file of `folder` in place."""
    for path in files_of(folder):
        item = pydicom.dcmread(path)
        change(item)
        item.save_as(path)
    return folder


def put_in_zip(path: Path, *files: Path, below: Path) -> Path:
    with zipfile.ZipFile(path, "w") as bundle:
        for file in files:
            bundle.write(file, file.relative_to(below).as_posix())
    return path


def save(image: sitk.Image, path: Path, compressed: bool = False) -> Path:
    sitk.WriteImage(image, str(path), useCompression=compressed)
    return path


def cut(path: Path, missing: int) -> Path:
    path.write_bytes(path.read_bytes()[:-missing])
    return path


def array_file(array: np.ndarray, path: Path) -> Path:
    return save(sitk.GetImageFromArray(array), path)


# DICOM: how the pixels are stored


@case("DICOM, RLE", handled="read")
def rle(folder):
    compress(write_series(folder / "in", volume()), RLELossless)
    return folder / "in"


@case("DICOM, JPEG 2000", handled="read")
def jpeg_2000(folder):
    compress(write_series(folder / "in", volume()), JPEG2000Lossless)
    return folder / "in"


@case("DICOM, JPEG-LS", handled="read")
def jpeg_ls(folder):
    compress(write_series(folder / "in", volume()), JPEGLSLossless)
    return folder / "in"


@case("DICOM, JPEG lossless", handled="read")
def jpeg_lossless(folder):
    compress(write_series(folder / "in", volume()), JPEGLosslessSV1)
    return folder / "in"


@case("DICOM, deflated", handled="read")
def deflated(folder):
    def change(item):
        item.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian

    return edit(write_series(folder / "in", volume()), change)


@case(
    "DICOM, marked as compressed with loss",
    handled="read, and flagged",
    flags=("The images were compressed with loss: fine texture is not that of the scanner.",),
)
def lossy(folder):
    return write_series(folder / "in", volume(), tags={"LossyImageCompression": "01"})


@case("DICOM files without the 128-byte preamble", handled="read")
def no_preamble(folder):
    for path in files_of(write_series(folder / "in", volume())):
        path.write_bytes(path.read_bytes()[132:])
    return folder / "in"


@case("DICOM files without any file header, implicit VR", handled="read")
def no_header(folder):
    for path in files_of(write_series(folder / "in", volume())):
        item = pydicom.dcmread(path)
        item.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        del item.file_meta
        item.preamble = None
        pydicom.dcmwrite(path, item, implicit_vr=True, little_endian=True, enforce_file_format=False)
    return folder / "in"


@case("one enhanced multi-frame CT file, its frames in reverse", handled="read, frame by frame")
def enhanced(folder):
    return write_enhanced(folder / "enhanced.dcm", volume())


@case("a folder that holds an enhanced multi-frame file", handled="read, frame by frame")
def enhanced_in_folder(folder):
    write_enhanced(folder / "in" / "enhanced.dcm", volume())
    return folder / "in"


@case(
    "enhanced multi-frame CT whose frames have different rescales",
    refused="The frames of the DICOM file have different rescales; export single slices.",
)
def enhanced_rescales(folder):
    return write_enhanced(folder / "enhanced.dcm", volume(), intercepts=(-1024.0, -1000.0))


@case(
    "old multi-frame files, without a place for each frame",
    refused="The DICOM file holds many frames without their places; export single slices or NIfTI.",
)
def frames_without_places(folder):
    def change(item):
        item.NumberOfFrames, item.PixelData = 2, item.PixelData * 2

    return edit(write_series(folder / "in", volume()), change)


# DICOM: what the values mean


def padded(folder, stored, written, kind):
    """A round field of view; outside it the pixels hold `stored`, and the header says `written`."""
    image = volume()
    hu = sitk.GetArrayFromImage(image)
    y, x = np.mgrid[:36, :40]
    outside = (x - 19.5) ** 2 + (y - 17.5) ** 2 > 24**2  # air in `volume()`
    hu[:, outside] = stored - 1024
    image = sitk.GetImageFromArray(hu)
    image.CopyInformation(volume())
    return edit(write_series(folder / "in", image), lambda item: item.add_new("PixelPaddingValue", kind, written))


@case("DICOM, padding of -2000 outside the round field of view", handled="read, padding becomes air")
def padding_low(folder):
    return padded(folder, -2000, -2000, "SS")


@case("DICOM, the same, written in the header as the unsigned 63536", handled="read, padding becomes air")
def padding_unsigned(folder):
    return padded(folder, -2000, 63536, "US")


@case("DICOM, padding of 4095, which would be bone", handled="read, padding becomes air")
def padding_high(folder):
    return padded(folder, 4095, 4095, "SS")


@case("DICOM whose header names as padding a value that is tissue here", handled="read, tissue stays")
def padding_tissue(folder):
    return edit(write_series(folder / "in", volume()), lambda item: item.add_new("PixelPaddingValue", "SS", 1024))


@case(
    "DICOM without rescale intercept, unsigned values",
    refused="The DICOM files carry no rescale intercept, so the values are not Hounsfield units; "
    "export the original series.",
)
def no_rescale(folder):
    tags = {"RescaleIntercept": None, "RescaleSlope": None}
    return write_series(folder / "in", volume() + 1024, intercept=0.0, tags=tags)


@case(
    "DICOM with a rescale intercept of 0 over values of 0 and more, and bright padding",
    refused="The values lie between 24 and 1239, with no air: they are not Hounsfield units. "
    "Apply the rescale slope and intercept and export the scan again.",
)
def padded_raw(folder):
    def change(item):
        stored = np.frombuffer(item.PixelData, "<i2").reshape(36, 40).copy()
        stored[[0, 0, -1, -1], [0, -1, 0, -1]] = 4095
        item.PixelData = stored.tobytes()
        item.add_new("PixelPaddingValue", "SS", 4095)

    return edit(write_series(folder / "in", volume() + 1024, intercept=0.0), change)


# DICOM: slices


@case(
    "three slices twice, under other names",
    handled="read, copies dropped, and flagged",
    flags=("3 slices were in the series twice.",),
    kind=HEADER_NUMBERS,
)
def copies(folder):
    for path in files_of(write_series(folder / "in", volume()))[:3]:
        (folder / "in" / f"copy-{path.name}").write_bytes(path.read_bytes())
    return folder / "in"


@case(
    "two different images at each position",
    refused="The series holds different images at the same position (two phases?); export each as a series of its own.",
    kind=HEADER_NUMBERS,
)
def two_phases(folder):
    tags = {"SeriesInstanceUID": "1.2.3"}
    write_series(folder / "in" / "a", volume(), tags=tags)
    write_series(folder / "in" / "b", volume() - 7, tags=tags)
    return folder / "in"


@case(
    "two acquisitions in one series, the second shorter",
    handled="read, the longer one, and flagged",
    flags=("20 slices of another acquisition were left out.",),
    kind=HEADER_NUMBERS,
)
def two_acquisitions(folder):
    tags = {"SeriesInstanceUID": "1.2.3"}
    write_series(folder / "in" / "a", volume(), tags=tags | {"AcquisitionNumber": 1})
    write_series(folder / "in" / "b", volume() - 7, tags=tags | {"AcquisitionNumber": 2}, keep=range(20))
    return folder / "in"


@case(
    "one slice missing",
    handled="interpolated from its neighbours, and flagged",
    flags=("Uneven slices (gaps of 2.5 to 5.0 mm) were interpolated to 2.5 mm.",),
)
def one_missing(folder):
    return write_series(folder / "in", volume(), keep=[i for i in range(24) if i != 9])


@case(
    "slices of a tilted gantry",
    handled="resampled to orthogonal axes, and flagged",
    flags=("The gantry was tilted; the slices were resampled to orthogonal axes.",),
    resampled=True,
)
def tilted(folder):
    return write_series(folder / "in", volume(), shift=(0, 0.6))


@case(
    "five slices missing in a row",
    refused="Slices are missing: a gap of 15.0 mm where the others are 2.5 mm apart; "
    "export the series again, or name another in `series`.",
)
def many_missing(folder):
    return write_series(folder / "in", volume(), keep=[*range(8), *range(13, 24)])


@case(
    "a slice whose pixel data is cut short",
    refused="DICOM slice 6 of 24 is damaged or cannot be decoded; export the series again.",
)
def cut_slice(folder):
    cut(files_of(write_series(folder / "in", volume()))[5], 10)
    return folder / "in"


@case(
    "a JPEG 2000 slice that is cut short",
    refused="DICOM slice 6 of 24 is damaged or cannot be decoded; export the series again.",
)
def cut_compressed(folder):
    compress(write_series(folder / "in", volume()), JPEG2000Lossless)
    cut(files_of(folder / "in")[5], 100)
    return folder / "in"


@case(
    "four slices",
    refused="No axial CT series of at least 10 slices among 4 DICOM images; export the thin slices of the chest.",
)
def four_slices(folder):
    return write_series(folder / "in", volume(), keep=range(4))


@case(
    "colour pictures (secondary captures)",
    refused="The 24 DICOM images are in colour (screenshots?), not CT values; export the original slices.",
    kind=HEADER_NUMBERS,
)
def colours(folder):
    return write_series(folder / "in", volume(), tags={"SamplesPerPixel": 3})


@case("PET slices beside the CT", handled="read, the CT")
def pet(folder):
    write_series(folder / "in" / "pet", volume(size=(40, 36, 34)), tags={"Modality": "PT", "SeriesNumber": 1})
    write_series(folder / "in" / "ct", volume())
    return folder / "in"


@case("a localiser, a coronal reformat, a MIP and a thicker series beside the thin one", handled="read, the thin one")
def several_series(folder):
    write_series(folder / "in" / "scout", volume(size=(40, 36, 2)), tags={"SeriesNumber": 1})
    write_series(folder / "in" / "thin", volume())
    coronal = volume(size=(40, 36, 34), direction=(1, 0, 0, 0, 0, 1, 0, -1, 0))
    write_series(folder / "in" / "coronal", coronal, tags={"SeriesNumber": 3})
    projection = {"SeriesNumber": 4, "ImageType": ["DERIVED", "SECONDARY", "MIP"]}
    write_series(folder / "in" / "mip", volume(size=(40, 36, 34)), tags=projection)
    write_series(folder / "in" / "thick", volume(size=(40, 36, 12), spacing=(1.5, 1.5, 5.0)), tags={"SeriesNumber": 5})
    return folder / "in"


@case(
    "the folder of a patient with two visits",
    refused="There are lung series of 2 studies; give the folder of one visit, or name a UID in `series`.",
)
def two_visits(folder):
    write_series(folder / "in" / "a", volume(), tags={"StudyInstanceUID": "1.2.3.5"})
    write_series(folder / "in" / "b", volume(), tags={"StudyInstanceUID": "1.2.3.6"})
    return folder / "in"


@case(
    "an axial and a coronal stack under one series UID",
    handled="read, the axial stack, and flagged",
    flags=("34 slices of the series with another orientation were left out.",),
    kind=HEADER_NUMBERS,
)
def mixed_orientations(folder):
    coronal = volume(size=(40, 36, 34), direction=(1, 0, 0, 0, 0, 1, 0, -1, 0))
    write_series(folder / "in" / "coronal", coronal, tags={"SeriesInstanceUID": "1.2.3"})
    write_series(folder / "in" / "axial", volume(), tags={"SeriesInstanceUID": "1.2.3"})
    return folder / "in"


@case(
    "two voxel sizes under one series UID",
    handled="read, the stack with the larger span, and flagged",
    flags=("12 slices of the series with another pixel size were left out.",),
    kind=HEADER_NUMBERS,
)
def mixed_spacings(folder):
    write_series(
        folder / "in" / "a", volume(spacing=(1.2, 1.2, 2.5)), tags={"SeriesInstanceUID": "1.2.3"}, keep=range(12)
    )
    write_series(folder / "in" / "b", volume(), tags={"SeriesInstanceUID": "1.2.3"})
    return folder / "in"


@case(
    "numbers in the header that are none (decimal comma in the slice thickness)",
    handled="read, without them",
    kind=HEADER_NUMBERS,
)
def decimal_comma(folder):
    for path in files_of(write_series(folder / "in", volume(), tags={"SliceThickness": "1.25"})):
        path.write_bytes(path.read_bytes().replace(b"DS\x04\x001.25", b"DS\x04\x001,25"))
    return folder / "in"


@case(
    "slices without pixel spacing",
    refused="The DICOM images (24) do not say where they lie (they have no PixelSpacing); export the original slices.",
)
def no_pixel_spacing(folder):
    return write_series(folder / "in", volume(), tags={"PixelSpacing": None})


# DICOM: how the patient lay, breathed and was given contrast medium


def taken(folder, **tags):
    return write_series(folder / "in", volume(), tags=tags)


@case(
    "DICOM, only an expiration there, named so in any of seven languages (“torace espirazione”)",
    handled="read, and flagged",
    flags=(acquisition_cases.EXPIRED,),
)
def expiration_alone(folder):
    return taken(folder, SeriesDescription="torace espirazione 1.0")


@case(
    "DICOM, an inspiration (“Lunge Inspir”) and an expiration (“Lunge Exspir”) with the lower number",
    handled="the inspiration is read",
)
def expiration_beside(folder):
    write_series(folder / "in" / "3", volume(), tags={"SeriesNumber": 3, "SeriesDescription": "Lunge Exspir"})
    write_series(folder / "in" / "5", volume(), tags={"SeriesNumber": 5, "SeriesDescription": "Lunge Inspir"})
    return folder / "in"


@case("DICOM, “Thorax export 1.0”, which is no expiration", handled="read")
def export(folder):
    return taken(folder, SeriesDescription="Thorax export 1.0")


@case(
    "DICOM, only a prone series there, by the header or named “Bauchlage”",
    handled="read, and flagged",
    flags=(acquisition_cases.LIES.format("prone"),),
)
def prone_alone(folder):
    return taken(folder, PatientPosition="HFP", SeriesDescription="Thorax Bauchlage")


@case(
    "DICOM, supine by the header, prone by the name of the series",
    handled="read, taken as prone, and flagged",
    flags=(
        "The header says that the patient lies supine, the name of the series says prone.",
        acquisition_cases.LIES.format("prone"),
    ),
)
def pose_contradicted(folder):
    return taken(folder, PatientPosition="HFS", SeriesDescription="Thorax procubitus")


@case(
    "DICOM, a contrast agent in the header, “nativ” in the name of the series",
    handled="read, contrast taken as unknown, and flagged",
    flags=("The header names a contrast agent, the name of the series says no contrast.",),
)
def contrast_contradicted(folder):
    return taken(folder, ContrastBolusAgent="Ultravist 370", SeriesDescription="Thorax nativ")


# DICOM: folders


def report(path: Path) -> None:
    """A structured report, as dose sheets are: a DICOM file without an image."""
    template = write_series(path.parent / "template", volume(), keep=[0])
    (slice_path,) = files_of(template)
    item = pydicom.dcmread(slice_path)
    item.Modality = "SR"
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "PixelData", "Rows", "Columns"):
        delattr(item, name)
    item.save_as(path)
    slice_path.unlink(), template.rmdir()


@case(
    "a dose report, a DICOMDIR, a text file named .dcm and notes among the slices", handled="read, they are passed over"
)
def strangers(folder):
    write_series(folder / "in" / "deep" / "er", volume())
    report(folder / "in" / "dose.dcm")
    report(folder / "in" / "DICOMDIR")
    (folder / "in" / "text.dcm").write_text("no DICOM " * 40)
    (folder / "in" / "notes.txt").write_text("")
    return folder / "in"


@case(
    "a folder with a dose report alone",
    refused="The DICOM files (1) hold no image with a position and a pixel size "
    "(reports, dose sheets, screenshots?); export the original slices.",
)
def report_alone(folder):
    (folder / "in").mkdir()
    report(folder / "in" / "dose.dcm")
    return folder / "in"


@case(
    "a folder with a text file named .dcm alone",
    refused="The folder holds neither DICOM nor a volume file; give a DICOM folder or one file.",
)
def text_alone(folder):
    (folder / "in").mkdir()
    (folder / "in" / "text.dcm").write_text("no DICOM " * 40)
    return folder / "in"


@case(
    "an empty folder",
    refused="The folder holds neither DICOM nor a volume file; give a DICOM folder or one file.",
)
def empty_folder(folder):
    (folder / "in").mkdir()
    return folder / "in"


@case(
    "one slice as the path",
    refused="This is one DICOM file, not a readable series; give the folder of the whole series.",
)
def one_slice(folder):
    return files_of(write_series(folder / "in", volume()))[0]


@case(
    "the DICOMDIR as the path",
    refused="This is one DICOM file, not a readable series; give the folder of the whole series.",
)
def dicomdir(folder):
    report(folder / "DICOMDIR")
    return folder / "DICOMDIR"


@case(
    "`series` names none of those in the folder",
    series="7",
    refused="No series is the one that `series` names; there are the numbers 2.",
)
def no_such_series(folder):
    return write_series(folder / "in", volume())


@case("spaces and letters beyond ASCII in a DICOM folder's path", handled="read")
def odd_folder(folder):
    return write_series(folder / "Füße 東京 (2)", volume())


# Zips


@case("a zip of DICOM in folders, named .ZIP", handled="read")
def zip_of_dicom(folder):
    write_series(folder / "in" / "a b", volume())
    return put_in_zip(folder / "IN.ZIP", *files_of(folder / "in" / "a b"), below=folder)


@case(
    "a zip of zips",
    refused="No images but zip files (2) are in it; unpack them, or give one as the path.",
)
def zip_of_zips(folder):
    write_series(folder / "in", volume())
    inner = [put_in_zip(folder / f"{name}.zip", *files_of(folder / "in"), below=folder) for name in "ab"]
    return put_in_zip(folder / "outer.zip", *inner, below=folder)


@case(
    "a zip that would write outside its folder",
    refused="The zip holds a path that leads out of its folder; it was not unpacked.",
)
def escaping_zip(folder):
    with zipfile.ZipFile(folder / "in.zip", "w") as bundle:
        bundle.writestr("../escaped.dcm", b"x" * 200)
    return folder / "in.zip"


@case(
    "a zip with a file and a folder of one name",
    refused="The zip is damaged or uses an unknown compression; make it again.",
)
def clashing_zip(folder):
    with zipfile.ZipFile(folder / "in.zip", "w") as bundle:
        bundle.writestr("a", b"x" * 200)
        bundle.writestr("a/b", b"x" * 200)
    return folder / "in.zip"


@case("a text file named .zip", refused="The zip is damaged or uses an unknown compression; make it again.")
def text_zip(folder):
    (folder / "text.zip").write_text("not a zip")
    return folder / "text.zip"


# Volume files


@case("NIfTI named CT.NII.GZ, spaces and letters beyond ASCII in its path", handled="read")
def loud_nifti(folder):
    (folder / "größe é").mkdir()
    return save(volume(), folder / "ct.nii.gz").rename(folder / "größe é" / "CT SCAN.NII.GZ")


@case("MetaImage named CT.MHA", handled="read")
def loud_metaimage(folder):
    return save(volume(), folder / "ct.mha").rename(folder / "CT.MHA")


@case("NIfTI with a fourth axis of length one", handled="read")
def one_time(folder):
    return save(sitk.JoinSeries([volume()]), folder / "ct.nii")


@case("NIfTI with three volumes (4D)", refused="The file holds 3 volumes (4D); give one volume a visit.")
def four_dimensions(folder):
    return save(sitk.JoinSeries([volume()] * 3), folder / "ct.nii")


@case("padding of -2048 outside the field of view", handled="read, clipped to -1024 HU")
def padding_volume(folder):
    image = volume()
    return save(sitk.Mask(image, image > -1000, -2048), folder / "ct.mha")


@case("HU stored as floating point numbers", handled="read, rounded")
def floats(folder):
    return save(sitk.Cast(volume(), sitk.sitkFloat32) + 0.3, folder / "ct.nrrd")


@case(
    "NIfTI without orientation (qform and sform code 0)",
    handled="read as LPS, and flagged",
    flags=(
        "The NIfTI header has no orientation (qform and sform code 0): left and right may be swapped; "
        "look at the pictures.",
    ),
)
def no_orientation(folder):
    file = nib.Nifti1Image(sitk.GetArrayFromImage(volume(origin=(0, 0, 0))).T, np.diag([-1.5, -1.5, 2.5, 1]))
    file.set_sform(None, 0), file.set_qform(None, 0)
    nib.save(file, folder / "ct.nii")
    return folder / "ct.nii"


@case(
    "NIfTI whose voxel grid is sheared (gantry tilt in the affine)",
    refused="The voxel grid is sheared (gantry tilt?); resample the scan to orthogonal axes.",
)
def sheared(folder):
    affine = np.diag([-1.5, -1.5, 2.5, 1])
    affine[1, 2] = 0.6
    nib.save(nib.Nifti1Image(sitk.GetArrayFromImage(volume()).T, affine), folder / "ct.nii")
    return folder / "ct.nii"


@case("NIfTI that is cut short", refused=f"The file cannot be read as NIfTI: {COPY}")
def cut_nifti(folder):
    return cut(save(volume(), folder / "ct.nii"), 5000)


@case("compressed NIfTI that is cut short", refused=f"The file cannot be read as NIfTI: {COPY}")
def cut_compressed_nifti(folder):
    return cut(save(volume(), folder / "ct.nii.gz"), 500)


@case("NRRD that is cut short", refused=f"The file cannot be read as NRRD: {COPY}")
def cut_nrrd(folder):
    return cut(save(volume(), folder / "ct.nrrd", compressed=True), 100)


@case(
    "MHD without its raw file",
    refused="The file of the voxels that the MetaImage header names is not there; copy both files.",
)
def no_raw(folder):
    save(volume(), folder / "ct.mhd")
    (folder / "ct.raw").unlink()
    return folder / "ct.mhd"


@case("an empty file", refused="The file is empty; copy it again.")
def empty_file(folder):
    (folder / "ct.nii.gz").write_bytes(b"")
    return folder / "ct.nii.gz"


@case("text named .nii.gz", refused=f"The file cannot be read as NIfTI: {COPY}")
def text_nifti(folder):
    (folder / "ct.nii.gz").write_text("not an image")
    return folder / "ct.nii.gz"


@case(
    "a PDF, or any other format",
    refused="Unknown format: give a DICOM folder or zip, NIfTI, MHA/MHD or NRRD.",
)
def pdf(folder):
    (folder / "scan.pdf").write_text("%PDF")
    return folder / "scan.pdf"


@case(
    "a folder with two NIfTI files",
    refused="The folder holds 2 volume files and no DICOM; give one file.",
)
def two_volumes(folder):
    save(volume(), folder / "a.nii"), save(volume(), folder / "b.nii")
    return folder


@case("a single image", refused="The file holds a single image, not a volume; give the whole scan.")
def flat(folder):
    return array_file(sitk.GetArrayFromImage(volume())[0], folder / "ct.mha")


@case("colours", refused="The voxels hold colours or vectors, not one CT value; export the original scan.")
def vectors(folder):
    return save(sitk.Compose([volume()] * 3), folder / "ct.mha")


@case("five slices", refused="Only 5 slices; at least 10 are needed: export the whole chest.")
def five_slices(folder):
    return array_file(sitk.GetArrayFromImage(volume())[:5], folder / "ct.mha")


@case(
    "slices 20 mm apart",
    refused="Voxels are 20.0 mm apart; at most 10 mm can be used: export a thinner series.",
)
def far_apart(folder):
    return save(volume(spacing=(1.5, 1.5, 20.0)), folder / "ct.nii")


@case("one value everywhere", refused="Every voxel has the same value, -1000; export the scan again.")
def constant(folder):
    return array_file(np.full((20, 40, 40), -1000, np.int16), folder / "ct.mha")


@case("values that are not numbers", refused="1 voxels are not finite numbers; export the scan again.")
def not_finite(folder):
    array = sitk.GetArrayFromImage(volume()).astype(np.float32)
    array[3, 4, 5] = np.nan
    return array_file(array, folder / "ct.mha")


@case(
    "values without the rescale (0 where air is)",
    refused="The values lie between 24 and 1239, with no air: they are not Hounsfield units. "
    "Apply the rescale slope and intercept and export the scan again.",
)
def unscaled(folder):
    return save(sitk.Cast(volume() + 1024, sitk.sitkUInt16), folder / "ct.mha")
