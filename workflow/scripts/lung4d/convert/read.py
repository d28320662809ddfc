"""One CT scan in, from any usual format: int16 HU on LPS-ordered axes, and the facts of its acquisition.

What comes out carries nothing that names a person: pixel data, geometry, and a short list of acquisition facts.
Everything that makes a scan unusable raises `UnusableScan` with a sentence for the report.
"""

import math
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from lung4d.convert import plausibility
from lung4d.convert.acquisition_words import acquisition_facts
from lung4d.convert.archives import files_below, unpack
from lung4d.convert.dicom import headers
from lung4d.convert.dicom.choice import choose_series
from lung4d.convert.dicom.sentences import flags_of_choice, flags_of_files, without_place
from lung4d.convert.dicom.volume import read_series
from lung4d.convert.patient_headers import person_of
from lung4d.convert.volumes import sidecar
from lung4d.convert.volumes.files import nearest_rotation, read_volume
from lung4d.convert.volumes.names import volume_suffix
from lung4d.io.status import UnusableScan

FEWEST_SLICES = headers.FEWEST_SLICES
WIDEST_SPACING = 10.0  # mm between voxels, along any axis
COARSE_SPACING = 5.0  # mm, above which the scan is flagged
FINEST_SPACING = 0.05  # mm
NARROWEST, WIDEST, HIGHEST = 50.0, 1000.0, 2500.0  # mm: of slices, and of the scan from head to foot
PERSON = "person"  # among the facts until the end


@dataclass(frozen=True)
class ConvertedScan:
    """`image`: int16 HU, LPS axis order, metadata-free. `facts`: for the sidecar. `flags`: sentences to be read.
    `person`: whom the headers name (`patient_headers`), for nobody but the comparison of a patient's scans."""

    image: sitk.Image
    facts: dict[str, Any]
    flags: list[str] = field(default_factory=list)
    person: dict[str, str] = field(default_factory=dict)


