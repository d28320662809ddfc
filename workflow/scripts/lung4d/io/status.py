"""The status file of a scan: what became of it in a stage."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lung4d.io.atomic import digest_of_file, read_json, reading, write_json


class UnusableScan(Exception):
    """A scan that cannot go on, with a reason fit for the report: no path, no identifier."""


@dataclass(frozen=True)
class Status:
    """What became of one scan in one stage; a failure is handed down unchanged by the stages that follow.

    `stage` is where it failed, or the stage that wrote a good status. `metrics` holds the stage's quality numbers
    (plain floats, ints, strings or None) and `flags` the sentences a person should read although the scan goes on.
    `digest` stands for the content of all files that this stage and those before it left of the scan, `content` is what
    the scan shows, as stage convert packs it (lung4d.io.fingerprint).
    """

    ok: bool
    stage: str
    reason: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    digest: str = ""
    content: dict[str, Any] = field(default_factory=dict)


def write_status(
    status: Status, path: str | Path, left: Iterable[str | Path] = (), before: Iterable[str | Path] = ()
) -> None:
    """Write `status` with its digest: of the files that the stage `left` and of the statuses `before` it."""
    digest = hashlib.sha256()
    for file in left:
        if Path(file) != Path(path):
            digest.update(digest_of_file(file).encode())
    for earlier in before:
        digest.update(read_status(earlier).digest.encode())
    written = asdict(replace(status, digest=digest.hexdigest()[:16]))
    if not status.content:
        del written["content"]
    write_json(written, path)


def read_status(path: str | Path) -> Status:
    """The status at `path`, also an older version's, without the newer fields; raises DamagedFile for anything else."""
    with reading(path):
        return Status(**read_json(path))


def first_failure(*paths: str | Path) -> Status | None:
    """The first status that is not ok, without its stage's numbers, or None where all scans may go on."""
    for path in paths:
        status = read_status(path)
        if not status.ok:
            return Status(ok=False, stage=status.stage, reason=status.reason)
    return None
