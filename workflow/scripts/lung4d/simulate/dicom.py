"""A scan as a DICOM series, as a hospital's archive exports it: one file a slice, in an order of its own.

The patient's name, number and birth date are planted (and plainly invented), so that their removal can be tested.
"""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from lung4d.io.dicom_series import WrittenSlice, ct_header, write_slices
from lung4d.simulate.acquisition import Acquisition
from lung4d.simulate.cohort import Patient, Visit, generator
from lung4d.simulate.writing import world_origin

KERNEL_NAMES = {"soft": "B30f", "standard": "B50f", "sharp": "B70f"}
FIRST_SCAN = date(2012, 1, 9)
IMPLEMENTATION = generate_uid(entropy_srcs=["lung4d", "simulate"])


def write_series(
    scan: np.ndarray, taken: Acquisition, table: np.ndarray, patient: Patient, visit: Visit, seed: int, folder: Path
) -> None:
    """Write int16 HU (D, H, W) to `folder`, a file a slice; the same arguments give the same bytes."""
    rng = generator(seed, patient.candidate, "dicom", visit.session)
    numbers = rng.permutation(len(scan)) + 1  # file names do not follow the slices' order
    x, y, z = world_origin(taken.grid, table)
    slices = [
        WrittenSlice(
            uid=_uid(seed, patient, visit, f"slice {i}"),
            number=len(scan) - i,  # from the top down
            position=[round(x, 4), round(y, 4), round(z + i * taken.grid.spacing[0], 4)],
            file=f"IM{number:05d}.dcm",
        )
        for i, number in enumerate(numbers)
    ]
    write_slices(_header(taken, patient, visit, seed), scan, slices, folder)


def _header(taken: Acquisition, patient: Patient, visit: Visit, seed: int) -> Dataset:
    """What all slices of a series share."""
    data = ct_header(taken.grid.shape, IMPLEMENTATION)
    day = FIRST_SCAN + timedelta(days=37 * int(patient.subject) + round(365.25 * visit.years))
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
    return data


def _uid(seed: int, patient: Patient, visit: Visit, what: str) -> str:
    return generate_uid(entropy_srcs=["lung4d", str(seed), patient.subject, visit.session, what])