def read_scan(path: str | Path, series: str | None = None) -> ConvertedScan:
    """Read a DICOM folder or zip, NIfTI, MHA/MHD or NRRD.

    `series` picks one of several DICOM series by SeriesNumber, SeriesDescription or SeriesInstanceUID; without it
    the rule of `lung4d.convert.dicom.choice` decides. Raises FileNotFoundError where nothing is at `path`, and
    UnusableScan for what cannot be used.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError("The file or folder of the scan is not there.")  # its path may name a person
    if path.is_symlink() and not path.suffix:
        path = path.resolve()  # its own name says what it is
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
    image.SetDirection(nearest_rotation(np.array(image.GetDirection()).reshape(3, 3), image).ravel().tolist())
    image = sitk.DICOMOrient(image, "LPS")
    geometry = _check_geometry(image)
    image, oddities = plausibility.plausible_hu(image)
    person = facts.pop(PERSON, {})
    return ConvertedScan(
        image, facts | _grid_facts(image), [*flags, *geometry, *_check_extent(image), *oddities], person
    )


def _read_folder(folder: Path, series: str | None) -> tuple[sitk.Image, dict, list[str]]:
    """A folder of DICOM files, or one that holds a single volume file."""
    files, dead_links = files_below(folder)
    slices = headers.find_slices(files)
    if slices:
        return _read_dicom(slices, series, files, dead_links)
    files = [file for file in files if not file.name.startswith(".")]
    volumes = [file for file in files if volume_suffix(file)]
    if len(volumes) == 1:
        return _read_file(volumes[0], series)
    if volumes:
        raise UnusableScan(f"The folder holds {len(volumes)} volume files and no DICOM; give one file.")
    if zips := sum(file.suffix.lower() == ".zip" for file in files):
        raise UnusableScan(f"No images but zip files ({zips}) are in it; unpack them, or give one as the path.")
    if reports := [file for file in files if headers.is_dicom(file)]:
        raise UnusableScan(without_place(reports))
    if pairs := [file for file in files if file.suffix.lower() in (".hdr", ".img")]:
        return _read_file(pairs[0], series)  # which says why not
    if dead_links:
        raise UnusableScan(
            f"Links ({dead_links}) in the folder lead nowhere, and nothing else in it can be read; "
            "copy or mount what they stand for."
        )
    raise UnusableScan("The folder holds neither DICOM nor a volume file; give a DICOM folder or one file.")


def _read_dicom(
    slices: list[headers.Slice], series: str | None, files: list[Path], dead_links: int = 0
) -> tuple[sitk.Image, dict, list[str]]:
    chosen, choice = choose_series(slices, series)
    image, facts, flags = read_series(chosen)
    flags += flags_of_choice(slices, chosen) + flags_of_files(files, slices, chosen, dead_links)
    return image, facts | choice | {PERSON: person_of(chosen[0].header)}, flags


def _read_file(path: Path, series: str | None) -> tuple[sitk.Image, dict, list[str]]:
    if volume_suffix(path) is None:
        return _read_lone_dicom(path, series)
    volume = read_volume(path)
    told, flags = sidecar.read_sidecar(path)
    acquired, warnings = acquisition_facts(told)
    known = {name: value for name, value in acquired.items() if value}  # what a sidecar does not say is unknown
    flags = [*volume.flags, *flags, *sidecar.compare_sidecar(told, volume), *warnings]
    return volume.image, {"format": volume.format} | sidecar.facts_of(told) | known, flags


def _read_lone_dicom(path: Path, series: str | None) -> tuple[sitk.Image, dict, list[str]]:
    """An enhanced DICOM file, which holds a whole series; raises UnusableScan for any other file."""
    if path.suffix.lower() in (".hdr", ".img"):
        raise UnusableScan(
            "Analyze and pairs of NIfTI files (.hdr, .img) are not read; save the scan as one NIfTI file."
        )
    if not headers.is_dicom(path):
        raise UnusableScan("Unknown format: give a DICOM folder or zip, NIfTI, MHA/MHD or NRRD.")
    slices = headers.slices_of(path)
    if not slices and headers.has_frames(path):
        raise UnusableScan(without_place([path]))
    if len(slices) < FEWEST_SLICES:
        raise UnusableScan("This is one DICOM file, not a readable series; give the folder of the whole series.")
    return _read_dicom(slices, series, [path])


def _three_dimensional(image: sitk.Image) -> sitk.Image:
    """Refuse colours, single slices and time series; a fourth axis of length one is dropped."""
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise UnusableScan("The voxels hold colours or vectors, not one CT value; export the original scan.")
    if image.GetPixelID() in (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64):
        raise UnusableScan("The voxels hold complex numbers, not CT values; export the original scan.")
    size = image.GetSize()
    if (volumes := math.prod(size[3:])) > 1:
        raise UnusableScan(f"The file holds {volumes} volumes (4D); give one volume a visit.")
    while image.GetDimension() > 3:
        image = image[..., 0]
    if len(size) < 3:
        raise UnusableScan("The file holds a single image, not a volume; give the whole scan.")
    return image


def _check_geometry(image: sitk.Image) -> list[str]:
    """Flags of an LPS volume; raises UnusableScan for too few slices or voxels too far apart."""
    size, spacing = image.GetSize(), image.GetSpacing()
    if size[2] < FEWEST_SLICES:
        raise UnusableScan(f"Only {size[2]} slices; at least {FEWEST_SLICES} are needed: export the whole chest.")
    if min(size[:2]) < 32:
        raise UnusableScan(f"The slices have only {size[0]} x {size[1]} voxels; export the scan in full size.")
    if min(spacing) < FINEST_SPACING:
        raise UnusableScan(
            f"Voxels are {min(spacing):.2g} mm apart, finer than any CT: is the header in metres? Write it in mm."
        )
    if max(spacing) > WIDEST_SPACING:
        raise UnusableScan(
            f"Voxels are {max(spacing):.1f} mm apart; at most {WIDEST_SPACING:g} mm can be used: "
            "export a thinner series."
        )
    if max(spacing) > COARSE_SPACING:
        return [f"Slices are {max(spacing):.1f} mm apart: fine disease is not seen."]
    return []


def _check_extent(image: sitk.Image) -> list[str]:
    """A flag where no chest is as small as the scan; raises UnusableScan where none is as large: the voxel size in the
    header is not the true one."""
    wide, deep, high = (size * step for size, step in zip(image.GetSize(), image.GetSpacing(), strict=True))
    words = f"The scan is {wide:.0f} mm wide, {deep:.0f} mm deep and {high:.0f} mm high,"
    if max(wide, deep) > WIDEST or high > HIGHEST:
        raise UnusableScan(f"{words} larger than any scanner's: the voxel size in the header is not right; correct it.")
    if max(wide, deep) < NARROWEST:
        return [f"{words} smaller than any chest: is the voxel size in the header right?"]
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
        "kernel": facts.get("kernel") or facts.get("kernel_in_table"),
        "slice_thickness_mm": facts.get("slice_thickness_mm"),
        "breath": facts.get("breath"),
        "pose": facts.get("pose"),
        "contrast": facts.get("contrast"),
        "series_number": facts.get("series_number"),
        "series_found": facts.get("series_found"),
        "slices": size[2],
        "in_plane_mm": spacing[0],
        "slice_spacing_mm": spacing[2],
    }
