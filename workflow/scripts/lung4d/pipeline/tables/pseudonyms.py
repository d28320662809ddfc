"""Who is who: pseudonyms of the patients and sessions of their studies, given once and kept in `private/`."""

import secrets
from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from lung4d.io.atomic import DamagedFile
from lung4d.pipeline.private import PRIVATE, VISITS, read_rows, table_text
from lung4d.pipeline.tables.studies import Study

PATIENTS = PRIVATE / "patients.tsv"
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # no vowels, which make words, and no digits, which spreadsheets take for numbers
LENGTH = 6
PERSON = ["id", "name", "birth", "sex"]
PATIENT_COLUMNS = ["patient", "subject", *PERSON, "in_table"]
VISIT_COLUMNS = ["subject", "session", "study", "date", "folder", "files", "in_table"]


@dataclass
class KnownPatient:
    """`key` and `person` as in `Study`; `in_table`: the patient's row has been in participants.tsv."""

    key: str
    subject: str
    person: dict[str, str]
    in_table: bool = False


@dataclass
class KnownVisit:
    """A study that gave a row; `in_table`: the row has been in scans.tsv, and may have been taken out by hand since."""

    subject: str
    session: str
    study: str
    day: date | None
    folder: str
    files: int
    in_table: bool = False


class Register:
    """All patients and visits that ever got a name, in the order in which they got it.

    Raises DamagedFile where one of its files is there and cannot be read, or is there without the other.
    """

    def __init__(self, folder: Path):
        there = [path for path in (PATIENTS, VISITS) if (folder / path).exists()]
        for path in (PATIENTS, VISITS) if there else ():
            if not read_rows(folder / path):
                raise DamagedFile(path, "it is gone, or no table with tabs between the cells")
        try:
            self.patients = {row["patient"]: _patient(row) for row in read_rows(folder / PATIENTS)}
            self.visits = {(row["subject"], row["study"]): _visit(row) for row in read_rows(folder / VISITS)}
        except (KeyError, ValueError):  # whose words may hold a name or a date
            raise DamagedFile(VISITS, "a column is gone, or a cell is no date or number") from None

    def subject_of(self, patient: str) -> str:
        return self.patients[patient].subject

    def visit_of(self, study: Study) -> KnownVisit:
        return self.visits[self.subject_of(study.patient), study.uid]

    def visits_of(self, subject: str) -> list[KnownVisit]:
        return [visit for visit in self.visits.values() if visit.subject == subject]

    def zero(self, subject: str) -> date | None:
        """The day of the patient's first study that gave a row."""
        return min((visit.day for visit in self.visits_of(subject) if visit.day), default=None)

    def has_moved(self, subject: str, without_years: Container[tuple[str, str]]) -> bool:
        """Whether a study whose years are not in the table yet is older than all whose years are: it was not there,
        or is one of `without_years` (subject, session)."""
        told = [visit for visit in self.visits_of(subject) if (subject, visit.session) not in without_years]
        days = [visit.day for visit in told if visit.in_table and visit.day]
        return bool(days) and self.zero(subject) != min(days)

    def name(self, studies: Iterable[Study]) -> None:
        """Give new patients pseudonyms and new studies sessions; what has a name keeps it, and may get its date."""
        of_patient: dict[str, list[Study]] = {}
        for study in studies:
            of_patient.setdefault(study.patient, []).append(study)
        order = list(of_patient)
        secrets.SystemRandom().shuffle(order)
        for key in order:
            if key not in self.patients:
                self.patients[key] = KnownPatient(key, self._new_subject(of_patient[key][0].label), {})
            self._name_visits(self.subject_of(key), of_patient[key])

    def texts(self) -> dict[Path, str]:
        """The files of the register."""
        patients = [
            {"patient": one.key, "subject": one.subject, **one.person, "in_table": _yes(one.in_table)}
            for one in self.patients.values()
        ]
        visits = [
            {
                "subject": one.subject, "session": one.session, "study": one.study, "folder": one.folder,
                "date": one.day.isoformat() if one.day else "", "files": str(one.files), "in_table": _yes(one.in_table),
            }
            for one in self.visits.values()
        ]  # fmt: skip
        return {PATIENTS: table_text(PATIENT_COLUMNS, patients), VISITS: table_text(VISIT_COLUMNS, visits)}

    def _new_subject(self, label: str) -> str:
        taken = {one.subject.casefold() for one in self.patients.values()}
        if label and label.casefold() not in taken:
            return label
        while True:
            subject = "".join(secrets.choice(LETTERS) for _ in range(LENGTH))
            if subject.casefold() not in taken:
                return subject

    def _name_visits(self, subject: str, studies: list[Study]) -> None:
        """Sessions in the order of time; where that is not known, in any order but that of names in the tree."""
        new = [study for study in studies if (subject, study.uid) not in self.visits]
        secrets.SystemRandom().shuffle(new)
        new.sort(key=lambda study: (study.day or date.max, study.years or 0.0))
        for study in studies:
            if (known := self.visits.get((subject, study.uid))) is not None:
                known.day = known.day or study.day
        taken = {visit.session for visit in self.visits_of(subject)}
        labels = [study.session_label for study in studies]
        for study in new:
            label = study.session_label
            session = label if label and label not in taken and labels.count(label) == 1 else _next(taken)
            taken.add(session)
            visit = KnownVisit(subject, session, study.uid, study.day, study.folder, len(study.links))
            self.visits[subject, study.uid] = visit


def _next(taken: set[str]) -> str:
    return f"{max((int(name) for name in taken if name.isdecimal()), default=0) + 1:02d}"


def _patient(row: dict[str, str]) -> KnownPatient:
    person = {field: row[field] for field in PERSON if row[field]}
    return KnownPatient(row["patient"], row["subject"], person, row["in_table"] == "yes")


def _visit(row: dict[str, str]) -> KnownVisit:
    day = date.fromisoformat(row["date"]) if row["date"] else None
    files = int(row["files"])
    return KnownVisit(row["subject"], row["session"], row["study"], day, row["folder"], files, row["in_table"] == "yes")


def _yes(value: bool) -> str:
    return "yes" if value else "no"
