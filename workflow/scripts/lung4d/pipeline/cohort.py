"""The cohort: the user's tables, read, checked at the door and put in order.

`scans.tsv` has a row per scan, `participants.tsv` a row per patient, `qc.tsv` a row per scan that somebody who looked
at the results leaves out; docs and types of the columns are in workflow/schemas. Every error is collected before any
is raised.
"""

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from lung4d.pipeline.configuration import InvalidInput
from lung4d.visits.scans import in_time_order

DAYS_PER_YEAR = 365.25
SKEW = 60  # seconds that the clocks of two machines may differ
SCAN_COLUMNS = ["subject", "session", "years", "path", "mask", "series", "kernel", "site"]


@dataclass(frozen=True)
class Cohort:
    """scans: SCAN_COLUMNS, in the order of patients and years; excluded: subject, session, reason;
    participants: the columns of participants.tsv, one row a patient that has scans."""

    scans: pd.DataFrame
    excluded: pd.DataFrame
    participants: pd.DataFrame

    @property
    def subjects(self) -> list[str]:
        return list(self._by_patient)

    def sessions(self, subject: str) -> list[str]:
        """Sessions of a patient in the order of time."""
        return list(self._by_patient[subject])

    def baseline(self, subject: str) -> str:
        """The patient's first session."""
        return self.sessions(subject)[0]

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
    scans, participants, qc = (folder / f"{name}.tsv" for name in ("scans", "participants", "qc"))
    if not scans.is_file():
        raise InvalidInput([f"{scans.as_posix()} is not there; make it as config/README.md shows, a row per scan"])
    errors: list[str] = []
    scan_rows = _typed_rows(scans, schemas["scans"], errors)
    if not scan_rows and not errors:
        errors.append(f"{scans.name}: there is no row; give one per scan")
    participant_rows = _typed_rows(participants, schemas["participants"], errors) if participants.is_file() else []
    _exclude(_typed_rows(qc, schemas["qc"], errors) if qc.is_file() else [], scan_rows, qc.name, errors)
    if scan_rows and all(row.get("exclude") for row in scan_rows):
        errors.append(f"{scans.name}: every scan is left out; keep at least one")
    _dates_to_years(scan_rows, scans.name, errors)
    _check_scans(scan_rows, scans.name, root, errors)
    _check_participants(participant_rows, scan_rows, participants.name, errors)
    if errors:
        raise InvalidInput(errors)
    return make_cohort(pd.DataFrame(scan_rows), pd.DataFrame(participant_rows))


def make_cohort(scans: pd.DataFrame, participants: pd.DataFrame) -> Cohort:
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
    return Cohort(ordered, excluded.reset_index(drop=True), participants)


def _typed_rows(path: Path, schema: Mapping[str, Any], errors: list[str]) -> list[dict[str, Any]]:
    """Rows of a TSV as typed values, "row" being the line in the file as a spreadsheet counts it."""
    try:
        # a spreadsheet's byte order mark, and its tabs behind the last column, are no error
        frame = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        errors.append(f"{path.name} cannot be read as a tab-separated table: {error}")
        return []
    columns = schema["properties"]
    for name in frame.columns:
        if name not in columns:
            errors.append(f"{path.name}: unknown column {name!r}; known are {', '.join(columns)}")
    for name in schema["required"]:
        if name not in frame.columns:
            errors.append(f"{path.name}: column {name!r} is missing; {columns[name]['description']}")
            return []
    known = [name for name in frame.columns if name in columns]
    rows = []
    for number, record in enumerate(records(frame[known]), start=2):
        row: dict[str, Any] = {"row": number}
        for name, text in record.items():
            row[name], problem = _typed(text.strip(), columns[name], name in schema["required"])
            if problem:
                errors.append(f"{_place(path.name, row)}: {name} {problem}; {columns[name]['description']}")
        rows.append(row)
    return rows


def _place(table: str, row: Mapping[str, Any]) -> str:
    patient = f", patient {row['subject']}" if row.get("subject") else ""
    return f"{table} row {row['row']}{patient}"


