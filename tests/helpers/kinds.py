"""The kinds of trouble that come in with data, what is done about each, and the inputs that the tests try of it."""

from collections.abc import Sized
from dataclasses import dataclass

from helpers import (
    acquisition_cases,
    bad_dicom,
    bad_inputs,
    bad_masks,
    bad_tables,
    bad_trees,
    bad_volumes,
    baseline_cases,
    config_cases,
    copy_cases,
    pair_cases,
)

CASES = bad_inputs.CASES  # to which bad_dicom and bad_volumes have added theirs


@dataclass(frozen=True)
class Kind:
    words: str
    done: str
    inputs: tuple[Sized, ...]

    @property
    def count(self) -> int:
        return sum(map(len, self.inputs))


def scans(kind: str) -> list[bad_inputs.Case]:
    """The scans of bad_inputs that are of this kind."""
    return [case for case in CASES if case.kind == kind]


def of(module: object, word: str) -> Sized:
    """The inputs of the one kind in a module's KINDS that has this word in its name."""
    (found,) = (inputs for kind, inputs in module.KINDS.items() if word in kind)
    return found


KINDS = [
    Kind(
        "a result is checked by what it was fitted to",
        "bones, airways and chance judge a registered pair; a doubtful one is flagged, with the axes that would fit",
        (pair_cases.WRONG_PAIRS,),
    ),
    Kind(
        "identity by name, not by content",
        "copies are found by what scans show: flagged, and never in two sets; a source named twice is an error",
        (
            copy_cases.SAME_VOXELS,
            copy_cases.SHARED_SLICES,
            copy_cases.NEAR_COPIES,
            copy_cases.WRITTEN_OTHERWISE,
            copy_cases.FOLDER_OTHERWISE,
            of(bad_tables, "identity"),
        ),
    ),
    Kind("two places say one fact", "compared; refused or flagged, naming both", (scans(bad_volumes.FACTS),)),
    Kind(
        "a header number is believed before geometry and pixels",
        "geometry decides; what is joined, dropped or left out is counted and flagged",
        (scans(bad_inputs.HEADER_NUMBERS), scans(bad_dicom.LINKS)),
    ),
    Kind(
        "a fact chooses but never warns",
        "pose, breath, kernel, thickness and contrast are flagged where a visit differs from its baseline",
        tuple(acquisition_cases.INPUTS.values()),
    ),
    Kind(
        "one-sided plausibility",
        "both tails and the field of view: mended where certain, else refused or flagged",
        (scans(bad_volumes.VALUES),),
    ),
    Kind(
        "rows and files that join nothing",
        "an error or a warning before any job, with the likely match; joined and unjoined rows are counted",
        (of(bad_tables, "join nothing"),),
    ),
    Kind(
        "a whole chosen by a part that nobody checked",
        "the first usable visit is the baseline; years stay",
        (baseline_cases.PATIENTS, baseline_cases.CHANGES),
    ),
    Kind(
        "a derived value goes round its twin's limits",
        "limits on years however they come; the solver's work is bounded",
        (of(bad_tables, "twin"), of(config_cases, "twin")),
    ),
    Kind(
        "checked one by one, multiplied later",
        "the lengths of all names that will be made are checked before the first job",
        (of(bad_tables, "multiplied"),),
    ),
    Kind(
        "coercion instead of a check",
        "refused with file, line and value, or read as anybody would read it",
        (of(bad_tables, "coercion"), of(config_cases, "coercion")),
    ),
    Kind(
        "unknown counts as something known",
        "said, and left out or kept apart",
        (of(bad_tables, "unknown"), bad_masks.MASKS),
    ),
    Kind("a path is put where something formats it", "it runs", (of(config_cases, "formats"),)),
    Kind(
        "keys that contradict each other",
        "found before the first job, together with the tables' errors",
        (of(config_cases, "contradict"),),
    ),
    Kind(
        "a tree of a hospital's files",
        "headers are read, nothing is written into it; what is doubtful is asked, not answered",
        (bad_trees.TREES,),
    ),
]
