"""When the visits were: dates to years, and limits that hold for years however they come."""

import re
from collections.abc import Mapping
from datetime import date, timedelta
from itertools import groupby
from typing import Any

from lung4d.pipeline.door.cells import row_place
from lung4d.pipeline.door.likely import some

DAYS_PER_YEAR = 365.25
FIRST_CT = date(1973, 1, 1)  # before it nobody's chest was scanned: a date like 1900-01-01 or 1970-01-01 is none
HALF_A_LIFE = 20  # years: CT of one patient are rarely that far apart
ROUNDED = 0.11  # years by which years and dates of a table may differ: one decimal, twice
DECIMALS = 3  # of years in the names of generated files


def settle_years(rows: list[dict[str, Any]], table: str, limits: Mapping[str, Any], errors: list[str]) -> list[str]:
    """Give every row `years`, where it has a `date` since the patient's first, and drop `date`; returns notices.

    limits: the schema of the column `years`. No sentence tells a date.
    """
    told = {error.partition(": years ")[0] for error in errors}
    days = [_day(row, table, errors) for row in rows]
    first: dict[str | None, date] = {}
    for row, day in zip(rows, days, strict=True):
        if isinstance(day, date):
            first[row.get("subject")] = min(day, first.get(row.get("subject"), day))
    _contradictions(rows, days, table, errors)
    dated = {row.get("subject") for row, day in zip(rows, days, strict=True) if day and row.get("years") is None}
    for row, day in zip(rows, days, strict=True):
        place = row_place(table, row)
        if row.get("years") is not None:
            if day is None and row.get("subject") in dated and not row.get("exclude"):
                errors.append(
                    f"{place}: years without a date, where the patient has dates alone; give all of them one way"
                )
        elif isinstance(day, date):
            row["years"] = round((day - first[row.get("subject")]).days / DAYS_PER_YEAR, DECIMALS)
            if not limits["minimum"] <= row["years"] <= limits["maximum"] and not row.get("exclude"):
                errors.append(f"{place}: date is {row['years']:.0f} years after the patient's first; mend one of them")
        elif day is None and place not in told and not row.get("exclude"):
            errors.append(f"{place}: years is empty; give a number of years since baseline, or a date")
    there = [row for row in rows if row.get("subject") and row.get("years") is not None and not row.get("exclude")]
    return _same_times(there, table) + _far_apart(there, table)


def _day(row: dict[str, Any], table: str, errors: list[str]) -> date | str | None:
    """The row's date, which is taken out; "refused" where it went to `errors`, None where there is none, and where a
    scan that is left out has a wrong one."""
    text = row.pop("date", None)
    if not text:
        return None
    try:
        day = date.fromisoformat(text) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else None
    except ValueError:
        day = None
    problem = ""
    if day is None:
        problem = "is not a date; give it as YYYY-MM-DD, or a number in the column years"
    elif day < FIRST_CT:
        problem = "is from before chests were scanned, as dates are that stand for not known; give the true one"
    elif day > date.today() + timedelta(days=1):  # it may be tomorrow elsewhere
        problem = "is in the future; give the true one"
    if problem and row.get("exclude"):
        return None  # a scan may be left out because nobody knows when it was
    if problem:
        errors.append(f"{row_place(table, row)}: date {problem}")
    return "refused" if problem else day


def _contradictions(rows: list[dict[str, Any]], days: list[Any], table: str, errors: list[str]) -> None:
    """Years and dates of one patient that do not run alike, counted from the first row that has both."""
    start: dict[str | None, tuple[date, float]] = {}
    for row, day in zip(rows, days, strict=True):
        if not isinstance(day, date) or row.get("years") is None or not row.get("subject"):
            continue
        zero, years = start.setdefault(row["subject"], (day, row["years"]))
        told, counted = row["years"] - years, (day - zero).days / DAYS_PER_YEAR
        if abs(told - counted) > ROUNDED:
            errors.append(
                f"{row_place(table, row)}: years and date contradict each other, {told:.2f} and {counted:.2f} years "
                "after the patient's first row; mend one, or give one of both"
            )


def _same_times(rows: list[dict[str, Any]], table: str) -> list[str]:
    """A notice where visits of a patient have one time, which tells nothing of change."""
    there = sorted(rows, key=lambda row: (row["subject"], row["years"]))
    found = []
    for (subject, _), visits in groupby(there, key=lambda row: (row["subject"], round(row["years"], DECIMALS))):
        sessions = [row.get("session") for row in visits]
        if len(sessions) > 1:
            found.append(f"patient {subject}, sessions {some(sessions)}")
    return [f"{table}: visits at one time, between which nothing can have changed: {some(found)}"] if found else []


def long_followups(rows: list[dict[str, Any]], table: str) -> list[str]:
    """A notice where patients were followed for half a life, as where months stand in place of years."""
    found = [row["subject"] for row in rows if (row.get("followup_years") or 0) > HALF_A_LIFE]
    return [f"{table}: followup_years above {HALF_A_LIFE}; are these years? {some(found)}"] if found else []


def _far_apart(rows: list[dict[str, Any]], table: str) -> list[str]:
    """A notice where visits of a patient lie half a life apart, as months in place of years and made-up dates do."""
    visits: dict[str, list[float]] = {}
    for row in rows:
        visits.setdefault(row["subject"], []).append(row["years"])
    found = [f"patient {subject}, {max(years) - min(years):g} years" for subject, years in visits.items()
             if max(years) - min(years) > HALF_A_LIFE]  # fmt: skip
    told = (
        f"{table}: visits more than {HALF_A_LIFE} years apart; are these years, and are the dates true? {some(found)}"
    )
    return [told] if found else []
