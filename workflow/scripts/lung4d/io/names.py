"""File names in the style of BIDS: `sub-001_ses-02_desc-preproc_ct.nii`."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

# How the files of a scan end that others than the next stage read.
CT = "ct.nii.gz"  # of convert
SIDECAR = "ct.json"  # of convert: facts of the acquisition
LUNG_MASK = "desc-lung_mask.nii.gz"  # of segment, and on the patient's grid of resample
VOLUME = "desc-preproc_ct.nii"  # of resample
EXPANSION = "desc-logjacobian_map.nii.gz"  # of register, and at a coarse step of the patient's grid of resample
LATENTS = "latents.npz"  # of extract_latents
STATUS = "status.json"  # of the four stages a scan goes through


def parse_name(path: str | Path) -> dict[str, str]:
    """Entities of a file name: `sub-001_ses-02_ct.nii.gz` gives `{"sub": "001", "ses": "02", "suffix": "ct"}`."""
    stem = re.sub(r"(\.[A-Za-z]\w*)+$", "", Path(path).name)  # extensions begin with a letter, decimals do not
    parts = stem.split("_")
    entities = dict(part.split("-", 1) for part in parts if "-" in part)
    if "-" not in parts[-1]:
        entities["suffix"] = parts[-1]
    return entities


def scan_of(path: str | Path) -> tuple[str, str]:
    """(subject, session) of a file that belongs to one scan."""
    entities = parse_name(path)
    return entities["sub"], entities["ses"]


def scan_file(folder: str | Path, subject: str, session: str, ending: str) -> Path:
    """`<folder>/sub-001/sub-001_ses-02_<ending>`: where a stage's folder holds a scan's file."""
    return patient_folder(folder, subject) / f"sub-{subject}_ses-{session}_{ending}"


def scan_files(folder: str | Path, scans: pd.DataFrame, ending: str) -> list[Path]:
    """A stage's files of the rows of `scans` (subject, session), in that order."""
    return [scan_file(folder, *scan, ending) for scan in zip(scans["subject"], scans["session"], strict=True)]


def patient_folder(folder: str | Path, subject: str) -> Path:
    return Path(folder) / f"sub-{subject}"


def patient_folders(folder: str | Path, subjects: Iterable[str]) -> list[Path]:
    """A stage's folders of patients, each once, in the order in which they come first."""
    return [patient_folder(folder, subject) for subject in dict.fromkeys(subjects)]


def volumes_below(folder: str | Path | None) -> list[Path]:
    """The NIfTI volumes below a folder, in order of their names; none without one."""
    found = Path(folder).rglob("*") if folder else ()
    return sorted(path for path in found if path.name.endswith((".nii", ".nii.gz")))


def forecast_stem(subject: str, given: Sequence[str], years: float) -> str:
    """Stem of a generated volume: `sub-001_given-01+02_years-3.500`; years since baseline, three decimals."""
    return f"sub-{subject}_given-{'+'.join(given)}_years-{years:.3f}"
