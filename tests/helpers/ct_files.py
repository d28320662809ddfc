"""A small synthetic CT and the ways hospitals store one: DICOM series of every kind, for the tests of reading."""

from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    JPEGLosslessSV1,
    generate_uid,
)

AXIAL = (1, 0, 0, 0, 1, 0, 0, 0, 1)
OBLIQUE = (0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0)
# Tags that name a person, a place or a day. All are found again by one of these texts.
IDENTIFIERS = {
    "PatientName": "Planted^Person",
    "PatientID": "PLANTED-ID-77",
    "PatientBirthDate": "19410203",
    "StudyDate": "20130405",
    "AcquisitionDate": "20130405",
    "InstitutionName": "Planted Hospital",
    "ReferringPhysicianName": "Planted^Doctor",
    "AccessionNumber": "PLANTED-ACC",
    "StudyInstanceUID": "1.2.826.0.1.7777777.1",
    "StationName": "PLANTEDSTATION",
    "DeviceSerialNumber": "PLANTED-SERIAL",
    "SeriesDescription": "Planted chest 1mm",
}
PLANTED = ("planted", "19410203", "20130405", "1.2.826.0.1.7777777")


def volume(size=(40, 36, 24), spacing=(1.5, 1.5, 2.5), origin=(-30.0, -20.0, 100.0), direction=AXIAL):
    """A body of water in air with a ramp along each axis, int16 HU; size and spacing (x, y, z)."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in size[::-1]), indexing="ij")
    hu = np.where((np.abs(x - 20) < 14) & (np.abs(y - 18) < 12), 5 * x + 3 * y + z - 60, -1000).astype(np.int16)
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(np.asarray(direction, float).tolist())
    return image


def same(found: sitk.Image, expected: sitk.Image, at=200):
    """Both images hold the same values at the same physical points."""
    rng = np.random.default_rng(0)
    for index in rng.integers(0, expected.GetSize(), (at, 3)):
        point = expected.TransformIndexToPhysicalPoint(index.tolist())
        assert found[found.TransformPhysicalPointToIndex(point)] == expected[index.tolist()]


def write_series(folder: Path, image: sitk.Image, *, slope=1.0, intercept=-1024.0, shift=(0, 0), tags=None, keep=None):
    """Write `image` as a DICOM CT series: one file a slice, shuffled names; `shift` moves each slice in-plane (mm)."""
    folder.mkdir(parents=True, exist_ok=True)
    hu = sitk.GetArrayFromImage(image)
    axes = np.array(image.GetDirection()).reshape(3, 3)
    common = {"SeriesInstanceUID": generate_uid(), "StudyInstanceUID": "1.2.3.4"}
    for index in range(len(hu)) if keep is None else keep:
        item = _ct_dataset(image, CTImageStorage)
        item.InstanceNumber = index + 1
        item.ConvolutionKernel, item.KVP, item.SliceThickness = ["B70f", "2"], 120, image.GetSpacing()[2]
        point = np.array(image.TransformIndexToPhysicalPoint((0, 0, index)))
        item.ImagePositionPatient = (point + index * (axes[:, :2] @ np.array(shift, float))).round(6).tolist()
        item.ImageOrientationPatient = axes[:, :2].T.ravel().round(8).tolist()
        item.PixelSpacing = [image.GetSpacing()[1], image.GetSpacing()[0]]
        item.RescaleSlope, item.RescaleIntercept = slope, intercept
        for name, value in {**common, **(tags or {})}.items():
            if value is None:
                delattr(item, name)
            else:
                setattr(item, name, value)
        item.PixelData = ((hu[index] - intercept) / slope).round().astype("<i2").tobytes()
        item.save_as(folder / f"{(index * 7919) % 1000:03d}-{index}.dcm")
    return folder


def write_enhanced(path: Path, image: sitk.Image, *, intercepts=(-1024.0,), tags=None):
    """Write `image` as one enhanced multi-frame CT file, last slice first; `intercepts` take turns over the frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hu = sitk.GetArrayFromImage(image)
    axes = np.array(image.GetDirection()).reshape(3, 3)
    item = _ct_dataset(image, EnhancedCTImageStorage)
    item.NumberOfFrames = len(hu)
    shared = Dataset()
    shared.PixelMeasuresSequence = [Dataset()]
    shared.PixelMeasuresSequence[0].PixelSpacing = [image.GetSpacing()[1], image.GetSpacing()[0]]
    shared.PixelMeasuresSequence[0].SliceThickness = image.GetSpacing()[2]
    shared.PlaneOrientationSequence = [Dataset()]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = axes[:, :2].T.ravel().round(8).tolist()
    shared.CTReconstructionSequence = [Dataset()]
    shared.CTReconstructionSequence[0].ConvolutionKernel = "LUNG"
    item.SharedFunctionalGroupsSequence = [shared]
    item.PerFrameFunctionalGroupsSequence, pixels = [], []
    for index in reversed(range(len(hu))):
        frame, intercept = Dataset(), intercepts[index % len(intercepts)]
        frame.PlanePositionSequence = [Dataset()]
        frame.PlanePositionSequence[0].ImagePositionPatient = list(image.TransformIndexToPhysicalPoint((0, 0, index)))
        frame.PixelValueTransformationSequence = [Dataset()]
        frame.PixelValueTransformationSequence[0].RescaleSlope = 1.0
        frame.PixelValueTransformationSequence[0].RescaleIntercept = intercept
        item.PerFrameFunctionalGroupsSequence.append(frame)
        pixels.append((hu[index] - intercept).astype("<i2").tobytes())
    item.PixelData = b"".join(pixels)
    for name, value in (tags or {}).items():
        setattr(item, name, value)
    item.save_as(path)
    return path


def _ct_dataset(image: sitk.Image, kind: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = kind
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    item = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    item.SOPClassUID, item.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    item.SeriesInstanceUID, item.StudyInstanceUID, item.FrameOfReferenceUID = (generate_uid() for _ in range(3))
    item.Modality, item.SeriesNumber = "CT", 2
    item.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    item.Manufacturer, item.ManufacturerModelName = "Maker", "Model 64"
    item.Columns, item.Rows = image.GetSize()[:2]
    item.SamplesPerPixel, item.PhotometricInterpretation = 1, "MONOCHROME2"
    item.BitsAllocated = item.BitsStored = 16
    item.HighBit, item.PixelRepresentation = 15, 1
    return item


def compress(folder: Path, syntax: str) -> None:
    """Compress every DICOM file below `folder` without loss, in place: by pydicom's encoders, JPEG lossless by GDCM."""
    for path in sorted(folder.rglob("*.dcm")):
        item = pydicom.dcmread(path)
        if syntax == JPEGLosslessSV1:
            stored = np.frombuffer(item.PixelData, "<i2").reshape(item.Rows, item.Columns)
            writer = sitk.ImageFileWriter()
            writer.SetUseCompression(True)
            writer.SetCompressor("JPEG")
            writer.SetFileName(str(path))
            writer.Execute(sitk.GetImageFromArray(stored))
            item.PixelData = pydicom.dcmread(path).PixelData
            item["PixelData"].is_undefined_length = True
            item.file_meta.TransferSyntaxUID = syntax
        else:
            item.compress(syntax)
        item.save_as(path)
