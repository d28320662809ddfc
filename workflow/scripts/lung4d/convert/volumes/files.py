"""Volume files of any tool, scans and masks alike: NIfTI, MetaImage and NRRD, read when their headers agree with
themselves. Every format has the same checks; every refusal says its own reason.
"""

from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from lung4d.convert.volumes.contents import other_content
from lung4d.convert.volumes.header_words import DamagedVolume, damaged
from lung4d.convert.volumes.metaimage_headers import check_metaimage
from lung4d.convert.volumes.names import volume_suffix
from lung4d.convert.volumes.nifti_headers import NiftiFacts, read_facts
from lung4d.convert.volumes.nrrd_headers import check_nrrd
from lung4d.io.nifti import is_whole
from lung4d.io.status import UnusableScan

# Start of the suffix: name, and the reader, because ITK's own choice depends on upper and lower case.
FORMATS = {
    ".nii": ("NIfTI", "NiftiImageIO"),
    ".mh": ("MetaImage", "MetaImageIO"),
    ".n": ("NRRD", "NrrdImageIO"),
}
NEARLY_ORTHOGONAL = "The axes of the file are not exactly orthogonal."


@dataclass(frozen=True)
class VolumeFile:
    """`image` as the file has it (axes, type, dimensions), its `format`, sentences to be read, and the slope and
    intercept of its values that the header asked for and that were applied."""

    image: sitk.Image
    format: str
    flags: list[str] = field(default_factory=list)
    scale: tuple[float, float] = (1.0, 0.0)


def read_volume(path: Path) -> VolumeFile:
    """The volume at `path`, whose name is one of a volume file. Raises UnusableScan for what is damaged, and
    for a header that contradicts itself or lacks the size of the voxels."""
    suffix = volume_suffix(path) or ""
    name, reader = next(FORMATS[key] for key in FORMATS if suffix.startswith(key))
    if other := other_content(path, name):
        raise UnusableScan(other)
    if name == "NIfTI":
        return _read_nifti(path)
    flags = check_metaimage(path) if name == "MetaImage" else check_nrrd(path)
    try:
        return VolumeFile(sitk.ReadImage(str(path), imageIO=reader), name, flags)
    except RuntimeError:
        raise DamagedVolume(
            f"The file cannot be read as {name}: its header, or how its voxels are coded, is not as the format has it; "
            "write it again."
        ) from None


def _read_nifti(path: Path) -> VolumeFile:
    if not is_whole(path):
        raise damaged("NIfTI")
    facts = read_facts(path)
    if facts.version == 2:  # ITK's reader knows the first version only
        return VolumeFile(_placed(_voxels(path), facts), "NIfTI", facts.flags, facts.scale)
    try:
        image = sitk.ReadImage(str(path), imageIO="NiftiImageIO")
    except RuntimeError as error:
        if "orthonormal" not in str(error):
            raise damaged("NIfTI") from None
        image = _placed(_voxels(path), facts)
        return VolumeFile(image, "NIfTI", [*facts.flags, NEARLY_ORTHOGONAL], facts.scale)
    image = _with_what_is_no_number(_without_time(image), path, facts)
    if image.GetDimension() == 3 and _is_elsewhere(image, facts):
        image = _placed(image, facts)
    return VolumeFile(image, "NIfTI", facts.flags, facts.scale)


def _voxels(path: Path) -> sitk.Image:
    """The voxels by nibabel, their scale applied, without a place."""
    values = np.asanyarray(nib.load(path).dataobj)
    if values.dtype.fields:
        raise UnusableScan("The voxels hold colours or vectors, not one CT value; export the original scan.")
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    return sitk.GetImageFromArray(np.ascontiguousarray(values.T), isVector=False)


def _with_what_is_no_number(image: sitk.Image, path: Path, facts: NiftiFacts) -> sitk.Image:
    """`image`, with NaN and infinity where the file has them: ITK's reader makes 0 of them, which would be water."""
    if not facts.floating or image.GetDimension() != 3:
        return image
    voxels = _voxels(path)
    if np.isfinite(sitk.GetArrayViewFromImage(voxels)).all():
        return image
    voxels.CopyInformation(image)
    return voxels


def _without_time(image: sitk.Image) -> sitk.Image:
    return image[..., 0] if image.GetDimension() == 4 and image.GetSize()[3] == 1 else image


def _is_elsewhere(image: sitk.Image, facts: NiftiFacts) -> bool:
    """Whether a corner of `image` lies half a voxel or more from where the header's affine has it."""
    if facts.affine is None:
        return False
    far = [size - 1 for size in image.GetSize()]
    corners = [[x, y, z] for x in (0, far[0]) for y in (0, far[1]) for z in (0, far[2])]
    found = [image.TransformIndexToPhysicalPoint(corner) for corner in corners]
    told = [(facts.affine @ [*corner, 1])[:3] for corner in corners]
    return bool(np.abs(np.subtract(found, told)).max() > facts.spacing.min() / 2)


def _placed(image: sitk.Image, facts: NiftiFacts) -> sitk.Image:
    """`image` where the header's affine has it; where there is none, its first voxel in the middle of the scanner."""
    if image.GetDimension() != 3:
        return image  # will be refused for that
    if facts.affine is None:
        image.SetSpacing(facts.spacing.tolist())
        return image
    axes = facts.affine[:3, :3]
    spacing = np.linalg.norm(axes, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(facts.affine[:3, 3].tolist())
    image.SetDirection(nearest_rotation(axes / spacing, image).ravel().tolist())
    return image


def nearest_rotation(direction: np.ndarray, image: sitk.Image) -> np.ndarray:
    """The rotation (or reflection) nearest to `direction`; raises UnusableScan where it moves a voxel of `image` by
    half a voxel or more, as in a sheared grid (gantry tilt kept in the affine)."""
    left, _, right = np.linalg.svd(direction)
    rotation = left @ right
    extent = np.array(image.GetSize()[:3]) * image.GetSpacing()[:3]
    if (np.abs(rotation - direction) @ extent).max() > min(image.GetSpacing()) / 2:
        raise UnusableScan("The voxel grid is sheared (gantry tilt?); resample the scan to orthogonal axes.")
    return rotation
