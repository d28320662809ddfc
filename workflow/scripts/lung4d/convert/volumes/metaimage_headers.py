"""What a MetaImage header says twice, or not at all: libraries take 1 mm for a voxel size that is missing, and pass
over the letters of AnatomicalOrientation.
"""

import math
import re
from pathlib import Path

import numpy as np

from lung4d.convert.volumes.header_words import by, check_modality, check_once, differ, no_orientation
from lung4d.io.status import UnusableScan

SYNONYMS = (
    ("TransformMatrix", "Rotation", "Orientation"),
    ("Offset", "Position", "Origin"),
    ("BinaryDataByteOrderMSB", "ElementByteOrderMSB"),
)
MOST_LINES, LONGEST_LINE = 1000, 2**16
BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}
FROM, TO = ("RL", "AP", "IS"), ("LR", "PA", "SI")  # of x, y, z in LPS: where a growing axis comes from, and goes to


def check_metaimage(path: Path) -> list[str]:
    """Flags of the header; raises UnusableScan where it contradicts itself or gives no voxel size."""
    listed = _fields(path)
    fields = dict(listed)
    if not fields.keys() >= {"DimSize", "ElementDataFile"}:
        return []  # no such header, as its reader will say
    check_once(listed, "MetaImage", SYNONYMS)
    check_modality(fields.get("Modality", ""), "The MetaImage header (Modality)")
    if (unit := fields.get("DistanceUnits", "mm")) not in ("mm", "?", ""):
        raise UnusableScan(f'The MetaImage header gives lengths in "{unit}" (DistanceUnits); write them in mm.')
    _check_data_file(path, fields)
    flags = _check_spacing(fields)
    matrix = next((fields[word] for word in SYNONYMS[0] if word in fields), None)
    if matrix is None:
        flags.append(no_orientation("MetaImage", "no TransformMatrix"))
    return flags + _check_axes(_numbers(matrix or "1 0 0 0 1 0 0 0 1"), fields)


def _fields(path: Path) -> list[tuple[str, str]]:
    found = []
    with path.open("rb") as stream:
        for _ in range(MOST_LINES):
            line = stream.readline(LONGEST_LINE).decode("latin-1")
            key, *value = re.split(r"\s*[=:]\s*", line.strip(), maxsplit=1)
            if value:
                found.append((key, value[0]))
            if not line or key == "ElementDataFile":
                break
    return found


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
    if not all(0 < abs(value) < math.inf for value in spacing):
        raise UnusableScan(f"The voxels of the MetaImage header are {by(spacing)} mm apart; correct ElementSpacing.")
    if size and differ(spacing, size):
        return [f"By the MetaImage header voxels are {by(spacing)} mm apart and {by(size)} mm large (ElementSize)."]
    return []


def _check_axes(matrix: list[float], fields: dict[str, str]) -> list[str]:
    """The directions against the voxel size and against the letters, which some tools mean as from, others as to."""
    if len(matrix) != 9:
        return []
    axes = np.reshape(matrix, (3, 3))
    lengths = np.linalg.norm(axes, axis=1)
    if differ(lengths, (1, 1, 1)):
        raise UnusableScan(
            f"The MetaImage header contradicts itself: the axes of TransformMatrix have the lengths {by(lengths)} and "
            "not 1, beside the voxel size in ElementSpacing; correct the header."
        )
    told = fields.get("AnatomicalOrientation", "").upper()
    if not re.fullmatch("[RLAPIS]{3}", told):
        return []
    along = np.abs(axes).argmax(axis=1)
    back = [int(axes[row, i] < 0) for row, i in enumerate(along)]
    ways = ["".join(names[i][b] for i, b in zip(along, back, strict=True)) for names in (FROM, TO)]
    if told in ways:
        return []
    return [
        f"The MetaImage header contradicts itself: AnatomicalOrientation is {told} and TransformMatrix says {ways[0]}; "
        "the scan was read by TransformMatrix: look at the pictures."
    ]


def _check_data_file(path: Path, fields: dict[str, str]) -> None:
    """Raise UnusableScan where the voxels' own file is not there, or longer than the header says."""
    name = fields["ElementDataFile"]
    if name.upper() in ("LOCAL", "LIST") or "%" in name or len(name.split()) > 1:
        return
    file = path.parent / name
    if not file.is_file():
        raise UnusableScan("The file of the voxels that the MetaImage header names is not there; copy both files.")
    if fields.get("CompressedData", "").lower().startswith("t") or fields.get("HeaderSize", "0") != "0":
        return
    voxel = BYTES.get(fields.get("ElementType", "").removeprefix("MET_").removeprefix("U"))
    sizes, channels = _numbers(fields["DimSize"]), _numbers(fields.get("ElementNumberOfChannels", "1"))
    promised = (voxel or 0) * math.prod(sizes) * math.prod(channels)
    found = file.stat().st_size
    if found > promised > 0:
        raise UnusableScan(
            f"The file of the voxels holds {found} bytes and the MetaImage header speaks of {promised:.0f} (DimSize, "
            "ElementType); correct the header."
        )
