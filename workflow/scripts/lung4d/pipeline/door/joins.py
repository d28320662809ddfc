"""Which rows of participants.tsv meet scans, and which do not: nobody's outcome or set is lost without a word."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from lung4d.pipeline.door.cells import Sheet, row_place
from lung4d.pipeline.door.likely import LikelyNames, some

NO_PARTICIPANTS = "There is no participants.tsv: no outcome is known, and survival is left out."


def join_participants(people: Sheet | None, scans: Sheet, errors: list[str]) -> list[str]:
    """Notices: how many rows and patients meet, and who does not; what cannot be meant goes to `errors`.

    people: None where there is no such table. Nothing is said where it is not known who is in them.
    """
    if people is None:
        return [NO_PARTICIPANTS]
    if not (people.whole and scans.whole) or any(row["subject"] is None for row in scans.rows):
        return []
    patients = dict.fromkeys(row["subject"] for row in scans.rows)
    if not patients:
        return []
    rows = [row for row in people.rows if row["subject"]]
    named = dict.fromkeys(row["subject"] for row in rows)
    alone = [row for row in rows if row["subject"] not in patients]
    without = [subject for subject in patients if subject not in named]
    free = LikelyNames(without)
    mistaken = [row for row in alone if free.like(row["subject"])]
    errors += _lost_sets([row for row in alone if not free.like(row["subject"])], people.name)
    if mistaken:
        errors.append(_mistaken(mistaken, free, people.name, scans.name))
    elif rows and len(alone) == len(rows):
        here, there = some(named), some(patients)
        errors.append(
            f"{people.name}: none of its {len(named)} patients ({here}) is in {scans.name} ({there}); write subjects "
            "the same way in both"
        )
    counts = _counts(people, len(rows), len(patients), alone, without, scans.name)
    return [counts, *_twice(alone, LikelyNames(patients), people.name), *_left_out(rows, scans, people.name)]


def _lost_sets(alone: list[dict[str, Any]], table: str) -> list[str]:
    """Rows that assign a set to nobody."""
    return [
        f"{row_place(table, row)}: split is {row['split']}, and scans.tsv has no such patient; mend subject, or empty "
        "the cell"
        for row in alone
        if row.get("split")
    ]


def _mistaken(rows: list[dict[str, Any]], free: LikelyNames, table: str, scans: str) -> str:
    """One sentence for all rows whose patient scans.tsv has under a name that is nearly the same."""
    first = rows[0]
    meant = [f"{row['subject']} is probably {' or '.join(free.like(row['subject']))}" for row in rows]
    return (
        f"{row_place(table, first)}: {scans} has no such patient, but one without a row whose name is nearly the same: "
        f"{some(meant)}; write subjects as in {scans} (a spreadsheet keeps zeros in columns of text)"
    )


def _counts(
    people: Sheet, rows: int, patients: int, alone: list[dict[str, Any]], without: list[str], scans: str
) -> str:
    met = f"{people.name}: {rows - len(alone)} of {rows} rows are of patients of {scans}"
    if alone:
        met += f", {len(alone)} of nobody there ({some(row['subject'] for row in alone)})"
    if without:
        return f"{met}; {len(without)} of {patients} patients have no row, so no outcome ({some(without)})."
    return f"{met}; every patient has a row." if rows else f"{met}."


def _twice(alone: list[dict[str, Any]], patients: LikelyNames, table: str) -> list[str]:
    """A notice over rows of nobody whose patient is probably one that has a row of its own."""
    pairs = [(row["subject"], patients.like(row["subject"])) for row in alone]
    found = [f"{name} is probably {' or '.join(like)}" for name, like in pairs if like]
    return [f"{table}: rows beside those of the same patients, which are not read: {some(found)}"] if found else []


def _left_out(rows: list[dict[str, Any]], scans: Sheet, table: str) -> list[str]:
    """A notice over rows, and the sets in them, of patients all of whose scans are left out."""
    kept = {row["subject"] for row in scans.rows if not row.get("exclude")}
    known = {row["subject"] for row in scans.rows}
    found = [row["subject"] + (f" ({row['split']})" if row.get("split") else "") for row in rows
             if row["subject"] in known - kept]  # fmt: skip
    if not found:
        return []
    return [f"{table}: rows of patients all of whose scans are left out, who are in no set: {some(found)}"]


def alike_sessions(rows: list[dict[str, Any]], table: str) -> list[str]:
    """A notice over visits of one patient whose names are nearly the same."""
    visits: dict[str, list[str | None]] = {}
    for row in rows:
        if row["subject"]:
            visits.setdefault(row["subject"], []).append(row["session"])
    pairs = [f"patient {subject}, {' and '.join(names)}" for subject, sessions in visits.items()
             for names in LikelyNames(sessions).alike()]  # fmt: skip
    return [f"{table}: visits that may be one and the same: {some(pairs)}"] if pairs else []


def alike_patients(rows: list[dict[str, Any]], table: str) -> list[str]:
    """A notice over patients whose names are nearly the same."""
    pairs = [" and ".join(names) for names in LikelyNames(row["subject"] for row in rows).alike()]
    return [f"{table}: patients that may be one and the same: {some(pairs)}"] if pairs else []


def half_outcomes(rows: list[dict[str, Any]], table: str) -> list[str]:
    """Notices over patients of whom half an outcome is given, which is none."""
    found = []
    for there, lacking in (("event", "followup_years"), ("followup_years", "event")):
        lone = [row["subject"] for row in rows if row.get(there) is not None and row.get(lacking) is None]
        if lone:
            found.append(f"{table}: {there} without {lacking}, which is no outcome: {some(lone)}")
    return found


def unknown_covariates(people: pd.DataFrame, covariates: Sequence[str]) -> list[str]:
    """A notice over covariates of which nothing is known, where there are outcomes."""
    if not {"followup_years", "event"} <= set(people) or people[["followup_years", "event"]].dropna().empty:
        return []
    found = [name for name in covariates if name not in people or people[name].isna().all()]
    if not found:
        return []
    return [f"participants.tsv has no value of {some(found)}: survival models go without, as far as they can"]
