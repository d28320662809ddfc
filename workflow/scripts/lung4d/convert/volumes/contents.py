"""What a volume file holds: its format, where its name says otherwise, and how long its voxels are."""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

from lung4d.convert.volumes.header_words import damaged
from lung4d.io.status import UnusableScan

BEGINNING = 400  # bytes
BLOCK = 2**22
GZIP = b"\x1f\x8b"
PACKED = " compressed by gzip"
NIFTI_LENGTHS = (348, 540)  # of headers, with which they begin


def other_content(path: Path, name: str) -> str:
    """In words, what the file holds instead of the format `name`; empty where it holds that, or nothing known."""
    expected = name + PACKED * path.name.lower().endswith(".gz")
    found = _content(path)
    if found in (None, expected):
        return ""
    return f"By its name the file is {expected}, by its first bytes {found}; rename or unpack it."


def _content(path: Path) -> str | None:
    with path.open("rb") as stream:
        start = stream.read(BEGINNING)
    if not start.startswith(GZIP):
        return _format(start)
    try:
        with gzip.open(path) as stream:
            inner = stream.read(BEGINNING)
    except (OSError, EOFError, zlib.error):
        return None
    if inner.startswith(GZIP):
        return "gzip within gzip"
    return f"{_format(inner)}{PACKED}" if _format(inner) else None


def _format(start: bytes) -> str | None:
    if start[128:132] == b"DICM":
        return "DICOM"
    if start.startswith(b"NRRD0"):
        return "NRRD"
    if any(int.from_bytes(start[:4], order) in NIFTI_LENGTHS for order in ("little", "big")):
        return "NIfTI"
    return "MetaImage" if start.startswith((b"ObjectType", b"NDims")) else None


@dataclass(frozen=True)
class Voxels:
    """Where voxels are, from byte `start` of `path` on, compressed or not; how many bytes a header promises of them,
    and of a slice of them."""

    path: Path
    start: int
    packed: bool
    promised: float
    a_slice: float


def check_length(voxels: Voxels, name: str, fields: str) -> None:
    """Raise UnusableScan where the voxels are fewer bytes than the `fields` of a header promise, or a slice more."""
    found = _unpacked(voxels.path, voxels.start) if voxels.packed else voxels.path.stat().st_size - voxels.start
    if found < voxels.promised:
        raise damaged(name)
    if found >= voxels.promised + voxels.a_slice > 0:
        raise UnusableScan(
            f"The file of the voxels holds {found} bytes and the {name} header speaks of {voxels.promised:.0f} "
            f"({fields}); correct the header."
        )


def _unpacked(path: Path, start: int) -> int:
    """Bytes of zlib or gzip from `start` on, unpacked; what is damaged ends there."""
    engine, found = zlib.decompressobj(wbits=47), 0
    with path.open("rb") as stream:
        stream.seek(start)
        try:
            while block := stream.read(BLOCK):
                found += len(engine.decompress(block))
        except zlib.error:
            pass
    return found