def _typed(text: str, column: Mapping[str, Any], required: bool) -> tuple[Any, str]:
    """The value of one cell and "", or None and what is wrong where it does not fit its column."""
    if text in ("", "n/a", "NA"):
        return None, "is empty" if required else ""
    value: Any = text
    if column["type"] in ("number", "integer"):
        try:
            value = float(text) if column["type"] == "number" else int(float(text))
        except ValueError:
            value = None
        low, high = column.get("minimum", float("-inf")), column.get("maximum", float("inf"))
        fits = value is not None and low <= value <= high
    else:
        fits = text in column.get("enum", [text]) and re.fullmatch(column.get("pattern", ".*"), text) is not None
    return (value, "") if fits else (None, f"is {text!r}")


def _exclude(rows: list[dict], scans: list[dict], table: str, errors: list[str]) -> None:
    """Put the reasons of qc.tsv into the scans' `exclude`; unknown scans and scans named twice are errors."""
    known = {(scan.get("subject"), scan.get("session")): scan for scan in scans}
    subjects = {scan.get("subject") for scan in scans}
    seen: dict[tuple, int] = {}
    for row in rows:
        place, key = _place(table, row), (row["subject"], row["session"])
        if None in key:
            continue
        if row["subject"] not in subjects:
            errors.append(f"{place}: scans.tsv has no such patient; mend subject, or remove the row")
        elif key not in known:
            errors.append(
                f"{place}: scans.tsv has no session {row['session']} of this patient; mend it, or remove the row"
            )
        elif key in seen:
            errors.append(f"{place}: session {row['session']} is in row {seen[key]} already; keep one row a scan")
        else:
            known[key]["exclude"] = row["reason"]
        seen.setdefault(key, row["row"])


def _dates_to_years(rows: list[dict], table: str, errors: list[str]) -> None:
    """Turn `date` into years since the patient's first scan, and drop it."""
    dates = [_parse_date(row.pop("date", None)) for row in rows]
    first: dict[str | None, date] = {}
    for row, when in zip(rows, dates, strict=True):
        if isinstance(when, date):
            first[row.get("subject")] = min(when, first.get(row.get("subject"), when))
    dated = {row.get("subject") for row, when in zip(rows, dates, strict=True) if when and row.get("years") is None}
    for row, when in zip(rows, dates, strict=True):
        place = _place(table, row)
        if row.get("years") is not None:
            if when is None and row.get("subject") in dated:
                errors.append(
                    f"{place}: years without a date, where the patient has dates alone; give all of them one way"
                )
        elif isinstance(when, date):
            row["years"] = round((when - first[row.get("subject")]).days / DAYS_PER_YEAR, 3)
        elif when:
            errors.append(f"{place}: date is not a date; give it as YYYY-MM-DD, or a number in the column years")
        elif not any(f"{place}: years" in error for error in errors):
            errors.append(f"{place}: years is empty; give a number of years since baseline, or a date")


def _parse_date(text: str | None) -> date | str | None:
    """The date, None where there is none, or the text that is no date."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return text


def _check_scans(rows: list[dict], table: str, root: Path, errors: list[str]) -> None:
    """Files that are not there, and sessions or files that two rows name; excluded scans need no file."""
    sessions: dict[tuple, int] = {}
    sources: dict[tuple, int] = {}
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
        source = (row.get("path"), row.get("series"))
        if source[0] and source in sources:
            errors.append(
                f"{place}: path and series are those of row {sources[source]} already; give each scan its own"
            )
        sources.setdefault(source, row["row"])


def _file_problems(row: Mapping[str, Any], root: Path) -> Iterator[tuple[str, str]]:
    """What is wrong with the files that a row names. Snakemake fails every job whose input is newer than its output."""
    for column in ("path", "mask"):
        if not row.get(column):
            continue
        if re.search(r"[{}\x00-\x1f\x7f]", row[column]):
            yield column, "holds a brace or a control character, which Snakemake takes for something else; rename it"
            continue
        try:
            ahead = (root / row[column]).stat().st_mtime - time.time()
        except OSError:
            yield column, "names no file or folder that exists; mend it, or exclude the scan"
        else:
            if ahead > SKEW:
                yield column, f"was changed {ahead / 60:.0f} minutes in the future; set the clock right, or `touch` it"


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
        if subject in seen:
            errors.append(f"{place}: the patient is in row {seen[subject]} already; keep one row a patient")
        seen.setdefault(subject, row["row"])
        followup, last = row.get("followup_years"), last_scan.get(subject)
        if followup is not None and last is not None and followup < last:
            errors.append(
                f"{place}: followup_years is {followup:g}, before the patient's scan at {last:g} years; "
                "give the time from baseline to death or to the last contact"
            )
