"""Which of several DICOM series is the lung scan: a rule, which the column `series` of scans.tsv overrides.

A series can be chosen when it is CT, grey-valued, axial (normal within 35 degrees of the body's axis), has at least
10 positions, and is no localiser, reformat or projection by its ImageType. Of those, in this order, the one that

1. covers the lungs: it spans 240 mm, or 90 % of what the longest spans;
2. is in the usual pose: supine, and not named an expiration;
3. is thinnest: the larger of slice thickness and slice spacing, to 0.1 mm;
4. has a lung kernel (sharp: B50f and above, Bl57, LUNG, BONE, FC51, YC, L ...), because fine fibrosis is read there;
5. has the lowest series number.

Where they belong to several studies, nothing is chosen: a folder of two visits would give one of them twice.
"""

import re
from collections import defaultdict
from typing import Any

import numpy as np
import pydicom

from lung4d.convert.dicom_headers import FEWEST_SLICES, Slice, number_of
from lung4d.io.status import UnusableScan

AXIAL = np.cos(np.deg2rad(35))  # a gantry is tilted by 30 degrees at most
FULL_SPAN = 240.0  # mm: adult lungs with a margin; a scan of chest and abdomen is longer and no better for that
FULL_SHARE = 0.9
REFORMATS = {"LOCALIZER", "MPR", "REFORMATTED", "MIP", "MAX_IP", "MINIP", "MIN_IP", "AVERAGE", "VOLREN"}
SHARP = 50  # Siemens numbers its kernels by sharpness
NAMED_LUNG_KERNELS = {"LUNG", "BONE", "BONEPLUS", "EDGE", "L", "YA", "YB", "YC"}  # GE, Philips
EXPIRATION = re.compile(r"(?<![a-z])exp(ir\w*)?(?![a-z])", re.IGNORECASE)


def choose_series(slices: list[Slice], wanted: str | None = None) -> tuple[list[Slice], dict[str, Any]]:
    """The lung series among `slices`, sorted from the first to the last position, by the rule of this module.

    `wanted` (SeriesNumber, SeriesDescription or SeriesInstanceUID) narrows the choice to that series and lifts the
    rule on reformats. The facts are the chosen series_number, series_found (all that hold images in space) and
    series_suitable (those the rule could choose from). Raises UnusableScan where nothing is left, or several studies.
    """
    groups = _groups(slices)
    candidates = list(groups)
    if wanted is None:
        candidates = [group for group in candidates if not _is_reformat(group[0].header)]
    else:
        candidates = [group for group in candidates if _is_wanted(group[0].header, str(wanted))]
        if not candidates:
            numbers = sorted({str(group[0].header.get("SeriesNumber", "?")) for group in groups})
            raise UnusableScan(f"No series is the one that `series` names; there are the numbers {', '.join(numbers)}.")
    candidates = [group for group in candidates if group[0].header.get("Modality") == "CT"]
    candidates = [group for group in candidates if group[0].header.get("SamplesPerPixel", 1) == 1]
    candidates = [group for group in candidates if abs(group[0].normal[2]) >= AXIAL]
    candidates = [kept for group in candidates if len(kept := _one_scan(group)) >= FEWEST_SLICES]
    if not candidates:
        raise UnusableScan(
            f"No axial CT series of at least {FEWEST_SLICES} slices among {len(slices)} DICOM images; "
            "export the thin slices of the chest."
        )
    if (studies := len({str(group[0].header.get("StudyInstanceUID", "")) for group in candidates})) > 1:
        raise UnusableScan(
            f"There are lung series of {studies} studies; give the folder of one visit, or name a UID in `series`."
        )
    longest = max(_span(group) for group in candidates)
    chosen = min(candidates, key=lambda group: _rank(group, longest))
    number = number_of(chosen[0].header.get("SeriesNumber"))
    facts = {
        "series_number": None if number is None else int(number),
        "series_found": len({_uid(group[0].header) for group in groups}),
        "series_suitable": len({_uid(group[0].header) for group in candidates}),
    }
    return chosen, facts


def _groups(slices: list[Slice]) -> list[list[Slice]]:
    """Slices that can be stacked: of one series, direction, matrix and voxel size (a mixed export has several)."""
    groups = defaultdict(list)
    for item in slices:
        directions = tuple(np.round(item.directions.ravel(), 2) + 0.0)
        matrix = (str(item.header.get("Rows")), str(item.header.get("Columns")))
        spacing = tuple(round(float(value), 4) for value in item.header.PixelSpacing)
        groups[_uid(item.header), directions, matrix, spacing].append(item)
    return list(groups.values())


def _uid(header: pydicom.Dataset) -> str:
    return str(header.get("SeriesInstanceUID", ""))


def _is_wanted(header: pydicom.Dataset, wanted: str) -> bool:
    names = (header.get("SeriesNumber"), header.get("SeriesDescription"), header.get("SeriesInstanceUID"))
    return wanted.strip().lower() in {str(name).strip().lower() for name in names if name is not None}


def _is_reformat(header: pydicom.Dataset) -> bool:
    kinds = header.get("ImageType") or []
    kinds = {str(kind).upper() for kind in ([kinds] if isinstance(kinds, str) else kinds)}
    return bool(kinds & REFORMATS)


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
    return sorted(group, key=lambda item: (round(item.depth, 2), number_of(item.header.get("InstanceNumber")) or 0))


def _rank(group: list[Slice], longest: float) -> tuple:
    """Sorts the best series first; `longest` is the longest span among all, mm."""
    header, span = group[0].header, _span(group)
    number = number_of(header.get("SeriesNumber"))
    return (
        span < min(FULL_SPAN, FULL_SHARE * longest),
        not _usual_pose(header),
        round(max(number_of(header.get("SliceThickness")) or 0.0, _step(group)), 1),
        not is_lung_kernel(header.get("ConvolutionKernel")),
        np.inf if number is None else number,
        _uid(header),
    )


def _step(group: list[Slice]) -> float:
    """Median distance between positions, mm; copies of a slice count once."""
    depths = np.unique([round(item.depth, 2) for item in group])
    return float(np.median(np.diff(depths))) if len(depths) > 1 else 0.0


def _span(group: list[Slice]) -> float:
    return group[-1].depth - group[0].depth + _step(group)


def _usual_pose(header: pydicom.Dataset) -> bool:
    supine = (header.get("PatientPosition") or "HFS") in ("HFS", "FFS")
    return supine and not EXPIRATION.search(str(header.get("SeriesDescription", "")))


def is_lung_kernel(kernel: Any) -> bool:
    """Whether a ConvolutionKernel names a sharp, lung kernel of Siemens, GE, Philips or Canon."""
    name = str(kernel if isinstance(kernel, str) else next(iter(kernel or []), "")).strip().upper()
    if canon := re.match(r"FC(\d\d)", name):
        return canon.group(1)[0] in "58"
    if siemens := re.match(r"[A-Z]{1,2}(\d\d)", name):
        return int(siemens.group(1)) >= SHARP
    return name in NAMED_LUNG_KERNELS
