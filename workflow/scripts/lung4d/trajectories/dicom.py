"""A generated volume as a DICOM series that every viewer and archive marks as derived and synthetic."""

import hashlib
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID, generate_uid
from pydicom.valuerep import DSfloat

from lung4d import __version__
from lung4d.io.dicom_series import WrittenSlice, ct_header, write_slices
from lung4d.io.volumes import read_affine
from lung4d.trajectories.provenance import STATEMENT, ForecastOrigin, Placed

IMPLEMENTATION = generate_uid(entropy_srcs=["lung4d", "generate_trajectories"])
# Asked for by the standard, and not known or not to be told.
EMPTY = (
    "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber",
    "ReferringPhysicianName", "AcquisitionNumber", "KVP", "PatientPosition", "PositionReferenceIndicator",
)  # fmt: skip


def write_synthetic_series(volume: Placed, folder: Path, forecast: ForecastOrigin) -> None:
    """Write the series to `<name>_desc-generated_dicom` in `folder`, a file a slice; grids may be oblique.

    Volumes from the same given visits share a study, those on one grid a frame of reference. The same arguments give
    the same bytes.
    """
    affine = np.diag([-1.0, -1, 1, 1]) @ read_affine(volume.like)  # RAS to LPS
    content = hashlib.sha256(np.ascontiguousarray(volume.hu).tobytes() + affine.tobytes()).hexdigest()
    what = (_visits(forecast), f"{forecast.years:.3f}", volume.session, content)
    header = _header(volume, affine, forecast)
    header.SeriesInstanceUID = _uid(forecast, *what)
    slices = [
        WrittenSlice(
            uid=_uid(forecast, *what, str(place)),
            number=place + 1,
            position=[_decimal(value) for value in (affine @ (0, 0, place, 1))[:3]],
            file=f"IM{place + 1:05d}.dcm",
        )
        for place in range(len(volume.hu))
    ]
    write_slices(header, volume.hu, slices, folder / f"{volume.name}_desc-generated_dicom")


def _header(volume: Placed, affine: np.ndarray, forecast: ForecastOrigin) -> Dataset:
    """What all slices of the series share, but for its UID; affine: voxel (x, y, z) to LPS mm."""
    data = ct_header(volume.hu.shape, IMPLEMENTATION)
    for keyword in EMPTY:
        setattr(data, keyword, "")
    data.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    data.ContentQualification = "RESEARCH"
    data.BurnedInAnnotation = "NO"
    data.PatientID = forecast.subject
    data.StudyDescription = "SYNTHETIC CT, not for diagnosis"
    data.SeriesDescription = f"SYNTHETIC CT, year {forecast.years:.3f}, from {len(forecast.given)} given"
    data.SeriesNumber = round(1000 * forecast.years)  # so that viewers sort by time
    data.DerivationDescription = (
        f"{STATEMENT} Year {forecast.years:.3f} after the baseline, from visits {_visits(forecast)}, "
        f"{forecast.decoding} decoding. Around the lung: visit {volume.session}. "
        f"3D-VQ-GAN {forecast.vqgan[:16]}, ODE {forecast.ode[:16]}."
    )
    data.Manufacturer = data.ManufacturerModelName = "lung4d"
    data.SoftwareVersions = __version__
    data.StudyInstanceUID = _uid(forecast, "study", _visits(forecast))
    data.FrameOfReferenceUID = _uid(forecast, "frame of reference", volume.session)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    columns, rows, _ = (affine[:3, :3] / spacing).T  # directions in which a column's and a row's number grow
    data.ImageOrientationPatient = [_decimal(value) for value in (*columns, *rows)]
    data.PixelSpacing = [_decimal(spacing[1]), _decimal(spacing[0])]
    data.SliceThickness = data.SpacingBetweenSlices = _decimal(spacing[2])
    return data


def _visits(forecast: ForecastOrigin) -> str:
    return "+".join(forecast.given)


def _decimal(value: float) -> DSfloat:
    """A number in the 16 characters that DICOM has for it, as near as they allow."""
    return DSfloat(float(value), auto_format=True)


def _uid(forecast: ForecastOrigin, *what: str) -> UID:
    return generate_uid(
        entropy_srcs=["lung4d", forecast.subject, forecast.baseline, forecast.vqgan, forecast.ode, *what]
    )
