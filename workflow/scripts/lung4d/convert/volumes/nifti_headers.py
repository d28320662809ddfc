"""What a NIfTI header says twice: the place of the voxels (qform, sform), their size (pixdim, sform), the length of the
file, and the scale of the values. Libraries pick one of two silently, and not the same one.
"""

import gzip
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from lung4d.convert.volumes.header_words import by, differ, no_orientation
from lung4d.io.nifti import promised_bytes
from lung4d.io.status import UnusableScan

FIRST = {1: 352, 2: 544}  # byte, before which no voxel lies, by the version of the format
NIFTI_2 = 540  # bytes of its header, with which it begins
UNITS = {1: ("metres", 1e3), 3: ("micrometres", 1e-3)}  # all others are taken as mm
SIZES = (0.05, 20.0)  # mm: a voxel of CT is neither smaller nor larger
READABLE = {2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1792, 2304}  # codes of data types
FLOATING = {16, 64}
TURNED = 1.0  # degrees between two orientations that is more than rounding
TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class NiftiFacts:
    """`affine` (4, 4): voxel to LPS mm, None without orientation; `spacing` (3,) mm; `scale`: slope and intercept;
    `floating`: whether the voxels are floating point numbers."""

    version: int
    floating: bool
    affine: np.ndarray | None
    spacing: np.ndarray
    scale: tuple[float, float]
    flags: list[str]


def read_facts(path: Path) -> NiftiFacts:
    """The facts of a whole NIfTI file; raises UnusableScan where its header contradicts itself beyond rounding."""
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
        block = stream.read(NIFTI_2)
    second = NIFTI_2 in (int.from_bytes(block[:4], order) for order in ("little", "big"))
    header = nib.Nifti2Header(block, check=False) if second else nib.Nifti1Header(block[:348], check=False)
    if (code := int(header["datatype"])) not in READABLE:
        raise UnusableScan(f"The voxels are of the NIfTI data type {code}, which is not read; save them as int16.")
    _check_bytes(header, 2 if second else 1)
    scale = _scale(header)
    unit, factor = _unit(header)
    pixdim = np.abs(np.asarray(header["pixdim"][1:4], float)) * factor
    sform, qform = _sform(header), _qform(header)
    if sform is None and not (np.isfinite(pixdim) & (pixdim > 0)).all():
        raise UnusableScan("The NIfTI header has no voxel size (pixdim); export the scan again.")
    if sform is not None:
        _check_sizes(pixdim, np.linalg.norm(sform[:3, :3], axis=0) * factor)
    if not ((pixdim > SIZES[0]) & (pixdim < SIZES[1])).all() and factor != 1:
        raise UnusableScan(
            f"The NIfTI header gives lengths in {unit} (xyzt_units), and voxels of {by(pixdim / factor)} of them; "
            "correct one of both."
        )
    flags = [] if sform is None or qform is None else _compared(sform, qform, _sizes(header), factor)
    if sform is None and qform is None:
        flags.append(no_orientation("NIfTI", "qform and sform code 0"))
    affine = sform if sform is not None else qform
    if affine is not None:
        affine = TO_LPS @ affine
        affine[:3] *= factor
    return NiftiFacts(2 if second else 1, code in FLOATING, affine, pixdim, scale, flags + _surplus(path, header))


def _check_bytes(header: nib.Nifti1Header, version: int) -> None:
    """Raise UnusableScan where the header lays out the voxels in two ways."""
    axes, sizes = int(header["dim"][0]), [int(size) for size in header["dim"][1:]]
    if not 1 <= axes <= 7:
        raise UnusableScan("The NIfTI header does not say how many axes the voxels have (dim); correct the header.")
    if min(sizes[:axes]) < 1 or (axes < 3 and sizes[2] > 1):
        voxels = " x ".join(map(str, sizes[: max(3, axes)]))
        raise UnusableScan(f"The NIfTI header gives {axes} axes of {voxels} voxels (dim); correct the header.")
    if not bytes(header["magic"]).startswith((b"n+", b"ni")):
        raise UnusableScan(
            "The header is that of Analyze, not of NIfTI (magic), and does not say where left is; convert it anew."
        )
    bits, known = int(header["bitpix"]), header.get_data_dtype().itemsize * 8
    if bits != known:
        raise UnusableScan(
            f"The NIfTI header contradicts itself: a voxel has {bits} bits by bitpix and {known} by datatype "
            f"({int(header['datatype'])}); correct the header."
        )
    if 0 <= int(header["vox_offset"]) < FIRST[version]:
        raise UnusableScan(
            f"The NIfTI header has the voxels begin within itself (vox_offset {int(header['vox_offset'])}); correct it "
            f"to {FIRST[version]} or more."
        )


