"""The baseline is the first visit that can be used: what becomes of the others, and what a change makes due."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from helpers.baseline_cases import CHANGES, NO_VOXEL, PATIENTS
from helpers.defaults import defaults
from helpers.running import SCAN_STAGES, jobs_of, snakemake, write_cohort
from helpers.scripts import run_script
from lung4d.evaluate.truth import truth_folders
from lung4d.io.atomic import leave_empty, write_json
from lung4d.io.names import CT, LUNG_MASK, SIDECAR, STATUS, scan_file
from lung4d.io.nifti import write_image
from lung4d.io.status import Status, read_status, write_status
from lung4d.visits.baseline import choose_baseline

CHOSEN = {
    name: next((f"{n:02d}" for n, why in enumerate(visits, 1) if not why), None) for name, visits in PATIENTS.items()
}


def status_of(why: str) -> Status:
    if why == NO_VOXEL:
        return Status(True, "segment", metrics={"volume_ml": 0.0})
    return Status(not why, "segment" if "lungs" in why or not why else "convert", why, digest="d")


@pytest.mark.parametrize("name", PATIENTS)
def test_the_first_usable_visit_is_chosen(name):
    visits = [(f"{number:02d}", status_of(why)) for number, why in enumerate(PATIENTS[name], start=1)]
    chosen = choose_baseline(visits)
    assert chosen.session == CHOSEN[name]
    assert len(chosen.before) == (int(chosen.session) - 1 if chosen.session else len(visits))


@pytest.mark.parametrize("name", PATIENTS)
def test_the_choice_is_the_same_for_all_visits_from_it_on(name):
    visits = [(f"{number:02d}", status_of(why)) for number, why in enumerate(PATIENTS[name], start=1)]
    chosen = choose_baseline(visits)
    for count in range(len(chosen.before) + 1, len(visits) + 1):
        assert choose_baseline(visits[:count]) == chosen


def register_patient(folder: Path, visits: tuple[str, ...]) -> dict[str, Status]:
    """The stages after segmentation on a patient whose visits all show one scan; the statuses of registration."""
    array = np.random.default_rng(0).integers(-900, 100, (12, 14, 16)).astype(np.int16)
    mask = np.zeros(array.shape, np.uint8)
    mask[3:9, 3:11, 2:7], mask[3:9, 3:11, 9:14] = 1, 2
    sessions = [f"{number:02d}" for number in range(1, len(visits) + 1)]
    ends = {stage: {s: scan_file(folder / stage, "001", s, STATUS) for s in sessions} for stage in SCAN_STAGES}
    for session, why in zip(sessions, visits, strict=True):
        ct, lungs = (
            scan_file(folder / stage, "001", session, end) for stage, end in (("convert", CT), ("segment", LUNG_MASK))
        )
        if why and why != NO_VOXEL:
            leave_empty(ct, lungs)
        else:
            write_image(sitk.GetImageFromArray(array), ct)
            write_image(sitk.GetImageFromArray(mask * (not why)), lungs)
        write_status(status_of(why), ends["segment"][session], [ct, lungs])
    params = {**defaults("register"), "folders": {stage: folder / stage for stage in ("convert", "segment")}}
    found = {}
    for count, session in enumerate(sessions, start=1):
        params["sessions"] = sessions[:count]
        write_json({}, scan_file(folder / "convert", "001", session, SIDECAR))
        inputs = {name: scan_file(folder / stage, "001", session, end)
                  for name, stage, end in (("ct", "convert", CT), ("mask", "segment", LUNG_MASK),
                                           ("facts", "convert", SIDECAR))}  # fmt: skip
        inputs["statuses"] = [ends["segment"][earlier] for earlier in params["sessions"]]
        names = ("warped", "field", "inverse", "log_jacobian")
        outputs = {name: folder / f"register/{session}_{name}.nii.gz" for name in names}
        outputs["status"] = ends["register"][session]
        run_script("register", inputs, outputs, params, folder / "log", subject="001", session=session)
        found[session] = read_status(outputs["status"])
    return found


@pytest.mark.parametrize("name", PATIENTS)
def test_every_usable_visit_is_registered_and_every_other_tells_its_own_reason(tmp_path, name):
    visits = PATIENTS[name]
    found = register_patient(tmp_path, visits)
    for status, why in zip(found.values(), visits, strict=True):
        assert status.ok == (not why)
        assert status.reason == ("its lung mask is empty" if why == NO_VOXEL else why)
    chosen = CHOSEN[name]
    for session, status in found.items():
        told = [flag for flag in status.flags if "It is the patient's baseline" in flag]
        assert bool(told) == (session == chosen != "01")
        assert not told or told[0].endswith(f"visit {', '.join(list(found)[: int(chosen) - 1])}.")


def test_a_truth_that_starts_from_another_visit_is_not_scored_against(tmp_path):
    for subject in ("001", "002"):
        told = {"subject": subject, "visits": [{"session": "01"}, {"session": "02"}]}
        write_json(told, tmp_path / f"truth/sub-{subject}/sub-{subject}_truth.json")
    patients = [
        SimpleNamespace(subject=subject, baseline=SimpleNamespace(session=session))
        for subject, session in (("001", "01"), ("002", "02"), ("003", "01"))
    ]
    assert [folder.name for folder in truth_folders(tmp_path, patients)] == ["sub-001", "sub-003"]
    assert truth_folders(None, patients) == []


# The rules, on results that are taken for made.


def write_scans(folder: Path, visits: dict[tuple[str, str], float]) -> None:
    rows = []
    for (subject, session), years in visits.items():
        path = folder / f"scans/{subject}_{session}.nii"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(f"no image: {subject} {session}")
        rows.append((subject, session, years, path.relative_to(folder).as_posix()))
    write_cohort(folder, pd.DataFrame(rows, columns=["subject", "session", "years", "path"]))


USUAL = {("usual", f"{number:02d}"): float(number) for number in (1, 2, 4)}
LATE = {("late", f"{number:02d}"): float(number) for number in (1, 2, 4)}
ENDINGS = {
    "convert": ("ct.nii.gz", "ct.json"),
    "segment": ("desc-lung_mask.nii.gz",),
    "register": ("space-baseline_ct.nii.gz", "from-baseline_to-native_xfm.nii.gz",
                 "from-native_to-baseline_xfm.nii.gz", "desc-logjacobian_map.nii.gz"),
    "resample": ("desc-preproc_ct.nii", "desc-lung_mask.nii.gz", "desc-logjacobian_map.nii.gz"),
}  # fmt: skip
SCANS_OF_ALL = [*USUAL, *LATE]


def targets(visits) -> list[str]:
    return [scan_file("results/resample", *scan, STATUS).as_posix() for scan in visits]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A cohort of which every scan went through but the first of `late`."""
    folder = tmp_path_factory.mktemp("finished")
    write_scans(folder, USUAL | LATE)
    for stage, endings in ENDINGS.items():
        for scan in SCANS_OF_ALL:
            for ending in endings:
                leave_empty(scan_file(folder / "results" / stage, *scan, ending))
            ok = scan != ("late", "01")
            write_status(Status(ok, stage, "" if ok else "cut"), scan_file(folder / "results" / stage, *scan, STATUS))
    snakemake("--cores", "2", "--touch", "--forceall", *targets(SCANS_OF_ALL), folder=folder)
    return folder


