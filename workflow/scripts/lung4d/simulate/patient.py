"""All scans of one simulated patient, and the truth about them, written as a hospital and an oracle would."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lung4d.io.atomic import write_json, write_text
from lung4d.simulate import acquisition, motion, scene, trees, writing
from lung4d.simulate.cohort import (
    SECOND_SITE,
    Patient,
    Visit,
    breath_of,
    generator,
    scan_path,
    simulate_cohort,
    used_settings,
)
from lung4d.simulate.disease import State
from lung4d.simulate.grids import Grid, regrid
from lung4d.simulate.lung_function import shrunk

TRUTH_SPACING = 3.0  # mm, of the written displacement fields
LANDMARKS = 60
SECOND_SITE_SLICES, SECOND_SITE_NOISE = 1.25, 1.3  # times the usual


def find_patient(settings: dict[str, Any], subject: str) -> Patient:
    """The patient of a subject number; raises KeyError for a number that is not in the cohort."""
    for patient in simulate_cohort(settings):
        if patient.subject == subject:
            return patient
    raise KeyError(f"subject {subject} is not in the simulated cohort of {settings['patients']} patients")


def write_patient(settings: dict[str, Any], patient: Patient, images: Path, truth: Path) -> dict[str, Any]:
    """Write every visit's scan to the folder `images` and the truth to the folder `truth`; returns the truth's facts.

    settings: the `simulate` section. Names are those of `cohort.scan_path` and of the module `writing`.
    """
    seed = settings["seed"]
    person = scene.make_person(seed, patient)
    table = np.rint(generator(seed, patient.candidate, "table").normal([-300, -150, 0], [60, 15, 8]))
    first = patient.visits[0]
    taken = {v.session: _acquisition(settings, patient, v) for v in patient.visits}
    at_baseline = scene.place(person, taken[first.session].grid, motion.no_motion())
    marks = trees.pick_landmarks(person.trees, person.anatomy, LANDMARKS, generator(seed, patient.candidate, "marks"))
    facts = []
    for visit in patient.visits:
        target = images / Path(scan_path(patient, visit)).name
        if visit.fault:
            _write_fault(settings, patient, visit, taken[visit.session], table, target)
            facts.append({"session": visit.session, "years": visit.years, "fault": visit.fault})
            continue
        moved = _motion(settings, patient, visit, person)
        state = _state(patient, visit)
        placement = at_baseline if visit is first else scene.place(person, taken[visit.session].grid, moved)
        hu = scene.render_scan(person, placement, state, moved)
        scan = acquisition.acquire(hu, taken[visit.session], generator(seed, patient.candidate, "noise", visit.session))
        still = hu if visit is first else scene.render_scan(person, at_baseline, state, motion.no_motion())
        _write_scan(settings, patient, visit, scan, taken[visit.session], table, target)
        labels = scene.lung_labels(placement)
        _write_truth(patient, visit, truth, table, labels, placement, at_baseline, still, moved, person, marks)
        facts.append(_facts(visit, taken[visit.session], labels, placement, at_baseline, state, moved, person))
        facts[-1] |= _volume_facts(settings, patient, visit, at_baseline, moved)
    summary = {"subject": patient.subject, "visits": facts}
    write_json(summary, truth / f"sub-{patient.subject}_truth.json")
    return summary


def _state(patient: Patient, visit: Visit) -> State:
    course = patient.course
    return State(float(course.extent(visit.years)), course.glass_at(visit.years), course.thinning * visit.years)


def _acquisition(settings: dict[str, Any], patient: Patient, visit: Visit) -> acquisition.Acquisition:
    own = settings.get("acquisition_changes") is None or visit.changed  # otherwise as the patient's scans usually are
    rng = generator(settings["seed"], patient.candidate, "acquisition", visit.session if own else "usual")
    spacing, noise = settings["spacing"], settings["noise"]
    if patient.site == SECOND_SITE:
        spacing, noise = (SECOND_SITE_SLICES * spacing[0], *spacing[1:]), SECOND_SITE_NOISE * noise
    taken = acquisition.draw_acquisition(visit.kernel, spacing, rng)
    return replace(taken, noise=noise * taken.noise)


def _motion(settings: dict[str, Any], patient: Patient, visit: Visit, person: scene.Person) -> motion.Motion:
    if visit is patient.visits[0]:
        return motion.no_motion()
    rng, largest = generator(settings["seed"], patient.candidate, "motion", visit.session), settings["max_displacement"]
    if "lung_function" in used_settings(settings):
        breath = breath_of(settings, patient, visit) / breath_of(settings, patient, patient.visits[0])
        return motion.breathe_and_shrink(person.frame, breath, shrunk(patient.course, visit.years), largest, rng)
    lost = float(patient.course.extent(visit.years) - patient.course.extent(0.0))
    return motion.draw_motion(person.frame, lost, largest, rng)


def _write_scan(settings, patient: Patient, visit: Visit, scan, taken, table, target: Path) -> None:
    if patient.dicom and not visit.fault:
        from lung4d.simulate import dicom  # pydicom is only needed here

        dicom.write_series(scan, taken, table, patient, visit, settings["seed"], target)
    else:
        writing.write_volume(scan, taken.grid, table, target)


def _write_fault(settings, patient: Patient, visit: Visit, taken, table, target: Path) -> None:
    """A scan that no workflow can use: an empty file, pure noise, or a water phantom without lungs."""
    if visit.fault == "empty":
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"")
        return
    rng = generator(settings["seed"], patient.candidate, "noise", visit.session)
    if visit.fault == "noise":
        scan = acquisition.measured_hu(rng.normal(0, 400, taken.grid.shape))
    else:
        z, y, x = taken.grid.axes()
        inside = np.clip(0.5 - (np.hypot(y, x) - 100), 0, 1) + 0 * z
        scan = acquisition.acquire((-1000 + 1000 * inside).astype(np.float32), taken, rng)
    writing.write_volume(scan, taken.grid, table, target)


def _write_truth(patient, visit, truth, table, labels, placement, at_baseline, still, moved, person, marks) -> None:
    stem = truth / f"sub-{patient.subject}_ses-{visit.session}"
    writing.write_volume(labels, placement.grid, table, Path(f"{stem}_desc-truth_mask.nii.gz"))
    sharpness = acquisition.blur(still, "standard", at_baseline.grid, at_baseline.grid.spacing[0])
    writing.write_volume(
        acquisition.measured_hu(sharpness), at_baseline.grid, table, Path(f"{stem}_desc-noisefree_ct.nii.gz")
    )
    field_grid = truth_grid()
    writing.write_field(
        truth_field(person, moved, field_grid), field_grid, table, Path(f"{stem}_desc-truth_xfm.nii.gz")
    )
    pairs = np.concatenate([marks, moved.move_lung(marks.astype(np.float32))]) + np.tile(table, 2)[:, None]
    _write_landmarks(pairs, Path(f"{stem}_desc-truth_landmarks.tsv"))


def _write_landmarks(pairs: np.ndarray, path: Path) -> None:
    """Write baseline and visit points (6, n), each z y x in the scanner's world, as x y z columns."""
    names = [f"{when}_{axis}" for when in ("baseline", "visit") for axis in "xyz"]
    lines = ["\t".join(f"{v:.3f}" for v in row) for row in pairs[[2, 1, 0, 5, 4, 3]].T]
    write_text("\n".join(["\t".join(names), *lines]) + "\n", path)


