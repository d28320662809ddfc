"""Which of several DICOM series is the lung scan: a rule, which the column `series` of scans.tsv overrides.

A series can be chosen when it is CT, grey-valued, axial (normal within 35 degrees of the body's axis), has at least
10 positions, and is no localiser, reformat or projection by its ImageType. What is one series follows from geometry
(`lung4d.convert.dicom.stacks`). Of those, in this order, the one that

1. covers the lungs: it spans 240 mm (a scan of chest and abdomen is no better), or 90 % of what the longest spans;
2. is in the usual pose: supine, and not named an expiration (in any of the languages of `acquisition_words`);
3. is thinnest: the larger of slice thickness and slice spacing, to 0.1 mm;
4. has a lung kernel (sharp: B50f and above, Bl57, LUNG, BONE, FC51, YC, L ...), because fine fibrosis is read there;
5. has the lowest series number.

Where they belong to several studies, nothing is chosen: a folder of two visits would give one of them twice.
"""

import re
from typing import Any

import numpy as np
import pydicom

from lung4d.convert.acquisition_words import EXPIRATION, SUPINE, acquisition_facts
from lung4d.convert.dicom.headers import Slice, number_of, series_of
from lung4d.convert.dicom.sentences import hurdle_of, refusal
from lung4d.convert.dicom.stacks import FULL_SPAN, Stack, stacks_of
from lung4d.io.status import UnusableScan

FULL_SHARE = 0.9
SHARP = 50  # Siemens numbers its kernels by sharpness
NAMED_LUNG_KERNELS = {"LUNG", "BONE", "BONEPLUS", "EDGE", "L", "YA", "YB", "YC"}  # GE, Philips


def choose_series(slices: list[Slice], wanted: str | None = None) -> tuple[list[Slice], dict[str, Any]]:
    """The lung series among `slices`, sorted from the first to the last position, by the rule of this module.

    Several slices may lie at one place: copies, passes or phases, which `read_series` tells apart by their values.
    `wanted` (SeriesNumber, SeriesDescription or SeriesInstanceUID) narrows the choice to that series and lifts the
    rule on reformats. The facts are the chosen series_number, series_found (all that hold images in space) and
    series_suitable (those the rule could choose from). Raises UnusableScan where nothing is left, or several studies.
    """
    stacks = stacks_of(slices)
    offered = stacks
    if wanted is not None:
        named = [item for item in slices if _is_wanted(item.header, str(wanted))]
        if not named:
            numbers = sorted({str(item.header.get("SeriesNumber", "?")) for item in slices})
            raise UnusableScan(f"No series is the one that `series` names; there are the numbers {', '.join(numbers)}.")
        offered = stacks_of(named)
    candidates = [stack for stack in offered if hurdle_of(stack, any_kind=wanted is not None) is None]
    if not candidates:
        raise refusal(offered, any_kind=wanted is not None)
    if (patients := _count_patients(candidates)) > 1:
        raise UnusableScan(f"There are CT images of {patients} patients (PatientID) in it; give those of one patient.")
    if (studies := len({str(stack.header.get("StudyInstanceUID", "")) for stack in candidates})) > 1:
        raise UnusableScan(
            f"There are lung series of {studies} studies; give the folder of one visit, or name a UID in `series`."
        )
    longest = max(stack.span for stack in candidates)
    chosen = min(candidates, key=lambda stack: _rank(stack, longest))
    number = number_of(chosen.header.get("SeriesNumber"))
    facts = {
        "series_number": None if number is None else int(number),
        "series_found": _count_series(stacks, stacks),
        "series_suitable": _count_series(candidates, stacks),
    }
    return chosen.slices, facts


def _count_patients(stacks: list[Stack]) -> int:
    """How many patients the slices name; 1 where nearly each names one of its own, as after a bad pseudonymisation."""
    slices = [item for stack in stacks for item in stack.slices]
    named = {text for item in slices if (text := str(item.header.get("PatientID") or "").strip().casefold())}
    return len(named) if len(slices) >= 2 * len(named) else 1


def _count_series(some: list[Stack], stacks: list[Stack]) -> int:
    """How many series `some` are of; those that were joined to one of `stacks` count once."""
    first = {name: min(stack.series) for stack in stacks for name in stack.series if len(stack.series) > 1}
    return len({first.get(name, name) for stack in some for name in stack.series})


def _is_wanted(header: pydicom.Dataset, wanted: str) -> bool:
    names = (header.get("SeriesNumber"), header.get("SeriesDescription"), header.get("SeriesInstanceUID"))
    return wanted.strip().lower() in {str(name).strip().lower() for name in names if name is not None}


def _rank(stack: Stack, longest: float) -> tuple:
    """Sorts the best series first; `longest` is the longest span among all, mm."""
    header = stack.header
    number = number_of(header.get("SeriesNumber"))
    return (
        stack.span < min(FULL_SPAN, FULL_SHARE * longest),
        not _usual_pose(header),
        round(max(number_of(header.get("SliceThickness")) or 0.0, stack.step), 1),
        not is_lung_kernel(header.get("ConvolutionKernel")),
        np.inf if number is None else number,
        series_of(header),
    )


def _usual_pose(header: pydicom.Dataset) -> bool:
    facts, _ = acquisition_facts(header)
    return facts["pose"] in (None, SUPINE) and facts["breath"] != EXPIRATION


def is_lung_kernel(kernel: Any) -> bool:
    """Whether a ConvolutionKernel names a sharp, lung kernel of Siemens, GE, Philips or Canon."""
    name = str(kernel if isinstance(kernel, str) else next(iter(kernel or []), "")).strip().upper()
    if canon := re.match(r"FC(\d\d)", name):
        return canon.group(1)[0] in "58"
    if siemens := re.match(r"[A-Z]{1,2}(\d\d)", name):
        return int(siemens.group(1)) >= SHARP
    return name in NAMED_LUNG_KERNELS
