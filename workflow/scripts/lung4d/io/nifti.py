"""NIfTI files: those of the results are written whole, and none is read where it is cut short.

SimpleITK says nothing where the disk fills up while it writes, nor where the file that it reads ends too early: what is
missing becomes 0. So both are checked here.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import SimpleITK as sitk

from lung4d.io.atomic import atomic, reading

# By its own length, with which it begins: where a header of NIfTI-1 or NIfTI-2 tells its dimensions, bits per voxel and
# the place of the first voxel, which is not before `first`. Read here, as nibabel takes long to import in every job.
_HEADERS = {
    348: {"dimensions": ("8h", 40), "bits": ("h", 72), "offset": ("f", 108), "first": 352},
    540: {"dimensions": ("8q", 16), "bits": ("h", 14), "offset": ("q", 168), "first": 544},
}


def read_image(path: str | Path) -> sitk.Image:
    """The image at `path`; raises DamagedFile where the file is cut short."""
    with reading(path):
        check_whole(path)
        return sitk.ReadImage(str(path))


def write_image(image: sitk.Image, path: str | Path, compress: bool = True, level: int = -1) -> None:
    """Write an image whole or not at all; `level` of compression from 1, fast, to 9, or the library's own."""
    with atomic(path) as temporary:
        sitk.WriteImage(image, str(temporary), useCompression=compress, compressionLevel=level)
        check_whole(temporary)


def check_whole(path: str | Path) -> None:
    """Raise ValueError where a NIfTI file that this workflow wrote is not as long as its header says.

    A compressed one ends with the number of bytes that it unpacks to: nothing is unpacked to know it.
    """
    path = Path(path)
    if not path.stat().st_size:
        raise ValueError("the file is empty")
    promised = promised_bytes(path)
    if path.suffix == ".gz":
        with path.open("rb") as stream:
            stream.seek(-4, 2)
            found = int.from_bytes(stream.read(), "little")
        whole = found == promised % 2**32
    else:
        whole = path.stat().st_size >= promised
    if not whole:
        raise ValueError("the file is cut short")


def is_whole(path: Path) -> bool:
    """Whether anybody's NIfTI file holds as many bytes as its header promises; a compressed one is unpacked."""
    try:
        promised = promised_bytes(path)
        if path.suffix.lower() != ".gz":
            return path.stat().st_size >= promised
        with gzip.open(path) as stream:
            return sum(map(len, iter(lambda: stream.read(2**22), b""))) >= promised
    except (OSError, EOFError, ValueError, OverflowError, zlib.error):
        return False


def promised_bytes(path: str | Path) -> int:
    """How long a NIfTI file is, unpacked, by its own header; its last voxels end there. Raises ValueError for another
    file."""
    path = Path(path)
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
        header = stream.read(544)
    for order in "<>":
        places = _HEADERS.get(*struct.unpack_from(f"{order}i", header)) if len(header) >= 4 else None
        if places and len(header) >= places["first"]:
            (count, *sizes), (bits,), (offset,) = (
                struct.unpack_from(order + kind, header, place)
                for kind, place in (places["dimensions"], places["bits"], places["offset"])
            )
            return max(int(offset), places["first"]) + math.prod(sizes[:count]) * bits // 8
    raise ValueError("the file has no header of a NIfTI file, or is cut short in it")
