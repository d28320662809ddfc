"""Volume files whose header contradicts itself, its sidecar or the format, and values that are no HU: more cases of
test_bad_inputs.py and rows of docs/bad-inputs.md.
"""

import gzip
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from helpers.bad_inputs import COPY, array_file, case, cut, edit, save
from helpers.ct_files import volume, write_series

FACTS = "two places, one fact"
VALUES = "one-sided plausibility"
AFFINE = np.array([[-1.5, 0, 0, 30], [0, -1.5, 0, 20], [0, 0, 2.5, 100], [0, 0, 0, 1]])  # of volume(), RAS
AGAIN = "export the scan again."
LOOK = "left and right may be swapped; look at the pictures."


def hu() -> np.ndarray:
    """The values of volume(), (z, y, x)."""
    return sitk.GetArrayFromImage(volume())


# NIfTI


def nifti(
    folder: Path, values=None, sform=AFFINE, qform=None, kind=nib.Nifti1Image, units="mm", name="ct.nii", **fields
) -> Path:
    """volume() as NIfTI with both forms (code 1) unless they are None; `fields` are put into the header's bytes."""
    array = hu() if values is None else values
    file = kind(np.ascontiguousarray(array.T), AFFINE if sform is None else sform)
    file.set_sform(sform, 0 if sform is None else 1)
    file.set_qform(qform, 0 if qform is None else 1)
    file.header.set_xyzt_units(units)
    nib.save(file, folder / name)
    if fields:
        content = bytearray((folder / name).read_bytes())
        header = type(file.header)(bytes(content[: file.header.sizeof_hdr]), check=False)
        for field, value in fields.items():
            header[field] = value
        content[: file.header.sizeof_hdr] = header.binaryblock
        (folder / name).write_bytes(content)
    return folder / name


@case(
    "NIfTI whose qform and sform swap the patient's sides",
    refused="The NIfTI header contradicts itself: the axes run to RPS by the qform and to LPS by the sform; which one "
    "is right cannot be known: correct the header.",
    kind=FACTS,
)
def swapped_sides(folder):
    return nifti(folder, qform=np.diag([-1, 1, 1, 1]) @ AFFINE)


@case(
    "NIfTI whose qform and sform swap head and feet",
    refused="The NIfTI header contradicts itself: the axes run to LPI by the qform and to LPS by the sform; which one "
    "is right cannot be known: correct the header.",
    kind=FACTS,
)
def head_to_foot(folder):
    return nifti(folder, qform=np.diag([1, 1, -1, 1]) @ AFFINE, name="ct.nii.gz")


@case(
    "NIfTI whose qform lies 40 mm from its sform",
    handled="read by the sform, and flagged",
    flags=("The qform and the sform of the NIfTI header lay the scan up to 40.0 mm apart; it was read by the sform.",),
    kind=FACTS,
)
def moved_qform(folder):
    moved = AFFINE.copy()
    moved[1, 3] += 40
    return nifti(folder, qform=moved)


@case(
    "NIfTI whose qform is turned by 10 degrees against its sform",
    handled="read by the sform, and flagged",
    flags=(
        "The qform and the sform of the NIfTI header lay the scan up to 7.7 mm apart, turned by 10 degrees; "
        "it was read by the sform.",
    ),
    kind=FACTS,
)
def turned_qform(folder):
    turn, angle = np.eye(4), np.deg2rad(10)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return nifti(folder, qform=turn @ AFFINE)


@case(
    "NIfTI whose voxel size is another in pixdim than in the sform",
    refused="The NIfTI header contradicts itself: voxels of 1 x 1 x 1 mm by pixdim and of 1.5 x 1.5 x 2.5 mm by the "
    "sform; which one is right cannot be known: correct the header.",
    kind=FACTS,
)
def other_pixdim(folder):
    return nifti(folder, pixdim=[1, 1, 1, 1, 1, 1, 1, 1])


@case("NIfTI whose qform and sform differ by rounding", handled="read", kind=FACTS)
def rounded_qform(folder):
    return nifti(folder, qform=AFFINE + np.array([[0, 0, 0, 0.004]] * 3 + [[0] * 4]))


@case("NIfTI-2", handled="read", kind=FACTS)
def nifti_2(folder):
    return nifti(folder, kind=nib.Nifti2Image, qform=AFFINE)


@case("NIfTI-2, compressed, with a rescale in its header", handled="read", kind=FACTS)
def nifti_2_scaled(folder):
    path = nifti(folder, hu() + 1024, kind=nib.Nifti2Image, scl_slope=1, scl_inter=-1024)
    (folder / "scaled.nii.gz").write_bytes(gzip.compress(path.read_bytes()))
    return folder / "scaled.nii.gz"


@case(
    "NIfTI-2 without orientation",
    handled="read as LPS, and flagged",
    flags=(f"The NIfTI header has no orientation (qform and sform code 0): {LOOK}",),
    resampled=True,
    kind=FACTS,
)
def nifti_2_without_orientation(folder):
    return nifti(folder, kind=nib.Nifti2Image, sform=None)


@case("NIfTI with big-endian numbers", handled="read", kind=FACTS)
def big_endian(folder):
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    nib.save(nib.Nifti1Image(np.ascontiguousarray(hu().T), AFFINE, header), folder / "ct.nii")
    return folder / "ct.nii"


@case("NIfTI in metres, and numbers that are", handled="read", kind=FACTS)
def metres(folder):
    affine = AFFINE / [[1000]] * 1.0
    affine[3] = AFFINE[3]
    return nifti(folder, sform=affine, qform=affine, units="meter")


@case("NIfTI in micrometres, and numbers that are", handled="read", kind=FACTS)
def micrometres(folder):
    affine = AFFINE * 1000.0
    affine[3] = AFFINE[3]
    return nifti(folder, sform=affine, units="micron")


