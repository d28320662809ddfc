"""One CT scan in, from any usual format: int16 HU on LPS-ordered axes, and the facts of its acquisition.

What comes out carries nothing that names a person: pixel data, geometry, and a short list of acquisition facts.
Everything that makes a scan unusable raises `UnusableScan` with a sentence for the report.
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from lung4d.convert import dicom_headers
from lung4d.convert.archives import unpack
from lung4d.convert.dicom_choice import choose_series
from lung4d.convert.dicom_volume import read_series
from lung4d.io.hounsfield import AIR
from lung4d.io.nifti import is_whole
from lung4d.io.status import UnusableScan

VOLUME_SUFFIXES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr")
# Start of the suffix: name, and the reader, because ITK's own choice depends on upper and lower case.
FORMATS = {
    ".nii": ("NIfTI", "NiftiImageIO"),
    ".mh": ("MetaImage", "MetaImageIO"),
    ".n": ("NRRD", "NrrdImageIO"),
}
HIGHEST_HU = 32767
FEWEST_SLICES = dicom_headers.FEWEST_SLICES
WIDEST_SPACING = 10.0  # mm between voxels, along any axis
COARSE_SPACING = 5.0  # mm, above which the scan is flagged
NO_ORIENTATION = (
    "The NIfTI header has no orientation (qform and sform code 0): left and right may be swapped; look at the pictures."
)
HIGHEST_AIR = -300.0  # HU: a chest CT has values below this, whatever else it shows


@dataclass(frozen=True)
class ConvertedScan:
    """`image`: int16 HU, LPS axis order, metadata-free. `facts`: for the sidecar. `flags`: sentences to be read."""

    image: sitk.Image
    facts: dict[str, Any]
    flags: list[str] = field(default_factory=list)


def read_scan(path: str | Path, series: str | None = None) -> ConvertedScan:
    """Read a DICOM folder or zip, NIfTI, MHA/MHD or NRRD.

    `series` picks one of several DICOM series by SeriesNumber, SeriesDescription or SeriesInstanceUID; without it
    the rule of `lung4d.convert.dicom_choice` decides. Raises FileNotFoundError where nothing is at `path`, and
    UnusableScan for what cannot be used.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError("The file or folder of the scan is not there.")  # its path may name a person
    if path.is_dir():
        image, facts, flags = _read_folder(path, series)
    elif path.stat().st_size == 0:
        raise UnusableScan("The file is empty; copy it again.")
    elif path.suffix.lower() == ".zip":
        with tempfile.TemporaryDirectory(prefix="lung4d-") as folder:
            unpack(path, Path(folder))
            image, facts, flags = _read_folder(Path(folder), series)
        facts["format"] = f"{facts['format']} in a zip"
    else:
        image, facts, flags = _read_file(path, series)
    image = _three_dimensional(image)
    facts |= {"orientation_source": _orientation(image)}
    image.SetDirection(_rotation(np.array(image.GetDirection()).reshape(3, 3), image).ravel().tolist())
    image = as_hu(sitk.DICOMOrient(image, "LPS"))
    flags += _check_geometry(image)
    return ConvertedScan(image, facts | _grid_facts(image), flags)


def as_hu(image: sitk.Image) -> sitk.Image:
    """Round to int16 HU, clip to >= -1024 (padding such as -2048 becomes air) and drop all metadata.

    Raises UnusableScan for values that are not finite, or that cannot be HU (nothing below -300, or constant).
    """
    values = sitk.GetArrayViewFromImage(image)
    if values.dtype.kind == "f" and not (finite := np.isfinite(values)).all():
        raise UnusableScan(f"{(~finite).sum()} voxels are not finite numbers; export the scan again.")
    low, high = values.min(), values.max()
    if low == high:
        raise UnusableScan(f"Every voxel has the same value, {low:g}; export the scan again.")
    if low > HIGHEST_AIR:
        raise UnusableScan(
            f"The values lie between {low:g} and {high:g}, with no air: they are not Hounsfield units. "
            "Apply the rescale slope and intercept and export the scan again."
        )
    clipped = np.clip(values, AIR, HIGHEST_HU)
    hu = sitk.GetImageFromArray((np.rint(clipped) if values.dtype.kind == "f" else clipped).astype(np.int16))
    hu.CopyInformation(image)  # geometry only: the metadata dictionary, where names hide, stays behind
    return hu


def _read_folder(folder: Path, series: str | None) -> tuple[sitk.Image, dict, list[str]]:
    """A folder of DICOM files, or one that holds a single volume file."""
    slices = dicom_headers.find_slices(folder)
    if slices:
        return _read_dicom(slices, series)
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and not file.name.startswith(".")]
    volumes = [file for file in files if _volume_suffix(file)]
    if len(volumes) == 1:
        return _read_file(volumes[0], series)
    if volumes:
        raise UnusableScan(f"The folder holds {len(volumes)} volume files and no DICOM; give one file.")
    if zips := sum(file.suffix.lower() == ".zip" for file in files):
        raise UnusableScan(f"No images but zip files ({zips}) are in it; unpack them, or give one as the path.")
    if reports := sum(dicom_headers.is_dicom(file) for file in files):
        raise UnusableScan(
            f"The DICOM files ({reports}) hold no image with a position and a pixel size "
            "(reports, dose sheets, screenshots?); export the original slices."
        )
    raise UnusableScan("The folder holds neither DICOM nor a volume file; give a DICOM folder or one file.")


def _read_dicom(slices: list[dicom_headers.Slice], series: str | None) -> tuple[sitk.Image, dict, list[str]]:
    chosen, choice = choose_series(slices, series)
    image, facts, flags = read_series(chosen)
    return image, facts | choice, flags


