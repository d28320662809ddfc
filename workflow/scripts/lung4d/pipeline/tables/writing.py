"""New rows into the tables. A table that is there is never overwritten: new rows go below its own, or, where somebody
has edited it, into a file beside it (`scans.new.tsv`), as do all rows of a patient who has a new first study.
"""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lung4d.pipeline.private import PRIVATE, TABLE, Staging, digest_of_text, read_rows, table_text
from lung4d.pipeline.tables.pseudonyms import Register
from lung4d.pipeline.tables.rows import PARTICIPANT_COLUMNS, SCAN_COLUMNS, Row

PARTICIPANTS = Path("config") / "participants.tsv"
WRITTEN = PRIVATE / "written.json"  # digests of the tables as they were written last


class Refused(Exception):
    """Why no tables are made, in sentences without any name of the tree."""


@dataclass
class Written:
    """How many rows went into a new table, below the rows of an old one, and into the file beside it, by table; and the
    patients whose first study has become another."""

    new: dict[Path, int] = field(default_factory=dict)
    below: dict[Path, int] = field(default_factory=dict)
    beside: dict[Path, int] = field(default_factory=dict)
    moved: list[str] = field(default_factory=list)


def write_tables(staging: Staging, register: Register, scans: list[Row], participants: list[Row]) -> Written:
    """Put both tables, and what goes beside them, among what is to be written; the register learns which rows are in
    a table. Raises Refused where a file beside a table was edited and would be lost."""
    written, folder = Written(), staging.folder
    digests: dict[str, str] = {}
    with suppress(OSError, ValueError):
        digests = json.loads((folder / WRITTEN).read_text())
    scans_there = {_name_of(row) for row in read_rows(folder / TABLE)}
    people_there = {_name_of(row)[0] for row in read_rows(folder / PARTICIPANTS)}
    for visit in register.visits.values():
        visit.in_table = visit.in_table or (visit.subject, visit.session) in scans_there
    for patient in register.patients.values():
        patient.in_table = patient.in_table or patient.subject in people_there
    visits = {(visit.subject, visit.session): visit for visit in register.visits.values()}
    patients = {patient.subject: patient for patient in register.patients.values()}
    if (folder / TABLE).is_file():
        written.moved = [subject for subject in patients if register.has_moved(subject)]
    moved = set(written.moved)
    new = [row for row in scans if not visits[row["subject"], row["session"]].in_table]
    again = [row for row in scans if row["subject"] in moved]
    for row in _merge(staging, digests, written, TABLE, SCAN_COLUMNS, scans, new, again):
        visits[row["subject"], row["session"]].in_table = True
    new = [row for row in participants if not patients[row["subject"]].in_table]
    again = [row for row in participants if row["subject"] in moved]
    for row in _merge(staging, digests, written, PARTICIPANTS, PARTICIPANT_COLUMNS, participants, new, again):
        patients[row["subject"]].in_table = True
    staging.write(WRITTEN, json.dumps(digests, indent=2, sort_keys=True) + "\n")
    return written


def _merge(
    staging: Staging, digests: dict[str, str], written: Written, table: Path, columns: list[str],
    rows: list[Row], new: list[Row], again: list[Row],
) -> list[Row]:  # fmt: skip
    """Write what changes of one table and return the rows that are in it now and were not. `rows` are all rows, `new`
    those never in the table, `again` those of patients whose years have changed."""
    path = staging.folder / table
    if not path.exists():
        text = table_text(columns, rows)
        staging.write(table, text)
        digests[table.name] = digest_of_text(text)
        written.new[table] = len(rows)
        _beside(staging, digests, table, columns, [])
        return rows
    moved = {row["subject"] for row in again}
    below = [row for row in new if row["subject"] not in moved]
    beside = list(again)
    old = path.read_bytes().decode("utf-8", errors="surrogateescape")
    if below and digest_of_text(old) != digests.get(table.name):
        beside, below = sorted([*again, *below], key=_name_of), []
    if below:
        text = old + table_text(columns, below, head=False)
        staging.write(table, text)
        digests[table.name] = digest_of_text(text)
        written.below[table] = len(below)
    if beside:
        written.beside[table] = len(beside)
    _beside(staging, digests, table, columns, beside)
    return below


def _name_of(row: Row) -> tuple[str, str]:
    """Subject and session of a row, as far as it has them."""
    return row.get("subject", "").strip(), row.get("session", "").strip()


def _beside(staging: Staging, digests: dict[str, str], table: Path, columns: list[str], rows: list[Row]) -> None:
    """Have the file beside a table hold these rows, or be gone where there are none and nobody edited it."""
    place = beside(table)
    path = staging.folder / place
    there = path.read_bytes().decode("utf-8", errors="surrogateescape") if path.exists() else None
    ours = there is None or digest_of_text(there) == digests.get(place.name)
    if not rows:
        if there is not None and ours:
            staging.remove(place)
            digests.pop(place.name)
        return
    text = table_text(columns, rows)
    if not ours and there != text and len(read_rows(path)) > 0:
        raise Refused(
            f"{place} was edited and would be lost: move its rows to {table.name}, or delete it, and run this again."
        )
    staging.write(place, text)
    digests[place.name] = digest_of_text(text)


def beside(table: Path) -> Path:
    """The file beside a table that new rows go into where the table itself was edited."""
    return table.with_name(f"{table.stem}.new.tsv")