@case(
    "NIfTI in metres, and numbers that are mm",
    refused="The NIfTI header gives lengths in metres (xyzt_units), and voxels of 1.5 x 1.5 x 2.5 of them; correct one "
    "of both.",
    kind=FACTS,
)
def metres_of_mm(folder):
    return nifti(folder, units="meter")


@case(
    "NIfTI in mm, and numbers that are metres",
    refused="Voxels are 0.0015 mm apart, finer than any CT: is the header in metres? Write it in mm.",
    kind=FACTS,
)
def mm_of_metres(folder):
    affine = AFFINE / 1000.0
    affine[3] = AFFINE[3]
    return nifti(folder, sform=affine)


@case(
    "NIfTI with an intercept beside a slope of 0, which says that nothing is scaled",
    refused="The NIfTI header contradicts itself: by scl_slope, 0, the values are not scaled, and by scl_inter -1024 "
    "is added to them; write the scale that gives HU.",
    kind=FACTS,
)
def slope_of_nothing(folder):
    return nifti(folder, hu() + 1024, scl_slope=0, scl_inter=-1024)


@case(
    "NIfTI whose slope is no number",
    refused="The scale of the values in the NIfTI header is no number (scl_slope nan, scl_inter 0); write the one that "
    "gives HU.",
    kind=FACTS,
)
def slope_of_nan(folder):
    return nifti(folder, scl_slope=np.nan, scl_inter=0)


@case(
    "NIfTI without orientation and voxel size",
    refused="The NIfTI header has no voxel size (pixdim); export the scan again.",
    kind=FACTS,
)
def no_pixdim(folder):
    return nifti(folder, sform=None, pixdim=[1, 0, 0, 0, 0, 0, 0, 0])


@case(
    "NIfTI of a data type that is not read",
    refused="The voxels are of the NIfTI data type 1536, which is not read; save them as int16.",
    kind=FACTS,
)
def float128(folder):
    return nifti(folder, hu().astype(np.float64), datatype=1536)


@case(
    "NIfTI that holds more slices than its header says",
    handled="read, and flagged",
    flags=("The file holds 8 slices more than its NIfTI header says (dim); they were not read.",),
    kind=FACTS,
)
def more_slices(folder):
    path = nifti(folder)
    path.write_bytes(path.read_bytes() + hu()[:8].tobytes())
    return path


# MetaImage

MHA = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "-30 -20 100",
    "AnatomicalOrientation": "RAI",
    "ElementSpacing": "1.5 1.5 2.5",
    "DimSize": "40 36 24",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}


def mha(folder: Path, **changes: str | None) -> Path:
    """volume() as MetaImage with other fields, in the order of the format; None leaves a field out."""
    fields = {**{key: value for key, value in MHA.items() if key != "ElementDataFile"}, **changes}
    fields["ElementDataFile"] = changes.get("ElementDataFile", "LOCAL")
    text = "".join(f"{key} = {value}\n" for key, value in fields.items() if value is not None)
    voxels = np.ascontiguousarray(hu()).tobytes()
    if fields["ElementDataFile"] == "LOCAL":
        (folder / "ct.mha").write_bytes(text.encode() + voxels)
        return folder / "ct.mha"
    (folder / "ct.raw").write_bytes(voxels)
    (folder / "ct.mhd").write_text(text)
    return folder / "ct.mhd"


@case("MetaImage written by hand", handled="read", kind=FACTS)
def plain_metaimage(folder):
    return mha(folder)


@case(
    "MetaImage without orientation",
    handled="read as LPS, and flagged",
    flags=(f"The MetaImage header has no orientation (no TransformMatrix): {LOOK}",),
    kind=FACTS,
)
def metaimage_without_orientation(folder):
    return mha(folder, TransformMatrix=None, AnatomicalOrientation=None)


@case(
    "MetaImage without voxel size, which libraries read as 1 mm",
    refused="The MetaImage header has no distance of voxels (ElementSpacing); add it.",
    kind=FACTS,
)
def metaimage_without_size(folder):
    return mha(folder, ElementSpacing=None)


@case(
    "MetaImage with ElementSize alone, which libraries do not use",
    refused="The MetaImage header has no distance of voxels (ElementSpacing), only ElementSize (1.5 x 1.5 x 2.5 mm); "
    "add it.",
    kind=FACTS,
)
def metaimage_element_size(folder):
    return mha(folder, ElementSpacing=None, ElementSize="1.5 1.5 2.5")


@case(
    "MetaImage whose ElementSize is not its ElementSpacing",
    handled="read by ElementSpacing, and flagged",
    flags=("By the MetaImage header voxels are 1.5 x 1.5 x 2.5 mm apart and 1.5 x 1.5 x 5 mm large (ElementSize).",),
    kind=FACTS,
)
def metaimage_two_sizes(folder):
    return mha(folder, ElementSize="1.5 1.5 5")


@case(
    "MetaImage with a voxel size of 0",
    refused="The voxels of the MetaImage header are 1.5 x 1.5 x 0 mm apart; correct ElementSpacing.",
    kind=FACTS,
)
def metaimage_size_of_nothing(folder):
    return mha(folder, ElementSpacing="1.5 1.5 0")


@case(
    "MetaImage whose letters of orientation are not its matrix",
    handled="read by the matrix, and flagged",
    flags=(
        "The MetaImage header contradicts itself: AnatomicalOrientation is LAI and TransformMatrix says RAI; the scan "
        "was read by TransformMatrix: look at the pictures.",
    ),
    kind=FACTS,
)
def metaimage_letters(folder):
    return mha(folder, AnatomicalOrientation="LAI")


