"""Trees of small files as hospitals have them: DICOM of 8 x 8 pixels, written byte by byte, and volumes of 32 x 32."""

import hashlib
import os
import struct
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from pydicom.datadict import dictionary_VR, tag_for_keyword

ROOT_UID = "1.2.826.0.1.7777777"
LONG = (b"OB", b"OW", b"SQ", b"UN", b"UT")
SLICES = 12
SPACING = 25.0  # mm between slices: 300 mm of chest
# What must be found nowhere but in private/.
PLANTED = ("planted", "1941", "2013", "2014", "2015", "2016", ROOT_UID)
FIRST = {
    "PatientID": "PLANTED-1", "PatientName": "Planted^First", "PatientBirthDate": "19410203", "PatientSex": "F",
    "StudyDate": "20130405",
}  # fmt: skip
SECOND = {
    "PatientID": "PLANTED-2", "PatientName": "Planted^Second", "PatientBirthDate": "19411117", "PatientSex": "M",
    "StudyDate": "20130610",
}  # fmt: skip


def uid_of(*parts: Any) -> str:
    """A UID that follows from its parts."""
    return f"{ROOT_UID}.{int(hashlib.sha256(repr(parts).encode()).hexdigest()[:16], 16)}"


@cache
def _place(keyword: str) -> tuple[int, bytes]:
    tag = tag_for_keyword(keyword)
    return tag, dictionary_VR(tag).split(" ")[0].encode()


def _element(tag: int, kind: bytes, value: Any) -> bytes:
    if kind == b"US":
        data = struct.pack("<H", value)
    else:
        data = value if isinstance(value, bytes) else _text(value).encode()
        data += (b"\0" if kind == b"UI" else b" ") * (len(data) % 2)
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, kind)
    return head + (struct.pack("<2xL", len(data)) if kind in LONG else struct.pack("<H", len(data))) + data


def _text(value: Any) -> str:
    return "\\".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def dicom_bytes(tags: Mapping[str, Any], pixels: bytes) -> bytes:
    """A DICOM file, explicit VR little endian, with these values by keyword; those that are None are left out."""
    meta = _element(0x00020010, b"UI", "1.2.840.10008.1.2.1")
    meta = _element(0x00020000, b"UL", struct.pack("<L", len(meta))) + meta
    placed = sorted((*_place(name), value) for name, value in tags.items() if value is not None)
    body = b"".join(_element(*item) for item in placed)
    return b"\0" * 128 + b"DICM" + meta + body + _element(0x7FE00010, b"OW", pixels)


def write_dicom(folder: Path, tags: Mapping[str, Any], *, slices: int = SLICES, name: str = "{:03d}.dcm") -> Path:
    """Write a series of `slices` axial slices; `tags` go over what a lung series has, `name` takes the number.

    The UIDs of study and series follow from patient, date and SeriesNumber where they are not told.
    """
    number = tags.get("SeriesNumber", 2)
    study = uid_of(tags.get("PatientID"), tags.get("StudyDate"))
    common = {
        "SpecificCharacterSet": "ISO_IR 192", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "StudyInstanceUID": study,
        "SeriesInstanceUID": uid_of(study, number), "SeriesNumber": number, "SeriesDescription": "chest",
        "ConvolutionKernel": "B70f", "SliceThickness": 1.0, "Rows": 8, "Columns": 8, "BitsAllocated": 16,
        "BitsStored": 16, "HighBit": 15, "PixelRepresentation": 0, "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2", "RescaleIntercept": -1024, "RescaleSlope": 1,
        "PixelSpacing": [40, 40], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PatientPosition": "HFS",
    } | dict(tags)  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(slices):
        own = {
            "SOPInstanceUID": uid_of(common["StudyInstanceUID"], common["SeriesInstanceUID"], index),
            "InstanceNumber": index + 1, "ImagePositionPatient": [-160, -160, index * SPACING],
        }  # fmt: skip
        pixels = bytes(2 * (common["Rows"] or 0) * (common["Columns"] or 0))
        (folder / name.format(index)).write_bytes(dicom_bytes(own | common, pixels))
    return folder


def write_study(folder: Path, tags: Mapping[str, Any]) -> Path:
    """A study of three series: a localiser, a lung series (number 2, B70f) and a soft one (number 3, B30f)."""
    localiser = {"SeriesNumber": 1, "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "ConvolutionKernel": None}
    write_dicom(folder / "1", {**tags, **localiser}, slices=2)
    write_dicom(folder / "2", {**tags, "SeriesNumber": 2})
    write_dicom(folder / "3", {**tags, "SeriesNumber": 3, "ConvolutionKernel": "B30f"})
    return folder


def write_volume(path: Path, *, seed: int = 0, size: int = 32, kind: type = np.int16, origin: float = 0.0) -> Path:
    """A volume of 32 x 32 x 12 voxels in the format of its suffix, another one for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(np.random.default_rng(seed).integers(0, 2, (SLICES, size, size)).astype(kind))
    image.SetSpacing([10.0, 10.0, 10.0])
    image.SetOrigin([origin, 0.0, 0.0])
    sitk.WriteImage(image, str(path))
    return path


def state_of(folder: Path) -> dict[str, tuple]:
    """All that is below a folder: content and time of files, targets of links; not the time of folders."""
    found: dict[str, tuple] = {}
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(place, name)
            key = os.fsencode(path.relative_to(folder)).decode("latin-1")
            if path.is_symlink():
                found[key] = ("link", str(path.readlink()), path.lstat().st_mtime_ns)
            elif path.is_file():
                found[key] = ("file", path.read_bytes(), path.stat().st_mtime_ns)
            else:
                found[key] = ("folder",)
    return found
