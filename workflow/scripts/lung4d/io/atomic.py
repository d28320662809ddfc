"""Files that are whole or absent: atomic writing, JSON, and what is said of a damaged one."""

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # disk, quota, limit on the size of a file


class DamagedFile(ValueError):
    """A file of the results that cannot be used: its name, and what is wrong with it."""

    def __init__(self, path: str | Path, said: str):
        super().__init__(f"{path} cannot be used ({said})")
        self.path = Path(path)


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Any error of the block becomes a DamagedFile that names `path`, but that there is no such file."""
    try:
        yield
    except (FileNotFoundError, DamagedFile):
        raise
    except Exception as error:  # a file that is cut short fails in many ways
        said = (str(error).splitlines() or [""])[0][:120] or type(error).__name__
        raise DamagedFile(path, said) from error


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


def digest_of_file(path: str | Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