@case(
    "MetaImage with two fields for the directions, which differ",
    refused="The MetaImage header has TransformMatrix and Orientation, with different values; which one is right "
    "cannot be known: correct the header.",
    kind=FACTS,
)
def metaimage_two_matrices(folder):
    return mha(folder, Orientation="-1 0 0 0 1 0 0 0 1")


@case(
    "MetaImage with two byte orders",
    refused="The MetaImage header has BinaryDataByteOrderMSB and ElementByteOrderMSB, with different values; which one "
    "is right cannot be known: correct the header.",
    kind=FACTS,
)
def metaimage_two_orders(folder):
    return mha(folder, ElementByteOrderMSB="True")


@case(
    "MetaImage whose matrix holds the voxel size beside ElementSpacing",
    refused="The MetaImage header contradicts itself: the axes of TransformMatrix have the lengths 1.5 x 1.5 x 2.5 and "
    "not 1, beside the voxel size in ElementSpacing; correct the header.",
    kind=FACTS,
)
def metaimage_scaled_matrix(folder):
    return mha(folder, TransformMatrix="1.5 0 0 0 1.5 0 0 0 2.5")


@case(
    "MetaImage that says it is MR",
    refused="The MetaImage header (Modality) says that the images are MR, not CT; give the CT, or correct it.",
    kind=FACTS,
)
def metaimage_of_mr(folder):
    return mha(folder, Modality="MET_MOD_MR")


@case(
    "MetaImage in other lengths than mm",
    refused='The MetaImage header gives lengths in "cm" (DistanceUnits); write them in mm.',
    kind=FACTS,
)
def metaimage_in_cm(folder):
    return mha(folder, DistanceUnits="cm")


@case(
    "MHD whose file of voxels is longer than the header says",
    refused="The file of the voxels holds 69120 bytes and the MetaImage header speaks of 57600 (DimSize, ElementType); "
    "correct the header.",
    kind=FACTS,
)
def metaimage_short_header(folder):
    return mha(folder, DimSize="40 36 20", ElementDataFile="ct.raw")


@case("MetaImage that is cut short", refused=f"The file cannot be read as MetaImage: {COPY}", kind=FACTS)
def cut_metaimage(folder):
    return cut(mha(folder), 5000)


# NRRD

NRRD = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "40 36 24",
    "space directions": "(1.5,0,0) (0,1.5,0) (0,0,2.5)",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(-30,-20,100)",
}
NO_SPACE = {"space": None, "space directions": None, "space origin": None}


def nrrd(folder: Path, changes: dict[str, str | None], end: str = "", voxels: bytes | None = None) -> Path:
    """volume() as NRRD with other fields; None leaves a field out, `end` are further lines of the header."""
    fields = {**NRRD, **changes}
    text = "".join(f"{key}: {value}\n" for key, value in fields.items() if value is not None)
    content = np.ascontiguousarray(hu()).tobytes() if voxels is None else voxels
    (folder / "ct.nrrd").write_bytes(f"NRRD0004\n{text}{end}\n".encode() + content)
    return folder / "ct.nrrd"


@case("NRRD written by hand", handled="read", kind=FACTS)
def plain_nrrd(folder):
    return nrrd(folder, {})


@case("NRRD in the space RAS", handled="read", kind=FACTS)
def nrrd_in_ras(folder):
    directions = {"space directions": "(-1.5,0,0) (0,-1.5,0) (0,0,2.5)", "space origin": "(30,20,100)"}
    return nrrd(folder, {"space": "right-anterior-superior"} | directions)


@case("NRRD in the space LAS", handled="read", kind=FACTS)
def nrrd_in_las(folder):
    directions = {"space directions": "(1.5,0,0) (0,-1.5,0) (0,0,2.5)", "space origin": "(-30,20,100)"}
    return nrrd(folder, {"space": "LAS"} | directions)


@case(
    "NRRD with spacings alone",
    handled="read as LPS, and flagged",
    flags=(f"The NRRD header has no orientation (no space directions): {LOOK}",),
    resampled=True,
    kind=FACTS,
)
def nrrd_without_orientation(folder):
    return nrrd(folder, NO_SPACE | {"spacings": "1.5 1.5 2.5"})


@case(
    "NRRD with directions in a space that is not the body's",
    handled="read as LPS, and flagged",
    flags=(f"The NRRD header has no orientation (its space is scanner-xyz): {LOOK}",),
    kind=FACTS,
)
def nrrd_of_the_scanner(folder):
    return nrrd(folder, {"space": "scanner-xyz"})


@case(
    "NRRD whose spacings are not those of its directions",
    refused="The NRRD header contradicts itself: voxels of 1 x 1 x 1 mm by spacings and of 1.5 x 1.5 x 2.5 mm by space "
    "directions; correct the header.",
    kind=FACTS,
)
def nrrd_two_sizes(folder):
    return nrrd(folder, {"spacings": "1 1 1"})


@case(
    "NRRD with spacings beside directions, and the same",
    refused="The NRRD header has spacings beside space directions, against the format; remove spacings.",
    kind=FACTS,
)
def nrrd_size_twice(folder):
    return nrrd(folder, {"spacings": "1.5 1.5 2.5"})


@case(
    "NRRD without voxel size, which libraries read as 1 mm",
    refused="The NRRD header has no voxel size (space directions, or spacings); add it.",
    kind=FACTS,
)
def nrrd_without_size(folder):
    return nrrd(folder, NO_SPACE)


@case(
    "NRRD that names a space and has no directions in it",
    refused="The NRRD header names a space (left-posterior-superior) and no directions of the axes in it; add space "
    "directions, or remove the space.",
    kind=FACTS,
)
def nrrd_without_directions(folder):
    return nrrd(folder, {"space directions": None, "space origin": None, "spacings": "1.5 1.5 2.5"})


