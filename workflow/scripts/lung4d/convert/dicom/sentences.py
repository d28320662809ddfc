"""The sentences on a DICOM scan: why no series is taken; how the slices of one that is came together, what of it was
left out, and which numbers contradict its positions."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import MediaStorageDirectoryStorage

from lung4d.convert.dicom.headers import (
    DAMAGE,
    FEWEST_SLICES,
    Slice,
    is_dicom,
    modality_of,
    number_of,
    reformats_of,
    series_of,
)
from lung4d.convert.dicom.lattice import step_of
from lung4d.convert.dicom.passes import counted
from lung4d.convert.dicom.stacks import FULL_SPAN, Stack, depths_of, kind_of, matrix_of, same_direction, same_pixel_size
from lung4d.io.status import UnusableScan

AXIAL = np.cos(np.deg2rad(35))  # a gantry is tilted by 30 degrees at most
# In the order in which they are looked at.
HURDLES = ("modality", "colour", "kind", "direction", "places")
PREAMBLE = 132  # bytes before the first element
SLICE_SUFFIXES = (".dcm", ".ima")
FAR_FROM = 0.1  # share by which two numbers for one distance may differ
# What all slices of a scan should have in common.
COMMON = {"ConvolutionKernel": "kernels", "SliceThickness": "slice thicknesses", "PatientPosition": "patient positions"}
PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
TILTED = 2.0  # degrees
THICK = 4.0  # times the distance of slices, above which a slice thickness is doubtful


def hurdle_of(stack: Stack, any_kind: bool = False) -> str | None:
    """The first hurdle that `stack` does not take, or None for a lung scan; `any_kind` takes reformats too."""
    takes = {
        "modality": modality_of(stack.header) == "CT",
        "colour": stack.header.get("SamplesPerPixel", 1) == 1,
        "kind": any_kind or not reformats_of(stack.header),
        "direction": abs(stack.slices[0].normal[2]) >= AXIAL,
        "places": len(stack.places) >= FEWEST_SLICES,
    }
    return next((hurdle for hurdle in HURDLES if not takes[hurdle]), None)


def refusal(stacks: list[Stack], any_kind: bool = False) -> UnusableScan:
    """The reason why none of `stacks` can be taken: of a long one that came furthest, else of the short ones."""
    total = sum(len(stack.slices) for stack in stacks)
    long = [stack for stack in stacks if len(stack.slices) >= FEWEST_SLICES]
    if not long:
        return UnusableScan(_short(stacks, total, any_kind))
    hurdles = [HURDLES.index(hurdle_of(stack, any_kind) or "places") for stack in long]
    furthest = max(range(len(long)), key=lambda index: (hurdles[index], len(long[index].slices)))
    return UnusableScan(_sentence(long[furthest], HURDLES[hurdles[furthest]], total))


def _sentence(stack: Stack, hurdle: str, total: int) -> str:
    count = len(stack.slices)
    images = f"The {count} DICOM images" if count == total else f"The {count} images of the likeliest series"
    if hurdle == "modality":
        named = modality_of(stack.header)
        if not named:
            return f"{images} name no modality, and no SOP class says that they are CT; export the original CT series."
        named = named if re.fullmatch("[A-Z]{2,6}", named) else "another"
        return f"{images} are not CT (modality {named}); give the folder of the CT series."
    if hurdle == "colour":
        return f"{images} are in colour (screenshots?), not CT values; export the original slices."
    if hurdle == "kind":
        kinds = reformats_of(stack.header)
        if "LOCALIZER" in kinds:
            return f"{images} are localisers; export the thin slices of the chest."
        return (
            f"{images} are no original slices but a reformat or projection (ImageType {', '.join(sorted(kinds))}); "
            "export the original axial series, or name this one in `series`."
        )
    if hurdle == "direction":
        return f"{images} are coronal, sagittal or oblique; export the axial series."
    if len(stack.places) == 1:
        return f"{images} all carry the same position; export the original series with its positions."
    return f"{images} lie at only {len(stack.places)} positions; at least {FEWEST_SLICES} are needed: export the chest."


def _short(stacks: list[Stack], total: int, any_kind: bool) -> str:
    if all("LOCALIZER" in reformats_of(stack.header) for stack in stacks) and not any_kind:
        return f"Only localisers ({total} DICOM images) are in it; export the thin slices of the chest."
    pieces = [stack for stack in stacks if hurdle_of(stack, any_kind) == "places"]
    if (slices := sum(len(stack.slices) for stack in pieces)) < FEWEST_SLICES:
        return (
            f"No axial CT series of at least {FEWEST_SLICES} slices among {total} DICOM images; "
            "export the thin slices of the chest."
        )
    series = len({name for stack in pieces for name in stack.series})
    studies = len({str(stack.header.get("StudyInstanceUID", "")) for stack in pieces})
    owners = f"{series} series" + (f" of {studies} studies" if studies > 1 else "")
    return (
        f"The {slices} axial CT slices belong to {owners}, each of fewer than {FEWEST_SLICES} slices, "
        "which do not continue each other; export the chest as one series."
    )


def flags_of_choice(slices: list[Slice], chosen: list[Slice]) -> list[str]:
    """How the `chosen` of all `slices` came together, and which slices of their series were not chosen, by reason."""
    flags = []
    headers = [item.header for item in chosen]
    series = {series_of(header) for header in headers}
    if len(series) > 1 and len({str(header.get("SeriesNumber")) for header in headers}) == 1:
        flags.append(f"The slices carry {len(series)} series UIDs; they were joined by number and position.")
    elif len(series) > 1:
        flags.append(f"The scan lies in {len(series)} series that continue each other; they were joined.")
    if nameless := sum(not str(header.get("Modality") or "").strip() for header in headers):
        flags.append(f"{counted(nameless, 'without a modality')}; their SOP class says that they are CT.")
    taken = {(item.path, item.frame) for item in chosen}
    left = [item for item in slices if series_of(item.header) in series and (item.path, item.frame) not in taken]
    reasons = Counter(_difference(item, chosen[0]) for item in left)
    flags += [f"{counted(n, 'left out', f'the series with another {what}')}." for what, n in reasons.items()]
    return flags + _beyond(slices, chosen)


def _beyond(slices: list[Slice], chosen: list[Slice]) -> list[str]:
    """A flag where `chosen` are shorter than lungs, and CT slices of other series lie above or below them."""
    depths, series = depths_of(chosen), {series_of(item.header) for item in chosen}
    step, span = step_of(depths), float(depths[-1] - depths[0])
    if span + step >= FULL_SPAN:
        return []
    first = chosen[0]
    others = [
        float(item.position @ first.normal)
        for item in slices
        if series_of(item.header) not in series
        and kind_of(item.header) == kind_of(first.header)
        and same_direction(item, first)
    ]
    outside = [max(depths[0] - depth, depth - depths[-1]) for depth in others]
    beyond = [far for far in outside if far > step / 2]
    if not beyond or max(beyond) < FAR_FROM * span:
        return []
    return [
        f"{counted(len(beyond), 'left out', 'other series')} that lie up to {max(beyond):.0f} mm beyond those read, "
        f"which span only {span + step:.0f} mm: is a part of the chest missing?"
    ]


def _difference(item: Slice, other: Slice) -> str:
    """In what a slice differs from one that it was not stacked with."""
    differs = {
        "kind (localiser, reformat or no CT)": kind_of(item.header) != kind_of(other.header),
        "orientation": not same_direction(item, other),
        "matrix": matrix_of(item.header) != matrix_of(other.header),
        "pixel size": not same_pixel_size(item, other),
        "place in the plane": np.linalg.norm(_corner(item) - _corner(other)) > other.pixel_size.min() / 2,
    }
    return next((what for what, true in differs.items() if true), "reconstruction or number")


def _corner(item: Slice) -> np.ndarray:
    return item.directions @ item.position


def without_place(files: list[Path]) -> str:
    """Why none of these DICOM files holds a slice: CT images lack a tag that says where they lie, or there are none."""
    images = []
    for path in files:
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
            if header.get("Rows") and modality_of(header) == "CT":
                images.append(header)
        except (*DAMAGE, OSError):
            continue
    if any((header.get("NumberOfFrames") or 1) != 1 for header in images):
        return "The DICOM file holds many frames without their places; export single slices or NIfTI."
    lost = [tag for tag in PLACE if images and not any(header.get(tag) for header in images)]
    if lost:
        return (
            f"The DICOM images ({len(images)}) do not say where they lie (they have no {' and no '.join(lost)}); "
            "export the original slices."
        )
    return (
        f"The DICOM files ({len(files)}) hold no image with a position and a pixel size "
        "(reports, dose sheets, screenshots?); export the original slices."
    )


def flags_of_files(files: list[Path], slices: list[Slice], chosen: list[Slice], dead_links: int) -> list[str]:
    """Which of `files` should have been slices of the `chosen` series and are none, and links that lead nowhere."""
    read = {item.path for item in slices}
    series = {series_of(item.header) for item in chosen}
    flags = []
    if lost := sum(_should_be_of(path, series) for path in files if path not in read):
        flags.append(f"Files of the series without a readable image and its position: {lost}; they were left out.")
    if dead_links:
        flags.append(f"Links in the folder that lead nowhere: {dead_links}; they were passed over.")
    return flags


def _should_be_of(path: Path, series: set[str]) -> bool:
    """Whether a file that gave no slice names one of `series`, or is a DICOM file cut before the name."""
    if path.stat().st_size < PREAMBLE:
        return path.suffix.lower() in SLICE_SUFFIXES
    if not is_dicom(path):
        return False
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        directory = header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage
        return series_of(header) in series or not (directory or header.get("SeriesInstanceUID"))
    except (*DAMAGE, OSError):
        return True


def header_contradictions(slices: list[Slice]) -> list[str]:
    """Numbers of the headers that say otherwise than the positions of the sorted `slices`, which are believed, and
    what differs between slices although it should not."""
    flags = []
    for tag, names in COMMON.items():
        values = [item.header.get(tag) for item in slices]
        if (count := len({_rounded(value) for value in values if value})) > 1:
            flags.append(f"The slices name {count} {names}; that of the first counts.")
    step = step_of(depths_of(slices))
    first = slices[0].header
    told = number_of(first.get("SpacingBetweenSlices"))
    if told and abs(abs(told) - step) > FAR_FROM * step:
        flags.append(f"The header says that slices are {abs(told):.1f} mm apart, their positions {step:.1f} mm.")
    thickness = number_of(first.get("SliceThickness")) or 0.0
    if thickness > THICK * step:
        apart = f"their positions are {step:.1f} mm apart"
        flags.append(f"The header says that slices are {thickness:.1f} mm thick; {apart}.")
    diameter = number_of(first.get("ReconstructionDiameter"))
    width = float(slices[0].pixel_size.max() * max(number_of(first.get(tag)) or 0 for tag in ("Rows", "Columns")))
    if diameter and abs(diameter - width) > FAR_FROM * width:
        wide = f"the slices are {width:.0f} mm"
        flags.append(f"The header says that the field of view is {diameter:.0f} mm wide, {wide}: cropped?")
    if np.ptp(slices[0].pixel_size) > FAR_FROM * slices[0].pixel_size.min():
        high, wide = slices[0].pixel_size
        flags.append(f"The pixels are {wide:.4g} mm wide and {high:.4g} mm high; those of a scanner are square.")
    tilt = abs(number_of(first.get("GantryDetectorTilt")) or 0.0)
    if tilt > TILTED and _lean(slices) < TILTED / 2:
        flags.append(
            f"The header says that the gantry was tilted by {tilt:.0f} degrees, and the positions do not: the scan may "
            "be sheared; look at the pictures."
        )
    locations = [number_of(item.header.get("SliceLocation")) for item in slices]
    if None not in locations and not _agree(np.array(locations, float), slices):
        flags.append("SliceLocation contradicts the positions of the slices, which were used.")
    return flags


def _rounded(value: Any) -> Any:
    number = number_of(value)
    return str(value) if number is None else round(number, 1)


def _lean(slices: list[Slice]) -> float:
    """Degrees between the slices' normal and the body's axis, or the line of their corners, whichever is more."""
    line = slices[-1].position - slices[0].position
    cosines = (abs(slices[0].normal[2]), abs(line @ slices[0].normal) / max(float(np.linalg.norm(line)), 1e-6))
    return float(np.degrees(np.arccos(np.clip(min(cosines), 0, 1))))


def _agree(locations: np.ndarray, slices: list[Slice]) -> bool:
    """Whether most steps between `locations` (mm) are those along the normal, or along the body where it is oblique."""
    told = np.abs(np.diff(locations))
    depth = np.abs(np.diff([item.depth for item in slices]))
    height = np.abs(np.diff([item.position[2] for item in slices]))
    right = [np.abs(told - real) <= FAR_FROM * real + 0.05 for real in (depth, height)]
    return bool(max(found.mean() for found in right) >= 1 - FAR_FROM)
