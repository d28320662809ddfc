"""File names in the style of BIDS: `sub-001_ses-02_desc-preproc_ct.nii`."""

import re
from pathlib import Path


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


def forecast_stem(subject: str, given: list[str], years: float) -> str:
    """Stem of a generated volume: `sub-001_given-01+02_years-3.500`; years since baseline, three decimals."""
    return f"sub-{subject}_given-{'+'.join(given)}_years-{years:.3f}"