@case(
    "NRRD in other lengths than mm",
    refused='The NRRD header gives lengths in "cm" (space units); write them in mm.',
    kind=FACTS,
)
def nrrd_in_cm(folder):
    return nrrd(folder, {"space units": '"cm" "cm" "cm"'})


@case(
    "NRRD with an encoding that is not read",
    refused="The voxels are encoded as bzip2, which is not read; save the NRRD as raw or gzip.",
    kind=FACTS,
)
def nrrd_bzip2(folder):
    return nrrd(folder, {"encoding": "bzip2"})


@case(
    "NRRD without the order of its bytes",
    refused="The NRRD header does not say the order of the bytes (endian); add it.",
    kind=FACTS,
)
def nrrd_without_endian(folder):
    return nrrd(folder, {"endian": None})


@case(
    "NRRD without its file of voxels",
    refused="The file of the voxels that the NRRD header names is not there; copy both files.",
    kind=FACTS,
)
def nrrd_without_data(folder):
    return nrrd(folder, {"data file": "ct.raw"}, voxels=b"")


@case(
    "NRRD that says it is PET",
    refused="The NRRD header (modality) says that the images are PT, not CT; give the CT, or correct it.",
    kind=FACTS,
)
def nrrd_of_pet(folder):
    return nrrd(folder, {}, end="modality:=PT\n")


# Sidecars


def with_sidecar(path: Path, told: dict | str) -> Path:
    text = told if isinstance(told, str) else json.dumps(told)
    (path.parent / "ct.json").write_text(text)
    return path


AGREES = {
    "Modality": "CT",
    "SliceThickness": 2.5,
    "SpacingBetweenSlices": 2.5,
    "PixelSpacing": [1.5, 1.5],
    "ImageOrientationPatientDICOM": [1, 0, 0, 0, 1, 0],
    "RescaleSlope": 1,
    "RescaleIntercept": -1024,
    "PatientPosition": "HFS",
    "ConvolutionKernel": ["B70f", "2"],
}


@case("a sidecar that agrees with its NIfTI", handled="read", kind=FACTS)
def sidecar_agrees(folder):
    return with_sidecar(nifti(folder), AGREES)


@case("a sidecar of overlapping slices, twice as thick as they lie apart", handled="read", kind=FACTS)
def sidecar_overlap(folder):
    return with_sidecar(nifti(folder), AGREES | {"SliceThickness": 5.0})


@case(
    "a sidecar that says MR",
    refused="The sidecar (Modality) says that the images are MR, not CT; give the CT, or correct it.",
    kind=FACTS,
)
def sidecar_of_mr(folder):
    return with_sidecar(nrrd(folder, {}), {"Modality": "MR"})


@case(
    "a sidecar with thinner slices than its NIfTI has",
    handled="read by the header, and flagged",
    flags=("The sidecar says that slices are 1 mm thick, the header that they are 2.5 mm apart.",),
    kind=FACTS,
)
def sidecar_thin(folder):
    return with_sidecar(nifti(folder), {"SliceThickness": 1.0})


@case(
    "a sidecar with much thicker slices, of a MetaImage",
    handled="read by the header, and flagged",
    flags=("The sidecar says that slices are 10 mm thick, the header that they are 2.5 mm apart.",),
    kind=FACTS,
)
def sidecar_thick(folder):
    return with_sidecar(mha(folder), {"SliceThickness": "10"})


@case(
    "a sidecar with other distances of pixels and slices",
    handled="read by the header, and flagged",
    flags=(
        "The sidecar says that pixels are 0.75 x 0.75 mm large, the header 1.5 x 1.5 mm.",
        "The sidecar says that slices are 5 mm apart, the header 2.5 mm.",
    ),
    kind=FACTS,
)
def sidecar_sizes(folder):
    return with_sidecar(nifti(folder), {"PixelSpacing": [0.75, 0.75], "SpacingBetweenSlices": 5.0})


@case(
    "a sidecar of coronal slices beside axial ones",
    handled="read by the header, and flagged",
    flags=(
        "The sidecar says that the slices are stacked from front to back, the header from head to foot; the scan was "
        "read by the header: look at the pictures.",
    ),
    kind=FACTS,
)
def sidecar_coronal(folder):
    return with_sidecar(nifti(folder), {"ImageOrientationPatientDICOM": [1, 0, 0, 0, 0, -1]})


@case(
    "a sidecar with another rescale than its NIfTI applies",
    handled="read by the header, and flagged",
    flags=(
        "The sidecar gives a rescale of slope 1 and intercept -1000, the header one of slope 1 and intercept -1024, "
        "which was applied.",
    ),
    kind=FACTS,
)
def sidecar_rescale(folder):
    path = nifti(folder, hu() + 1024, scl_slope=1, scl_inter=-1024)
    return with_sidecar(path, {"RescaleSlope": 1, "RescaleIntercept": -1000})


@case(
    "a sidecar with a rescale that the values lack",
    refused="The sidecar gives a rescale (slope 1 and intercept -1024) that the values lack: none is below 0. Apply it "
    "and export the scan again.",
    kind=FACTS,
)
def sidecar_not_applied(folder):
    return with_sidecar(nifti(folder, hu() + 1024), {"RescaleSlope": 1, "RescaleIntercept": -1024})


@case(
    "a file beside the scan that is no sidecar",
    handled="read, and flagged",
    flags=("The file beside the scan that ends in .json is no sidecar; it was not read.",),
    kind=FACTS,
)
def sidecar_of_text(folder):
    return with_sidecar(nifti(folder), "{cut")


# Values

_Y, _X = np.mgrid[:36, :40]
RING = np.hypot(_X - 19.5, _Y - 17.5) > 21
RING_SHARE = f"{100 * RING.mean():.1f} % of the voxels"
PUT_BACK = f"The sign of negative values was lost in the export ({RING_SHARE}); it was put back."


