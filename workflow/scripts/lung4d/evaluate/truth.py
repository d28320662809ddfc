"""Scores against a simulated cohort's truth: lung masks, displacement fields, and noise-free scans.

A truth folder holds, per session, `sub-001_ses-02_desc-truth_mask.nii.gz` (native grid), `..._desc-truth_landmarks.tsv`
(baseline and visit points, LPS mm) and `..._desc-noisefree_ct.nii.gz` (the visit's disease on the baseline's anatomy);
and `sub-001_truth.json` with the diseased share of the lung at each visit.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk

from lung4d.io.atomic import read_json
from lung4d.io.names import parse_name, patient_folders, scan_of
from lung4d.io.nifti import read_image
from lung4d.io.tables import read_table
from lung4d.io.volumes import to_unit
from lung4d.metrics import dice_or_nan
from lung4d.resample import sample
from lung4d.visits.patient import PatientVisits

SEGMENTATION_COLUMNS = ["subject", "session", "dice"]
STATISTICS: dict[str, Callable[[np.ndarray], Any]] = {
    "mean": np.mean,
    "median": np.median,
    "p95": lambda values: np.percentile(values, 95),
}
REGISTRATION_COLUMNS = [
    *["subject", "session", "landmarks"],
    *[f"{when}_{name}" for when in ("before", "after") for name in STATISTICS],
]

ScanKey = tuple[str, str]  # subject, session


def truth_folders(simulated: str | Path | None, patients: Iterable[PatientVisits]) -> list[Path]:
    """The patients' truth folders below that of stage simulate; none where the cohort is not simulated (None).

    Without those of patients whose baseline is not the visit that their truth starts from: it lies in another breath.
    """
    if not simulated:
        return []
    starts = {patient.subject: patient.baseline.session for patient in patients}
    folders = patient_folders(Path(simulated) / "truth", starts)
    sessions = starts.values()
    return [folder for folder, own in zip(folders, sessions, strict=True) if _first_session(folder) in ("", own)]


def _first_session(folder: Path) -> str:
    """The visit that a patient's truth starts from, "" where that is not told."""
    told = folder / f"{folder.name}_truth.json"
    return str(read_json(told)["visits"][0]["session"]) if told.is_file() else ""


def truth_files(folders: Iterable[str | Path], kind: str) -> dict[ScanKey, Path]:
    """Files of one kind by scan: "truth_mask", "truth_landmarks" or "noisefree_ct"; a table's TSV, not its twin."""
    found = {}
    for path in (path for folder in folders for path in sorted(Path(folder).glob("sub-*_ses-*"))):
        entities = {} if path.suffix == ".parquet" else parse_name(path)
        if f"{entities.get('desc')}_{entities.get('suffix')}" == kind:
            found[scan_of(path)] = path
    return found


def true_extents(folders: Iterable[str | Path]) -> dict[ScanKey, float]:
    """Diseased share of the lung in percent by scan."""
    return {
        (told["subject"], visit["session"]): 100.0 * visit["extent"]
        for folder in folders
        for told in map(read_json, sorted(Path(folder).glob("sub-*_truth.json")))
        for visit in told["visits"]
        if "extent" in visit  # a scan made faulty on purpose has none
    }


def true_volumes(folders: Iterable[str | Path]) -> dict[ScanKey, float]:
    """Lung volume at full breath in ml by scan, where the cohort's lung function is simulated."""
    return {
        (told["subject"], visit["session"]): float(visit["full_breath_ml"])
        for folder in folders
        for told in map(read_json, sorted(Path(folder).glob("sub-*_truth.json")))
        for visit in told["visits"]
        if "full_breath_ml" in visit
    }


def true_courses(simulated: str | Path | None) -> dict[str, str]:
    """Course of the disease by subject, of a simulated cohort that has several; else nothing."""
    outcomes = Path(simulated or "") / "truth" / "outcomes.tsv"
    table = read_table(outcomes) if outcomes.is_file() else pd.DataFrame()
    if "course" not in table:
        return {}
    return dict(zip(table["subject"].astype(str), table["course"].fillna("").astype(str), strict=True))


def segmentation_table(masks: Iterable[str | Path], truth: Mapping[ScanKey, Path]) -> pd.DataFrame:
    """segmentation.tsv: Dice of every lung mask that is not empty with the true lungs, in the scan's own space."""
    rows = []
    for path in map(Path, masks):
        scan = scan_of(path)
        if scan in truth and path.stat().st_size:
            mask = read_image(path) > 0
            true = sitk.Resample(read_image(truth[scan]) > 0, mask, sitk.Transform(), sitk.sitkNearestNeighbor)
            overlap = dice_or_nan(sitk.GetArrayViewFromImage(mask) > 0, sitk.GetArrayViewFromImage(true) > 0)
            rows.append((*scan, overlap))
    return _table(rows, SEGMENTATION_COLUMNS)


def registration_table(
    fields: Iterable[str | Path], truth: Mapping[ScanKey, Path], baselines: Iterable[ScanKey]
) -> pd.DataFrame:
    """registration.tsv: distance (mm) between true and estimated position of the landmarks in every follow-up.

    `before` is without registration (zero displacement), `after` with the displacement field; baselines, whose
    displacement is zero, are left out.
    """
    skipped, rows = set(baselines), []
    for path in map(Path, fields):
        scan = scan_of(path)
        if scan in truth and scan not in skipped and path.stat().st_size:
            before, after = landmark_errors(read_image(path), read_table(truth[scan]))
            statistics = [statistic(errors) for errors in (before, after) for statistic in STATISTICS.values()]
            rows.append((*scan, len(before), *statistics))
    return _table(rows, REGISTRATION_COLUMNS)


def landmark_errors(field: sitk.Image, landmarks: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Errors (points,) in mm before and after registration.

    landmarks: columns baseline_x, _y, _z and visit_x, _y, _z, LPS mm; field: vector image in mm on baseline space,
    sampled linearly; zero beyond its edge.
    """
    baseline = landmarks[[f"baseline_{axis}" for axis in "xyz"]].to_numpy(float)
    visit = landmarks[[f"visit_{axis}" for axis in "xyz"]].to_numpy(float)
    transform = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    moved = np.array([transform.TransformPoint(point) for point in baseline.tolist()]).reshape(-1, 3)
    return np.linalg.norm(visit - baseline, axis=1), np.linalg.norm(visit - moved, axis=1)


def noisefree_on_grid(path: str | Path, like: str | Path, window: tuple[float, float]) -> np.ndarray:
    """A noise-free scan on the grid of the preprocessed volume `like`: float32 (D, H, W) on the unit scale.

    It takes the path of a real scan of the baseline: low-pass matched to the grid, one sampling, no displacement.
    """
    sampled = sample(read_image(path), None, read_image(like))
    return to_unit(sitk.GetArrayViewFromImage(sampled), window)


def noisefree_of(patient: PatientVisits, truth: Mapping[ScanKey, Path]) -> dict[str, np.ndarray]:
    """The noise-free scans of one patient on the patient's grid, by session; empty where there is no truth."""
    return {
        scan.session: noisefree_on_grid(truth[scan.key], patient.baseline.volume, patient.window)
        for scan in patient.scans
        if scan.key in truth
    }


def _table(rows: list[tuple], columns: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame(sorted(rows), columns=columns)
    return frame.astype(dict.fromkeys(columns[:2], str) | dict.fromkeys(columns[2:], float))
