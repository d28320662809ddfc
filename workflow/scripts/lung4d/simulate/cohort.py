"""Who is in the built-in cohort, when they are scanned, and what becomes of them: a pure function of the settings.

Imported when the workflow is parsed, so only numpy and pandas here. All random numbers of a candidate come from
generators seeded with (seed, candidate, purpose): a longer cohort begins with the same patients.

Model, in years since baseline t and share of the lung that is diseased E ("extent", 0 to 1):

    course    E(t) = K / (1 + (K/E0 - 1) exp(-r t)), plus a step in E for those with an acute exacerbation
              (`lung4d.simulate.courses`, where those of other kinds are, too)
    hazard    h(t) = h0 exp(0.45 E(t)/0.1 + 0.35 E'(t)/0.1 + 0.3 (age-66)/10 + 0.25 male + 0.2 current smoker)

A candidate who dies or leaves before the second visit never enters (a longitudinal cohort has two scans); conditional
on that, the hazard is as written. Censoring is uniform between 2 years and a limit that is found on a reference
population, so that about the asked share is censored, independently of the patients drawn.
"""

import zlib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lung4d.simulate.courses import Course, draw_course, next_course, problems_of_courses, usual_course
from lung4d.simulate.lung_function import draw_breath

BASE_HAZARD = 0.022  # per year, of a 66-year-old woman who does not smoke and has no fibrosis
LOG_HAZARD = {"extent": 4.5, "rate": 3.5, "age": 0.03, "male": 0.25, "current_smoker": 0.2}
KERNELS = ("soft", "standard", "sharp")
FAULTS = ("noise", "empty", "water")
# Sites; all but the first only judge. A second hospital scans otherwise: softer kernels, thicker slices, a lower dose.
SIMULATED, NO_DISEASE, REAL_ANATOMY, SECOND_SITE = "simulated", "no disease", "real anatomy", "second site"
ARMS = {SIMULATED: ("", 0), NO_DISEASE: ("N", 1_000_000), REAL_ANATOMY: ("R", 2_000_000), SECOND_SITE: ("S", 3_000_000)}
HABITS = {SECOND_SITE: [0.5, 0.4, 0.1]}  # how often a hospital's usual kernel is which of KERNELS
USUAL_HABITS = [0.15, 0.35, 0.5]
FIRST_CENSORING = 2.0  # years
DICOM_EVERY = 3  # patients: every third one comes as DICOM series
CLOCK = np.arange(0.0, 40.0, 0.02)  # years on which hazards are integrated


@dataclass(frozen=True)
class Visit:
    """One planned scan. `fault` is empty for a scan of the patient; `changed` where it is acquired in another way than
    the patient's scans usually are (`simulate.acquisition_changes`)."""

    session: str
    years: float
    kernel: str
    fault: str = ""
    changed: bool = False


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


