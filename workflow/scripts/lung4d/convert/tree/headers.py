"""The headers of all DICOM files of a tree, in little memory and on several cores.

The slices of a series have most of their header in common: it is kept once, and of each slice its own values alone.
"""

import multiprocessing
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from lung4d.convert.dicom import headers as dicom_headers
from lung4d.convert.dicom.headers import DAMAGE, Slice
from lung4d.convert.tree.files import Progress
from lung4d.convert.tree.raw_headers import IMPLICIT, read_raw_header
from lung4d.convert.volumes.names import VOLUME_SUFFIXES

# Values that each slice has to itself.
OWN = ("SOPInstanceUID", "InstanceNumber", "AcquisitionNumber", "SliceLocation", "ImagePositionPatient")
FRAMES = "PerFrameFunctionalGroupsSequence"
LEFT_OUT = {"XRayTubeCurrent", "ExposureTime", "Exposure", "CTDIvol", "AcquisitionTime", FRAMES}
LEFT_OUT |= {"SharedFunctionalGroupsSequence"}
MORE = ("SOPClassUID", "PatientAge", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "BitsAllocated")
SHARED = tuple(name for name in dict.fromkeys([*dicom_headers.TAGS, *MORE]) if name not in LEFT_OUT | set(OWN))
_TAG_OF = {name: tag_for_keyword(name) or 0 for name in (*SHARED, *OWN, FRAMES)}
_SHARED_TAGS = [0x00080005, *(_TAG_OF[name] for name in SHARED)]  # with the character set
_ASKED = frozenset({*_SHARED_TAGS, *_TAG_OF.values()})
_ASKED_TAGS = [BaseTag(tag) for tag in sorted(_ASKED)]
UNCOMPRESSED = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"}
DICOMDIR = "1.2.840.10008.1.3.10"
PACKED = (".zip", ".7z", ".rar", ".tar", ".tgz", ".iso", ".gz", ".bz2", ".xz", ".zst")
PACKED_STARTS = (b"PK\3\4", b"7z\xbc\xaf", b"Rar!", b"\x1f\x8b", b"BZh", b"\xfd7zXZ")  # of files without a suffix
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
BATCH = 200  # files
HEAD = 2**16  # bytes, in which most headers end
FEWEST_TASKS = 3  # for which it is worth while to start processes


class Image(NamedTuple):
    """A DICOM file, or a frame of one: its path in the tree, what its header shares with others, its own values in the
    order of OWN, and whether the file is shorter than its pixels."""

    path: str
    frame: int
    shared: dict[str, Any]
    own: tuple
    cut: bool


class ImageHeader:
    """The header of an image, as far as `dicom_headers.Slice` and the choice of a series ask of it."""

    __slots__ = ("image",)

    def __init__(self, image: Image):
        self.image = image

    def get(self, name: str, default: Any = None) -> Any:
        value = self.image.own[OWN.index(name)] if name in OWN else self.image.shared.get(name)
        return default if value is None else value

    def __getattr__(self, name: str) -> Any:
        if (value := self.get(name)) is None:
            raise AttributeError(name)
        return value

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None


@dataclass(frozen=True)
class TreeHeaders:
    """What the files of a tree are: DICOM images (and reports), and by path volume files, packed files, damaged DICOM
    files, files that cannot be read, and the rest."""

    images: list[Image] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    packed: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)


def read_headers(root: Path, files: list[str], processes: int, progress: Progress) -> TreeHeaders:
    """Read the headers of `files` below `root` in `processes` processes; `progress` is told of the files."""
    found = TreeHeaders()
    known: dict[tuple, dict[str, Any]] = {}
    done = 0
    progress("files", 0, len(files))
    tasks = [(str(root), files[start : start + BATCH]) for start in range(0, len(files), BATCH)]
    for (_, paths), (headers, rows, noted) in zip(tasks, _read_batches(tasks, processes), strict=True):
        headers = [known.setdefault(tuple(shared.items()), shared) for shared in headers]
        found.images.extend(Image(paths[file], frame, headers[number], *rest) for file, frame, number, *rest in rows)
        for file, kind in noted:
            getattr(found, kind).append(paths[file])
        done += len(paths)
        progress("files", done, len(files))
    return found


def slices_of_images(images: list[Image]) -> list[Slice]:
    """The images that have a place in space; the header of each is an ImageHeader."""
    first: dict[int, Slice | None] = {}
    found = []
    for image in images:
        if id(image.shared) not in first:
            first[id(image.shared)] = _slice_of(image)
        like, place = first[id(image.shared)], np.array(image.own[-1] or (), float)
        if like is not None and place.shape == (3,) and np.isfinite(place).all():
            header: Any = ImageHeader(image)
            found.append(Slice(Path(image.path), header, like.directions, place, image.frame))
    return found


def _slice_of(image: Image) -> Slice | None:
    """A slice with the directions and pixels of the image's series, wherever the image lies."""
    header: Any = ImageHeader(image._replace(own=(*image.own[:-1], (0.0, 0.0, 0.0))))
    try:
        return dicom_headers.slice_at(Path(), header, 0)
    except DAMAGE:
        return None


def _read_batches(tasks: list[tuple[str, list[str]]], processes: int) -> Iterator[tuple[list, list, list]]:
    """`_read_batch` of each task, in order, in several processes where that is worth while."""
    if processes < 2 or len(tasks) < FEWEST_TASKS:
        yield from map(_read_batch, tasks)
        return
    # A fork: to import the script again, as other ways of starting do, would run it again.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as pool:
        yield from pool.map(_read_batch, tasks)


