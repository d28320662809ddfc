"""The pairs that the registration benchmark registers, written as files that every method reads.

A case is a folder: fixed, moving, fixed_mask, moving_mask (.nii.gz, one isotropic grid of 1.5 mm, axes along the
world's) and truth.npz: `points` (n, 3) and `moved` (n, 3), world LPS mm, the same tissue in both scans.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk

from lung4d.convert.read import read_scan
from lung4d.segment.masks import segment_by_intensity
from motion import isotropic_grid, move, on_isotropic_grid

SPACING = 1.5  # mm
MARGIN = 15.0  # mm around the lungs


@dataclass(frozen=True)
class Case:
    """One pair: what moves (`seed` 0: the real follow-up), and whether its truth is at every lung voxel."""

    name: str
    source: str
    seed: int = 0

    @property
    def dense(self) -> bool:
        return self.seed > 0


CASES = [
    Case("lung_pair, real", "lung_pair"),
    *(Case(f"lung_pair, motion {seed}", "lung_pair", seed) for seed in (1, 2, 3)),
    *(Case(f"{name}, motion 1", name, 1) for name in ("thorax_full", "ct64", "lung2_5mm", "chest_5mm")),
    Case("thorax_full, motion 2", "thorax_full", 2),
]
FILES = {
    "thorax_full": "thorax_full/thorax_phase00_cropxy.nii.gz",
    "ct64": "ct64/ct-64.nrrd",
    "lung2_5mm": "lung2_5mm/lung2_image.nrrd",
    "chest_5mm": "chest_5mm/Lung_Dx-A0001_5mm_kernelB.nii.gz",
}


def write_case(case: Case, data: Path, folder: Path) -> None:
    """Make the pair from the real CT in `data`; nothing is done where the folder already holds it."""
    if (folder / "truth.npz").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    if case.dense:
        _write_motion(case, data, folder)
    else:
        _write_real_pair(data / case.source, folder)


def _write_real_pair(source: Path, folder: Path) -> None:
    baseline, followup = (_read(source / f"3DCT_lung_{visit}.mha") for visit in ("baseline", "followup"))
    masks = [sitk.ReadImage(str(source / f"3DCT_lung_{visit}_mask.mha")) > 0 for visit in ("baseline", "followup")]
    centres = [_centre(mask) for mask in masks]
    shift = sitk.TranslationTransform(3, (centres[1] - centres[0]).tolist())
    shape = _shape(baseline)
    grid = isotropic_grid(baseline, shape, SPACING)
    fixed = on_isotropic_grid(baseline, shape, SPACING)
    moving = sitk.Resample(followup, grid, shift, sitk.sitkBSpline, -1024.0)
    fixed_mask = _resample_mask(masks[0], grid, sitk.Transform(3, sitk.sitkIdentity))
    moving_mask = _resample_mask(masks[1], grid, shift)
    table = pd.read_csv(source / "landmarks.tsv", sep="\t")
    points = table[[f"baseline_{axis}" for axis in "xyz"]].to_numpy()
    moved = table[[f"followup_{axis}" for axis in "xyz"]].to_numpy() - (centres[1] - centres[0])
    _write(folder, [fixed, moving], [fixed_mask, moving_mask], points, moved)


def _write_motion(case: Case, data: Path, folder: Path) -> None:
    scan, lung = chest(case.source, data)
    grid = isotropic_grid(scan, lung.shape, SPACING)
    moved = move(scan, lung, SPACING, case.seed)
    images = [on_isotropic_grid(scan, lung.shape, SPACING)]
    for array in (moved.scan, moved.mask.astype(np.uint8)):
        image = sitk.GetImageFromArray(array)
        image.CopyInformation(grid)
        images.append(image)
    inside = np.argwhere(lung)
    mask = sitk.GetImageFromArray(lung.astype(np.uint8))
    mask.CopyInformation(grid)
    points = inside[:, ::-1] * SPACING @ _direction(grid).T + np.array(grid.GetOrigin())
    way = moved.truth[tuple(inside.T)][:, ::-1] * SPACING @ _direction(grid).T
    _write(folder, images[:2], [mask, images[2]], points, points + way)


def chest(source: str, data: Path) -> tuple[sitk.Image, np.ndarray]:
    """A scan at its own resolution, HU, and its lungs, bool (D, H, W) on the isotropic grid of SPACING mm."""
    if source == "lung_pair":
        scan = _read(data / "lung_pair/3DCT_lung_baseline.mha")
        mask = sitk.ReadImage(str(data / "lung_pair/3DCT_lung_baseline_mask.mha")) > 0
    else:
        whole = read_scan(data / FILES[source]).image
        scan, mask = _crop(sitk.Cast(whole, sitk.sitkFloat32), segment_by_intensity(whole).mask)
    grid = isotropic_grid(scan, _shape(scan), SPACING)
    return scan, sitk.GetArrayFromImage(_resample_mask(mask > 0, grid, sitk.Transform(3, sitk.sitkIdentity))) > 0


def _write(folder: Path, scans: list[sitk.Image], masks: list[sitk.Image], points, moved) -> None:
    for name, image in zip(("fixed", "moving"), scans, strict=True):
        clipped = sitk.Clamp(image, sitk.sitkFloat32, -1024.0, 3000.0)
        sitk.WriteImage(sitk.Cast(sitk.Round(clipped), sitk.sitkInt16), str(folder / f"{name}.nii.gz"))
    for name, mask in zip(("fixed_mask", "moving_mask"), masks, strict=True):
        sitk.WriteImage(sitk.Cast(mask > 0, sitk.sitkUInt8), str(folder / f"{name}.nii.gz"))
    np.savez(folder / "truth.npz", points=points.astype(np.float32), moved=moved.astype(np.float32))


def _read(path: Path) -> sitk.Image:
    return sitk.Clamp(sitk.ReadImage(str(path)), sitk.sitkFloat32, -1024.0, 3000.0)


def _shape(scan: sitk.Image) -> tuple[int, int, int]:
    """(D, H, W) of the isotropic grid that covers the scan."""
    extent = [(n - 1) * step for n, step in zip(scan.GetSize(), scan.GetSpacing(), strict=True)]
    return tuple(int(length / SPACING) + 1 for length in extent[::-1])


def _direction(image: sitk.Image) -> np.ndarray:
    return np.array(image.GetDirection()).reshape(3, 3)


def _centre(mask: sitk.Image) -> np.ndarray:
    index = np.argwhere(sitk.GetArrayFromImage(mask) > 0).mean(0)[::-1]
    return np.array(mask.TransformContinuousIndexToPhysicalPoint(index.tolist()))


def _resample_mask(mask: sitk.Image, grid: sitk.Image, transform: sitk.Transform) -> sitk.Image:
    return sitk.Resample(sitk.Cast(mask, sitk.sitkFloat32), grid, transform, sitk.sitkLinear, 0.0) >= 0.5


def _crop(scan: sitk.Image, mask: sitk.Image) -> tuple[sitk.Image, sitk.Image]:
    """Both around the lungs, with room for the motion."""
    inside = np.argwhere(sitk.GetArrayFromImage(mask) > 0)[:, ::-1]
    extra = np.ceil(np.array([MARGIN, MARGIN, 2 * MARGIN]) / scan.GetSpacing()).astype(int)
    low = np.maximum(inside.min(0) - extra, 0)
    high = np.minimum(inside.max(0) + extra + 1, scan.GetSize())
    region = (high - low).tolist(), low.tolist()
    return sitk.RegionOfInterest(scan, *region), sitk.RegionOfInterest(mask, *region)