def _volume_suffix(path: Path) -> str | None:
    """The suffix of a volume format, None for other names (a `.gz` alone is none)."""
    return next((suffix for suffix in VOLUME_SUFFIXES if path.name.lower().endswith(suffix)), None)


def _read_file(path: Path, series: str | None) -> tuple[sitk.Image, dict, list[str]]:
    suffix = _volume_suffix(path)
    if suffix is None:
        return _read_lone_dicom(path, series)
    name, reader = next(FORMATS[key] for key in FORMATS if suffix.startswith(key))
    damaged = UnusableScan(f"The file cannot be read as {name}: it is cut short or damaged; copy it again.")
    if name == "NIfTI" and not is_whole(path):
        raise damaged
    flags = [NO_ORIENTATION] if name == "NIfTI" and _has_no_orientation(path) else []
    try:
        return sitk.ReadImage(str(path), imageIO=reader), {"format": name}, flags
    except RuntimeError as error:
        if name == "NIfTI" and "orthonormal" in str(error):
            return _read_nearly_orthogonal(path), {"format": name}, ["The axes of the file are not exactly orthogonal."]
        raise damaged from None


def _read_lone_dicom(path: Path, series: str | None) -> tuple[sitk.Image, dict, list[str]]:
    """An enhanced DICOM file, which holds a whole series; raises UnusableScan for any other file."""
    if not dicom_headers.is_dicom(path):
        raise UnusableScan("Unknown format: give a DICOM folder or zip, NIfTI, MHA/MHD or NRRD.")
    slices = dicom_headers.slices_of(path)
    if len(slices) < FEWEST_SLICES:
        raise UnusableScan("This is one DICOM file, not a readable series; give the folder of the whole series.")
    return _read_dicom(slices, series)


def _has_no_orientation(path: Path) -> bool:
    header = nib.load(path).header
    return int(header["qform_code"]) == 0 and int(header["sform_code"]) == 0


def _read_nearly_orthogonal(path: Path) -> sitk.Image:
    """A NIfTI whose direction cosines are rounded more than ITK allows; raises UnusableScan for a sheared grid."""
    file = nib.load(path)
    affine = np.diag([-1.0, -1, 1, 1]) @ file.affine  # RAS to LPS
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not (spacing > 0).all():
        raise UnusableScan("The affine of the file has an axis of no length; export the scan again.")
    image = sitk.GetImageFromArray(np.ascontiguousarray(np.asanyarray(file.dataobj).T))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection(_rotation(affine[:3, :3] / spacing, image).ravel().tolist())
    return image


def _rotation(direction: np.ndarray, image: sitk.Image) -> np.ndarray:
    """The rotation (or reflection) nearest to `direction`; raises UnusableScan where it moves a voxel of `image` by
    half a voxel or more, as in a sheared grid (gantry tilt kept in the affine)."""
    left, _, right = np.linalg.svd(direction)
    rotation = left @ right
    extent = np.array(image.GetSize()[:3]) * image.GetSpacing()[:3]
    if (np.abs(rotation - direction) @ extent).max() > min(image.GetSpacing()) / 2:
        raise UnusableScan("The voxel grid is sheared (gantry tilt?); resample the scan to orthogonal axes.")
    return rotation


def _three_dimensional(image: sitk.Image) -> sitk.Image:
    """Refuse colours, single slices and time series; a fourth axis of length one is dropped."""
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise UnusableScan("The voxels hold colours or vectors, not one CT value; export the original scan.")
    if image.GetPixelID() in (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64):
        raise UnusableScan("The voxels hold complex numbers, not CT values; export the original scan.")
    size = image.GetSize()
    if len(size) == 4:
        if size[3] != 1:
            raise UnusableScan(f"The file holds {size[3]} volumes (4D); give one volume a visit.")
        return image[..., 0]
    if len(size) != 3:
        raise UnusableScan("The file holds a single image, not a volume; give the whole scan.")
    return image


def _check_geometry(image: sitk.Image) -> list[str]:
    """Flags of an LPS volume; raises UnusableScan for too few slices or voxels too far apart."""
    size, spacing = image.GetSize(), image.GetSpacing()
    if size[2] < FEWEST_SLICES:
        raise UnusableScan(f"Only {size[2]} slices; at least {FEWEST_SLICES} are needed: export the whole chest.")
    if min(size[:2]) < 32:
        raise UnusableScan(f"The slices have only {size[0]} x {size[1]} voxels; export the scan in full size.")
    if max(spacing) > WIDEST_SPACING:
        raise UnusableScan(
            f"Voxels are {max(spacing):.1f} mm apart; at most {WIDEST_SPACING:g} mm can be used: "
            "export a thinner series."
        )
    if max(spacing) > COARSE_SPACING:
        return [f"Slices are {max(spacing):.1f} mm apart: fine disease is not seen."]
    return []


def _orientation(image: sitk.Image) -> str:
    return sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection())


def _grid_facts(image: sitk.Image) -> dict[str, Any]:
    """Size and spacing (x, y, z) of the converted image; its position in the scanner is in the image alone."""
    return {
        "size": list(image.GetSize()),
        "spacing_mm": [round(value, 5) for value in image.GetSpacing()],
        "direction": [round(value, 6) for value in image.GetDirection()],
    }


def metrics_of(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts worth a column in the quality table: flat numbers and texts."""
    size, spacing = facts["size"], facts["spacing_mm"]
    return {
        "format": facts["format"],
        "kernel": facts.get("kernel"),
        "slice_thickness_mm": facts.get("slice_thickness_mm"),
        "series_number": facts.get("series_number"),
        "series_found": facts.get("series_found"),
        "slices": size[2],
        "in_plane_mm": spacing[0],
        "slice_spacing_mm": spacing[2],
    }
