"""What an NRRD header says twice, or not at all: libraries take 1 mm for a voxel size that is missing, and the body's
axes for those of a space that they do not know.
"""

import math
import re
from pathlib import Path

import numpy as np

from lung4d.convert.volumes.contents import Voxels, check_length
from lung4d.convert.volumes.header_words import by, check_modality, check_once, differ, no_orientation
from lung4d.io.status import UnusableScan

BODY_SPACES = {
    "right-anterior-superior", "ras", "left-anterior-superior", "las", "left-posterior-superior", "lps",
}  # fmt: skip
KNOWN_SPACES = {*BODY_SPACES, "scanner-xyz", "3d-right-handed", "3d-left-handed"}
VALUES = {"vector", "rgb-color", "rgba-color", "hsv-color", "xyz-color", "covariant-vector", "complex"}  # of a voxel
FLAT = 0.01  # determinant of axes of length 1
BYTES = {"16": 2, "32": 4, "64": 8, "short": 2, "int": 4, "long": 8, "longlong": 8, "float": 4, "double": 8}
ENCODINGS = {"raw", "txt", "text", "ascii", "hex", "gz", "gzip"}
ONE_BYTE = {"signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"}
LENGTHS_IN_MM = {"mm", "millimeter", "millimetre", "millimeters", "millimetres", ""}
OTHER_UNITS = {"s", "hu"}  # of a fourth axis, and of the values
MOST_LINES, LONGEST_LINE = 1000, 2**16
SAME = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip"}


def check_nrrd(path: Path) -> list[str]:
    """Flags of the header; raises UnusableScan where it contradicts itself, gives no voxel size, or is not readable."""
    listed, end = _fields(path)
    fields = dict(listed)
    if not fields.keys() >= {"sizes", "type"}:
        return []  # no such header, as its reader will say
    check_once(listed, "NRRD")
    check_modality(fields.get(":modality", fields.get(":dicom_0008_0060", "")), "The NRRD header (modality)")
    _check_encoding(fields)
    _check_data(path, fields, end)
    _check_units(fields)
    _check_axes(fields)
    if len(fields["sizes"].split()) < 3:
        return []
    directions = _directions(fields.get("space directions"))
    spacings = [value for value in map(_number, fields.get("spacings", "").split()) if not math.isnan(value)]
    space = fields.get("space", "").lower()
    if directions is None:
        return _check_spacings(spacings, space or fields.get("space dimension", ""))
    if len(directions) != 3:
        raise UnusableScan(f"The NRRD header has {len(directions)} space directions and not 3; correct the header.")
    lengths = np.linalg.norm(directions, axis=1)
    if not all(0 < length < math.inf for length in lengths):
        raise UnusableScan("The space directions of the NRRD header have an axis of no length; correct the header.")
    if abs(np.linalg.det(directions / lengths[:, None])) < FLAT:
        raise UnusableScan("The space directions of the NRRD header lie in one plane; correct the header.")
    if spacings and differ(spacings, lengths):
        raise UnusableScan(
            f"The NRRD header contradicts itself: voxels of {by(spacings)} mm by spacings and of {by(lengths)} mm by "
            "space directions; correct the header."
        )
    if spacings:
        raise UnusableScan("The NRRD header has spacings beside space directions, against the format; remove spacings.")
    if space not in BODY_SPACES:
        return [no_orientation("NRRD", f"its space is {space}" if space else "no space")]
    return []


def _fields(path: Path) -> tuple[list[tuple[str, str]], int]:
    """Fields in lower case; those of the user, key:=value, begin with a colon here; and the byte where they end."""
    found = []
    with path.open("rb") as stream:
        if not stream.readline(LONGEST_LINE).startswith(b"NRRD"):
            return [], 0
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
        return found, stream.tell()


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
    if not all(0 < value < math.inf for value in spacings):
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


def _check_data(path: Path, fields: dict[str, str], end: int) -> None:
    """Raise UnusableScan where the voxels are not there, cut short, or a slice more than the header says.

    `end`: of the header."""
    name = fields.get("data file", "")
    if name and (name.upper().split()[0] == "LIST" or "%" in name):
        return
    file = path.parent / name if name else path
    if not file.is_file():
        raise UnusableScan("The file of the voxels that the NRRD header names is not there; copy both files.")
    encoding, kind = fields.get("encoding", "raw").lower(), fields["type"].lower()
    word = re.sub("^(?:un)?signed |^u(?=[a-z])| int$|_t$|^int(?=[0-9])", "", re.sub("long long", "longlong", kind))
    voxel = 1 if kind in ONE_BYTE else BYTES.get(word)
    sizes = [_number(size) for size in fields["sizes"].split()]
    skipped = {fields.get(field, "0") for field in ("byte skip", "line skip")} != {"0"}
    if voxel is None or skipped or encoding not in ("raw", "gz", "gzip") or not math.isfinite(math.prod(sizes)):
        return
    promised = voxel * math.prod(sizes)
    voxels = Voxels(file, 0 if name else end, encoding != "raw", promised, promised / sizes[-1])
    check_length(voxels, "NRRD", "sizes, type")


def _check_axes(fields: dict[str, str]) -> None:
    """Raise UnusableScan for a space that the format does not know, and for several volumes."""
    space = fields.get("space", "").lower()
    if space and space not in KNOWN_SPACES:
        raise UnusableScan(
            f'The NRRD header names "{space[:40]}" as its space, which is none of the format; correct it.'
        )
    sizes, kinds = fields["sizes"].split(), fields.get("kinds", "").lower().split()
    if len(sizes) > 3:
        where = re.findall(r"none|\([^)]*\)", fields.get("space directions", "").lower())
        time = [k for k, way in enumerate(where) if way == "none"] or list(range(3, len(sizes)))
        shown = [size for k, size in enumerate(sizes) if k in time and not (k < len(kinds) and kinds[k] in VALUES)]
        if (volumes := math.prod(map(_number, shown))) > 1:
            raise UnusableScan(f"The file holds {volumes:.0f} volumes (4D); give one volume a visit.")


def _check_units(fields: dict[str, str]) -> None:
    for field in ("space units", "units"):
        for unit in re.findall(r'"([^"]*)"', fields.get(field, "")):
            if unit.strip().lower() not in LENGTHS_IN_MM | OTHER_UNITS:
                raise UnusableScan(f'The NRRD header gives lengths in "{unit}" ({field}); write them in mm.')
