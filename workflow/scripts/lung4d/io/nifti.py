"""NIfTI files: those of the results are written whole, and none is read where it is cut short.

SimpleITK says nothing where the disk fills up while it writes, nor where the file that it reads ends too early: what is
missing becomes 0. So both are checked here.
"""

import gzip
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from lung4d.io.atomic import atomic, reading


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
    except (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, zlib.error):
        return False


def promised_bytes(path: str | Path) -> int:
    """How long a NIfTI file is, unpacked, by its own header; its last voxels end there."""
    image = nib.load(path)  # whose header has forgotten where the voxels begin
    voxels = int(np.prod(image.header.get_data_shape(), dtype=np.int64))
    return int(image.dataobj.offset) + voxels * int(image.header["bitpix"]) // 8
