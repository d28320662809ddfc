"""What an NRRD header says twice, or not at all: libraries take 1 mm for a voxel size that is missing, and the body's
axes for those of a space that they do not know.
"""

import math
import re
from pathlib import Path

import numpy as np

from lung4d.convert.volumes.header_words import by, check_modality, check_once, differ, no_orientation
from lung4d.io.status import UnusableScan

BODY_SPACES = {
    "right-anterior-superior", "ras", "left-anterior-superior", "las", "left-posterior-superior", "lps",
}  # fmt: skip
ENCODINGS = {"raw", "txt", "text", "ascii", "hex", "gz", "gzip"}
ONE_BYTE = {"signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"}
LENGTHS_IN_MM = {"mm", "millimeter", "millimetre", "millimeters", "millimetres", ""}
OTHER_UNITS = {"s", "hu"}  # of a fourth axis, and of the values
MOST_LINES, LONGEST_LINE = 1000, 2**16
SAME = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip"}


def check_nrrd(path: Path) -> list[str]:
    """Flags of the header; raises UnusableScan where it contradicts itself, gives no voxel size, or is not readable."""
    listed = _fields(path)
    fields = dict(listed)
    if not fields.keys() >= {"sizes", "type"}:
        return []  # no such header, as its reader will say
    check_once(listed, "NRRD")
    check_modality(fields.get(":modality", fields.get(":dicom_0008_0060", "")), "The NRRD header (modality)")
    _check_encoding(fields)
    _check_data_file(path, fields)
    _check_units(fields)
    if len(fields["sizes"].split()) < 3:
        return []
    directions = _directions(fields.get("space directions"))
    spacings = [value for value in map(_number, fields.get("spacings", "").split()) if not math.isnan(value)]
    space = fields.get("space", "").lower()
    if directions is None:
        return _check_spacings(spacings, space or fields.get("space dimension", ""))
    lengths = np.linalg.norm(directions, axis=1)
    if not all(0 < length < math.inf for length in lengths):
        raise UnusableScan("The space directions of the NRRD header have an axis of no length; correct the header.")
    if spacings and differ(np.abs(spacings), lengths):
        raise UnusableScan(
            f"The NRRD header contradicts itself: voxels of {by(spacings)} mm by spacings and of {by(lengths)} mm by "
            "space directions; correct the header."
        )
    if spacings:
        raise UnusableScan("The NRRD header has spacings beside space directions, against the format; remove spacings.")
    if space not in BODY_SPACES:
        return [no_orientation("NRRD", f"its space is {space}" if space else "no space")]
    return []


def _fields(path: Path) -> list[tuple[str, str]]:
    """Fields in lower case; those of the user, key:=value, begin with a colon here."""
    found = []
    with path.open("rb") as stream:
        if not stream.readline(LONGEST_LINE).startswith(b"NRRD"):
            return []
        for _ in range(MOST_LINES):
            line = stream.readline(LONGEST_LINE).decode("latin-1").strip()
            if not line:
                break
            if line.startswith("#"):
                continue
            if own := re.match(r"([^:]+):=(.*)", line):
                found.append((f":{own[1].strip().lower()}", own[2].strip()))
            elif field := re.match(r"([^:]+):\s*(.*)", line):
                name = field[1].strip().lower()
                found.append((SAME.get(name, name), field[2].strip()))
    return found


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def _directions(text: str | None) -> np.ndarray | None:
    """The vectors of the axes in space (n, 3), None without the field; axes that are not in space are left out."""
    if text is None:
        return None
    vectors = [[_number(word) for word in inner.split(",")] for inner in re.findall(r"\(([^)]*)\)", text)]
    return np.array([vector if len(vector) == 3 else [math.nan] * 3 for vector in vectors]).reshape(-1, 3)


def _check_spacings(spacings: list[float], space: str) -> list[str]:
    if len(spacings) < 3:
        raise UnusableScan("The NRRD header has no voxel size (space directions, or spacings); add it.")
    if not all(0 < abs(value) < math.inf for value in spacings):
        raise UnusableScan(f"The voxels of the NRRD header are {by(spacings)} mm apart; correct spacings.")
    if space:
        raise UnusableScan(
            f"The NRRD header names a space ({space}) and no directions of the axes in it; add space directions, or "
            "remove the space."
        )
    return [no_orientation("NRRD", "no space directions")]


def _check_encoding(fields: dict[str, str]) -> None:
    encoding = fields.get("encoding", "raw").lower()
    if encoding not in ENCODINGS:
        raise UnusableScan(f"The voxels are encoded as {encoding}, which is not read; save the NRRD as raw or gzip.")
    binary = encoding in ("raw", "gz", "gzip")
    if binary and "endian" not in fields and fields["type"].lower() not in ONE_BYTE:
        raise UnusableScan("The NRRD header does not say the order of the bytes (endian); add it.")


def _check_data_file(path: Path, fields: dict[str, str]) -> None:
    name = fields.get("data file", "")
    if name and name.upper().split()[0] != "LIST" and "%" not in name and not (path.parent / name).is_file():
        raise UnusableScan("The file of the voxels that the NRRD header names is not there; copy both files.")


def _check_units(fields: dict[str, str]) -> None:
    for field in ("space units", "units"):
        for unit in re.findall(r'"([^"]*)"', fields.get(field, "")):
            if unit.strip().lower() not in LENGTHS_IN_MM | OTHER_UNITS:
                raise UnusableScan(f'The NRRD header gives lengths in "{unit}" ({field}); write them in mm.')