def ringed(value: float, base: np.ndarray | None = None, kind: type = np.int32) -> np.ndarray:
    """The values with `value` outside a circle around the body."""
    array = (hu() if base is None else base).astype(kind)
    array[:, RING] = value
    return array


def in_place(array: np.ndarray, path: Path) -> Path:
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(volume())
    return save(image, path)


def made_air(value: str) -> str:
    return f"All outside a circle is {value} HU ({RING_SHARE}): taken as padding, made air."


@case("a ring of -2000 around a round field of view", handled="read, padding becomes air", kind=VALUES)
def ring_dark(folder):
    return in_place(ringed(-2000, kind=np.int16), folder / "ct.mha")


@case("a ring of -32768", handled="read, padding becomes air", kind=VALUES)
def ring_darkest(folder):
    return in_place(ringed(-32768, kind=np.int16), folder / "ct.nrrd")


@case(
    "a ring of 63536, which is -2000 without its sign",
    handled="mended, and flagged",
    flags=(PUT_BACK,),
    kind=VALUES,
)
def ring_unsigned(folder):
    return in_place(ringed(63536), folder / "ct.mha")


@case(
    "NIfTI of unsigned values with a rescale, and a ring of 63536",
    handled="mended, and flagged",
    flags=(PUT_BACK,),
    kind=VALUES,
)
def ring_unsigned_rescaled(folder):
    return nifti(folder, ringed(63536, hu() + 1024, np.uint16), scl_slope=1, scl_inter=-1024)


@case("a ring of 30000", handled="mended, and flagged", flags=(made_air("30000"),), kind=VALUES)
def ring_bright(folder):
    return in_place(ringed(30000, kind=np.int16), folder / "ct.mha")


@case("a ring of 32767", handled="mended, and flagged", flags=(made_air("32767"),), kind=VALUES)
def ring_saturated(folder):
    return in_place(ringed(32767, kind=np.float32), folder / "ct.nrrd")


@case("a ring of 0, which would be water", handled="mended, and flagged", flags=(made_air("0"),), kind=VALUES)
def ring_of_water(folder):
    return in_place(ringed(0, kind=np.int16), folder / "ct.nii.gz")


@case(
    "a ring of what is no number",
    handled="mended, and flagged",
    flags=(f"Nothing outside a circle is a number ({RING_SHARE}): taken as padding, made air.",),
    kind=VALUES,
)
def ring_of_nan(folder):
    return in_place(ringed(np.nan, kind=np.float32), folder / "ct.mha")


@case("NIfTI whose voxels are no numbers here and there, which libraries make 0",
      refused=f"34 voxels are not finite numbers; {AGAIN}", kind=VALUES)  # fmt: skip
def scattered_nan(folder):
    array = hu().astype(np.float32)
    array.ravel()[::1017] = np.nan
    return in_place(array, folder / "ct.nii.gz")


@case("DICOM with a ring of 3071 that the header does not name", handled="mended, and flagged",
      flags=(made_air("3071"),), kind=VALUES)  # fmt: skip
def ring_in_dicom(folder):
    image = sitk.GetImageFromArray(ringed(3071, kind=np.int16))
    image.CopyInformation(volume())
    return write_series(folder / "in", image)


@case(
    "DICOM of unsigned values with a ring of 63536 that the header does not name",
    handled="mended, and flagged",
    flags=(PUT_BACK,),
    kind=VALUES,
)
def ring_in_unsigned_dicom(folder):
    image = sitk.GetImageFromArray(ringed(-3024, kind=np.int16))
    image.CopyInformation(volume())
    return edit(write_series(folder / "in", image), lambda item: setattr(item, "PixelRepresentation", 0))


@case(
    "values without the rescale, and a ring of -2000 that looks like air",
    refused="The values lie between 24 and 1239, with no air: they are not Hounsfield units. "
    f"Apply the rescale slope and intercept and {AGAIN}",
    kind=VALUES,
)
def ring_unscaled(folder):
    return in_place(ringed(-2000, hu() + 1024, np.int16), folder / "ct.mha")


@case(
    "values without the rescale, and a dark frame that is not round",
    refused="49.3 % of the voxels lie above 700 HU, as hard bone does: the values are shifted, scaled or inverted; "
    + AGAIN,
    kind=VALUES,
)
def frame_unscaled(folder):
    array = hu() + 1024
    array[:, :, :5] = -2000
    return in_place(array, folder / "ct.mha")


@case(
    "27 % of the voxels at 32767 HU, not around a circle",
    refused="27.5 % of the voxels lie above 4095 HU, where metal alone is: padding that is not round, or swapped "
    f"bytes; {AGAIN}",
    kind=VALUES,
)
def saturated(folder):
    array = hu()
    array[:, :, :6] = array[:, :, -5:] = 32767
    return in_place(array, folder / "ct.mha")


@case(
    "HU as unsigned numbers, all negative ones 65536 too high",
    handled="mended, and flagged",
    flags=(
        f"The sign of negative values was lost in the export ({100 * (hu() < 0).mean():.1f} % of the voxels); "
        "it was put back.",
    ),
    kind=VALUES,
)
def wrapped(folder):
    return in_place(hu().astype(np.uint16), folder / "ct.mha")


@case(
    "the rescale applied twice: tissue at -1000",
    refused=f"Only 0.0 % of the voxels lie above -200 HU, as tissue does: the values are shifted or scaled; {AGAIN}",
    kind=VALUES,
)
def shifted_down(folder):
    return in_place(hu() - 1000, folder / "ct.mha")


@case(
    "the same with the noise of a scanner",
    refused="100.0 % of the voxels lie below -1100 HU, where not even air is: the rescale was applied twice, the "
    f"values are scaled, or bytes are swapped; {AGAIN}",
    kind=VALUES,
)
def shifted_down_with_noise(folder):
    return in_place(hu() - 1500 + np.arange(40, dtype=np.int16) % 7, folder / "ct.mha")