def used_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The `simulate` section without what is off: a key that came later makes no patient anew who does not use it."""
    off = {"courses", "lung_function"}
    off |= {"acquisition_changes"} if settings.get("acquisition_changes") is None else set()
    off |= set() if settings.get("second_site_patients") else {"second_site_patients"}
    used = {key: value for key, value in settings.items() if key not in off}
    if weights := _weights(settings):
        used["courses"] = weights
    if settings.get("lung_function", {}).get("measured"):
        used["lung_function"] = settings["lung_function"]
    return used


def _weights(settings: dict[str, Any]) -> dict[str, float]:
    """Shares of the patients by course, above 0; none where all have one law."""
    return {name: weight for name, weight in settings.get("courses", {}).items() if weight > 0}


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
        *_enrol(settings, SECOND_SITE, settings.get("second_site_patients", 0), limit),
    ]


def _enrol(settings: dict[str, Any], site: str, number: int, limit: float) -> list[Patient]:
    """The first `number` candidates of an arm that can be patients; each arm has candidates of its own."""
    prefix, first = ARMS[site]
    patients: list[Patient] = []
    for candidate in range(first, first + 200 * (number + 5)):
        if len(patients) == number:
            return patients
        name = _next_course(settings, [patient.course.name for patient in patients])
        patient = _draw(settings, candidate, f"{prefix}{len(patients) + 1:03d}", site, limit, name)
        if patient is not None:
            patients.append(patient)
    raise ValueError("simulate: hardly anyone lives to the second visit; raise max_years or lower visits")


def _next_course(settings: dict[str, Any], names: list[str]) -> str:
    """The course of the next patient after those with courses of these `names`; "" for the one law of all."""
    weights = _weights(settings) if settings["disease"] else {}
    return next_course(weights, Counter(names)) if weights else ""


def _in_real_chests(patients: list[Patient], scans: list[str], masks: list[str]) -> list[Patient]:
    """The patients with the chests of `scans`, taken in turn."""
    return [
        replace(patient, chest_ct=scans[i % len(scans)], chest_mask=masks[i % len(scans)] if masks else "")
        for i, patient in enumerate(patients)
    ]


def breath_of(settings: dict[str, Any], patient: Patient, visit: Visit) -> float:
    """Share of the volume at full breath at which a scan is taken, where lung function is measured."""
    return draw_breath(generator(settings["seed"], patient.candidate, "breath", visit.session))


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
    if weights := _weights(settings):
        problems += problems_of_courses(weights, settings["patients"], settings["visits"])
        if not settings["disease"]:
            problems.append("simulate.courses has no meaning where simulate.disease is false; leave one of them out")
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


def _draw(settings: dict[str, Any], candidate: int, subject: str, site: str, limit: float, name: str) -> Patient | None:
    """The candidate as a patient with the course `name`, or None who dies or leaves before the fewest visits are made,
    or before a scan shows the acute worsening."""
    rng = generator(settings["seed"], candidate, "record")
    age, sex, smoking, course = _person(rng, settings, name, candidate)
    death = _death_years(rng, age, sex, smoking, course)
    censored = _censored_years(rng, limit)
    visits = _plan_visits(generator(settings["seed"], candidate, "visits"), settings, min(death, censored), site)
    if len(visits) < settings["visits"][0] or (name == "acute" and visits[-1].years <= course.step_year):
        return None
    dicom = site == SIMULATED and int(subject) % DICOM_EVERY == 0
    return Patient(subject, candidate, age, sex, smoking, course, visits, death, censored, dicom, site)


def _person(
    rng: np.random.Generator, settings: dict[str, Any], name: str = "", candidate: int = 0
) -> tuple[int, str, str, Course]:
    age = int(np.clip(np.rint(rng.normal(67, 8)), 45, 88))
    sex = "M" if rng.random() < 0.7 else "F"
    smoking = str(rng.choice(["never", "ex", "current"], p=[0.3, 0.58, 0.12]))
    if name:
        planned = _plan_visits(generator(settings["seed"], candidate, "visits"), settings, np.inf)
        return age, sex, smoking, draw_course(name, rng, settings["pace"], np.array([v.years for v in planned]))
    course = usual_course(rng, settings["pace"])
    return age, sex, smoking, course if settings["disease"] else Course(0.0, 0.0, 0.0)


def _death_years(rng: np.random.Generator, age: int, sex: str, smoking: str, course: Course) -> float:
    """Years to death by inversion of the cumulative hazard (Bender 2005, for a covariate that changes in time)."""
    extent = course.extent(CLOCK)
    relative = np.exp(log_hazard(extent, np.gradient(extent, CLOCK), age, sex == "M", smoking == "current"))
    cumulative = np.concatenate([[0.0], np.cumsum(BASE_HAZARD * relative[:-1] * np.diff(CLOCK))])
    return round(float(np.interp(rng.exponential(), cumulative, CLOCK)), 3)


def _censored_years(rng: np.random.Generator, limit: float) -> float:
    return round(float(FIRST_CENSORING + rng.random() * (limit - FIRST_CENSORING)), 3)


def _plan_visits(
    rng: np.random.Generator, settings: dict[str, Any], end: float, site: str = SIMULATED
) -> tuple[Visit, ...]:
    """Visits at irregular gaps of about a year, those before `end` (death or last contact) and max_years."""
    low, high = settings["visits"]
    planned = low + rng.binomial(high - low, 0.45)
    gaps = np.clip(rng.lognormal(np.log(0.95), 0.35, high), 0.3, 2.2)
    years = np.concatenate([[0.0], np.cumsum(gaps)])[:planned].round(3)
    usual = rng.choice(3, p=HABITS.get(site, USUAL_HABITS))  # a hospital's habit, from which visits now and then depart
    kernels = np.where(rng.random(high) < 0.7, usual, rng.integers(0, 3, high))
    changed = np.zeros(high, bool)
    if (share := settings.get("acquisition_changes")) is not None:
        changed = (rng.random(high) < share) & (np.arange(high) > 0)
        kernels = np.where(changed, (usual + rng.integers(1, 3, high)) % 3, usual)
    kept = years[(years < end) & (years <= settings["max_years"])]
    return tuple(
        Visit(f"{i + 1:02d}", float(t), KERNELS[kernels[i]], changed=bool(changed[i])) for i, t in enumerate(kept)
    )


def _censoring_limit(settings: dict[str, Any]) -> float:
    """Latest possible censoring, years, at which the asked share of a reference population of 400 is censored."""
    reference = {**settings, "seed": 20230}
    draws, names = [], list[str]()
    for candidate in range(400):
        rng = generator(reference["seed"], candidate, "record")
        names.append(_next_course(settings, names))
        death = _death_years(rng, *_person(rng, reference, names[-1], candidate))
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
