"""DICOM slices: find them below a folder and read where each lies, from their headers alone.

Only pixel data, geometry and acquisition facts are taken from the files.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom import config
from pydicom.errors import BytesLengthException, InvalidDicomError

config.settings.reading_validation_mode = config.IGNORE  # its warnings would repeat header values in the logs

FEWEST_SLICES = 10
TAGS = [
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "Modality",
    "ImageType",
    "ImagePositionPatient",
    "AcquisitionNumber",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "InstanceNumber",
    "SliceThickness",
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

    @property
    def normal(self) -> np.ndarray:
        return np.cross(*self.directions)

    @property
    def depth(self) -> float:
        """Position along the slice normal, mm."""
        return float(self.position @ self.normal)


def is_dicom(path: Path) -> bool:
    """Whether the file opens as DICOM does: with the mark after its preamble, or bare, with group 2 or 8."""
    with path.open("rb") as stream:
        start = stream.read(132)
    return start[128:] == b"DICM" or start[:4] in BARE_STARTS


def find_slices(folder: Path) -> list[Slice]:
    """All slices of any series below `folder`; files that are no DICOM images in space are passed over."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [found for path in files if is_dicom(path) for found in slices_of(path)]


def slices_of(path: Path) -> list[Slice]:
    """The slices of a DICOM file: one, each frame of an enhanced file, or none where the file has no image with a
    position in space and a pixel size (reports, dose sheets, DICOMDIR, damage)."""
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS, force=True)
        _drop_damaged(header)
        return [_slice(path, frame, number) for number, frame in enumerate(_frames(header))]
    except DAMAGE:
        return []
    except OSError as error:
        if error.errno is not None:
            raise  # the disk's fault; pydicom's own, of a file cut within a tag, have no number
        return []


def _drop_damaged(header: pydicom.Dataset) -> None:
    """Remove the elements that cannot be decoded: pydicom decodes late, where nothing is ready for its errors."""
    for tag in list(header.keys()):
        try:
            header[tag]
        except DAMAGE:
            del header[tag]


def _slice(path: Path, header: pydicom.Dataset, frame: int) -> Slice:
    """Raises ValueError, TypeError or AttributeError where the header does not say where the slice lies."""
    rows, columns = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
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