def _scale(header: nib.Nifti1Header) -> tuple[float, float]:
    """Slope and intercept; (1, 0) where values are not scaled, which a slope of 0 says."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not np.isfinite([slope, intercept]).all():
        raise UnusableScan(
            f"The scale of the values in the NIfTI header is no number (scl_slope {slope:g}, scl_inter {intercept:g}); "
            "write the one that gives HU."
        )
    if slope == 0 and intercept != 0:
        raise UnusableScan(
            f"The NIfTI header contradicts itself: by scl_slope, 0, the values are not scaled, and by scl_inter "
            f"{intercept:g} is added to them; write the scale that gives HU."
        )
    return (slope, intercept) if slope else (1.0, 0.0)


def _unit(header: nib.Nifti1Header) -> tuple[str, float]:
    return UNITS.get(int(header["xyzt_units"]) & 7, ("millimetres", 1.0))


def _sform(header: nib.Nifti1Header) -> np.ndarray | None:
    """RAS, in the header's unit; None where its code is 0."""
    affine, code = header.get_sform(coded=True)
    if affine is None or not code:
        return None
    if not np.isfinite(affine).all():
        raise UnusableScan("The sform of the NIfTI header holds what is no number; export the scan again.")
    if not (np.linalg.norm(affine[:3, :3], axis=0) > 0).all():
        raise UnusableScan("The affine of the file has an axis of no length; export the scan again.")
    return affine


def _qform(header: nib.Nifti1Header) -> np.ndarray | None:
    """RAS, in the header's unit; None where its code is 0."""
    if not int(header["qform_code"]):
        return None
    if not (header["pixdim"][1:4] > 0).all():
        raise UnusableScan(f"The voxels of the NIfTI header are {by(header['pixdim'][1:4])} mm large; correct pixdim.")
    if header["pixdim"][0] == 0:
        header["pixdim"][0] = 1  # as the format has it
    try:
        affine = header.get_qform()
    except (HeaderDataError, ValueError):
        affine = np.full((4, 4), np.nan)
    if not np.isfinite(affine).all():
        raise UnusableScan("The qform of the NIfTI header is no rotation; export the scan again.")
    return affine


def _sizes(header: nib.Nifti1Header) -> np.ndarray:
    """Voxels along the three axes."""
    return np.maximum(np.asarray(header["dim"][1:4], int), 1)


def _check_sizes(pixdim: np.ndarray, sform: np.ndarray) -> None:
    if differ(pixdim, sform):
        raise UnusableScan(
            f"The NIfTI header contradicts itself: voxels of {by(pixdim)} mm by pixdim and of {by(sform)} mm by the "
            "sform; which one is right cannot be known: correct the header."
        )


def _compared(sform: np.ndarray, qform: np.ndarray, sizes: np.ndarray, factor: float) -> list[str]:
    """Flags where qform and sform lay the voxels elsewhere; raises UnusableScan where their axes differ in kind."""
    corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * [*(sizes - 1), 1]
    apart = np.linalg.norm(((sform - qform) @ corners.T)[:3], axis=0).max() * factor
    lengths = np.linalg.norm(sform[:3, :3], axis=0)
    if apart <= lengths.min() * factor / 2:
        return []
    ways = ["".join(nib.aff2axcodes(affine)) for affine in (qform, sform)]
    if ways[0] != ways[1]:
        raise UnusableScan(
            f"The NIfTI header contradicts itself: the axes run to {ways[0]} by the qform and to {ways[1]} by the "
            "sform; which one is right cannot be known: correct the header."
        )
    axes = (sform[:3, :3] / lengths, qform[:3, :3] / np.linalg.norm(qform[:3, :3], axis=0))
    turned = np.degrees(np.arccos(np.clip((axes[0] * axes[1]).sum(axis=0).min(), -1, 1)))
    how = f", turned by {turned:.0f} degrees" if turned > TURNED else ""
    return [
        f"The qform and the sform of the NIfTI header lay the scan up to {apart:.1f} mm apart{how}; "
        "it was read by the sform."
    ]


def _surplus(path: Path, header: nib.Nifti1Header) -> list[str]:
    """A flag where the file holds a slice or more beyond those of its header."""
    length = path.stat().st_size
    if path.suffix.lower() == ".gz":
        with path.open("rb") as stream:
            stream.seek(-4, 2)
            length = int.from_bytes(stream.read(), "little")
    a_slice = int(np.prod(_sizes(header)[:2])) * int(header["bitpix"]) // 8
    more = (length - promised_bytes(path)) // max(a_slice, 1)
    if 0 < more < 2**20:
        return [f"The file holds {more} slices more than its NIfTI header says (dim); they were not read."]
    return []
