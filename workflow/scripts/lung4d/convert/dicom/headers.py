"""DICOM slices: find them among files and read where each lies, from their headers alone.

Only pixel data, geometry and acquisition facts are taken from the files.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom import config
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

config.settings.reading_validation_mode = config.IGNORE  # its warnings would repeat header values in the logs

FEWEST_SLICES = 10
TAGS = [
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "ProtocolName",
    "Modality",
    "SOPClassUID",
    "ImageType",
    "ImagePositionPatient",
    "AcquisitionNumber",
    "AcquisitionTime",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "InstanceNumber",
    "SliceThickness",
    "SliceLocation",
    "SpacingBetweenSlices",
    "KVP",
    "ConvolutionKernel",
    "Manufacturer",
    "ManufacturerModelName",
    "XRayTubeCurrent",
    "ExposureTime",
    "Exposure",
    "SpiralPitchFactor",
    "CTDIvol",
    "RescaleSlope",
    "RescaleIntercept",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "LossyImageCompression",
    "GantryDetectorTilt",
    "ReconstructionDiameter",
    "ContrastBolusAgent",
    "PatientPosition",
    # Who it is: compared with the patient's other scans (convert/patient_headers.py) and written into no result.
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
]
DAMAGE = (
    InvalidDicomError,
    BytesLengthException,
    AttributeError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    NotImplementedError,
)
CT_CLASSES = {CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage}
# Words of ImageType that no original slice has.
REFORMATS = {"LOCALIZER", "MPR", "REFORMATTED", "MIP", "MAX_IP", "MINIP", "MIN_IP", "AVERAGE", "VOLREN"}
# An enhanced file names these differently in its frames.
FRAME_NAMES = {"FrameType": "ImageType", "FrameAcquisitionNumber": "AcquisitionNumber"}
# The first element of a file without preamble: group 2 or 8, an element below 256.
BARE_STARTS = {bytes([group, 0, element, 0]) for group in (2, 8) for element in range(0x20)}


@dataclass(frozen=True)
class Slice:
    """One slice: its file, header (no pixels), row and column directions, position in mm, and its frame in the file."""

    path: Path
    header: pydicom.Dataset
    directions: np.ndarray  # (2, 3)
    position: np.ndarray  # (3,)
    frame: int = 0

    @cached_property
    def normal(self) -> np.ndarray:
        (a, b, c), (d, e, f) = self.directions.tolist()  # np.cross takes twenty times as long
        return np.array([b * f - c * e, c * d - a * f, a * e - b * d])

    @cached_property
    def depth(self) -> float:
        """Position along the slice normal, mm."""
        return float(self.position @ self.normal)

    @cached_property
    def pixel_size(self) -> np.ndarray:
        """Distance of rows and of columns, mm."""
        return np.array(self.header.PixelSpacing, float)


def is_dicom(path: Path) -> bool:
    """Whether the file opens as DICOM does: with the mark after its preamble, or bare, with group 2 or 8."""
    with path.open("rb") as stream:
        return opens_as_dicom(stream.read(132))


def opens_as_dicom(start: bytes) -> bool:
    """The same of the first 132 bytes of a file."""
    return start[128:] == b"DICM" or start[:4] in BARE_STARTS


def find_slices(files: list[Path]) -> list[Slice]:
    """All slices of any series in `files`; what is no DICOM image in space is passed over."""
    return [found for path in files if is_dicom(path) for found in slices_of(path)]


def slices_of(path: Path) -> list[Slice]:
    """The slices of a DICOM file: one, each frame of an enhanced file, or none where the file has no image with a
    position in space and a pixel size (reports, dose sheets, DICOMDIR, damage)."""
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS, force=True)
        drop_damaged(header)
        return [slice_at(path, frame, number) for number, frame in enumerate(_frames(header))]
    except DAMAGE:
        return []
    except OSError as error:
        if error.errno is not None:
            raise  # the disk's fault; pydicom's own, of a file cut within a tag, have no number
        return []


def has_frames(path: Path) -> bool:
    """Whether the file says that it holds several frames."""
    try:
        frames = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["NumberOfFrames"], force=True)
        return (frames.get("NumberOfFrames") or 1) > 1
    except (*DAMAGE, OSError):
        return False


def drop_damaged(header: pydicom.Dataset) -> None:
    """Remove the elements that cannot be decoded: pydicom decodes late, where nothing is ready for its errors."""
    for tag in list(header.keys()):
        try:
            header[tag]
        except DAMAGE:
            del header[tag]


def slice_at(path: Path, header: pydicom.Dataset, frame: int) -> Slice:
    """The slice that a header of one frame tells of. Raises ValueError, TypeError or AttributeError where the header
    does not say where the slice lies."""
    rows, columns = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
    if not rows.any() or not columns.any():
        raise ValueError("no directions")
    rows = rows / np.linalg.norm(rows)  # decimal strings are rounded
    columns = columns - (columns @ rows) * rows
    directions = np.stack([rows, columns / np.linalg.norm(columns)])
    position = np.array(header.ImagePositionPatient, float).reshape(3)
    spacing = np.array(header.PixelSpacing, float).reshape(2)
    if not np.isfinite([*directions.ravel(), *position, *spacing]).all() or not (spacing > 0).all():
        raise ValueError("no place in space")
    return Slice(path, header, directions, position, frame)


def _frames(header: pydicom.Dataset) -> list[pydicom.Dataset]:
    """A header for each frame of an enhanced multi-frame file, its functional groups laid flat; else the header."""
    if "PerFrameFunctionalGroupsSequence" not in header:
        return [header]
    groups = header.PerFrameFunctionalGroupsSequence
    if len(groups) != header.NumberOfFrames:
        raise ValueError("functional groups do not match the frames")
    shared = header.get("SharedFunctionalGroupsSequence") or []
    common = [element for element in header if element.VR != "SQ" and element.keyword != "NumberOfFrames"]
    return [_flat([*common, *(element for group in [*shared, own] for element in group)]) for own in groups]


def _flat(elements: list[pydicom.DataElement]) -> pydicom.Dataset:
    """One dataset of `elements`, where a sequence stands for the elements of its first item; later ones win."""
    flat = pydicom.Dataset()
    for element in elements:
        for inner in element.value[0] if element.VR == "SQ" and element.value else [element]:
            if (keyword := FRAME_NAMES.get(inner.keyword, inner.keyword)) in TAGS:
                setattr(flat, keyword, inner.value)
    return flat


def number_of(value: Any) -> float | None:
    """A header's number, or None where it is absent, not a number or not finite."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def series_of(header: pydicom.Dataset) -> str:
    """What names the series of a slice: its UID, or number and description where it has none."""
    return str(header.get("SeriesInstanceUID") or f"{header.get('SeriesNumber')} {header.get('SeriesDescription')}")


def modality_of(header: pydicom.Dataset) -> str:
    """The modality that the header names, or CT where only its SOP class says so, or nothing."""
    named = str(header.get("Modality") or "").strip().upper()
    return named or ("CT" if str(header.get("SOPClassUID")) in CT_CLASSES else "")


def reformats_of(header: pydicom.Dataset | Mapping[str, Any]) -> frozenset[str]:
    """The words of ImageType by which a slice is no original one: a localiser, reformat or projection."""
    kinds = header.get("ImageType") or []
    words = [kinds] if isinstance(kinds, str) or not isinstance(kinds, Iterable) else kinds
    return frozenset({str(kind).upper() for kind in words} & REFORMATS)
