"""Patients whose visits are made up."""

from pathlib import Path

from lung4d.visits.patient import PatientVisits
from lung4d.visits.scans import EncodedScan


def patient_of(subject: str, split: str, years, window, **read) -> PatientVisits:
    """A patient without files; `read` holds what of the visits is in memory as if it had been read (unit, region)."""
    scans = tuple(
        EncodedScan(subject, f"{number:02d}", float(year), split, "", Path(), Path(), Path())
        for number, year in enumerate(years, start=1)
    )
    patient = PatientVisits(scans, scans[0], window)
    vars(patient).update(read)
    return patient
