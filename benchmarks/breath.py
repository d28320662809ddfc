r"""Measure whether breath and kernels read as disease: today's densities beside those corrected and matched.

The runs that are read, up to the resampled scans, and the table:

    .venv/bin/snakemake --cores 2 --directory STILL --configfile benchmarks/forecasting.yaml benchmarks/mixed.yaml \
        benchmarks/breath.yaml -- scans
    .venv/bin/snakemake --cores 2 --directory MIXED --configfile benchmarks/forecasting.yaml benchmarks/mixed.yaml \
        -- scans
    .venv/bin/python benchmarks/breath.py STILL MIXED > benchmarks/breath.md

Patients in whom nothing changes, breath at 80 to 100 % of a full one: what a later visit's density differs by from the
baseline's. Visits with another kernel, dose and thickness: the same visit is simulated once more as the patient is
usually scanned, and led through the same displacement field; what the change of high attenuation since the baseline
differs by is the scanner's alone. Once more at the voxels and the size of config/config.yaml, in patients whose disease
is stable, with the true fields.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import SimpleITK as sitk

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow/scripts")]

from lung4d.biomarkers.breath import corrected_densities
from lung4d.biomarkers.matching import inner_lung, match_visits, smooth_within
from lung4d.biomarkers.measures import high_attenuation, lung_density
from lung4d.biomarkers.table import CORRECTED
from lung4d.io.names import CT, EXPANSION, LUNG_MASK, STATUS, VOLUME, scan_file
from lung4d.io.nifti import read_image
from lung4d.io.status import read_status
from lung4d.io.volumes import open_mask, open_volume
from lung4d.metrics import Interval, paired_bootstrap, percentile_interval, resampling_weights
from lung4d.pipeline.door.configuration import load_yaml, overlaid
from lung4d.register.expansion import BLOCK, expansion_map, log_ratios, weigh_lungs
from lung4d.resample import resample_visit
from lung4d.simulate.cohort import Patient, Visit, scan_path, simulate_cohort
from lung4d.simulate.patient import write_patient

NEAR = 5.0  # HU: what repeat scans differ by (lung4d.biomarkers.repeats)
STABLE = ("", "stable")  # courses without change; "" is that of patients without disease
LARGE = {"seed": 9, "patients": 6, "visits": [3, 3], "courses": {"stable": 1.0}}
OVERLAYS = ("forecasting.yaml", "mixed.yaml")
TODAY, CORRECT, GLOBAL, LOCAL = "today's", "corrected", "by the lung's volume", "by the local volume"
MATCHED = "matched"
BREATH = f"""# Breath and kernels

`python benchmarks/breath.py STILL MIXED` (see there). Means over patients, with 95 % intervals over patients.

## Breath alone

Visits after the baseline; the share within {NEAR:g} HU is of all visits. *Corrected* is what the workflow writes: the
mean from the mass of the lungs as they were scanned, the share of high attenuation from the ratio of their volumes. The
other two were tried: every voxel's density times the ratio of the lungs' volumes, or times the local ratio of the
displacement field, smoothed and scaled so that the volume is exact.

| patients | visits | density | within {NEAR:g} HU, % | mean density: change, HU | size of it | high attenuation: size |
| --- | --- | --- | --- | --- | --- | --- |"""
KERNELS = """
## Another kernel, dose and thickness

*mixed*: the mixed cohort's visits that were scanned otherwise. *large*: second visits of patients with stable disease,
at the voxels and the size of config/config.yaml.

