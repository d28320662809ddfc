"""The built-in cohort as tables: what a user would have, and the truth. A pure function of the settings.

Imported when the workflow is parsed, so only numpy and pandas here.
"""

from typing import Any

import numpy as np
import pandas as pd

from lung4d.simulate.builds import draw_build
from lung4d.simulate.cohort import (
    BASE_HAZARD,
    CLOCK,
    SIMULATED,
    Patient,
    breath_of,
    generator,
    log_hazard,
    scan_path,
    simulate_cohort,
    used_settings,
)
from lung4d.simulate.courses import NEVER
from lung4d.simulate.lung_function import baseline_litres, measure


def simulate_tables(settings: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Tables of the built-in cohort: scans, participants (what a user would have) and outcomes (the truth).

    scans: subject, session, years since baseline, path below the simulate folder, kernel.
    participants: subject, followup_years, event, age, sex, smoking, site, split; antifibrotic_start (years since
    baseline) where some are treated. outcomes: course, hazard and latent death, and the number of the CT whose chest
    the patient has (0: procedural); the course's name and the year of its change where there are several courses.
    """
    patients = simulate_cohort(settings)
    scans = [(p.subject, v.session, v.years, scan_path(p, v), v.kernel) for p in patients for v in p.visits]
    weights = used_settings(settings).get("courses", {})
    outcomes = [_outcome(p, settings["real_anatomy"]["scans"], bool(weights)) for p in patients]
    return (
        pd.DataFrame(scans, columns=["subject", "session", "years", "path", "kernel"]),
        pd.DataFrame([_participant(p, "treated" in weights) for p in patients]),
        pd.DataFrame(outcomes),
    )


def visits_table(settings: dict[str, Any]) -> pd.DataFrame | None:
    """What a clinic knows of the visits: subject, session, fvc_l, dlco_pct (empty where they were not measured); None
    where nothing is measured."""
    function = used_settings(settings).get("lung_function")
    if not function:
        return None
    rows = []
    for patient in simulate_cohort(settings):
        litres = _full_breath_litres(settings, patient)
        for visit in patient.visits:
            rng = generator(settings["seed"], patient.candidate, "laboratory", visit.session)
            seen = rng.random() >= function["missing"]
            values = measure(patient.course, litres, visit.years, function["lead"], rng)
            rows.append((patient.subject, visit.session, *(values if seen else (None, None))))
    return pd.DataFrame(rows, columns=["subject", "session", "fvc_l", "dlco_pct"])


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


def _full_breath_litres(settings: dict[str, Any], patient: Patient) -> float:
    """Volume at full breath at the first scan; in the chest of a real CT, that of a chest drawn like any other."""
    build = draw_build(generator(settings["seed"], patient.candidate, "build"), patient.sex)
    return baseline_litres(float(np.prod(build.size)), breath_of(settings, patient, patient.visits[0]))


def _participant(patient: Patient, treatment: bool) -> dict[str, Any]:
    row = {
        "subject": patient.subject,
        "followup_years": patient.followup_years,
        "event": patient.event,
        "age": patient.age,
        "sex": patient.sex,
        "smoking": patient.smoking,
        "site": patient.site,
        "split": None if patient.site == SIMULATED else "external",
    }
    if treatment:
        row["antifibrotic_start"] = patient.course.treated_year if patient.course.treated_year < NEVER else None
    return row


def _outcome(patient: Patient, scans: list[str], courses: bool) -> dict[str, Any]:
    extent = patient.course.extent(CLOCK)
    rate = float(np.gradient(extent, CLOCK)[0])
    male, smoker = patient.sex == "M", patient.smoking == "current"
    told = {
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
    if courses:
        told |= {"course": patient.course.name, "change_years": round(patient.course.change_year, 3)}
    return told