@case(
    "attenuation per mm instead of HU",
    refused="The values lie between 0 and 0.0243, with no air: they are not Hounsfield units. "
    f"Apply the rescale slope and intercept and {AGAIN}",
    kind=VALUES,
)
def attenuation(folder):
    return in_place(((hu() + 1000.0) * 0.02 / 1000).astype(np.float32), folder / "ct.nii")


@case(
    "grey values from 0 to 255",
    refused="The values lie between 0 and 255, with no air: they are not Hounsfield units. "
    f"Apply the rescale slope and intercept and {AGAIN}",
    kind=VALUES,
)
def grey(folder):
    return in_place(np.rint((hu() + 1000) / 1215 * 255).astype(np.uint8), folder / "ct.nii")


@case(
    "inverted values: air is bright",
    refused=f"The values lie between {-int(hu().max())} and 1000, with no air: they are not Hounsfield units. "
    f"Apply the rescale slope and intercept and {AGAIN}",
    kind=VALUES,
)
def inverted(folder):
    array = -hu()
    array[0, 1, 1] = 999  # so that not all corners are one value
    return in_place(array, folder / "ct.mha")


@case(
    "half of the slices without the rescale",
    refused="The values jump by 1024 HU from a slice to the next: not all have the same rescale; " + AGAIN,
    kind=VALUES,
)
def mixture(folder):
    array = hu()
    array[12:] += 1024
    return in_place(array, folder / "ct.mha")


@case(
    "swapped bytes",
    refused="85.3 % of the voxels lie above 4095 HU, where metal alone is: padding that is not round, or swapped "
    f"bytes; {AGAIN}",
    kind=VALUES,
)
def swapped_bytes(folder):
    return in_place(hu().byteswap(), folder / "ct.mha")


@case(
    "a lung window burned in",
    handled="read, and flagged",
    flags=(
        f"{100 * (hu() >= 50).mean():.1f} % of the voxels hold the highest value, 50 HU: denser ones were cut off "
        "(a window?).",
    ),
    resampled=True,
    kind=VALUES,
)
def lung_window(folder):
    return in_place(np.clip(hu(), -1350, 50), folder / "ct.mha")


@case(
    "values cut off below -950 HU",
    handled="read, and flagged",
    flags=(
        f"{100 * (hu() < -950).mean():.1f} % of the voxels hold the lowest value, -950 HU: emptier ones were cut off "
        "(a window?).",
    ),
    resampled=True,
    kind=VALUES,
)
def cut_below(folder):
    return in_place(np.clip(hu(), -950, None), folder / "ct.mha")


@case(
    "air at -900 HU",
    handled="read, and flagged",
    flags=("The air around the body measures -902 HU and not -1000: the rescale is not right.",),
    resampled=True,
    kind=VALUES,
)
def warm_air(folder):
    noise = np.random.default_rng(0).normal(0, 20, (24, 36, 40))
    return in_place(np.rint(np.where(hu() < -900, -900 + noise, hu())).astype(np.int16), folder / "ct.mha")


@case(
    "0 around the body, which is not round",
    handled="read, and flagged",
    flags=("All corners of the slices hold 0 HU, which is not air: padding, left as it is.",),
    resampled=True,
    kind=VALUES,
)
def zero_around(folder):
    array = hu()
    array[:, :4], array[:, -4:] = 0, 0
    return in_place(array, folder / "ct.mha")


@case("a scale that ends at 3071 HU, with metal", handled="read", kind=VALUES, resampled=True)
def metal(folder):
    array = hu()
    array[5:8, 16:20, 18:20] = 3071
    return in_place(array, folder / "ct.mha")


@case(
    "metal above 4095 HU",
    handled="read, and flagged",
    flags=("0.2 % of the voxels lie above 4095 HU: metal, or damage.",),
    resampled=True,
    kind=VALUES,
)
def much_metal(folder):
    array = hu()
    array[5:10, 16:20, 18:21] = 12000
    return in_place(array, folder / "ct.mha")


# How a file is laid out, and what its name says


def by_its_first_bytes(name: str, found: str) -> str:
    return f"By its name the file is {name}, by its first bytes {found}; rename or unpack it."


@case("NIfTI named .nii.gz that is not compressed", kind=FACTS,
      refused=by_its_first_bytes("NIfTI compressed by gzip", "NIfTI"))  # fmt: skip
def not_compressed(folder):
    return nifti(folder).rename(folder / "ct.nii.gz")


@case("NIfTI named .nii that is compressed", kind=FACTS,
      refused=by_its_first_bytes("NIfTI", "NIfTI compressed by gzip"))  # fmt: skip
def compressed_all_the_same(folder):
    return nifti(folder, name="ct.nii.gz").rename(folder / "ct.nii")


@case("NIfTI that is compressed twice", kind=FACTS,
      refused=by_its_first_bytes("NIfTI compressed by gzip", "gzip within gzip"))  # fmt: skip
def compressed_twice(folder):
    path = nifti(folder, name="ct.nii.gz")
    path.write_bytes(gzip.compress(path.read_bytes()))
    return path


@case("NRRD named .nii", kind=FACTS, refused=by_its_first_bytes("NIfTI", "NRRD"))
def nrrd_named_nifti(folder):
    return nrrd(folder, {}).rename(folder / "ct.nii")


@case("MetaImage named .nrrd", kind=FACTS, refused=by_its_first_bytes("NRRD", "MetaImage"))
def metaimage_named_nrrd(folder):
    return mha(folder).rename(folder / "ct.nrrd")


@case("NIfTI named .mha", kind=FACTS, refused=by_its_first_bytes("MetaImage", "NIfTI"))
def nifti_named_metaimage(folder):
    return nifti(folder).rename(folder / "ct.mha")