| cohort | high attenuation | patients, visits | size of the spurious change, points | of today's, % |
| --- | --- | --- | --- | --- |"""


def main(still: Path, mixed: Path) -> None:
    print(BREATH)
    for title, folder, extra in (("no disease", still, ["breath.yaml"]), ("stable disease", mixed, [])):
        alike = (patient for patient in patients_of(folder, extra) if patient.course.name in STABLE)
        print_breath(title, [breath_rows(folder, patient) for patient in alike])
    print(KERNELS)
    print_kernels("mixed", [rows for patient in patients_of(mixed, []) if (rows := kernel_rows(mixed, patient))])
    print_kernels("large", list(large_rows()))


def settings_of(folder: Path, extra: list[str]) -> dict:
    layers = [ROOT / "config/config.yaml", *(ROOT / "benchmarks" / name for name in [*OVERLAYS, *extra])]
    own = folder / "config/config.yaml"
    merged: dict = {}
    for path in [*layers[:1], *([own] if own.is_file() else []), *layers[1:]]:
        merged = overlaid(merged, load_yaml(path))
    return merged


def patients_of(folder: Path, extra: list[str]) -> Iterator[Patient]:
    """The patients of a run, with the visits that went through, the first and another at least."""
    for patient in simulate_cohort(settings_of(folder, extra)["simulate"]):
        statuses = {visit: place(folder, "resample", patient, visit, STATUS) for visit in patient.visits}
        done = tuple(visit for visit, path in statuses.items() if path.is_file() and read_status(path).ok)
        if len(done) > 1 and done[0] is patient.visits[0]:
            yield replace(patient, visits=done)


def place(folder: Path, stage: str, patient: Patient, visit: Visit, ending: str) -> Path:
    return scan_file(folder / "results" / stage, patient.subject, visit.session, ending)


def breath_rows(folder: Path, patient: Patient) -> dict[str, np.ndarray]:
    """Changes (visits, 2) of mean density and high attenuation since the baseline, by kind of density."""
    first = patient.visits[0]
    mask = open_mask(place(folder, "resample", patient, first, LUNG_MASK))
    grid = read_image(place(folder, "resample", patient, first, LUNG_MASK))
    own_mask = read_image(place(folder, "segment", patient, first, LUNG_MASK))
    weighed = weigh_lungs(read_image(place(folder, "convert", patient, first, CT)), own_mask)
    before = np.array(lung_density(open_volume(place(folder, "resample", patient, first, VOLUME)), mask))
    rows = defaultdict(list)
    for visit in patient.visits[1:]:
        hu = np.asarray(open_volume(place(folder, "resample", patient, visit, VOLUME)), np.float32)
        own = (place(folder, stage, patient, visit, name) for stage, name in (("convert", CT), ("segment", LUNG_MASK)))
        ratios = log_ratios(weigh_lungs(*map(read_image, own)), weighed)
        field_map = read_image(place(folder, "register", patient, visit, EXPANSION))
        local = smooth_ratio(sitk.GetArrayFromImage(expansion_map(field_map, own_mask, grid)), mask)
        ratio = float(np.exp(ratios["log_volume_ratio"]))
        corrected = corrected_densities(hu, mask, before[0], ratios)
        rows[TODAY].append(np.subtract(lung_density(hu, mask), before))
        rows[CORRECT].append(np.subtract([corrected[name] for name in CORRECTED], before))
        for name, factor in ((GLOBAL, np.float32(ratio)), (LOCAL, local * (ratio / local.mean()))):
            values = (hu[mask] + 1000) * factor - 1000
            rows[name].append(np.subtract((values.mean(), high_attenuation(values)), before))
    return {name: np.array(values) for name, values in rows.items()}


def smooth_ratio(coarse: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The local ratio of volumes of the lung's voxels (n,), smoothed by a Gaussian of one voxel of the coarse map."""
    fine = coarse
    for axis, size in enumerate(mask.shape):
        fine = fine.repeat(BLOCK, axis).take(range(size), axis)
    return np.exp(smooth_within(fine, mask, (BLOCK, BLOCK)))[mask]


def print_breath(title: str, found: list[dict[str, np.ndarray]]) -> None:
    visits = sum(len(rows[TODAY]) for rows in found)
    for name in (TODAY, CORRECT, GLOBAL, LOCAL):
        mean = [rows[name][:, 0] for rows in found]
        near = share_of_visits([abs(values) <= NEAR for values in mean])
        sizes = [over_patients([abs(rows[name][:, column]).mean() for rows in found]) for column in (0, 1)]
        change = over_patients([values.mean() for values in mean])
        print(f"| {title}: {len(found)} | {visits} | {name} | {told(near, 0)} | {told(change, 1, '+')} | "
              f"{told(sizes[0], 1)} | {told(sizes[1], 2)} |", flush=True)  # fmt: skip


def kernel_rows(folder: Path, patient: Patient) -> dict[str, np.ndarray]:
    """Spurious changes (visits,) of high attenuation of the patient's visits that were scanned otherwise."""
    if not any(visit.changed for visit in patient.visits):
        return {}
    settings, first = settings_of(folder, []), patient.visits[0]
    mask = open_mask(place(folder, "resample", patient, first, LUNG_MASK))
    volumes = [open_volume(place(folder, "resample", patient, visit, VOLUME)) for visit in patient.visits]
    rows = defaultdict(list)
    for number, visit in enumerate(patient.visits):
        if not visit.changed:
            continue
        usual = [*volumes[:number], as_usual(folder, settings, patient, visit), *volumes[number + 1 :]]
        rows[TODAY].append(change(volumes, number, mask) - change(usual, number, mask))
        matched = (change(match_visits(taken, mask), number, inner_lung(mask)) for taken in (volumes, usual))
        rows[MATCHED].append(np.subtract(*matched))
    return {name: np.array(values) for name, values in rows.items()}


def change(volumes: list[np.ndarray], number: int, mask: np.ndarray) -> float:
    return lung_density(volumes[number], mask)[1] - lung_density(volumes[0], mask)[1]


