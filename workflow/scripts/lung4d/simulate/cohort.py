"""Who is in the built-in cohort, when they are scanned, and what becomes of them: a pure function of the settings.

Imported when the workflow is parsed, so only numpy and pandas here. All random numbers of a candidate come from
generators seeded with (seed, candidate, purpose): a longer cohort begins with the same patients.

Model, in years since baseline t and share of the lung that is diseased E ("extent", 0 to 1):

    course    E(t) = K / (1 + (K/E0 - 1) exp(-r t)), plus a step in E for those with an acute exacerbation
    hazard    h(t) = h0 exp(0.45 E(t)/0.1 + 0.35 E'(t)/0.1 + 0.3 (age-66)/10 + 0.25 male + 0.2 current smoker)

A candidate who dies or leaves before the second visit never enters (a longitudinal cohort has two scans); conditional
on that, the hazard is as written. Censoring is uniform between 2 years and a limit that is found on a reference
population, so that about the asked share is censored, independently of the patients drawn.
"""

import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

BASE_HAZARD = 0.022  # per year, of a 66-year-old woman who does not smoke and has no fibrosis
LOG_HAZARD = {"extent": 4.5, "rate": 3.5, "age": 0.03, "male": 0.25, "current_smoker": 0.2}
KERNELS = ("soft", "standard", "sharp")
FAULTS = ("noise", "empty", "water")
SIMULATED, NO_DISEASE, REAL_ANATOMY = "simulated", "no disease", "real anatomy"  # sites; the last two only judge
FIRST_CENSORING = 2.0  # years
DICOM_EVERY = 3  # patients: every third one comes as DICOM series
CLOCK = np.arange(0.0, 40.0, 0.02)  # years on which hazards are integrated


@dataclass(frozen=True)
class Course:
    """Diseased share of the lung over time: logistic growth, and one step of an acute exacerbation or none."""

    start: float
    limit: float
    rate: float  # per year, of the logistic
    step: float = 0.0
    step_year: float = 99.0

    def extent(self, years: float | np.ndarray) -> np.ndarray:
        """Diseased share of the lung, 0 to 1, at `years` since baseline."""
        if self.start <= 0:
            return np.zeros_like(np.asarray(years, float))
        logistic = self.limit / (1 + (self.limit / self.start - 1) * np.exp(-self.rate * np.asarray(years, float)))
        arrived = 1 / (1 + np.exp(-np.clip((np.asarray(years, float) - self.step_year) / 0.08, -50, 50)))
        return logistic + self.step * arrived * (1 - logistic)


@dataclass(frozen=True)
class Visit:
    """One planned scan. `fault` is empty for a scan of the patient."""

    session: str
    years: float
    kernel: str
    fault: str = ""


@dataclass(frozen=True)
class Patient:
    """Everything about a patient that is not an image. `candidate` seeds the patient's images, `site` is the arm."""

    subject: str
    candidate: int
    age: int
    sex: str
    smoking: str
    course: Course
    visits: tuple[Visit, ...]
    death_years: float
    censored_years: float
    dicom: bool
    site: str
    chest_ct: str = ""  # file of the CT whose chest the patient has; empty: a procedural one
    chest_mask: str = ""  # its lung mask; empty: segmented when the patient is made

    @property
    def followup_years(self) -> float:
        return round(min(self.death_years, self.censored_years), 3)

    @property
    def event(self) -> int:
        return int(self.death_years <= self.censored_years)


def simulate_cohort(settings: dict[str, Any]) -> list[Patient]:
    """The patients of the `simulate` section: those to train on, then those to judge by, in order of their numbers.

    Raises ValueError where the settings cannot make a cohort, naming key and value.
    """
    if problems := find_problems(settings):
        raise ValueError("\n".join(problems))
    limit = _censoring_limit(settings)
    real = settings["real_anatomy"]
    return [
        *_with_faults(_enrol(settings, SIMULATED, settings["patients"], limit), settings["faults"]),
        *_enrol({**settings, "disease": False}, NO_DISEASE, settings["no_disease_patients"], limit),
        *_in_real_chests(_enrol(settings, REAL_ANATOMY, real["patients"], limit), real["scans"], real["masks"]),
    ]


