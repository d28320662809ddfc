"""Quality of every scan in one table: the stages' statuses side by side, and flags a person should look at."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lung4d.io.status import Status

STAGES = ("convert", "segment", "register", "resample")


@dataclass(frozen=True)
class Thresholds:
    """Beyond these a scan is flagged, not removed.

    `max_volume_change` is a share of the lung volume at the patient's baseline, `min_dice_after` a Dice coefficient of
    the lung masks after registration.
    """

    max_volume_change: float
    min_dice_after: float


def flatten(
    statuses: Iterable[tuple[str, str, Status]],
    thresholds: Thresholds,
    years: dict[tuple[str, str], float] | None = None,
    copies: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row a scan: subject, session, years, ok, stage, reason, flags, and every metric as `<stage>_<metric>`.

    `statuses` are (subject, session, status) of all stages in any order; `years` since baseline tell which visit comes
    first (without them, the first session by name); the baseline is the first with lungs. `copies` is the table of
    stage split. A scan is ok when all its statuses are and no copy of it is used instead; `stage` and `reason` are
    those of the first stage that failed, empty for scans that went through. `flags` joins the stages' own sentences,
    those on copies and those of the thresholds with spaces.
    """
    scans: dict[tuple[str, str], list[Status]] = {}
    for subject, session, status in statuses:
        scans.setdefault((subject, session), []).append(status)
    years = years or {}
    rows = [_row(scan, scans[scan], years.get(scan)) for scan in sorted(scans)]
    if copies is not None:
        _add_copies({(row["subject"], row["session"]): row for row in rows}, copies)
    baselines: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=_in_time):
        if row["stage"] not in ("convert", "segment"):
            baselines.setdefault(row["subject"], row)
    for row in rows:
        row["flags"] = " ".join(row["flags"] + threshold_flags(row, baselines.get(row["subject"], row), thresholds))
    columns = list(dict.fromkeys(key for row in rows for key in row))
    head = ["subject", "session", "years", "ok", "stage", "reason", "flags"]
    return pd.DataFrame(rows, columns=head + [column for column in columns if column not in head])


def _add_copies(rows: dict[tuple[str, str], dict[str, Any]], copies: pd.DataFrame) -> None:
    """Put what the table says of copies into the rows of `rows`, which are by scan."""
    for copy in copies.itertuples():
        row = rows.get((copy.subject, copy.session))
        if row is None:
            continue
        if copy.left_out:
            row |= {"ok": False, "stage": "split", "reason": copy.flag}
        else:
            row["flags"].append(copy.flag)


def threshold_flags(row: dict[str, Any], baseline: dict[str, Any], thresholds: Thresholds) -> list[str]:
    """Sentences on what lies beyond the thresholds; a number that is missing flags nothing."""
    flags = []
    volume, first = row.get("segment_volume_ml"), baseline.get("segment_volume_ml")
    if volume and first and row is not baseline:
        share = volume / first - 1
        if abs(share) > thresholds.max_volume_change:
            word = "smaller" if share < 0 else "larger"
            flags.append(f"The lung volume is {100 * abs(share):.0f} % {word} than at the baseline visit.")
    dice = row.get("register_dice_after")
    if dice is not None and row is not baseline and dice < thresholds.min_dice_after:
        flags.append(f"After registration the lungs overlap with Dice {dice:.2f}, below {thresholds.min_dice_after:g}.")
    return flags


def _row(scan: tuple[str, str], statuses: list[Status], years: float | None) -> dict[str, Any]:
    statuses = sorted(statuses, key=lambda status: _order(status.stage))
    failed = next((status for status in statuses if not status.ok), None)
    row: dict[str, Any] = {
        "subject": scan[0],
        "session": scan[1],
        "years": years,
        "ok": failed is None,
        "stage": failed.stage if failed else "",
        "reason": failed.reason if failed else "",
        "flags": list(dict.fromkeys(flag for status in statuses for flag in status.flags)),
    }
    for status in statuses:
        for name, value in status.metrics.items():
            row[f"{status.stage}_{name}"] = _plain(value)
    return row


def _in_time(row: dict[str, Any]) -> tuple[float, str]:
    """Sorts a patient's visits; those without years come by name."""
    return (row["years"] or 0.0), row["session"]


def _order(stage: str) -> int:
    return STAGES.index(stage) if stage in STAGES else len(STAGES)


def _plain(value: Any) -> Any:
    """A cell of a table: lists and mappings become text, because a column holds one type."""
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
