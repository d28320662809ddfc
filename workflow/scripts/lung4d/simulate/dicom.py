"""A scan as a DICOM series, as a hospital's archive exports it: one file a slice, in an order of its own.

The patient's name, number and birth date are planted (and plainly invented), so that their removal can be tested.
"""

import os
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from lung4d.simulate.acquisition import Acquisition
from lung4d.simulate.cohort import Patient, Visit, generator
from lung4d.simulate.writing import world_origin

KERNEL_NAMES = {"soft": "B30f", "standard": "B50f", "sharp": "B70f"}
FIRST_SCAN = date(2012, 1, 9)
IMPLEMENTATION = generate_uid(entropy_srcs=["lung4d", "simulate"])


def write_series(
    scan: np.ndarray, taken: Acquisition, table: np.ndarray, patient: Patient, visit: Visit, seed: int, folder: Path
) -> None:
    """Write int16 HU (D, H, W) to `folder`, a file a slice; the same arguments give the same bytes.

    The folder is filled beside its place and then renamed, so it is there whole or not at all.
    """
    unfinished = folder.with_name(f".tmp-{os.getpid()}-{folder.name}")
    unfinished.mkdir(parents=True)
    header = _header(taken, patient, visit, seed)
    rng = generator(seed, patient.candidate, "dicom", visit.session)
    stored = (scan.astype(np.int32) + 1024).astype(np.uint16)
    numbers = rng.permutation(len(stored)) + 1  # file names do not follow the slices' order
    x, y, z = world_origin(taken.grid, table)
    for i, (pixels, number) in enumerate(zip(stored, numbers, strict=True)):
        header.SOPInstanceUID = _uid(seed, patient, visit, f"slice {i}")
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        header.InstanceNumber = len(stored) - i  # from the top down
        height = round(z + i * taken.grid.spacing[0], 4)
        header.ImagePositionPatient = [round(x, 4), round(y, 4), height]
        header.SliceLocation = height
        header.PixelData = pixels.tobytes()
        header.save_as(unfinished / f"IM{number:05d}.dcm", enforce_file_format=True)
    unfinished.rename(folder)


def _header(taken: Acquisition, patient: Patient, visit: Visit, seed: int) -> Dataset:
    """What all slices of a series share."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION
    data = Dataset()
    data.file_meta = meta
    day = FIRST_SCAN + timedelta(days=37 * int(patient.subject) + round(365.25 * visit.years))
    data.SOPClassUID = CTImageStorage
    data.Modality = "CT"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.Manufacturer = "Simulated"
    data.InstitutionName = "Simulated Hospital"
    data.PatientName = f"Synthetic^Patient{patient.subject}"
    data.PatientID = f"SYNTHETIC-{patient.subject}"
    data.PatientBirthDate = f"{FIRST_SCAN.year - patient.age}0101"
    data.PatientSex = patient.sex
    data.PatientAge = f"{patient.age + int(visit.years):03d}Y"
    data.StudyDate = data.SeriesDate = data.AcquisitionDate = day.strftime("%Y%m%d")
    data.StudyTime = "101500"
    data.StudyID = visit.session
    data.SeriesNumber = 2
    data.SeriesDescription = "Thorax, simulated"
    data.StudyInstanceUID = _uid(seed, patient, visit, "study")
    data.SeriesInstanceUID = _uid(seed, patient, visit, "series")
    data.FrameOfReferenceUID = _uid(seed, patient, visit, "frame")
    data.ConvolutionKernel = KERNEL_NAMES[taken.kernel]
    data.KVP = "120"
    data.SliceThickness = f"{taken.thickness:.3f}"
    data.SpacingBetweenSlices = f"{taken.grid.spacing[0]:.4f}"
    data.PatientPosition = "HFS"
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.PixelSpacing = [f"{s:.6f}" for s in taken.grid.spacing[1:]]
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.Rows, data.Columns = taken.grid.shape[1:]
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit = 15
    data.PixelRepresentation = 0
    data.RescaleIntercept = "-1024"
    data.RescaleSlope = "1"
    data.RescaleType = "HU"
    data.WindowCenter, data.WindowWidth = "-600", "1500"
    return data


def _uid(seed: int, patient: Patient, visit: Visit, what: str) -> str:
    return generate_uid(entropy_srcs=["lung4d", str(seed), patient.subject, visit.session, what])