def _enrol(settings: dict[str, Any], site: str, number: int, limit: float) -> list[Patient]:
    """The first `number` candidates of an arm that can be patients; each arm has candidates of its own."""
    prefix, first = {SIMULATED: ("", 0), NO_DISEASE: ("N", 1_000_000), REAL_ANATOMY: ("R", 2_000_000)}[site]
    patients: list[Patient] = []
    for candidate in range(first, first + 200 * (number + 5)):
        if len(patients) == number:
            return patients
        patient = _draw(settings, candidate, f"{prefix}{len(patients) + 1:03d}", site, limit)
        if patient is not None:
            patients.append(patient)
    raise ValueError("simulate: hardly anyone lives to the second visit; raise max_years or lower visits")


def _in_real_chests(patients: list[Patient], scans: list[str], masks: list[str]) -> list[Patient]:
    """The patients with the chests of `scans`, taken in turn."""
    return [
        replace(patient, chest_ct=scans[i % len(scans)], chest_mask=masks[i % len(scans)] if masks else "")
        for i, patient in enumerate(patients)
    ]


def simulate_tables(settings: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Tables of the built-in cohort: scans, participants (what a user would have) and outcomes (the truth).

    scans: subject, session, years since baseline, path below the simulate folder, kernel.
    participants: subject, followup_years, event, age, sex, smoking, site, split. outcomes: course, hazard and latent
    death, and the number of the CT whose chest the patient has (0: procedural).
    """
    patients = simulate_cohort(settings)
    scans = [(p.subject, v.session, v.years, scan_path(p, v), v.kernel) for p in patients for v in p.visits]
    participants = [
        (
            p.subject,
            p.followup_years,
            p.event,
            p.age,
            p.sex,
            p.smoking,
            p.site,
            None if p.site == SIMULATED else "external",
        )
        for p in patients
    ]
    columns = ["subject", "followup_years", "event", "age", "sex", "smoking", "site", "split"]
    return (
        pd.DataFrame(scans, columns=["subject", "session", "years", "path", "kernel"]),
        pd.DataFrame(participants, columns=columns),
        pd.DataFrame([_outcome(p, settings["real_anatomy"]["scans"]) for p in patients]),
    )


def count_cohort(patients: list[Patient]) -> dict[str, int]:
    """How many patients, visits, eligible patients (three visits or more) and events the cohort has."""
    real = [[v for v in p.visits if not v.fault] for p in patients]
    return {
        "patients": len(patients),
        "visits": sum(map(len, real)),
        "faulty scans": sum(bool(v.fault) for p in patients for v in p.visits),
        "eligible patients (3 visits or more)": sum(len(visits) >= 3 for visits in real),
        "events": sum(p.event for p in patients),
        "events among eligible patients": sum(
            p.event for p, visits in zip(patients, real, strict=True) if len(visits) >= 3
        ),
        "patients written as DICOM": sum(p.dicom for p in patients),
    }


def scan_path(patient: Patient, visit: Visit) -> str:
    """Where a scan lies below the simulate folder: a DICOM folder or a NIfTI file."""
    folder = f"sub-{patient.subject}"
    if patient.dicom and not visit.fault:
        return f"{folder}/ses-{visit.session}"
    return f"{folder}/{folder}_ses-{visit.session}_ct.nii.gz"


def generator(seed: int, candidate: int, *purpose: str) -> np.random.Generator:
    """The random numbers of one candidate for one purpose; purposes do not disturb one another."""
    return np.random.default_rng([seed, candidate, *(zlib.crc32(p.encode()) for p in purpose)])


def log_hazard(extent, rate, age, male, current_smoker):
    """Log of the hazard relative to BASE_HAZARD; extent 0 to 1, rate per year, age in years. Broadcasts."""
    return (
        LOG_HAZARD["extent"] * extent
        + LOG_HAZARD["rate"] * np.maximum(rate, 0)
        + LOG_HAZARD["age"] * (age - 66)
        + LOG_HAZARD["male"] * male
        + LOG_HAZARD["current_smoker"] * current_smoker
    )


def find_problems(settings: dict[str, Any]) -> list[str]:
    """A sentence for everything that keeps the settings from making a cohort, files that are not there included."""
    problems = []
    low, high = settings["visits"]
    if not 1 <= low <= high:
        problems.append(f"simulate.visits is [{low}, {high}]; give fewest and most, 1 or more")
    if not 0 <= settings["censoring"] < 1:
        problems.append(f"simulate.censoring is {settings['censoring']}; give a share from 0 to below 1")
    unknown = set(settings["faults"]) - set(FAULTS)
    if unknown:
        problems.append(f"simulate.faults has {sorted(unknown)}; known are {', '.join(FAULTS)}")
    if len(settings["faults"]) > settings["patients"]:
        problems.append("simulate.faults has more scans than there are patients to get one each")
    return problems + _problems_of_real(settings["real_anatomy"])


def _problems_of_real(real: dict[str, Any]) -> list[str]:
    problems = []
    if real["patients"] and not real["scans"]:
        problems.append("simulate.real_anatomy.scans is empty; give the CT whose chests the patients are to have")
    if real["masks"] and len(real["masks"]) != len(real["scans"]):
        problems.append(
            f"simulate.real_anatomy.masks has {len(real['masks'])} files for {len(real['scans'])} scans; "
            "give a mask for each scan, or none"
        )
    for key in ("scans", "masks"):
        for number, path in enumerate(real[key], start=1):
            if not Path(path).exists():
                problems.append(
                    f"simulate.real_anatomy.{key}: number {number} names no file or folder that exists; mend it; "
                    "a relative path starts at the working folder"
                )
    return problems


def _draw(settings: dict[str, Any], candidate: int, subject: str, site: str, limit: float) -> Patient | None:
    """The candidate as a patient, or None who dies or leaves before the fewest visits are made."""
    rng = generator(settings["seed"], candidate, "record")
    age, sex, smoking, course = _person(rng, settings)
    death = _death_years(rng, age, sex, smoking, course)
    censored = _censored_years(rng, limit)
    visits = _plan_visits(generator(settings["seed"], candidate, "visits"), settings, min(death, censored))
    if len(visits) < settings["visits"][0]:
        return None
    dicom = site == SIMULATED and int(subject) % DICOM_EVERY == 0
    return Patient(subject, candidate, age, sex, smoking, course, visits, death, censored, dicom, site)


def _person(rng: np.random.Generator, settings: dict[str, Any]) -> tuple[int, str, str, Course]:
    age = int(np.clip(np.rint(rng.normal(67, 8)), 45, 88))
    sex = "M" if rng.random() < 0.7 else "F"
    smoking = str(rng.choice(["never", "ex", "current"], p=[0.3, 0.58, 0.12]))
    start = float(np.clip(rng.lognormal(np.log(0.13), 0.5), 0.03, 0.4))
    course = Course(
        start=start,
        limit=float(np.clip(start + rng.uniform(0.2, 0.6), 0.3, 0.85)),
        rate=settings["pace"] * float(rng.lognormal(np.log(0.68), 0.55)),
        step=float(rng.uniform(0.05, 0.15) * (rng.random() < 0.2)),
        step_year=float(rng.uniform(0.3, 5.0)),
    )
    return age, sex, smoking, course if settings["disease"] else Course(0.0, 0.0, 0.0)


def _death_years(rng: np.random.Generator, age: int, sex: str, smoking: str, course: Course) -> float:
    """Years to death by inversion of the cumulative hazard (Bender 2005, for a covariate that changes in time)."""
    extent = course.extent(CLOCK)
    relative = np.exp(log_hazard(extent, np.gradient(extent, CLOCK), age, sex == "M", smoking == "current"))
    cumulative = np.concatenate([[0.0], np.cumsum(BASE_HAZARD * relative[:-1] * np.diff(CLOCK))])
    return round(float(np.interp(rng.exponential(), cumulative, CLOCK)), 3)


def _censored_years(rng: np.random.Generator, limit: float) -> float:
    return round(float(FIRST_CENSORING + rng.random() * (limit - FIRST_CENSORING)), 3)


def _plan_visits(rng: np.random.Generator, settings: dict[str, Any], end: float) -> tuple[Visit, ...]:
    """Visits at irregular gaps of about a year, those before `end` (death or last contact) and max_years."""
    low, high = settings["visits"]
    planned = low + rng.binomial(high - low, 0.45)
    gaps = np.clip(rng.lognormal(np.log(0.95), 0.35, high), 0.3, 2.2)
    years = np.concatenate([[0.0], np.cumsum(gaps)])[:planned].round(3)
    usual = rng.choice(3, p=[0.15, 0.35, 0.5])  # a hospital's habit, from which visits now and then depart
    kernels = np.where(rng.random(high) < 0.7, usual, rng.integers(0, 3, high))
    kept = years[(years < end) & (years <= settings["max_years"])]
    return tuple(Visit(f"{i + 1:02d}", float(t), KERNELS[kernels[i]]) for i, t in enumerate(kept))


def _censoring_limit(settings: dict[str, Any]) -> float:
    """Latest possible censoring, years, at which the asked share of a reference population of 400 is censored."""
    reference = {**settings, "seed": 20230}
    draws = []
    for candidate in range(400):
        rng = generator(reference["seed"], candidate, "record")
        death = _death_years(rng, *_person(rng, settings))
        uniform = rng.random()
        visits = _plan_visits(generator(reference["seed"], candidate, "visits"), reference, death)
        if len(visits) >= settings["visits"][0]:
            draws.append((death, uniform, visits[settings["visits"][0] - 1].years))
    death, uniform, entry = np.array(draws).T
    low, high = FIRST_CENSORING, 200.0
    for _ in range(40):
        middle = (low + high) / 2
        censored = FIRST_CENSORING + uniform * (middle - FIRST_CENSORING)
        inside = censored > entry
        share = np.mean(censored[inside] < death[inside]) if inside.any() else 1.0
        low, high = (middle, high) if share > settings["censoring"] else (low, middle)
    return high


def _with_faults(patients: list[Patient], faults: list[str]) -> list[Patient]:
    """Append each fault as a last visit of a patient of its own, those with most visits first."""
    order = sorted(range(len(patients)), key=lambda i: (-len(patients[i].visits), i))
    patients = list(patients)
    for fault, i in zip(faults, order, strict=False):
        patient = patients[i]
        last = patient.visits[-1]
        years = round(last.years + min(0.5, (patient.followup_years - last.years) / 2), 3)
        extra = Visit(f"{len(patient.visits) + 1:02d}", years, last.kernel, fault)
        patients[i] = replace(patient, visits=(*patient.visits, extra))
    return patients


def _outcome(patient: Patient, scans: list[str]) -> dict[str, Any]:
    extent = patient.course.extent(CLOCK)
    rate = float(np.gradient(extent, CLOCK)[0])
    male, smoker = patient.sex == "M", patient.smoking == "current"
    return {
        "subject": patient.subject,
        "visits": sum(not v.fault for v in patient.visits),
        "format": "dicom" if patient.dicom else "nifti",
        "chest": scans.index(patient.chest_ct) + 1 if patient.chest_ct else 0,
        "extent_baseline": round(float(extent[0]), 6),
        "extent_rate_baseline": round(rate, 6),
        "extent_followup": round(float(patient.course.extent(patient.followup_years)), 6),
        "log_hazard_baseline": round(float(log_hazard(extent[0], rate, patient.age, male, smoker)), 6),
        "base_hazard": BASE_HAZARD,
        "death_years": patient.death_years,
        "censored_years": patient.censored_years,
    }
