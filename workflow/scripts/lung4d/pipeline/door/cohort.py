"""The cohort: the user's tables, read, checked at the door and put in order.

`scans.tsv` has a row per scan, `participants.tsv` a row per patient, `qc.tsv` a row per scan that somebody who looked
at the results leaves out; docs and types of the columns are in workflow/schemas. Every error is collected before any
is raised.
"""

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from lung4d.pipeline.door.cells import Sheet, read_sheet
from lung4d.pipeline.door.cells import row_place as _place
from lung4d.pipeline.door.configuration import InvalidInput
from lung4d.pipeline.door.joins import alike_patients, alike_sessions, half_outcomes, join_participants
from lung4d.pipeline.door.likely import LikelyNames
from lung4d.pipeline.door.name_lengths import check_lengths
from lung4d.pipeline.door.stray_files import stray_tables
from lung4d.pipeline.door.visit_years import long_followups, settle_years
from lung4d.visits.scans import in_time_order

SKEW = 60  # seconds that the clocks of two machines may differ
SCAN_COLUMNS = ["subject", "session", "years", "path", "mask", "series", "kernel", "site"]


@dataclass(frozen=True)
class Cohort:
    """scans: SCAN_COLUMNS, in the order of patients and years; excluded: subject, session, reason;
    participants: the columns of participants.tsv, one row a patient that has scans; notices: what a person should know
    of the tables before a run, in sentences."""

    scans: pd.DataFrame
    excluded: pd.DataFrame
    participants: pd.DataFrame
    notices: tuple[str, ...] = ()

    @property
    def subjects(self) -> list[str]:
        return list(self._by_patient)

    def sessions(self, subject: str) -> list[str]:
        """Sessions of a patient in the order of time."""
        return list(self._by_patient[subject])

    def scans_of(self, subject: str) -> list[dict[str, Any]]:
        return list(self._by_patient[subject].values())

    def scan(self, subject: str, session: str) -> dict[str, Any]:
        return self._by_patient[subject][session]

    @cached_property
    def _by_patient(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The rows of `scans` by subject and session: asked for once a job, of which there are tens of thousands."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for row in records(self.scans):
            found.setdefault(row["subject"], {})[row["session"]] = row
        return found


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table whose values are Python's own; DataFrame.to_dict takes a multiple of the time."""
    columns = list(frame.columns)
    return [dict(zip(columns, row, strict=True)) for row in frame.itertuples(index=False, name=None)]


def read_cohort(folder: Path, schemas: Mapping[str, Mapping], root: Path) -> Cohort:
    """Read scans.tsv, participants.tsv and qc.tsv of `folder`; the last two may be absent. Relative paths in the tables
    are relative to `root`, `schemas` has one by the name of each table.

    Raises InvalidInput with every error of all tables at once.
    """
    errors, notices = stray_tables(folder)
    scans_file, participants_file, qc_file = (folder / f"{name}.tsv" for name in ("scans", "participants", "qc"))
    if not scans_file.is_file():
        missing = (
            f"{scans_file.as_posix()} is not there; make it as config/README.md shows, by the target tables or by hand"
        )
        raise InvalidInput([missing, *errors])
    scans = read_sheet(scans_file, schemas["scans"], errors)
    _settle_paths(scans.rows, root)
    known = {name: LikelyNames(row[name] for row in scans.rows) for name in ("subject", "session")}
    people, qc = (
        read_sheet(path, schemas[path.stem], errors, known) if path.is_file() else None
        for path in (participants_file, qc_file)
    )
    if not scans.rows and scans.whole:
        errors.append(f"{scans.name}: there is no row; give one per scan")
    _exclude(qc, scans, errors)
    if scans.whole and scans.rows and all(row.get("exclude") for row in scans.rows):
        errors.append(f"{scans.name}: every scan is left out; keep at least one")
    notices += settle_years(scans.rows, scans.name, schemas["scans"]["properties"]["years"], errors)
    _check_scans(scans.rows, scans.name, root, errors)
    kept = [row for row in scans.rows if not row.get("exclude")]
    notices = join_participants(people, scans, errors) + notices
    notices += alike_patients(scans.rows, scans.name) + alike_sessions(scans.rows, scans.name)
    if people:
        _check_participants(people.rows, kept, people.name, errors)
        _check_ages(people, kept, schemas["participants"]["properties"]["age"]["maximum"], errors)
        notices += half_outcomes(people.rows, people.name) + long_followups(people.rows, people.name)
    errors += check_lengths(_visits(scans.rows), scans.name, root)
    if errors:
        raise InvalidInput(errors)
    notices += [said for sheet in (scans, people, qc) if sheet for said in sheet.notices]
    return make_cohort(pd.DataFrame(scans.rows), pd.DataFrame(people.rows if people else []), notices)


def _visits(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Sessions by patient, of the scans that are not left out."""
    visits: dict[str, list[str]] = {}
    for row in rows:
        if row["subject"] and row["session"] and not row.get("exclude"):
            visits.setdefault(row["subject"], []).append(row["session"])
    return visits


def make_cohort(scans: pd.DataFrame, participants: pd.DataFrame, notices: Iterable[str] = ()) -> Cohort:
    """Put checked tables in order: excluded scans apart, patients by name, their scans by years."""
    for column in [*SCAN_COLUMNS, "exclude"]:
        if column not in scans:
            scans[column] = None
    scans = scans.astype(object).where(scans.notna(), None)
    keep = scans["exclude"].isna()
    excluded = scans.loc[~keep, ["subject", "session", "exclude"]].rename(columns={"exclude": "reason"})
    ordered = in_time_order(scans.loc[keep, SCAN_COLUMNS]).reset_index(drop=True)
    if "subject" in participants:
        participants = participants[participants["subject"].isin(ordered["subject"])]
        participants = participants.drop(columns="row", errors="ignore").sort_values("subject", ignore_index=True)
        participants = participants.astype(object).where(participants.notna(), None)
    return Cohort(ordered, excluded.reset_index(drop=True), participants, tuple(notices))


def _exclude(qc: Sheet | None, scans: Sheet, errors: list[str]) -> None:
    """Put the reasons of qc.tsv into the scans' `exclude`; unknown scans and scans named twice are errors."""
    if not qc or not scans.whole:
        return
    known = {(scan["subject"], scan["session"]): scan for scan in scans.rows}
    sessions: dict[str | None, list[str | None]] = {}
    for subject, session in known:
        sessions.setdefault(subject, []).append(session)
    patients = LikelyNames(sessions)
    seen: dict[tuple, int] = {}
    for row in qc.rows:
        place, key = _place(qc.name, row), (row["subject"], row["session"])
        if None in key:
            continue
        if row["subject"] not in sessions:
            hint = patients.hint(row["subject"])
            errors.append(f"{place}: scans.tsv has no such patient; mend subject, or remove the row{hint}")
        elif key not in known:
            hint = LikelyNames(sessions[row["subject"]]).hint(row["session"])
            errors.append(
                f"{place}: scans.tsv has no session {row['session']} of this patient; mend it, or remove the row{hint}"
            )
        elif key in seen:
            errors.append(f"{place}: session {row['session']} is in row {seen[key]} already; keep one row a scan")
        else:
            known[key]["exclude"] = row["reason"]
        seen.setdefault(key, row["row"])


def _settle_paths(rows: list[dict], root: Path) -> None:
    """Leave spaces around a path where a file or folder of that name is there, and take them off elsewhere."""
    for row in rows:
        for column in ("path", "mask"):
            if (text := row.get(column)) and text != text.strip() and not os.path.lexists(root / text):
                row[column] = text.strip()


def _check_scans(rows: list[dict], table: str, root: Path, errors: list[str]) -> None:
    """Files that are not there, and sessions or files that two rows name; excluded scans need no file."""
    sessions: dict[tuple, int] = {}
    sources: dict[tuple, dict] = {}
    for row in rows:
        place = _place(table, row)
        session = (row.get("subject"), row.get("session"))
        if None not in session and session in sessions:
            errors.append(
                f"{place}: session {session[1]} is in row {sessions[session]} already; give each scan its own session"
            )
        sessions.setdefault(session, row["row"])
        if row.get("exclude"):
            continue
        errors += [f"{place}: {column} {problem}" for column, problem in _file_problems(row, root)]
        if not row.get("path"):
            continue
        other = sources.setdefault((_identity(root / row["path"]), row.get("series")), row)
        if other is not row:
            written_alike = other["path"] == row["path"]
            what = "path and series are those" if written_alike else "path leads to the file or folder, and the series,"
            errors.append(f"{place}: {what} of row {other['row']} already; give each scan its own")
    _check_masks(rows, table, root, errors)


def _check_masks(rows: list[dict], table: str, root: Path, errors: list[str]) -> None:
    """Masks that are a scan, or another patient's mask; two series of one study may share theirs."""
    there = [row for row in rows if not row.get("exclude")]
    scans = {_identity(root / row["path"]): row for row in there if row.get("path")}
    masks: dict[tuple[int, int] | str, dict] = {}
    for row in there:
        if not row.get("mask"):
            continue
        found = _identity(root / row["mask"])
        first = masks.setdefault(found, row)
        if found in scans:
            told = f"mask leads to the scan of row {scans[found]['row']}; give the file of the lungs, or empty the cell"
            errors.append(f"{_place(table, row)}: {told}")
        elif first["subject"] != row["subject"]:
            told = f"mask leads to that of row {first['row']}, another patient's; give each patient's own"
            errors.append(f"{_place(table, row)}: {told}")


def _identity(path: Path) -> tuple[int, int] | str:
    """What is at a path, however it is written or linked to; the path itself where nothing is there."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # a control character in it
        return str(path)
    return found.st_dev, found.st_ino


def _file_problems(row: Mapping[str, Any], root: Path) -> Iterator[tuple[str, str]]:
    """What is wrong with the files that a row names. Snakemake fails every job whose input is newer than its output."""
    for column in ("path", "mask"):
        if not row.get(column):
            continue
        if re.search(r"[\x00-\x1f\x7f]", row[column]):
            yield column, "holds a control character, which Snakemake takes for something else; rename it"
            continue
        try:
            ahead = (root / row[column]).stat().st_mtime - time.time()
        except OSError:
            yield column, "names no file or folder that exists; mend it, or exclude the scan"
        else:
            if problem := _place_problem(root / row[column], root):
                yield column, problem
            if ahead > SKEW:
                yield column, f"was changed {ahead / 60:.0f} minutes in the future; set the clock right, or `touch` it"


def _place_problem(path: Path, root: Path) -> str:
    """Why a file or folder cannot be read while the run writes into the working folder `root`, "" where it can."""
    found, home = path.resolve(), root.resolve()
    if home.is_relative_to(found):
        return "is the working folder, or holds it with all results; give the scan a folder of its own"
    if found.is_relative_to((root / "results").resolve()):
        return "lies in results/, where the run itself writes; copy it to another place"
    return ""


def _check_participants(rows: list[dict], scans: list[dict], table: str, errors: list[str]) -> None:
    """Double rows, and follow-up that ends before the patient's last scan."""
    last_scan: dict[str, float] = {}
    for scan in scans:
        if scan.get("subject") and scan.get("years") is not None:
            last_scan[scan["subject"]] = max(scan["years"], last_scan.get(scan["subject"], scan["years"]))
    seen: dict[str, int] = {}
    for row in rows:
        subject: Any
        place, subject = _place(table, row), row.get("subject")
        if subject and subject in seen:
            errors.append(f"{place}: the patient is in row {seen[subject]} already; keep one row a patient")
        seen.setdefault(subject, row["row"])
        followup, last = row.get("followup_years"), last_scan.get(subject)
        if followup is not None and last is not None and followup < last:
            errors.append(
                f"{place}: followup_years is {followup:g}, before the patient's scan at {last:g} years; "
                "give the time from baseline to death or to the last contact"
            )


def _check_ages(people: Sheet, scans: list[dict], oldest: float, errors: list[str]) -> None:
    """Ages that patients would have at their last scan, or when they were last seen."""
    last: dict[str, float] = {}
    for scan in scans:
        last[scan["subject"]] = max(scan.get("years") or 0, last.get(scan["subject"], 0))
    for row in people.rows:
        years = max(row.get("followup_years") or 0, last.get(row["subject"], 0))
        if row.get("age") is not None and row["age"] + years > oldest:
            errors.append(
                f"{_place(people.name, row)}: age is {row['age']:g}, and the patient is seen {years:g} years later, at "
                f"{row['age'] + years:g}; mend age, followup_years or the scans' years"
            )
