"""Measure the lung segmenter: Dice, volumes and CPU-seconds on real CT (where it is there) and on simulated stages.

    python benchmarks/segmentation.py > benchmarks/segmentation.md

The last rows put consolidation below the ribs of a simulated chest, where its place is known.
"""

import platform
import sys
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow/scripts"), str(ROOT / "tests")]

from helpers import real_data
from lung4d.segment import masks
from lung4d.simulate import acquisition, cohort, disease, motion, patient, scene
from machine import processor

SETTINGS = {"seed": 1, "patients": 12, "disease": True, "max_years": 6.0, "visits": [2, 6], "spacing": [2.5, 1.6, 1.6],
            "max_displacement": 15.0, "censoring": 0.4, "faults": [],
            "noise": 1.0, "pace": 1.0, "no_disease_patients": 0,
            "real_anatomy": {"patients": 0, "scans": [], "masks": []}}  # fmt: skip
REAL = {
    "ct64": ("ct64/ct-64.nrrd", "ct64/wholeLung-64.nrrd"),
    "lung_pair baseline": ("lung_pair/3DCT_lung_baseline.mha", "lung_pair/3DCT_lung_baseline_mask.mha"),
    "lung_pair follow-up": ("lung_pair/3DCT_lung_followup.mha", "lung_pair/3DCT_lung_followup_mask.mha"),
    "thorax_full": ("thorax_full/thorax_phase00_cropxy.nii.gz", None),
    "lung2_5mm": ("lung2_5mm/lung2_image.nrrd", None),
    "chest_5mm": ("chest_5mm/Lung_Dx-A0001_5mm_kernelB.nii.gz", None),
}
EXTENTS = {"none": 0.0, "early": 0.1, "moderate": 0.3, "severe": 0.5, "very severe": 0.7, "nearly all": 0.9}
DEPTHS = (4.0, 8.0, 12.0)


def main() -> None:
    print("# Lung segmentation\n\n`python benchmarks/segmentation.py`, one thread; ", end="")
    print(f"{processor()}, Python {platform.python_version()}, SimpleITK {sitk.Version.VersionString()}, "
          f"numpy {np.__version__}.\n")  # fmt: skip
    print("| scan | Dice | right ml | left ml | of the band kept | CPU-s |\n| --- | --- | --- | --- | --- | --- |")
    folder = real_data.folder()
    for name, (scan, mask) in (REAL if folder else {}).items():
        truth = None if mask is None else sitk.GetArrayFromImage(_read(folder / mask)) > 0
        row(name, sitk.Cast(sitk.Clamp(_read(folder / scan), lowerBound=-1024), sitk.sitkInt16), truth)
    for subject in ("001", "002", "004"):
        for stage, extent in EXTENTS.items():
            scan, truth = simulated(subject, extent)
            row(f"simulated {subject}, {stage} ({extent:.0%})", scan, truth)
    scan, truth = simulated("001", 0.3)
    for depth in DEPTHS:
        diseased, band = with_band(scan, truth, depth)
        row(f"simulated 001 with a {depth:g} mm band", diseased, truth, band)


def row(name: str, scan: sitk.Image, truth: np.ndarray | None, band: np.ndarray | None = None) -> None:
    start = time.process_time()
    labels = sitk.GetArrayFromImage(masks.segment_by_intensity(scan).mask)
    seconds = time.process_time() - start
    ml = np.prod(scan.GetSpacing()) / 1000
    found = labels > 0
    dice = "" if truth is None else f"{2 * (found & truth).sum() / (found.sum() + truth.sum()):.4f}"
    kept = "" if band is None else f"{found[band].mean():.0%}"
    right, left = ((labels == side).sum() * ml for side in (masks.RIGHT, masks.LEFT))
    print(f"| {name} | {dice} | {right:.0f} | {left:.0f} | {kept} | {seconds:.1f} |", flush=True)


def simulated(subject: str, extent: float) -> tuple[sitk.Image, np.ndarray]:
    """A scan (int16 HU) of a simulated patient at a diseased share of the lung, and its true lungs (z, y, x)."""
    who = patient.find_patient(SETTINGS, subject)
    person = scene.make_person(SETTINGS["seed"], who)
    numbers = cohort.generator(SETTINGS["seed"], who.candidate, "benchmark")
    taken = acquisition.draw_acquisition(who.visits[0].kernel, SETTINGS["spacing"], numbers)
    placed = scene.place(person, taken.grid, motion.no_motion())
    hu = scene.render_scan(person, placed, disease.State(extent), motion.no_motion())
    scan = sitk.GetImageFromArray(acquisition.acquire(hu, taken, numbers))
    scan.SetSpacing(taken.grid.spacing[::-1])
    scan.SetOrigin(taken.grid.origin[::-1])
    return scan, scene.lung_labels(placed) > 0


def with_band(scan: sitk.Image, truth: np.ndarray, depth: float) -> tuple[sitk.Image, np.ndarray]:
    """`scan` with consolidation (20 HU) `depth` mm below the ribs, in the lower half at the back and the flanks."""
    values = sitk.GetArrayFromImage(scan)
    spacing = scan.GetSpacing()[::-1]
    low, high = np.flatnonzero(truth.any(axis=(1, 2)))[[0, -1]]
    row_, column = (np.mean(index) for index in np.nonzero(truth.any(axis=0)))
    z, y, x = np.ogrid[tuple(slice(n) for n in truth.shape)]
    radius = np.hypot((y - row_) * spacing[1], (x - column) * spacing[2])
    hull = ndimage.binary_fill_holes(truth | (radius < 30))
    flank = (z > low + 0.12 * (high - low)) & (z < (low + high) / 2) & (y > row_)
    outer = ndimage.distance_transform_edt(hull, spacing) <= depth + min(spacing) / 2
    band = truth & outer & flank & (radius > 60)
    noise = np.random.default_rng(0).normal(20, 18, truth.shape)
    values[band] = np.rint(noise[band]).astype(np.int16)
    result = sitk.GetImageFromArray(values)
    result.CopyInformation(scan)
    return result, band


def _read(path: Path) -> sitk.Image:
    return sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")


if __name__ == "__main__":
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    main()
