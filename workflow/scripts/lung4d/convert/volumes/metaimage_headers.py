"""What a MetaImage header says twice, or not at all: libraries take 1 mm for a voxel size that is missing, and pass
over the letters of AnatomicalOrientation.
"""

import math
import re
from pathlib import Path

import numpy as np

from lung4d.convert.volumes.contents import Voxels, check_length
from lung4d.convert.volumes.header_words import by, check_modality, check_once, differ, no_orientation
from lung4d.io.status import UnusableScan

SYNONYMS = (
    ("TransformMatrix", "Rotation", "Orientation"),
    ("Offset", "Position", "Origin"),
    ("BinaryDataByteOrderMSB", "ElementByteOrderMSB"),
)
MOST_LINES, LONGEST_LINE = 1000, 2**16
BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}
SCALE = ("ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset")
FLAT = 0.01  # determinant of axes of length 1
FROM, TO = ("RL", "AP", "IS"), ("LR", "PA", "SI")  # of x, y, z in LPS: where a growing axis comes from, and goes to


def check_metaimage(path: Path) -> list[str]:
    """Flags of the header; raises UnusableScan where it contradicts itself or gives no voxel size."""
    listed, end = _fields(path)
    fields = dict(listed)
    if not fields.keys() >= {"DimSize", "ElementDataFile"}:
        return []  # no such header, as its reader will say
    check_once(listed, "MetaImage", SYNONYMS)
    check_modality(fields.get("Modality", ""), "The MetaImage header (Modality)")
    if (unit := fields.get("DistanceUnits", "mm")) not in ("mm", "?", ""):
        raise UnusableScan(f'The MetaImage header gives lengths in "{unit}" (DistanceUnits); write them in mm.')
    _check_counts(fields)
    _check_data(path, fields, end)
    flags = _check_spacing(fields)
    matrix = next((fields[word] for word in SYNONYMS[0] if word in fields), None)
    if matrix is None:
        flags.append(no_orientation("MetaImage", "no TransformMatrix"))
    scale = [*_numbers(fields.get(SCALE[0], "1")), *_numbers(fields.get(SCALE[1], "0"))]
    if scale != [1, 0]:
        flags.append(f"The MetaImage header gives a scale of the values ({', '.join(SCALE)}), which was not applied.")
    return flags + _check_axes(_numbers(matrix or "1 0 0 0 1 0 0 0 1"), fields, matrix is not None)


def _fields(path: Path) -> tuple[list[tuple[str, str]], int]:
    """The fields, and the byte where the header ends."""
    found = []
    with path.open("rb") as stream:
        for _ in range(MOST_LINES):
            line = stream.readline(LONGEST_LINE).decode("latin-1")
            key, *value = re.split(r"\s*[=:]\s*", line.strip(), maxsplit=1)
            if value:
                found.append((key, value[0]))
            if not line or key == "ElementDataFile":
                break
        return found, stream.tell()


def _numbers(text: str) -> list[float]:
    """The numbers of a field; NaN for a word that is none."""
    numbers = []
    for word in text.split():
        try:
            numbers.append(float(word))
        except ValueError:
            numbers.append(math.nan)
    return numbers


def _check_spacing(fields: dict[str, str]) -> list[str]:
    size = _numbers(fields.get("ElementSize", ""))
    if "ElementSpacing" not in fields:
        other = f", only ElementSize ({by(size)} mm)" if size else ""
        raise UnusableScan(f"The MetaImage header has no distance of voxels (ElementSpacing){other}; add it.")
    spacing = _numbers(fields["ElementSpacing"])
    if not all(0 < value < math.inf for value in spacing):
        raise UnusableScan(f"The voxels of the MetaImage header are {by(spacing)} mm apart; correct ElementSpacing.")
    if size and differ(spacing, size):
        return [f"By the MetaImage header voxels are {by(spacing)} mm apart and {by(size)} mm large (ElementSize)."]
    return []


def _check_counts(fields: dict[str, str]) -> None:
    """Raise UnusableScan where a field has not as many numbers as the image has axes, or words that are none."""
    axes = _numbers(fields.get("NDims", "3"))[0]
    counts = {"DimSize": axes, "ElementSpacing": axes}
    counts |= dict.fromkeys(SYNONYMS[0], axes**2) | dict.fromkeys(SYNONYMS[1], axes)
    for field, count in counts.items():
        numbers = _numbers(fields[field]) if field in fields else None
        if numbers is not None and (len(numbers) != count or not all(map(math.isfinite, numbers))):
            raise UnusableScan(
                f'The MetaImage header holds "{fields[field][:60]}" as {field}, which is not {count:g} numbers; '
                "correct the header."
            )


def _check_axes(matrix: list[float], fields: dict[str, str], told_so: bool) -> list[str]:
    """The directions against the voxel size and against the letters, which some tools mean as from, others as to.

    `told_so`: whether the header gives the directions, or they are those that libraries take without."""
    if len(matrix) != 9:
        return []
    axes = np.reshape(matrix, (3, 3))
    lengths = np.linalg.norm(axes, axis=1)
    if differ(lengths, (1, 1, 1)):
        raise UnusableScan(
            f"The MetaImage header contradicts itself: the axes of TransformMatrix have the lengths {by(lengths)} and "
            "not 1, beside the voxel size in ElementSpacing; correct the header."
        )
    if abs(np.linalg.det(axes)) < FLAT:
        raise UnusableScan("The axes of TransformMatrix in the MetaImage header lie in one plane; correct the header.")
    told = fields.get("AnatomicalOrientation", "").upper()
    if not re.fullmatch("[RLAPIS]{3}", told):
        return []
    along = np.abs(axes).argmax(axis=1)
    back = [int(axes[row, i] < 0) for row, i in enumerate(along)]
    ways = ["".join(names[i][b] for i, b in zip(along, back, strict=True)) for names in (FROM, TO)]
    if told in ways:
        return []
    if not told_so:
        return [f"By AnatomicalOrientation the axes of the MetaImage are {told}; they were read as {ways[0]}."]
    return [
        f"The MetaImage header contradicts itself: AnatomicalOrientation is {told} and TransformMatrix says {ways[0]}; "
        "the scan was read by TransformMatrix: look at the pictures."
    ]


def _check_data(path: Path, fields: dict[str, str], end: int) -> None:
    """Raise UnusableScan where the voxels are not there, cut short, or a slice more than the header says.

    `end`: of the header."""
    name = fields["ElementDataFile"]
    if name.upper() == "LIST" or "%" in name or len(name.split()) > 1:
        return
    file = path if name.upper() == "LOCAL" else path.parent / name
    if not file.is_file():
        raise UnusableScan("The file of the voxels that the MetaImage header names is not there; copy both files.")
    voxel = BYTES.get(fields.get("ElementType", "").removeprefix("MET_").removeprefix("U"))
    text = fields.get("BinaryData", "True").lower().startswith("f")
    if voxel is None or text or fields.get("HeaderSize", "0") != "0":
        return
    sizes, channels = _numbers(fields["DimSize"]), _numbers(fields.get("ElementNumberOfChannels", "1"))
    promised = voxel * math.prod(sizes) * math.prod(channels)
    packed = fields.get("CompressedData", "").lower().startswith("t")
    voxels = Voxels(file, end if file == path else 0, packed, promised, promised / sizes[-1])
    check_length(voxels, "MetaImage", "DimSize, ElementType")
