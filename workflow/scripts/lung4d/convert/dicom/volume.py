"""A DICOM series as a volume in HU: its slices decoded, put in order and stacked on orthogonal axes."""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk

from lung4d.convert.acquisition_words import acquisition_facts
from lung4d.convert.dicom.headers import FEWEST_SLICES, Slice, number_of
from lung4d.convert.dicom.passes import one_scan
from lung4d.convert.dicom.sentences import header_contradictions
from lung4d.io.hounsfield import AIR
from lung4d.io.status import UnusableScan

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


def read_series(slices: list[Slice]) -> tuple[sitk.Image, dict[str, Any], list[str]]:
    """Stack sorted slices to a volume (HU), with facts and flags; tilt, copies, passes and gaps are mended or refused.

    Raises UnusableScan for slices that cannot be read, old multi-frame files, a missing rescale, two different images
    at one position, or gaps of more than 3 slices or 10 mm.
    """
    if any(item.header.get("PhotometricInterpretation") == "MONOCHROME1" for item in slices):
        raise UnusableScan(
            "The DICOM images are marked as inverted (MONOCHROME1), which no CT is; export the original series."
        )
    if any((item.header.get("NumberOfFrames") or 1) != 1 for item in slices):
        raise UnusableScan("The DICOM file holds many frames without their places; export single slices or NIfTI.")
    if len({item.path for item in slices}) < len(slices):
        _check_one_rescale(slices)
    slices, flags = one_scan(slices, partial(_digests, slices))
    if any(item.header.get("LossyImageCompression") == "01" for item in slices):
        flags.append("The images were compressed with loss: fine texture is not that of the scanner.")
    if len(slices) < FEWEST_SLICES:
        raise UnusableScan(
            f"Only {len(slices)} slices at different positions; at least {FEWEST_SLICES} are needed: "
            "export the whole chest."
        )
    values = np.stack([*_planes(slices, range(len(slices)))])
    flags += header_contradictions(slices)
    values, step = _even_spacing(np.array([item.depth for item in slices]), values, flags)
    image = _untilted(slices, values, step, flags)
    acquired, warnings = acquisition_facts(slices[0].header)
    return image, _facts(slices[0].header) | acquired, flags + warnings


def _digests(slices: list[Slice], indices: Sequence[int]) -> dict[int, str]:
    """What stands for the values (HU) of the slices at `indices`, file by file."""
    order = sorted(indices, key=lambda index: (slices[index].path, slices[index].frame))
    planes = (plane.astype(np.float32).tobytes() for plane in _planes(slices, order))
    return {index: hashlib.sha256(plane).hexdigest() for index, plane in zip(order, planes, strict=True)}


def _planes(slices: list[Slice], indices: Sequence[int]) -> Iterator[np.ndarray]:
    """(rows, columns) in HU of the slices at `indices`, rescale applied slice by slice, padding turned to air."""
    path, stack = None, np.empty(0)
    for index in indices:
        item = slices[index]
        damaged = UnusableScan(
            f"DICOM slice {index + 1} of {len(slices)} is damaged or cannot be decoded; export the series again."
        )
        try:
            if item.path != path:  # frames of one file follow each other
                path, stack = item.path, _decoded(item)
        except RuntimeError:
            raise damaged from None
        if item.frame >= len(stack) or stack[item.frame].shape != (item.header.get("Rows"), item.header.get("Columns")):
            raise damaged
        if number_of(item.header.get("RescaleIntercept")) is None and stack[item.frame].min() >= 0:
            raise _no_rescale(slices)
        yield _padding_to_air(stack[item.frame], item.header)


def _decoded(item: Slice) -> np.ndarray:
    """(frames, rows, columns) of a file; raises RuntimeError where it cannot be decoded."""
    if number_of(item.header.get("SpacingBetweenSlices")) != 0:
        return sitk.GetArrayFromImage(sitk.ReadImage(str(item.path), imageIO="GDCMImageIO"))
    whole = pydicom.dcmread(item.path, force=True)
    del whole.SpacingBetweenSlices  # GDCM reads nothing where it is 0
    with tempfile.NamedTemporaryFile(prefix="lung4d-", suffix=".dcm") as file:
        whole.save_as(file.name)
        return sitk.GetArrayFromImage(sitk.ReadImage(file.name, imageIO="GDCMImageIO"))


def _no_rescale(slices: list[Slice]) -> UnusableScan:
    without = sum(number_of(item.header.get("RescaleIntercept")) is None for item in slices)
    which = "The DICOM files" if without == len(slices) else f"{without} of the {len(slices)} DICOM slices"
    verb = "carries" if without == 1 else "carry"
    return UnusableScan(
        f"{which} {verb} no rescale intercept, so the values are not Hounsfield units; export the original series."
    )


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
    along = first.position + np.outer([item.depth - first.depth for item in slices], span / (span @ first.normal))
    if np.abs(along - [item.position for item in slices]).max() > 0.5 * min(spacing):
        raise UnusableScan("The slices do not lie on one line; give a single series.")
    if np.linalg.norm(drift) < 0.5 * min(spacing):
        return image
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
    """Facts of the scanner; texts are cut to 64 characters, None where the header has nothing."""
    facts: dict[str, Any] = {"format": "DICOM"}
    facts |= {name: _text(header.get(tag)) for name, tag in TEXT_FACTS.items()}
    facts |= {name: number_of(header.get(tag)) for name, tag in NUMBER_FACTS.items()}
    return facts


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    text = value if isinstance(value, str) else " ".join(map(str, value))
    return text.strip()[:64] or None
