"""A CT volume as a DICOM series: what the headers of all CT have in common, and the files of a series."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from lung4d.io.hounsfield import AIR

INTERCEPT = AIR  # HU of the stored value 0


@dataclass(frozen=True)
class WrittenSlice:
    """Where one slice stands: its uid, number in the series, first voxel's centre (x, y, z; LPS mm) and file name."""

    uid: str
    number: int
    position: Sequence[float | str]
    file: str


def ct_header(shape: Sequence[int], implementation: UID) -> Dataset:
    """The part that does not depend on the patient: CT of `shape` (D, H, W), 16 bits unsigned, rescaled to HU."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = implementation
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID = CTImageStorage
    data.Modality = "CT"
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.Rows, data.Columns = shape[1:]
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit = 15
    data.PixelRepresentation = 0
    data.RescaleIntercept = str(INTERCEPT)
    data.RescaleSlope = "1"
    data.RescaleType = "HU"
    data.WindowCenter, data.WindowWidth = "-600", "1500"
    return data


def write_slices(header: Dataset, hu: np.ndarray, slices: Sequence[WrittenSlice], folder: Path) -> None:
    """Write HU (D, H, W), at least -1024, to `folder`, a file a slice; `header` holds what all slices share.

    The folder is filled beside its place and then renamed, so it is there whole or not at all.
    """
    unfinished = folder.with_name(f".tmp-{os.getpid()}-{folder.name}")
    unfinished.mkdir(parents=True)
    stored = (np.maximum(hu, INTERCEPT).astype(np.int32) - INTERCEPT).astype("<u2")
    for pixels, place in zip(stored, slices, strict=True):
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = place.uid  # type: ignore[assignment]  # text becomes a UID
        header.InstanceNumber = place.number
        header.ImagePositionPatient = list(place.position)
        header.PixelData = pixels.tobytes()
        header.save_as(unfinished / place.file, enforce_file_format=True)
    unfinished.rename(folder)
