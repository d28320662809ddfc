"""Files that are whole or absent: atomic writing, JSON, and the status file of a scan."""

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

DECLARED_FOLDERS = ("simulate", "truth", "extract_latents", "generate_trajectories")  # of a patient, by stage
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # disk, quota, limit on the size of a file


class DamagedFile(ValueError):
    """A file of the results that cannot be used: its name, what is wrong with it, and what to do."""


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Any error of the block becomes a DamagedFile that names `path` and the remedy, but that there is no such file."""
    try:
        yield
    except (FileNotFoundError, DamagedFile):
        raise
    except Exception as error:  # a file that is cut short fails in many ways
        said = (str(error).splitlines() or [""])[0][:120] or type(error).__name__
        raise DamagedFile(f"{path} cannot be used ({said}): {remedy_for(path)}") from error


def remedy_for(path: str | Path) -> str:
    """What makes a file of the results anew. Snakemake makes by itself only what a job that is due declares as its
    input; so the file is asked for, or the patient's folder that the stage declares."""
    path = Path(path)
    if "results" not in path.parts:
        return "make it again"
    if path.parent.name.startswith("sub-") and path.parent.parent.name in DECLARED_FOLDERS:
        path = path.parent
    elif path.suffix == ".parquet" and path.with_suffix(".tsv").exists():
        path = path.with_suffix(".tsv")  # of the twins, the one that is declared
    below = path.parts[len(path.parts) - path.parts[::-1].index("results") :]
    target = Path("results", *below).as_posix()
    return f"run the same command once with `--force {target}` at its end, which makes it again, and then without"


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` (same suffixes) that is renamed to `path` when the block succeeds.

    A reader never sees half a file; after an error the temporary file is removed and `path` is as it was. An OSError
    says so where there is no room for the file, whatever the block itself made of that.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except Exception as error:
        if number := _no_room(error, temporary):
            raise OSError(
                number,
                f"there is no room to write {path}: make room on the disk or in the quota, then run the same command "
                "again. What was there before is whole",
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _no_room(error: Exception, temporary: Path) -> int | None:
    """The number of the error where a full disk is why writing failed. Libraries that write by themselves do not always
    say that; one more attempt to write does."""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return error.errno
    if not temporary.exists():
        return None
    try:
        with temporary.open("ab") as stream:
            stream.write(bytes(2**20))
    except OSError as found:
        return found.errno if found.errno in NO_ROOM else None
    return None


def write_text(text: str, path: str | Path) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(data: Any, path: str | Path) -> None:
    """Write `data` as indented JSON; NaN is refused, because other readers do not know it (use None)."""
    write_text(json.dumps(data, indent=2, allow_nan=False) + "\n", path)


def read_json(path: str | Path) -> Any:
    """The content of a JSON file; raises DamagedFile where it is none."""
    with reading(path):
        return json.loads(Path(path).read_text(encoding="utf-8"))


def leave_empty(*paths: str | Path) -> None:
    """Create empty files where a scan that cannot go on owes declared outputs."""
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(b"")


class UnusableScan(Exception):
    """A scan that cannot go on, with a reason fit for the report: no path, no identifier."""


@dataclass(frozen=True)
class Status:
    """What became of one scan in one stage; a failure is handed down unchanged by the stages that follow.

    `stage` is where it failed, or the stage that wrote a good status. `metrics` holds the stage's quality numbers
    (plain floats, ints, strings or None) and `flags` the sentences a person should read although the scan goes on.
    `digest` stands for the content of all files that this stage and those before it left of the scan.
    """

    ok: bool
    stage: str
    reason: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    digest: str = ""


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
    write_json(asdict(replace(status, digest=digest.hexdigest()[:16])), path)


def digest_of_file(path: str | Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