@case("an Analyze header in a file named .nii", kind=FACTS,
      refused="The header is that of Analyze, not of NIfTI (magic), and does not say where left is; convert it anew.",
      )  # fmt: skip
def analyze(folder):
    return nifti(folder, magic=b"")


@case("a pair of files .hdr and .img", kind=FACTS,
      refused="Analyze and pairs of NIfTI files (.hdr, .img) are not read; save the scan as one NIfTI file.",
      )  # fmt: skip
def pair_of_files(folder):
    nib.save(nib.Nifti1Pair(np.ascontiguousarray(hu().T), AFFINE), folder / "ct.img")
    return folder


@case("NIfTI whose qform has a qfac of 0, which stands for 1", handled="read", kind=FACTS)
def qfac_of_nothing(folder):
    return nifti(folder, sform=None, qform=AFFINE, pixdim=[0, 1.5, 1.5, 2.5, 1, 1, 1, 1])


@case("NIfTI of two axes and 24 slices", kind=FACTS,
      refused="The NIfTI header gives 2 axes of 40 x 36 x 24 voxels (dim); correct the header.")  # fmt: skip
def two_axes(folder):
    return nifti(folder, dim=[2, 40, 36, 24, 1, 1, 1, 1])


@case("NIfTI of -24 slices", kind=FACTS,
      refused="The NIfTI header gives 3 axes of 40 x 36 x -24 voxels (dim); correct the header.")  # fmt: skip
def slices_below_zero(folder):
    return nifti(folder, dim=[3, 40, 36, -24, 1, 1, 1, 1])


@case("NIfTI whose bits to a voxel are not those of its data type", kind=FACTS,
      refused="The NIfTI header contradicts itself: a voxel has 8 bits by bitpix and 16 by datatype (4); correct the "
      "header.")  # fmt: skip
def other_bits(folder):
    return nifti(folder, bitpix=8)


@case("NIfTI whose voxels begin within its header", kind=FACTS,
      refused="The NIfTI header has the voxels begin within itself (vox_offset 0); correct it to 352 or more.",
      )  # fmt: skip
def voxels_in_the_header(folder):
    return nifti(folder, vox_offset=0)


@case("NIfTI of three values to a voxel (5D)", kind=FACTS,
      refused="The file holds 3 volumes (4D); give one volume a visit.")  # fmt: skip
def five_dimensions(folder):
    return nifti(folder, dim=[5, 40, 36, 8, 1, 3, 1, 1])


@case("MetaImage that holds more slices than its header says", kind=FACTS,
      refused="The file of the voxels holds 69120 bytes and the MetaImage header speaks of 57600 (DimSize, "
      "ElementType); correct the header.")  # fmt: skip
def metaimage_more_slices(folder):
    return mha(folder, DimSize="40 36 20")


@case("MetaImage that is compressed by its header alone, which libraries fill with chance", kind=FACTS,
      refused=f"The file cannot be read as MetaImage: {COPY}")  # fmt: skip
def metaimage_not_compressed(folder):
    return mha(folder, CompressedData="True")


@case("MetaImage, compressed", handled="read", kind=FACTS)
def compressed_metaimage(folder):
    return save(volume(), folder / "ct.mha", compressed=True)


@case("MetaImage with a distance of slices below 0", kind=FACTS,
      refused="The voxels of the MetaImage header are 1.5 x 1.5 x -2.5 mm apart; correct ElementSpacing.",
      )  # fmt: skip
def metaimage_below_zero(folder):
    return mha(folder, ElementSpacing="1.5 1.5 -2.5")


@case("MetaImage with two numbers for three axes", kind=FACTS,
      refused='The MetaImage header holds "1.5 1.5" as ElementSpacing, which is not 3 numbers; correct the header.',
      )  # fmt: skip
def metaimage_two_numbers(folder):
    return mha(folder, ElementSpacing="1.5 1.5")


@case("MetaImage with decimal commas", kind=FACTS,
      refused='The MetaImage header holds "1,5 1,5 2,5" as ElementSpacing, which is not 3 numbers; correct the header.',
      )  # fmt: skip
def metaimage_commas(folder):
    return mha(folder, ElementSpacing="1,5 1,5 2,5")


@case("MetaImage with an axis twice", kind=FACTS,
      refused="The axes of TransformMatrix in the MetaImage header lie in one plane; correct the header.",
      )  # fmt: skip
def metaimage_axis_twice(folder):
    return mha(folder, TransformMatrix="1 0 0 1 0 0 0 0 1")


@case(
    "MetaImage with letters of orientation and without a matrix",
    handled="read as LPS, and flagged",
    flags=(
        f"The MetaImage header has no orientation (no TransformMatrix): {LOOK}",
        "By AnatomicalOrientation the axes of the MetaImage are LAI; they were read as RAI.",
    ),
    kind=FACTS,
)
def metaimage_letters_alone(folder):
    return mha(folder, TransformMatrix=None, AnatomicalOrientation="LAI")


@case(
    "MetaImage with a scale of the values, which libraries do not apply",
    handled="read, and flagged",
    flags=(
        "The MetaImage header gives a scale of the values (ElementToIntensityFunctionSlope, "
        "ElementToIntensityFunctionOffset), which was not applied.",
    ),
    kind=FACTS,
)
def metaimage_scale(folder):
    return mha(folder, ElementToIntensityFunctionSlope="1", ElementToIntensityFunctionOffset="-1024")


@case("NRRD that holds more slices than its header says", kind=FACTS,
      refused="The file of the voxels holds 69120 bytes and the NRRD header speaks of 57600 (sizes, type); correct the "
      "header.")  # fmt: skip
def nrrd_more_slices(folder):
    return nrrd(folder, {"sizes": "40 36 20"})


