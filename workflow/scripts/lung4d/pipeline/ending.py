"""The last lines of a run: what was left out, what was flagged, what was not done and why, and where the page is."""

import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lung4d.io.atomic import DamagedFile, read_json
from lung4d.io.names import STATUS, scan_file
from lung4d.io.status import Status, read_status
from lung4d.pipeline import disk_use

SCAN_STAGES = ("convert", "segment", "register", "resample")
SHOWN = 4  # reasons, or flagged scans, of a kind


def last_lines(
    results: Path, scans: Iterable[tuple[str, str]], excluded: int, finished: bool, made: Iterable[str]
) -> list[str]:
    """Sentences on what the folder `results` holds of the scans (subject, session).

    excluded: scans that the tables leave out; finished: whether all jobs are done; made: the rules that had jobs.
    """
    scans, made = list(scans), set(made)
    if not results.is_dir():
        return []
    current = finished and "qc" in made
    lines = left_out_lines(results, scans, excluded, finished) + flagged_lines(results / "qc" / "qc.tsv", current)
    if finished:
        lines += not_done_lines(results)
    page = report_line(results / "report" / "index.html", finished and "report" in made)
    return [*lines, page, f"results/ takes {disk_use.size_in_words(sum(disk_use.used(results).values()))}."]


def left_out_lines(results: Path, scans: list[tuple[str, str]], excluded: int, finished: bool) -> list[str]:
    """Scans that cannot be used, by reason, and those that the tables leave out."""
    copies = _left_out_as_copies(results)
    failures = [failed for scan in scans if (failed := _failure(results, scan) or copies.get(scan))]
    lines = [f"Left out by the tables: {_scans(excluded)}."] if excluded else []
    if not failures:
        return [*lines, "Left out: no scan." if finished else "Left out: no scan so far."]
    reasons: dict[str, list[str]] = {}
    for failed in failures:  # sentences that differ in their numbers alone are one reason
        reasons.setdefault(f"{failed.stage}: {re.sub(r'[0-9.,]+', '#', failed.reason)}", []).append(failed.reason)
    by_count = sorted(reasons.items(), key=lambda item: -len(item[1]))
    named = "; results/split/unusable.tsv names them" if (results / "split" / "unusable.tsv").is_file() else ""
    lines.append(f"Left out: {len(failures)} of {_scans(len(scans))}{named}.")
    lines += [f"  {len(given)}: {key.partition(':')[0]}: {given[0]}" for key, given in by_count[:SHOWN]]
    return lines + ([f"  and {len(by_count) - SHOWN} more reasons"] if len(by_count) > SHOWN else [])


def _failure(results: Path, scan: tuple[str, str]) -> Status | None:
    """The failure of a scan, in the stage in which it failed."""
    for stage in SCAN_STAGES:
        try:
            status = read_status(scan_file(results / stage, *scan, STATUS))
        except (OSError, DamagedFile):
            continue
        if not status.ok and status.stage == stage:
            return status
    return None


def _left_out_as_copies(results: Path) -> dict[tuple[str, str], Status]:
    """What `split` left out itself, unless the scan was made anew since."""
    table = results / "split" / "unusable.tsv"
    found = {}
    try:
        made = table.stat().st_mtime
        for row in pd.read_csv(table, sep="\t", dtype=str, keep_default_na=False).itertuples():
            scan = str(row.subject), str(row.session)
            before = scan_file(results / "resample", *scan, STATUS)
            if row.stage == "split" and before.is_file() and before.stat().st_mtime <= made:
                found[scan] = Status(False, "split", str(row.reason))
    except (OSError, ValueError, AttributeError):
        return {}
    return found


def _scans(count: int) -> str:
    return f"{count} scan" if count == 1 else f"{count} scans"


def flagged_lines(table: Path, current: bool) -> list[str]:
    """From qc.tsv, the scans that a person should look at; `current` is whether this run has made it."""
    try:
        rows = pd.read_csv(table, sep="\t", dtype=str, keep_default_na=False)
        rows = rows[rows["flags"].str.strip() != ""]
    except (OSError, ValueError, KeyError):
        return ["Flagged: not known yet, the quality table was not made."]
    when = "" if current else f", by the quality table of {_day(table)}"
    if rows.empty:
        return [f"Flagged: no scan{when}."]
    lines = [f"Flagged: {_scans(len(rows))}{when}; results/qc/qc.tsv names them."]
    lines += [f"  sub-{row.subject} ses-{row.session}: {row.flags}" for row in rows.head(SHOWN).itertuples()]
    return lines + ([f"  and {len(rows) - SHOWN} more"] if len(rows) > SHOWN else [])


def not_done_lines(results: Path) -> list[str]:
    """What a run that went well could not do, and why, as the stages tell."""
    reasons = [*_unscored(_found(results / "evaluate")), *_unfitted(_found(results / "survival"))]
    if not reasons:
        return []
    return ["Not done, because the cohort does not allow it:", *(f"  {reason}" for reason in reasons)]


def _found(folder: Path) -> Mapping[str, Any]:
    """The findings in a stage's summary, nothing where there are none."""
    try:
        return read_json(folder / "summary.json")["findings"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _unscored(found: Mapping[str, Any]) -> list[str]:
    """Forecasts of test patients that could not be scored, or on too few of them to judge."""
    lines = []
    for task in found.get("tasks", []):
        if task["set"] != "test":
            continue
        if not task["patients"]:
            lines.append(f"{task['task']} was not scored: no test patient has three usable visits")
        elif any(model["claim"].startswith("too few") for model in task["models"]):
            lines.append(f"{task['task']} was not judged: {task['patients']} test patients are too few to tell")
    return lines


def _unfitted(found: Mapping[str, Any]) -> list[str]:
    if not found.get("outcomes", True):
        return ["survival was not analysed: no patient has an outcome in participants.tsv"]
    reasons: dict[str, set[str]] = {}
    for one in found.get("unscored", []):
        reasons.setdefault(one["reason"], set()).add(one["model"])
    return [f"no C-index of {_named(models)}: {reason}" for reason, models in list(reasons.items())[:SHOWN]]


def _named(models: set[str]) -> str:
    return f"{len(models)} survival models" if len(models) > 1 else f"the survival model {next(iter(models))}"


def report_line(page: Path, made: bool) -> str:
    """Where the page is; with its day where it is older than this run."""
    if not page.is_file():
        return "Report: not made yet."
    return f"Report: {page.resolve()}" + ("" if made else f", of {_day(page)}")


def _day(path: Path) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