def changed(folder: Path, change: str) -> list[tuple[str, str]]:
    """Change the cohort in `folder`; all its scans."""
    visits = {**USUAL, **LATE}
    more = {"a later visit": [("05", 5.0)], "a visit between two": [("03", 3.0)],
            "two more visits": [("03", 3.0), ("05", 5.0)]}.get(change, [])  # fmt: skip
    visits |= {(subject, session): years for subject in ("usual", "late") for session, years in more}
    visits |= {("new", "01"): 0.0} if change == "a patient more" else {}
    files = {
        "the file of a follow-up": ("usual_02", "late_04"),
        "the file of the baseline": ("usual_01", "late_02"),
        "the file of the first visit": ("usual_01", "late_01"),
    }
    for name in files.get(change, ()):
        (folder / f"scans/{name}.nii").write_text("another scan")
    write_scans(folder, visits)
    return list(visits)


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_change_makes_due_and_that_a_dry_run_names_every_job(finished, tmp_path, change):
    folder = shutil.copytree(finished, tmp_path / "run", symlinks=True)
    scans = changed(folder, change)
    done = snakemake("--cores", "2", "--dry-run", *targets(scans), folder=folder)
    assert jobs_of(done) == CHANGES[change]


def test_a_dry_run_of_a_new_cohort_names_every_job(tmp_path):
    write_scans(tmp_path, USUAL | LATE)
    jobs = jobs_of(snakemake("--cores", "2", "--dry-run", *targets(SCANS_OF_ALL), folder=tmp_path))
    assert jobs == dict.fromkeys(SCAN_STAGES, 6)


def test_after_a_later_visit_nothing_is_left_to_do(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "run", symlinks=True)
    scans = changed(folder, "a later visit")
    assert jobs_of(snakemake("--cores", "2", *targets(scans), folder=folder)) == CHANGES["a later visit"]
    new = read_status(folder / scan_file("results/resample", "late", "05", STATUS))
    assert new.stage == "convert" and "cannot be read as NIfTI" in new.reason  # its own failure
    assert not jobs_of(snakemake("--cores", "2", "--dry-run", *targets(scans), folder=folder))


@pytest.mark.parametrize("setting", ["register={keypoint_sigma: 1.5}", "resample={margin: 12.0}"])
def test_what_a_setting_makes_due_is_due_beside_a_visit_more(finished, tmp_path, setting):
    folder = shutil.copytree(finished, tmp_path / "run", symlinks=True)
    scans = changed(folder, "a later visit")
    jobs = jobs_of(snakemake("--cores", "2", "--dry-run", "--config", setting, "--", *targets(scans), folder=folder))
    assert jobs["resample"] == len(scans) and jobs["register"] == (len(scans) if "register" in setting else 2)