@case("NRRD without a direction, which libraries read as 1 mm", kind=FACTS,
      refused="The NRRD header has 0 space directions and not 3; correct the header.")  # fmt: skip
def nrrd_no_direction(folder):
    return nrrd(folder, {"space directions": "none none none"})


@case("NRRD with a direction twice", kind=FACTS,
      refused="The space directions of the NRRD header lie in one plane; correct the header.")  # fmt: skip
def nrrd_direction_twice(folder):
    return nrrd(folder, {"space directions": "(1.5,0,0) (1.5,0,0) (0,0,2.5)"})


@case("NRRD in a space that the format does not know", kind=FACTS,
      refused='The NRRD header names "left-posterior-inferior" as its space, which is none of the format; correct it.',
      )  # fmt: skip
def nrrd_unknown_space(folder):
    return nrrd(folder, {"space": "left-posterior-inferior"})


@case("NRRD of three volumes", kind=FACTS,
      refused="The file holds 3 volumes (4D); give one volume a visit.")  # fmt: skip
def nrrd_of_three_volumes(folder):
    directions = "none (1.5,0,0) (0,1.5,0) (0,0,2.5)"
    changes = {"dimension": "4", "sizes": "3 40 36 8", "space directions": directions, "kinds": "list" + 3 * " domain"}
    return nrrd(folder, changes)


@case(
    "a sidecar of a projection",
    handled="read, and flagged",
    flags=("By its sidecar the scan is a reformat or projection (ImageType MIP).",),
    kind=FACTS,
)
def sidecar_of_projection(folder):
    return with_sidecar(nifti(folder), {"ImageType": ["DERIVED", "SECONDARY", "MIP"]})


@case("voxels ten times as large in the plane as any scanner's", kind=FACTS,
      refused="The scan is 1050 mm wide, 1050 mm deep and 60 mm high, larger than any scanner's: the voxel size in the "
      "header is not right; correct it.")  # fmt: skip
def ten_times_as_large(folder):
    whole = np.pad(hu(), ((0, 0), (57, 57), (55, 55)), constant_values=-1000)
    image = sitk.GetImageFromArray(whole)
    image.SetSpacing((7.0, 7.0, 2.5))
    return save(image, folder / "ct.mha")


# Values that are HU in part


@case("unsigned values of 32 bits, all negative ones 4294967296 too high", kind=VALUES, handled="mended, and flagged",
      flags=(f"The sign of negative values was lost in the export ({100 * (hu() < 0).mean():.1f} % of the voxels); "
             "it was put back.",))  # fmt: skip
def wrapped_at_32_bits(folder):
    return in_place(hu().astype(np.int64).astype(np.uint32), folder / "ct.mha")


@case("values ten times as large", kind=VALUES,
      refused="52.8 % of the voxels lie below -1100 HU, where not even air is: the rescale was applied twice, the "
      f"values are scaled, or bytes are swapped; {AGAIN}")  # fmt: skip
def ten_times(folder):
    return in_place(hu().astype(np.int32) * 10 + np.arange(40) % 7, folder / "ct.mha")


@case("-32768 at single voxels, in the body too", kind=VALUES,
      refused=f"4.1 % of the voxels are single ones below -1500 HU: damage; {AGAIN}")  # fmt: skip
def scattered_dark(folder):
    array = hu()
    array.ravel()[::23] = -32768
    return in_place(array, folder / "ct.mha")


@case("-32768 at few single voxels", kind=VALUES, handled="read, and flagged", resampled=True,
      flags=("0.3 % of the voxels are single ones below -1500 HU: damage.",))  # fmt: skip
def few_scattered_dark(folder):
    array = hu()
    array.ravel()[::347] = -32768
    return in_place(array, folder / "ct.mha")


@case("a blank slice within the scan", kind=VALUES, handled="read, and flagged", resampled=True,
      flags=("Slices within the scan that hold one value alone: 1; they show nothing.",))  # fmt: skip
def blank_slice(folder):
    array = hu()
    array[9] = -1024
    return in_place(array, folder / "ct.mha")


@case("eight blank slices within the scan", kind=VALUES,
      refused=f"8 slices within the scan hold one value alone; {AGAIN}")  # fmt: skip
def blank_slices(folder):
    array = hu()
    array[9:17] = -1024
    return in_place(array, folder / "ct.mha")


@case("blank slices at both ends", handled="read", resampled=True, kind=VALUES)
def blank_ends(folder):
    array = hu()
    array[:5], array[-5:] = -1024, -1024
    return in_place(array, folder / "ct.mha")


@case("half of the slices 300 HU too bright", kind=VALUES, handled="read, and flagged", resampled=True,
      flags=("The air around the body differs by 300 HU between slices: not all have one rescale.",))  # fmt: skip
def half_too_bright(folder):
    array = hu()
    array[12:] += 300
    return in_place(array, folder / "ct.mha")


@case("values inverted about -500 HU: the lungs stay dark", kind=VALUES,
      refused=f"What lies around the body measures 0 HU: the values are inverted; {AGAIN}")  # fmt: skip
def inverted_about_the_middle(folder):
    noise = np.random.default_rng(0).normal(0, 20, (24, 36, 40))
    return in_place(np.rint(-1000 - np.where(hu() < -900, -1000, 40) + noise).astype(np.int16), folder / "ct.mha")


@case("a picture of 8 bits stretched to HU", kind=VALUES, handled="read, and flagged", resampled=True,
      flags=("The scan holds only 254 different values: was it a picture of 8 bits?",))  # fmt: skip
def picture(folder):
    noise = np.random.default_rng(0).normal(-400, 250, (24, 72, 80))
    noise.ravel()[:255] = np.arange(-1144, 896, 8)
    return array_file(np.clip(np.rint(noise / 8) * 8, -1144, 888).astype(np.int16), folder / "ct.mha")
