"""DICOM series: find the slices below a folder, choose the lung series by a stated rule, stack it in HU.

Only pixel data, geometry and acquisition facts are taken from the files.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.errors import InvalidDicomError

from lung4d.files import UnusableScan

FEWEST_SLICES = 10
AXIAL = np.cos(np.deg2rad(35))  # a gantry is tilted by 30 degrees at most
REFORMATS = {"LOCALIZER", "MPR", "REFORMATTED", "MIP", "MAX_IP", "MINIP", "MIN_IP", "AVERAGE", "VOLREN"}
TAGS = [
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


@dataclass(frozen=True)
class Slice:
    """One DICOM file: where it lies, its header (no pixels), its row and column directions and position in mm."""

    path: Path
    header: pydicom.Dataset
    directions: np.ndarray  # (2, 3)
    position: np.ndarray  # (3,)

    @property
    def normal(self) -> np.ndarray:
        return np.cross(*self.directions)

    @property
    def depth(self) -> float:
        """Position along the slice normal, mm."""
        return float(self.position @ self.normal)


def is_dicom(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def find_slices(folder: Path) -> list[Slice]:
    """All image slices of any series below `folder`; files that are no DICOM slices are passed over."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size > 132]
    marked = [path for path in files if is_dicom(path)]
    return [found for path in marked if (found := _read_header(path)) is not None]


def _read_header(path: Path) -> Slice | None:
    """The slice in `path`, or None where the file has no position in space (reports, dose sheets, damage)."""
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS)
        rows, columns = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
        rows /= np.linalg.norm(rows)  # decimal strings are rounded
        columns = columns - (columns @ rows) * rows
        directions = np.stack([rows, columns / np.linalg.norm(columns)])
        position = np.array(header.ImagePositionPatient, float).reshape(3)
        if not np.isfinite([*directions, position]).all():
            return None
    except (InvalidDicomError, AttributeError, ValueError, TypeError, EOFError, KeyError):
        return None
    return Slice(path, header, directions, position)


def choose_series(slices: list[Slice], wanted: str | None = None) -> list[Slice]:
    """The lung series among `slices`, sorted from the first to the last position.

    Rule: modality CT, at least 10 positions, axial (normal within 35 degrees of the body's axis), no localiser,
    reformat or projection by its ImageType; of these the one with most slices; on a tie the thinnest, then the lowest
    series number. `wanted` (SeriesNumber, SeriesDescription or SeriesInstanceUID) narrows the choice to that series
    and lifts the rule on reformats. Raises UnusableScan where nothing is left.
    """
    groups = defaultdict(list)
    for item in slices:
        # Slices of another direction or matrix within a series (a localiser, a mixed export) stack separately.
        directions = tuple(np.round(item.directions.ravel(), 2) + 0.0)
        matrix = (item.header.get("Rows"), item.header.get("Columns"))
        groups[str(item.header.get("SeriesInstanceUID", "")), directions, matrix].append(item)
    candidates = list(groups.values())
    if wanted is not None:
        candidates = [group for group in candidates if _is_wanted(group[0].header, str(wanted))]
        if not candidates:
            numbers = sorted({str(group[0].header.get("SeriesNumber", "?")) for group in groups.values()})
            raise UnusableScan(f"No series is the one that `series` names; there are the numbers {', '.join(numbers)}.")
    else:
        candidates = [group for group in candidates if not _is_reformat(group[0].header)]
    candidates = [group for group in candidates if group[0].header.get("Modality") == "CT"]
    candidates = [group for group in candidates if abs(group[0].normal[2]) >= AXIAL]
    candidates = [kept for group in candidates if len(kept := _one_scan(group)) >= FEWEST_SLICES]
    if not candidates:
        raise UnusableScan(f"No axial CT series of at least {FEWEST_SLICES} slices among {len(slices)} DICOM files.")
    return min(candidates, key=_rank)


def _is_wanted(header: pydicom.Dataset, wanted: str) -> bool:
    names = (header.get("SeriesNumber"), header.get("SeriesDescription"), header.get("SeriesInstanceUID"))
    return wanted.strip().lower() in {str(name).strip().lower() for name in names if name is not None}


def _is_reformat(header: pydicom.Dataset) -> bool:
    kinds = header.get("ImageType") or []
    kinds = {str(kind).upper() for kind in ([kinds] if isinstance(kinds, str) else kinds)}
    return bool(kinds & REFORMATS)


