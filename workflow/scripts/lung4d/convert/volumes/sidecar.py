"""The JSON file beside a volume file, as BIDS and dcm2niix write one: what it says is compared with the header, and
tells of the acquisition what a volume file cannot.

The header says where the voxels lie, so it is used; the sidecar, which is often copied from file to file, is named
where it says otherwise. Thicker slices than they lie apart, up to twice, are an overlapping reconstruction.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from lung4d.convert.dicom.headers import number_of, reformats_of
from lung4d.convert.volumes.files import VolumeFile
from lung4d.convert.volumes.header_words import by, check_modality, differ
from lung4d.convert.volumes.names import sidecar_path
from lung4d.io.status import UnusableScan

TEXT_FACTS = {
    "kernel": "ConvolutionKernel",
    "manufacturer": "Manufacturer",
    "model": "ManufacturersModelName",
    "patient_position": "PatientPosition",
}
NUMBER_FACTS = {"slice_thickness_mm": "SliceThickness", "kvp": "KVP", "tube_current_ma": "XRayTubeCurrent"}
ORIENTATIONS = ("ImageOrientationPatientDICOM", "ImageOrientationPatient", "ImageOrientation")
THICKNESS = (0.95, 2.05)  # of the distance between slices: contiguous to half overlapping
ALONG = 0.996  # cosine of 5 degrees
AXES = ("from side to side", "from front to back", "from head to foot")


def read_sidecar(path: Path) -> tuple[dict[str, Any], list[str]]:
    """What the sidecar of the volume file at `path` says, empty without one, and a flag where it is no sidecar."""
    file = sidecar_path(path)
    if not file.is_file():
        return {}, []
    try:
        told = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        return {}, ["The file beside the scan that ends in .json is no sidecar; it was not read."]
    return told, []


def facts_of(told: dict[str, Any]) -> dict[str, Any]:
    """Acquisition facts under the names that those of DICOM have; only what the sidecar says."""
    texts = {name: told.get(key) for name, key in TEXT_FACTS.items()}
    texts = {name: " ".join(map(str, v)) if isinstance(v, list) else v for name, v in texts.items()}
    facts: dict[str, Any] = {name: v.strip()[:64] for name, v in texts.items() if isinstance(v, str) and v.strip()}
    facts |= {name: number for name, key in NUMBER_FACTS.items() if (number := number_of(told.get(key))) is not None}
    return facts | ({"contrast": True} if told.get("ContrastBolusAgent") else {})


def compare_sidecar(told: dict[str, Any], volume: VolumeFile) -> list[str]:
    """Flags where sidecar and header differ beyond rounding; raises UnusableScan for another modality than CT, and
    where the values lack the rescale that the sidecar gives."""
    check_modality(told.get("Modality", ""), "The sidecar (Modality)")
    image = volume.image
    if image.GetDimension() != 3:
        return []
    kinds = reformats_of(told)
    words = f"By its sidecar the scan is a reformat or projection (ImageType {', '.join(sorted(kinds))})."
    return [
        *([words] if kinds else []),
        *_compare_sizes(told, image),
        *_compare_thickness(told, image.GetSpacing()[2]),
        *_compare_axes(told, np.reshape(image.GetDirection(), (3, 3))[:, 2]),
        *_compare_rescale(told, volume),
    ]


def _numbers(told: dict[str, Any], key: str, count: int) -> list[float] | None:
    """The `count` numbers of a list, None where there is no such list."""
    value = told.get(key)
    numbers = [number_of(item) for item in value] if isinstance(value, list) else []
    found = [number for number in numbers if number is not None]
    return found if len(found) == len(numbers) == count else None


def _compare_sizes(told: dict[str, Any], image: sitk.Image) -> list[str]:
    flags = []
    spacing, size = image.GetSpacing(), image.GetSize()
    pixels = _numbers(told, "PixelSpacing", 2)
    if pixels and differ(pixels, spacing[1::-1]):
        flags.append(f"The sidecar says that pixels are {by(pixels)} mm large, the header {by(spacing[1::-1])} mm.")
    step = number_of(told.get("SpacingBetweenSlices"))
    if step is not None and differ([abs(step)], spacing[2:]):
        flags.append(f"The sidecar says that slices are {abs(step):.4g} mm apart, the header {spacing[2]:.4g} mm.")
    matrix = [number_of(told.get(key)) for key in ("Rows", "Columns")]
    pixels = [number for number in matrix if number is not None]
    if len(pixels) == 2 and tuple(pixels) != size[1::-1]:
        flags.append(f"The sidecar says that slices have {by(pixels)} pixels, the header {by(size[1::-1])}.")
    return flags


def _compare_thickness(told: dict[str, Any], step: float) -> list[str]:
    thickness = number_of(told.get("SliceThickness"))
    if thickness is None or thickness <= 0 or THICKNESS[0] <= thickness / step <= THICKNESS[1]:
        return []
    return [f"The sidecar says that slices are {thickness:.4g} mm thick, the header that they are {step:.4g} mm apart."]


def _compare_axes(told: dict[str, Any], stacked: np.ndarray) -> list[str]:
    """Along which line the slices are stacked: which way, and the order of rows, tools change when they store."""
    directions = next((found for key in ORIENTATIONS if (found := _numbers(told, key, 6))), None)
    if directions is None:
        return []
    normal = np.cross(directions[:3], directions[3:])
    length = np.linalg.norm(normal)
    if length > 0.5 and abs(normal @ stacked) / length >= ALONG:
        return []
    ways = [AXES[int(np.abs(way).argmax())] for way in (normal, stacked)]
    how = f"{ways[0]}, the header {ways[1]}" if ways[0] != ways[1] else f"{ways[0]}, but not as the header has it"
    return [
        f"The sidecar says that the slices are stacked {how}; the scan was read by the header: look at the pictures."
    ]


def _compare_rescale(told: dict[str, Any], volume: VolumeFile) -> list[str]:
    """The rescale is DICOM's, and applied in most files: it is missing where no value is below 0."""
    slope, intercept = (number_of(told.get(key)) for key in ("RescaleSlope", "RescaleIntercept"))
    if intercept is None:
        return []
    rescale = (1.0 if slope is None else slope, intercept)
    words = f"slope {rescale[0]:g} and intercept {intercept:g}"
    if volume.scale == (1.0, 0.0):
        if intercept < 0 and sitk.GetArrayViewFromImage(volume.image).min() >= 0:
            raise UnusableScan(
                f"The sidecar gives a rescale ({words}) that the values lack: none is below 0. "
                "Apply it and export the scan again."
            )
        return []
    if np.allclose(rescale, volume.scale, rtol=1e-3):
        return []
    applied = f"slope {volume.scale[0]:g} and intercept {volume.scale[1]:g}"
    return [f"The sidecar gives a rescale of {words}, the header one of {applied}, which was applied."]
