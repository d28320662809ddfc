"""DICOM slices: find them below a folder, and stack those of one series to a volume in HU.

Only pixel data, geometry and acquisition facts are taken from the files.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom import config
from pydicom.errors import BytesLengthException, InvalidDicomError

from lung4d.files import UnusableScan

config.settings.reading_validation_mode = config.IGNORE  # its warnings would repeat header values in the logs

FEWEST_SLICES = 10
AIR = -1024.0  # HU
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
TEXT_FACTS = {
    "kernel": "ConvolutionKernel",
    "manufacturer": "Manufacturer",
    "model": "ManufacturerModelName",
    "patient_position": "PatientPosition",
}
NUMBER_FACTS = {
    "slice_thickness_mm": "SliceThickness",
    "kvp": "KVP",
    "tube_current_ma": "XRayTubeCurrent",
    "exposure_mas": "Exposure",
    "pitch": "SpiralPitchFactor",
    "ctdi_vol_mgy": "CTDIvol",
    "reconstruction_diameter_mm": "ReconstructionDiameter",
    "gantry_tilt_deg": "GantryDetectorTilt",
}
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


def read_series(slices: list[Slice]) -> tuple[sitk.Image, dict[str, Any], list[str]]:
    """Stack sorted slices to a volume (HU), with facts and flags; tilt, copies and gaps are mended or refused.

    Raises UnusableScan for slices that cannot be read, old multi-frame files, a missing rescale, two different images
    at one position, or gaps of more than 3 slices or 10 mm.
    """
    header = slices[0].header
    if (header.get("NumberOfFrames") or 1) != 1:
        raise UnusableScan("The DICOM file holds many frames without their places; export single slices or NIfTI.")
    flags: list[str] = []
    if header.get("LossyImageCompression") == "01":
        flags.append("The images were compressed with loss: fine texture is not that of the scanner.")
    values = _read_pixels(slices)
    slices, values = _drop_copies(slices, values, flags)
    if len(slices) < FEWEST_SLICES:
        raise UnusableScan(
            f"Only {len(slices)} slices at different positions; at least {FEWEST_SLICES} are needed: "
            "export the whole chest."
        )
    values, step = _even_spacing(np.array([item.depth for item in slices]), values, flags)
    image = _untilted(slices, values, step, flags)
    return image, _facts(header), flags


def _read_pixels(slices: list[Slice]) -> np.ndarray:
    """(slices, rows, columns) in HU, rescale applied slice by slice, padding turned to air."""
    if len({item.path for item in slices}) < len(slices):
        _check_one_rescale(slices)
    planes, path, stack = [], None, np.empty(0)
    for count, item in enumerate(slices, start=1):
        damaged = UnusableScan(
            f"DICOM slice {count} of {len(slices)} is damaged or cannot be decoded; export the series again."
        )
        try:
            if item.path != path:  # frames of one file follow each other
                path, stack = item.path, sitk.GetArrayFromImage(sitk.ReadImage(str(item.path), imageIO="GDCMImageIO"))
        except RuntimeError:
            raise damaged from None
        if item.frame >= len(stack) or stack[item.frame].shape != (item.header.get("Rows"), item.header.get("Columns")):
            raise damaged
        if number_of(item.header.get("RescaleIntercept")) is None and stack[item.frame].min() >= 0:
            raise UnusableScan(
                "The DICOM files carry no rescale intercept, so the values are not Hounsfield units; "
                "export the original series."
            )
        planes.append(_padding_to_air(stack[item.frame], item.header))
    return np.stack(planes)


def _check_one_rescale(slices: list[Slice]) -> None:
    """GDCM applies one rescale to a whole file."""
    pairs = {(str(item.header.get("RescaleSlope")), str(item.header.get("RescaleIntercept"))) for item in slices}
    if len(pairs) > 1:
        raise UnusableScan("The frames of the DICOM file have different rescales; export single slices.")


def _padding_to_air(plane: np.ndarray, header: pydicom.Dataset) -> np.ndarray:
    """`plane` (rows, columns) in HU with its darkest value where it holds a brighter one that the header calls padding.

    Only where all four corners hold it, outside the scanner's round field of view: some exports name a value as
    padding that is also tissue. Dark padding is left to the clipping at -1024 HU.
    """
    stored = [header.get("PixelPaddingValue"), header.get("PixelPaddingRangeLimit")]
    stored = [_stored_value(value, header) for value in stored if value is not None]
    if not stored:
        return plane
    slope, intercept = number_of(header.get("RescaleSlope")), number_of(header.get("RescaleIntercept"))
    hu = [value * (1.0 if slope is None else slope) + (intercept or 0.0) for value in stored]
    padding = (plane >= min(hu) - 0.01) & (plane <= max(hu) + 0.01)
    if padding.all() or not padding[np.ix_([0, -1], [0, -1])].all():
        return plane
    darkest = plane[~padding].min()
    return np.where(padding, darkest, plane) if darkest < min(hu) else plane


def _stored_value(value: Any, header: pydicom.Dataset) -> int:
    """A padding value as the pixels hold it: headers often write -2000 as the unsigned 63536, or the reverse."""
    unsigned = int(value) % 2**16
    return unsigned - 2**16 if header.get("PixelRepresentation") == 1 and unsigned >= 2**15 else unsigned


def _drop_copies(slices: list[Slice], values: np.ndarray, flags: list[str]) -> tuple[list[Slice], np.ndarray]:
    keep = [0]
    for index in range(1, len(slices)):
        if slices[index].depth - slices[keep[-1]].depth > 0.01:
            keep.append(index)
        elif not np.array_equal(values[index], values[keep[-1]]):
            raise UnusableScan(
                "The series holds different images at the same position (two phases?); "
                "export each as a series of its own."
            )
    if len(keep) < len(slices):
        flags.append(f"{len(slices) - len(keep)} slices were in the series twice.")
    return [slices[index] for index in keep], values[keep]


def _even_spacing(depth: np.ndarray, values: np.ndarray, flags: list[str]) -> tuple[np.ndarray, float]:
    """Slices on an even grid of the median step (mm); uneven or missing ones are interpolated from neighbours."""
    gaps = np.diff(depth)
    step = float(np.median(gaps))
    if np.abs(depth - depth[0] - step * np.arange(len(depth))).max() < 0.1 * step:
        return values, float((depth[-1] - depth[0]) / (len(depth) - 1))
    widest = float(gaps.max())
    if widest > max(4.5 * step, step + 0.1) or widest > 10:
        raise UnusableScan(
            f"Slices are missing: a gap of {widest:.1f} mm where the others are {step:.1f} mm apart; "
            "export the series again, or name another in `series`."
        )
    flags.append(f"Uneven slices (gaps of {gaps.min():.1f} to {widest:.1f} mm) were interpolated to {step:.1f} mm.")
    target = depth[0] + step * np.arange(round((depth[-1] - depth[0]) / step) + 1)
    above = np.clip(np.searchsorted(depth, target), 1, len(depth) - 1)
    share = np.clip((target - depth[above - 1]) / gaps[above - 1], 0, 1)[:, None, None].astype(np.float32)
    return values[above - 1] * (1 - share) + values[above] * share, step


def _untilted(slices: list[Slice], values: np.ndarray, step: float, flags: list[str]) -> sitk.Image:
    """The volume on orthogonal axes; slices of a tilted gantry, shifted against each other in-plane, are resampled."""
    first = slices[0]
    rows, columns = first.directions
    image = sitk.GetImageFromArray(values)
    spacing = [float(value) for value in first.header.PixelSpacing]
    image.SetSpacing([spacing[1], spacing[0], step])
    image.SetDirection(np.stack([rows, columns, first.normal], axis=1).ravel().tolist())
    image.SetOrigin(first.position.tolist())
    span = slices[-1].position - first.position
    drift = span - (span @ first.normal) * first.normal  # in-plane, over the whole stack
    if np.linalg.norm(drift) < 0.5 * min(spacing):
        return image
    along = first.position + np.outer([item.depth - first.depth for item in slices], span / (span @ first.normal))
    if np.abs(along - [item.position for item in slices]).max() > 0.5 * min(spacing):
        raise UnusableScan("The slices do not lie on one line; give a single series.")
    flags.append("The gantry was tilted; the slices were resampled to orthogonal axes.")
    # Point p of the true space lies at p - drift * (depth of p) / (whole depth) in the stack without its drift.
    shear = sitk.AffineTransform(3)
    shear.SetCenter(first.position.tolist())
    shear.SetMatrix((np.eye(3) - np.outer(drift, first.normal) / (span @ first.normal)).ravel().tolist())
    low = np.minimum(0, first.directions @ drift / [spacing[1], spacing[0]])
    high = np.maximum(0, first.directions @ drift / [spacing[1], spacing[0]])
    size = [image.GetWidth() + int(np.ceil(high[0] - low[0])), image.GetHeight() + int(np.ceil(high[1] - low[1]))]
    origin = image.TransformContinuousIndexToPhysicalPoint([*np.floor(low).tolist(), 0.0])
    return sitk.Resample(
        sitk.Cast(image, sitk.sitkFloat32), [*size, image.GetDepth()], shear, sitk.sitkLinear, origin,
        image.GetSpacing(), image.GetDirection(), AIR,
    )  # fmt: skip


def _facts(header: pydicom.Dataset) -> dict[str, Any]:
    """Acquisition facts; texts are cut to 64 characters, None where the header has nothing."""
    facts: dict[str, Any] = {"format": "DICOM"}
    facts |= {name: _text(header.get(tag)) for name, tag in TEXT_FACTS.items()}
    facts |= {name: number_of(header.get(tag)) for name, tag in NUMBER_FACTS.items()}
    facts["contrast"] = bool(_text(header.get("ContrastBolusAgent")))
    return facts


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    text = value if isinstance(value, str) else " ".join(map(str, value))
    return text.strip()[:64] or None


def number_of(value: Any) -> float | None:
    """A header's number, or None where it is absent, not a number or not finite."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None
