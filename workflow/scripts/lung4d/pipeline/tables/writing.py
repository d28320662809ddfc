"""New rows into the tables. A table that is there is never overwritten: new rows go below its own, or, where somebody
has edited it, into a file beside it (`scans.new.tsv`), as do all rows of a patient who has a new first study.
"""

import json
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lung4d.pipeline.private import PRIVATE, TABLE, Staging, digest_of_text, read_rows, table_text
from lung4d.pipeline.tables.pseudonyms import KnownVisit, Register
from lung4d.pipeline.tables.rows import PARTICIPANT_COLUMNS, SCAN_COLUMNS, Row, years_of

PARTICIPANTS = Path("config") / "participants.tsv"
WRITTEN = PRIVATE / "written.json"  # digests of the tables as they were written last


class Refused(Exception):
    """Why no tables are made, in sentences without any name of the tree."""


@dataclass
class Written:
    """How many rows went into a new table, below the rows of an old one, and into the file beside it, by table; the
    patients whose first study has become another; and the scans' rows as they now stand, by subject and session."""

    new: dict[Path, int] = field(default_factory=dict)
    below: dict[Path, int] = field(default_factory=dict)
    beside: dict[Path, int] = field(default_factory=dict)
    moved: list[str] = field(default_factory=list)
    standing: dict[tuple[str, str], Row] = field(default_factory=dict)


def write_tables(staging: Staging, register: Register, scans: list[Row], participants: list[Row]) -> Written:
    """Put both tables, and what goes beside them, among what is to be written; the register learns which rows are in
    a table. Raises Refused where a file beside a table was edited and would be lost."""
    written, folder = Written(), staging.folder
    digests: dict[str, str] = {}
    with suppress(OSError, ValueError):
        digests = json.loads((folder / WRITTEN).read_text())
    there = {_name_of(row): row for row in read_rows(folder / TABLE)}
    people_there = {_name_of(row)[0] for row in read_rows(folder / PARTICIPANTS)}
    for visit in register.visits.values():
        visit.in_table = visit.in_table or (visit.subject, visit.session) in there
    for patient in register.patients.values():
        patient.in_table = patient.in_table or patient.subject in people_there
    visits = {(visit.subject, visit.session): visit for visit in register.visits.values()}
    patients = {patient.subject: patient for patient in register.patients.values()}
    if there:
        untimed = {name for name, row in there.items() if not row.get("years", "").strip()}
        written.moved = [subject for subject in patients if register.has_moved(subject, untimed)]
    moved = set(written.moved)
    waiting = read_rows(folder / beside(TABLE))
    new = [row for row in scans if not visits[row["subject"], row["session"]].in_table]
    new += _others([row for row in waiting if _name_of(row) in visits], [*there, *map(_name_of, new)])
    again = _rows_again(there, scans, visits, register, moved)
    again += [_with_years(row, visits, register) for row in new if row["subject"] in moved]
    for row in _merge(staging, digests, written, TABLE, SCAN_COLUMNS, scans, new, again):
        visits[row["subject"], row["session"]].in_table = True
    written.standing = {_name_of(row): row for row in [*there.values(), *new, *again]}
    new = [row for row in participants if not patients[row["subject"]].in_table]
    again = [row for row in participants if row["subject"] in moved]
    for row in _merge(staging, digests, written, PARTICIPANTS, PARTICIPANT_COLUMNS, participants, new, again):
        patients[row["subject"]].in_table = True
    staging.write(WRITTEN, json.dumps(digests, indent=2, sort_keys=True) + "\n")
    return written


def _others(rows: Iterable[Row], names: Container[tuple[str, str]]) -> list[Row]:
    """The rows that are not those of `names`."""
    return [row for row in rows if _name_of(row) not in names]


def _rows_again(
    there: Mapping[tuple[str, str], Row], scans: list[Row], visits: Mapping[tuple[str, str], KnownVisit],
    register: Register, moved: Container[str],
) -> list[Row]:  # fmt: skip
    """Rows of the table with other years than there: of patients whose first study has become another, as they are
    `there`, whatever tree they came from; and those without years that now have some."""
    told = {_name_of(row): row for row in scans}
    again = []
    for name, row in there.items():
        if not row.get("years", "").strip() and told.get(name, row).get("years"):
            exclude = told[name]["exclude"] if row.get("exclude") else ""
            again.append({**row, "years": told[name]["years"], "exclude": exclude})
        elif name[0] in moved and name in visits:
            again.append(_with_years(row, visits, register))
    return again


def _with_years(row: Row, visits: Mapping[tuple[str, str], KnownVisit], register: Register) -> Row:
    return {**row, "years": years_of(visits[_name_of(row)], register) or row.get("years", "")}


def _merge(
    staging: Staging, digests: dict[str, str], written: Written, table: Path, columns: list[str],
    rows: list[Row], new: list[Row], again: list[Row],
) -> list[Row]:  # fmt: skip
    """Write what changes of one table and return the rows that are in it now and were not. `rows` are all rows, `new`
    those never in the table, `again` those of patients whose years have changed."""
    path = staging.folder / table
    if not path.exists():
        rows = rows + _others(new, set(map(_name_of, rows)))
        text = table_text(columns, rows)
        staging.write(table, text)
        digests[table.name] = digest_of_text(text)
        written.new[table] = len(rows)
        _beside(staging, digests, table, columns, [])
        return rows
    changed = {row["subject"] for row in again}
    below = [row for row in new if row["subject"] not in changed]
    waiting = _others([row for row in new if row["subject"] in changed], set(map(_name_of, again)))
    later = [*again, *waiting]
    old = path.read_bytes().decode("utf-8", errors="surrogateescape")
    if below and digest_of_text(old) != digests.get(table.name):
        later, below = [*later, *below], []
    if below:
        text = old + table_text(columns, below, head=False)
        staging.write(table, text)
        digests[table.name] = digest_of_text(text)
        written.below[table] = len(below)
    if later:
        written.beside[table] = len(later)
    _beside(staging, digests, table, columns, sorted(later, key=_name_of))
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