def truth_grid() -> Grid:
    """The grid of written displacement fields: nodes of FIELD_GRID and the points between them."""
    coarse = motion.FIELD_GRID
    times = round(coarse.spacing[0] / TRUTH_SPACING)
    shape: Any = tuple((n - 1) * times + 1 for n in coarse.shape)
    return Grid(shape, (TRUTH_SPACING,) * 3, coarse.origin)


def truth_field(person: scene.Person, moved: motion.Motion, grid: Grid) -> np.ndarray:
    """Displacements (3, d, h, w) mm: the lungs' up to 4 mm outside them (so that interpolation at the pleura stays
    right), the body's beyond."""
    near = regrid(person.anatomy.lung, person.anatomy.grid, grid) > -4
    lung, body = (np.stack([regrid(f, motion.FIELD_GRID, grid) for f in field]) for field in (moved.lung, moved.body))
    return np.where(near, lung, body)


def _volume_facts(settings, patient: Patient, visit: Visit, at_baseline, moved) -> dict[str, float]:
    """Breath, as a share of the volume at full breath, and that volume, where lung function is measured."""
    if "lung_function" not in used_settings(settings):
        return {}
    first = breath_of(settings, patient, patient.visits[0])
    scanned = float((at_baseline.cover > 0.5).sum() * at_baseline.grid.voxel_ml())
    full = scanned / first * shrunk(patient.course, visit.years)
    return {"breath": round(first / moved.density, 4), "full_breath_ml": round(full, 1)}


def _facts(visit, taken, labels, placement, at_baseline, state, moved, person) -> dict[str, Any]:
    """Numbers of one visit for the truth's JSON."""
    inside = at_baseline.cover > 0.5
    reach = np.linalg.norm(moved.lung, axis=0)[person.frame.inside]
    volumes = {
        side: round(float((labels == label).sum() * placement.grid.voxel_ml()), 1)
        for side, label in (("right", 1), ("left", 2))
    }
    facts = {
        "session": visit.session,
        "years": visit.years,
        "fault": "",
        "extent": round(float(np.mean(at_baseline.site.rank[inside] < state.extent)), 5),
        "volume_ml": volumes,
        "displacement_max_mm": round(float(reach.max()), 3),
        "displacement_median_mm": round(float(np.median(reach)), 3),
        "density": round(moved.density, 5),
        "kernel": visit.kernel,
        "noise_hu": round(taken.noise, 2),
        "slice_thickness_mm": round(taken.thickness, 3),
        "spacing_mm": [round(s, 4) for s in taken.grid.spacing[::-1]],
    }
    if (glass := at_baseline.site.glass_rank) is not None:
        seen = (glass < state.glass) & (at_baseline.site.rank >= state.extent)
        facts["ground_glass_that_goes"] = round(float(np.mean(seen[inside])), 5)
    if (upper := at_baseline.site.upper) is not None:
        facts["density_lost_hu"] = round(float(state.thinning * upper[inside].mean()), 2)
    return facts