def as_usual(folder: Path, settings: dict, patient: Patient, visit: Visit) -> np.ndarray:
    """The visit on the patient's grid, had it been scanned as the baseline was."""
    first = patient.visits[0]
    other = replace(visit, kernel=first.kernel, changed=False)
    alone = replace(patient, visits=(first, other), dicom=False)
    resample = settings["resample"]
    with TemporaryDirectory() as temporary:
        write_patient({**settings["simulate"], "acquisition_changes": 0.0}, alone, Path(temporary), Path(temporary))
        scan = read_image(Path(temporary) / Path(scan_path(alone, other)).name)
    field = read_image(
        next(place(folder, "register", patient, visit, "").parent.glob(f"*_ses-{visit.session}_from-base*"))
    )
    of_first = (("convert", CT), ("segment", LUNG_MASK))
    baseline, mask = (read_image(place(folder, stage, patient, first, name)) for stage, name in of_first)
    done = resample_visit(scan, field, baseline, mask, resample["shape"], resample["margin"])
    return sitk.GetArrayFromImage(done.volume)


def print_kernels(title: str, found: list[dict[str, np.ndarray]]) -> None:
    visits = sum(len(rows[TODAY]) for rows in found)
    sizes = {name: np.array([abs(rows[name]).mean() for rows in found]) for name in (TODAY, MATCHED)}
    for name, values in sizes.items():
        left = 100 * values.mean() / sizes[TODAY].mean()
        print(f"| {title} | {name} | {len(found)}, {visits} | {told(over_patients(values), 2)} | {left:.0f} |")
    less = over_patients(sizes[MATCHED] - sizes[TODAY])
    print(f"| {title} | {MATCHED}, less {TODAY} | {len(found)}, {visits} | {told(less, 2, '+')} | |")


def large_rows() -> Iterator[dict[str, np.ndarray]]:
    """Spurious changes (1,) of second visits that are scanned otherwise, at the voxels and the size of the defaults."""
    shipped = load_yaml(ROOT / "config/config.yaml")
    simulate = {**shipped["simulate"], **LARGE}
    usual, changed = ({**simulate, "acquisition_changes": share} for share in (0.0, 1.0))
    for patients in zip(*map(simulate_cohort, (usual, changed)), strict=True):
        with TemporaryDirectory() as temporary:
            taken = []
            for patient, settings in zip(patients, (usual, changed), strict=True):
                folder = Path(temporary) / str(settings["acquisition_changes"])
                taken.append(second_visit(settings, shipped["resample"], patient, folder))
        (first, one, mask), (_, other, _) = taken
        today = change([first, other], 1, mask) - change([first, one], 1, mask)
        sets = (match_visits([first, visit], mask) for visit in (other, one))
        matched = np.subtract(*(change(visits, 1, inner_lung(mask)) for visits in sets))
        yield {TODAY: np.array([today]), MATCHED: np.array([matched])}


def second_visit(settings: dict, resample: dict, patient: Patient, folder: Path) -> tuple[np.ndarray, ...]:
    """The first two visits on the patient's grid, by the true mask and field, and the lung there."""
    first, second = patient.visits[:2]
    alone = replace(patient, visits=(first, second), dicom=False)
    write_patient(settings, alone, folder, folder)
    stems = [folder / f"sub-{patient.subject}_ses-{visit.session}" for visit in (first, second)]
    scans = [read_image(folder / Path(scan_path(alone, visit)).name) for visit in (first, second)]
    mask, *fields = (read_image(f"{stem}_desc-truth_{name}.nii.gz") for stem, name in
                     ((stems[0], "mask"), (stems[0], "xfm"), (stems[1], "xfm")))  # fmt: skip
    done = [
        resample_visit(scan, field, scans[0], mask, resample["shape"], resample["margin"])
        for scan, field in zip(scans, fields, strict=True)
    ]
    return (*(sitk.GetArrayFromImage(each.volume) for each in done), sitk.GetArrayFromImage(done[0].mask) > 0)


def share_of_visits(near: list[np.ndarray]) -> Interval:
    """Percent of all visits, with the interval over patients."""
    hits, visits = (np.array([of(values) for values in near], float) for of in (np.sum, np.size))
    weights = resampling_weights(len(near), 1000, 0)
    share, drawn = hits.sum() / visits.sum(), (weights @ hits) / (weights @ visits)
    return Interval(*np.clip(percentile_interval(100 * share, 100 * drawn, len(near)), 0, 100))


def over_patients(values) -> Interval:
    return paired_bootstrap(np.asarray(values, float))


def told(interval: Interval, digits: int, sign: str = "") -> str:
    mean, low, high = (f"{value:{sign}.{digits}f}" for value in interval)
    return f"{mean} [{low}, {high}]"


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