def _read_batch(task: tuple[str, list[str]]) -> tuple[list, list, list]:
    """Shared headers, the images as (number of the file, frame, number of the shared header, own values, cut), and the
    numbers of other files with what they are."""
    root, paths = task
    batch = _Batch()
    rows, noted = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they would repeat header values
        for number, path in enumerate(paths):
            found: str | list[tuple]
            try:
                found = batch.read(Path(root, path))
            except OSError as error:
                found = "damaged" if error.errno is None else "unreadable"  # pydicom's own, of a cut file, have none
            except DAMAGE:
                found = "damaged"
            if isinstance(found, str):
                noted.append((number, found))
            else:
                rows += [(number, *image) for image in found]
    return batch.headers, rows, noted


class _Batch:
    """Reads files one after the other; a header that differs in own values alone from one before is not decoded."""

    def __init__(self) -> None:
        self.headers: list[dict[str, Any]] = []
        self._known: dict[tuple, int] = {}

    def read(self, path: Path) -> str | list[tuple]:
        """The images of a file as (frame, number in `headers`, own values, cut), or what else it is."""
        with path.open("rb") as stream:
            start = stream.read(HEAD)
            if not dicom_headers.opens_as_dicom(start[:132]):
                return _by_name(path.name.lower(), start)
            size = os.fstat(stream.fileno()).st_size
            raw = read_raw_header(start, len(start) == size, _ASKED)
            key = None
            if raw is not None and _TAG_OF[FRAMES] not in raw.values:
                key = (raw.syntax == IMPLICIT, *map(raw.values.get, _SHARED_TAGS))
                if (index := self._known.get(key)) is not None:
                    own = tuple(_own(name, raw.values.get(_TAG_OF[name])) for name in OWN)
                    return [(0, index, own, _is_cut(self.headers[index], raw.syntax, size - raw.end))]
            stream.seek(0)
            data = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=_ASKED_TAGS, force=True)
            left = size - stream.tell()
        if _TAG_OF[FRAMES] in data:
            return self._frames(path, data)
        own = tuple(_own(name, getattr(data.get_item(_TAG_OF[name]), "value", None)) for name in OWN)
        dicom_headers.drop_damaged(data)
        shared = _shared(data)
        if "Modality" not in shared and "SOPClassUID" not in shared and "ImagePositionPatient" not in data:
            return "other" if _kind(data) in ("", DICOMDIR) else "damaged"
        index = self._add(shared)
        if key is not None:
            self._known[key] = index
        return [(0, index, own, _is_cut(shared, str(data.file_meta.get("TransferSyntaxUID", "")), left))]

    def _frames(self, path: Path, data: pydicom.Dataset) -> list[tuple]:
        """The frames of an enhanced file; what they do not say themselves is that of the whole file."""
        dicom_headers.drop_damaged(data)
        whole, uid = _shared(data), data.get("SOPInstanceUID", "")
        rows: list[tuple] = []
        for item in dicom_headers.slices_of(path):
            own = [f"{uid}/{item.frame}", *(_plain(item.header.get(name)) for name in OWN[1:])]
            rows.append((item.frame, self._add(whole | _shared(item.header)), tuple(own), False))
        return rows or [(0, self._add(whole), (f"{uid}/0", *([None] * (len(OWN) - 1))), False)]

    def _add(self, shared: dict[str, Any]) -> int:
        if not self.headers or self.headers[-1] != shared:
            self.headers.append(shared)
        return len(self.headers) - 1


def _by_name(name: str, start: bytes) -> str:
    """What a file is that does not open as DICOM does, by its name in small letters, and by its start without one."""
    if name.endswith(VOLUME_SUFFIXES):
        return "volumes"
    if name.endswith(PACKED) or ("." not in name and start.startswith(PACKED_STARTS)):
        return "packed"
    return "damaged" if name.endswith(DICOM_SUFFIXES) else "other"


def _shared(header: pydicom.Dataset) -> dict[str, Any]:
    return {name: value for name in SHARED if (value := _plain(header.get(name))) is not None}


def _kind(data: pydicom.Dataset) -> str:
    """What the head of a DICOM file says it is; "" where it has none."""
    return str(data.file_meta.get("MediaStorageSOPClassUID", "unknown")) if data.preamble else ""


def _plain(value: Any) -> Any:
    """A header's value in Python's own types, to be hashed and sent; None where it is empty."""
    if value is None or isinstance(value, bytes | pydicom.Sequence):
        return None
    if isinstance(value, MultiValue | list | tuple):
        return tuple(map(_plain, value)) or None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    return str(value).strip(" \0") or None


def _own(name: str, value: Any) -> Any:
    """A raw value: text of a UID, a number, or a tuple of numbers; None where it is none of these."""
    text = value.decode("latin-1").strip(" \0") if isinstance(value, bytes) else ""
    if name == "SOPInstanceUID" or not text:
        return text or None
    try:
        numbers = tuple(map(float, text.split("\\")))
    except ValueError:
        return None
    if len(numbers) > 1:
        return numbers
    return int(numbers[0]) if numbers[0].is_integer() else numbers[0]


def _is_cut(shared: dict[str, Any], syntax: str, left: int) -> bool:
    """Whether a file without compression has fewer bytes left behind its header than its pixels take."""
    if syntax and syntax not in UNCOMPRESSED:
        return False
    rows, columns, bits = (shared.get(name) for name in ("Rows", "Columns", "BitsAllocated"))
    if not (isinstance(rows, int) and isinstance(columns, int) and isinstance(bits, int)):
        return False
    frames = dicom_headers.number_of(shared.get("NumberOfFrames")) or 1
    values = dicom_headers.number_of(shared.get("SamplesPerPixel")) or 1
    return left < rows * columns * bits / 8 * frames * values
