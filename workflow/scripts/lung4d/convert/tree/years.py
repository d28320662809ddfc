"""When visits were, where no header says it: small tables in the tree itself.

`years.tsv` at its top has a row per scan or folder (`path`, and `years` or `date`); BIDS has `sub-01_sessions.tsv`
(`session_id`, and `years`, or `acq_time` with a date), `sub-01_ses-02_scans.tsv` (`filename`, and the same) and
`participants.tsv` (`participant_id`, `age`, `sex`), each beside the folders of one data set, of which a tree may hold
several.
"""

import csv
import io
import math
import posixpath
import re
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from lung4d.convert.patient_headers import day_of

LARGEST = 2**20  # bytes of a small table
YEARS = "years.tsv"
LIKE_YEARS = re.compile(r"years?\.(tsv|csv|txt|xlsx?|ods)", re.IGNORECASE)
# The folder and patient of a table of BIDS.
SESSIONS = re.compile(r"((?:.*/)?)(sub-[A-Za-z0-9]+)_sessions\.tsv")
SCANS = re.compile(r"((?:.*/)?)sub-[A-Za-z0-9]+(?:_ses-[A-Za-z0-9]+)?_scans\.tsv")
PEOPLE = re.compile(r"((?:.*/)?)participants\.tsv")


@dataclass(frozen=True)
class VisitTimes:
    """Years or dates by path in the tree, or by "sub-01/ses-02" below a folder; age and sex by the path of "sub-01";
    places in `years.tsv` that are nowhere in the tree or have no time, and files that may be meant by that name."""

    times: dict[str, float | date] = field(default_factory=dict)
    people: dict[str, tuple[str, str]] = field(default_factory=dict)
    unjoined: list[str] = field(default_factory=list)
    misnamed: list[str] = field(default_factory=list)

    def of(self, path: str, patient: str = "", session: str = "") -> float | date | None:
        """The time of a scan: its own, that of a folder above it, or that of the session of the BIDS folder."""
        while path:
            if path in self.times:
                return self.times[path]
            path = path.rpartition("/")[0]
        return self.times.get(f"{patient}/ses-{session}")


def read_visit_times(root: Path, files: list[str]) -> VisitTimes:
    """What the small tables among the `files` of a tree tell."""
    found = VisitTimes()
    for path in files:
        if match := SESSIONS.fullmatch(path):
            above, patient = match[1].rstrip("/"), match[2]
            place = above if posixpath.basename(above) == patient else posixpath.join(above, patient)
            _add(found, {f"{place}/ses-{_bare(row, 'session_id', 'ses-')}": row for row in _rows(root / path)})
        elif match := SCANS.fullmatch(path):
            named = {_place(row.get("filename", ""), match[1]): row for row in _rows(root / path)}
            _add(found, named)
        elif match := PEOPLE.fullmatch(path):
            for row in _rows(root / path):
                place = f"{match[1]}sub-{_bare(row, 'participant_id', 'sub-')}"
                found.people[place] = row.get("age", ""), row.get("sex", row.get("gender", ""))
        elif path != YEARS and LIKE_YEARS.fullmatch(path):
            found.misnamed.append(path)
    if YEARS in files:
        named = {_place(row.get("path", "").removeprefix(f"{root}/"), ""): row for row in _rows(root / YEARS)}
        _add(found, named)
        known = {place for path in files for place in _with_folders(path)}
        found.unjoined.extend(place for place in named if place not in known or place not in found.times)
    return found


def _add(found: VisitTimes, named: dict[str, dict[str, str]]) -> None:
    found.times.update({place: time for place, row in named.items() if (time := _time(row)) is not None})


def _bare(row: dict[str, str], column: str, prefix: str) -> str:
    return row.get(column, "").removeprefix(prefix)


def _place(named: str, below: str) -> str:
    """A path as somebody wrote it, as the tree has it."""
    return posixpath.normpath(posixpath.join(below, named.replace("\\", "/").strip("/ ")))


def _with_folders(path: str) -> list[str]:
    """A path and all folders above it."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        if path.stat().st_size > LARGEST:
            return []
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return []
    rows = csv.DictReader(io.StringIO(text), delimiter="\t")
    return [{str(key).strip().lower(): str(value or "").strip() for key, value in row.items()} for row in rows]


def _time(row: dict[str, str]) -> float | date | None:
    """The years of a row, with a point or a comma, or else its date."""
    if re.fullmatch(r"\d+(?:[.,]\d*)?|[.,]\d+", text := row.get("years", "")):
        years = float(text.replace(",", "."))
        return years if math.isfinite(years) else None
    return next((day for name in ("years", "date", "acq_time") if (day := day_of(row.get(name)))), None)
