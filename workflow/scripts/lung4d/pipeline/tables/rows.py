"""Rows of scans.tsv and participants.tsv from the studies of a tree, with pseudonyms in place of names."""

from datetime import date

from lung4d.convert.patient_headers import years_between
from lung4d.pipeline.private import PRIVATE, SCANS
from lung4d.pipeline.tables.pseudonyms import KnownPatient, KnownVisit, Register
from lung4d.pipeline.tables.studies import Study

MASKS = PRIVATE / "masks"
SCAN_COLUMNS = ["subject", "session", "years", "kernel", "path", "mask", "exclude"]
PARTICIPANT_COLUMNS = ["subject", "followup_years", "event", "age", "sex"]
AGE_APART = 1.0  # years by which a whole age may differ from that by the dates
Row = dict[str, str]


def scan_rows(studies: list[Study], register: Register) -> list[Row]:
    """A row per study, in the order of pseudonyms; years since the patient's first study that gave a row."""
    rows = []
    for study in studies:
        visit = register.visit_of(study)
        name = f"sub-{visit.subject}/ses-{visit.session}"
        rows.append(
            {
                "subject": visit.subject,
                "session": visit.session,
                "years": years_of(visit, register) or ("" if study.years is None else _number(study.years, 3)),
                "kernel": study.kernel,
                "path": (SCANS / name).as_posix(),
                "mask": (MASKS / name / study.mask_name).as_posix() if study.mask else "",
                "exclude": "; ".join(study.doubts),
            }
        )
    return sorted(rows, key=_name)


def years_of(visit: KnownVisit, register: Register) -> str:
    """Years since the patient's first study, "" where the visit has no date."""
    zero = register.zero(visit.subject)
    return _number(years_between(zero, visit.day), 3) if zero and visit.day else ""


def participant_rows(studies: list[Study], register: Register) -> list[Row]:
    """A row per patient, with what the headers tell of the day of the first study."""
    of_patient: dict[str, list[Study]] = {}
    for study in studies:
        of_patient.setdefault(study.patient, []).append(study)
    rows = []
    for key, patient in register.patients.items():
        age = _age(patient, of_patient.get(key, []), register.zero(patient.subject))
        row = {"subject": patient.subject, "age": "" if age is None else _age_text(age)}
        rows.append(row | {"sex": patient.person.get("sex", "")})
    return sorted(rows, key=lambda row: row["subject"])


def _age(patient: KnownPatient, studies: list[Study], zero: date | None) -> float | None:
    """Age at baseline: that of the header, in whole years, where it agrees with the dates, or by the dates."""
    told = [study for study in studies if study.age is not None]
    if zero is None:
        return told[0].age if told else None
    ages = [(study.age or 0.0) - years_between(zero, study.day) for study in told if study.day]
    at_zero = [study.age for study in told if study.day == zero]
    birth = patient.person.get("birth")
    if birth is None:
        return at_zero[0] if at_zero else max(0.0, ages[0]) if ages else None
    by_dates = years_between(date.fromisoformat(birth), zero)
    return next((age for age in at_zero if age is not None and abs(age - by_dates) <= AGE_APART), by_dates)


def _age_text(age: float) -> str:
    """An age in years, of infants to hundredths; nothing on the day of birth, because 0 stands for not known."""
    text = _number(age, 1 if age >= 1 else 2)
    return "" if text == "0" else text


def _number(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}".rstrip("0").rstrip(".")
    return text or "0"


def _name(row: Row) -> tuple[str, str]:
    return row["subject"], row["session"]
