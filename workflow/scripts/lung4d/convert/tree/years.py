"""When visits were, where no header says it: small tables in the tree itself.

`years.tsv` at its top has a row per scan or folder (`path`, and `years` or `date`); BIDS has `sub-01_sessions.tsv`
(`session_id`, and `years`, or `acq_time` with a date) and `participants.tsv` (`participant_id`, `age`, `sex`).
"""

import csv
import io
import math
import re
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from lung4d.convert.patient_headers import day_of

LARGEST = 2**20  # bytes of a small table
SESSIONS = re.compile(r"(?:^|.*/)sub-([A-Za-z0-9]+)_sessions\.tsv")


@dataclass(frozen=True)
class VisitTimes:
    """Years or dates, by path in the tree or by "sub-01/ses-02"; age and sex by "sub-01"."""

    times: dict[str, float | date] = field(default_factory=dict)
    people: dict[str, tuple[str, str]] = field(default_factory=dict)

    def of(self, path: str, label: str = "", session: str = "") -> float | date | None:
        """The time of a scan: its own, that of a folder above it, or that of its BIDS session."""
        while path:
            if path in self.times:
                return self.times[path]
            path = path.rpartition("/")[0]
        return self.times.get(f"sub-{label}/ses-{session}")


def read_visit_times(root: Path, files: list[str]) -> VisitTimes:
    found = VisitTimes()
    for path in files:
        match = SESSIONS.fullmatch(path)
        if path == "years.tsv" or match:
            for row in _rows(root / path):
                session = row.get("session_id", "").removeprefix("ses-")
                place = f"sub-{match[1]}/ses-{session}" if match else row.get("path", "").strip("/ ")
                time = _time(row)
                if place and time is not None:
                    found.times[place] = time
        elif path == "participants.tsv":
            for row in _rows(root / path):
                label = row.get("participant_id", "")
                found.people[label] = row.get("age", ""), row.get("sex", row.get("gender", ""))
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        if path.stat().st_size > LARGEST:
            return []
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return []
    rows = csv.DictReader(io.StringIO(text), delimiter="\t")
    return [{str(key).strip(): str(value or "").strip() for key, value in row.items()} for row in rows]


def _time(row: dict[str, str]) -> float | date | None:
    for name in ("years", "date", "acq_time"):
        try:
            years = float(row.get(name, ""))
        except ValueError:
            if (day := day_of(row.get(name, ""))) is not None:
                return day
        else:
            if math.isfinite(years) and years >= 0 and name == "years":
                return years
    return None