def _rank(group: list[Slice]) -> tuple:
    header = group[0].header
    thickness = _number(header.get("SliceThickness"))
    number = _number(header.get("SeriesNumber"))
    fallback = (np.inf if thickness is None else thickness, np.inf if number is None else number)
    return (-len(group), *fallback, str(header.get("SeriesInstanceUID", "")))


def _one_scan(group: list[Slice]) -> list[Slice]:
    """Sort by position; a series that holds the same positions twice gives its largest acquisition.

    Copies of a slice (same position, same acquisition) are dropped here and told apart by their values in
    `read_series`, which refuses two different images at one place.
    """
    acquisitions = defaultdict(list)
    for item in group:
        acquisitions[str(item.header.get("AcquisitionNumber", ""))].append(item)
    positions = {round(item.depth, 2) for item in group}
    if len(positions) < len(group) and len(acquisitions) > 1:
        group = max(acquisitions.values(), key=lambda part: len({round(item.depth, 2) for item in part}))
    return sorted(group, key=lambda item: (round(item.depth, 2), _number(item.header.get("InstanceNumber")) or 0))


def read_series(slices: list[Slice]) -> tuple[sitk.Image, dict[str, Any], list[str]]:
    """Stack sorted slices to a volume (HU), with facts and flags; tilt, copies and gaps are mended or refused.

    Raises UnusableScan for slices that cannot be read, colours, enhanced multi-frame files, a missing rescale, two
    different images at one position, or gaps of more than 3 slices or 10 mm.
    """
    header = slices[0].header
    if header.get("SamplesPerPixel", 1) != 1:
        raise UnusableScan("The DICOM series holds colour pictures, not CT values.")
    if (header.get("NumberOfFrames") or 1) != 1:
        raise UnusableScan("Enhanced multi-frame DICOM is not read; convert the series to NIfTI or single slices.")
    flags: list[str] = []
    values = _read_pixels(slices)
    slices, values = _drop_copies(slices, values, flags)
    if len(slices) < FEWEST_SLICES:
        raise UnusableScan(f"Only {len(slices)} slices at different positions; at least {FEWEST_SLICES} are needed.")
    values, step = _even_spacing(np.array([item.depth for item in slices]), values, flags)
    image = _untilted(slices, values, step, flags)
    return image, _facts(header), flags


def _read_pixels(slices: list[Slice]) -> np.ndarray:
    """(slices, rows, columns) in HU, rescale applied slice by slice."""
    planes = []
    for count, item in enumerate(slices, start=1):
        try:
            plane = sitk.GetArrayFromImage(sitk.ReadImage(str(item.path)))
        except RuntimeError:
            raise UnusableScan(f"DICOM slice {count} of {len(slices)} is damaged or cannot be decoded.") from None
        if item.header.get("RescaleIntercept") is None and plane.min() >= 0:
            raise UnusableScan("The DICOM files carry no rescale intercept, so the values are not Hounsfield units.")
        planes.append(plane[0])
    return np.stack(planes)


def _drop_copies(slices: list[Slice], values: np.ndarray, flags: list[str]) -> tuple[list[Slice], np.ndarray]:
    keep = [0]
    for index in range(1, len(slices)):
        if slices[index].depth - slices[keep[-1]].depth > 0.01:
            keep.append(index)
        elif not np.array_equal(values[index], values[keep[-1]]):
            raise UnusableScan("The series holds different images at the same position; name one in `series`.")
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
        raise UnusableScan(f"Slices are missing: a gap of {widest:.1f} mm where the others are {step:.1f} mm apart.")
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
        image.GetSpacing(), image.GetDirection(), -1024.0,
    )  # fmt: skip


def _facts(header: pydicom.Dataset) -> dict[str, Any]:
    """Acquisition facts; texts are cut to 64 characters, None where the header has nothing."""
    facts: dict[str, Any] = {"format": "DICOM"}
    facts |= {name: _text(header.get(tag)) for name, tag in TEXT_FACTS.items()}
    facts |= {name: _number(header.get(tag)) for name, tag in NUMBER_FACTS.items()}
    facts["contrast"] = bool(_text(header.get("ContrastBolusAgent")))
    return facts


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    text = value if isinstance(value, str) else " ".join(map(str, value))
    return text.strip()[:64] or None


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
