"""The folder `private/` beside the tables: who is who, where the scans are, and a key. Nobody else's business.

It is made with the mode 0700 and is ignored by git. What the target `tables` writes comes all at once: it is prepared
in `private/.new`, a plan there says what goes where, and from then on it is carried out, by the next run if need be.
"""

import csv
import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lung4d.io.atomic import write_text

PRIVATE = Path("private")
SCANS = PRIVATE / "scans"
VISITS = PRIVATE / "visits.tsv"
IDENTITY = PRIVATE / "id"
MARK = Path("config") / ".private-id"  # which private/ the tables belong to
NEW = PRIVATE / ".new"
PLAN = NEW / "plan.json"
TABLE = Path("config") / "scans.tsv"


def make_private(folder: Path) -> bytes:
    """Make `private/` in `folder` as far as it is not there, and return its key."""
    home = folder / PRIVATE
    if not home.is_dir():
        home.mkdir(mode=0o700, parents=True)
        home.chmod(0o700)
    if not (home / ".gitignore").exists():
        write_text("*\n", home / ".gitignore")
    _make_once(home / "key", secrets.token_hex(32))
    return bytes.fromhex((home / "key").read_text().strip())


def read_key(folder: Path) -> bytes | None:
    """The key of `private/`, or None where it is lost."""
    try:
        return bytes.fromhex((folder / PRIVATE / "key").read_text().strip()) or None
    except (OSError, ValueError):
        return None


def _make_once(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole, unless it is there; of several that do so at once one wins."""
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text + "\n")
    with suppress(FileExistsError):
        os.link(temporary, path)
    temporary.unlink()


def private_problems(folder: Path) -> list[str]:
    """Why no run may use the tables in `folder`, where the target `tables` made them: `private/` is not theirs."""
    if (folder / PRIVATE).exists() and not (folder / PRIVATE).is_dir():
        return [f"{PRIVATE} is a file, where a folder is to be made: call the file something else"]
    if (folder / PLAN).is_file():
        return ["the target tables was stopped while it wrote the tables; run it again, and then this"]
    made = [row for row in read_rows(folder / TABLE) if row.get("path", "").startswith(f"{SCANS.as_posix()}/")]
    if not made:
        return []
    remedy = "bring back the one that was made with the table, or make the tables anew in an empty folder"
    if not (folder / VISITS).is_file():
        return [f"{TABLE} was made by the target tables, and private/, where its scans are, is gone: {remedy}"]
    known = {(row.get("subject"), row.get("session")) for row in read_rows(folder / VISITS)}
    if not known:
        return [f"{VISITS} holds no rows, and {TABLE} was made with it: {remedy}"]
    mark, own = (text_of_file(folder / path) for path in (MARK, IDENTITY))
    if (mark and mark != own) or any((row["subject"], row["session"]) not in known for row in made):
        return [f"{TABLE} was made by the target tables, and private/ is that of another folder: {remedy}"]
    lost = [row for row in made if not row.get("exclude") and not _leads_somewhere(folder / row["path"])]
    if lost:
        named = ", ".join(f"{row['subject']} {row['session']}" for row in lost[:3]) + (", ..." if lost[3:] else "")
        return [
            f"the files of {len(lost)} {'scan' if len(lost) == 1 else 'scans'} in {TABLE} are not where they were "
            f"({named}): connect their disk, or delete private/scans and run the target tables with the new place of "
            "the tree"
        ]
    return []


def _leads_somewhere(place: Path) -> bool:
    """Whether the first link of a scan's folder is whole; a folder that is not there is told of elsewhere."""
    try:
        with os.scandir(place) as entries:
            first = next(entries, None)
    except OSError:
        return True
    return first is None or Path(first.path).exists()


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a tab-separated table, every cell as it is; none where it is no such table."""
    try:
        text = path.read_bytes().decode("utf-8-sig", errors="surrogateescape")
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t"))
    except (OSError, csv.Error):
        return []
    return [{str(key): value if isinstance(value, str) else "" for key, value in row.items()} for row in rows]


def table_text(columns: list[str], rows: list[dict[str, str]], head: bool = True) -> str:
    """A tab-separated table; cells with tabs, quotes or line feeds are quoted."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, delimiter="\t", lineterminator="\n", restval="", extrasaction="ignore")
    if head:
        writer.writeheader()
    writer.writerows({name: cell.replace("\r", "\\r") for name, cell in row.items()} for row in rows)
    return text.getvalue()


def text_of_file(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold `private/` for this process; raises BlockingIOError where another one does."""
    import fcntl  # not on every system that can read these rules

    descriptor = os.open(folder / PRIVATE, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(descriptor)


class Staging:
    """What is to be written, removed and put into place in `folder`, all of it or nothing."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.put: list[str] = []
        self.removed: list[str] = []
        shutil.rmtree(folder / NEW, ignore_errors=True)
        (folder / NEW).mkdir(mode=0o700)

    def write(self, path: str | Path, text: str) -> bool:
        """Have `path` hold `text`; False where it does already."""
        data = text.encode("utf-8", errors="surrogateescape")
        with suppress(OSError):
            if (self.folder / path).read_bytes() == data:
                return False
        self._place(path).write_bytes(data)
        return True

    def make_folder(self, path: str | Path) -> Path | None:
        """A folder to be filled that will be at `path`, or None where one is there already."""
        if (self.folder / path).exists():
            return None
        place = self._place(path)
        place.mkdir()
        return place

    def remove(self, path: str | Path) -> None:
        self.removed.append(Path(path).as_posix())

    def commit(self) -> None:
        """From here on it happens, whatever stops this process."""
        plan = self.folder / NEW / "plan.tmp"
        plan.write_text(json.dumps({"put": self.put, "removed": self.removed}))
        plan.replace(self.folder / PLAN)
        finish(self.folder)

    def _place(self, path: str | Path) -> Path:
        place = self.folder / NEW / path
        place.parent.mkdir(parents=True, exist_ok=True)
        self.put.append(Path(path).as_posix())
        return place


def finish(folder: Path) -> None:
    """Carry out a plan that is there; what was prepared without one goes away."""
    with suppress(FileNotFoundError):
        plan = json.loads((folder / PLAN).read_text())
        for path in plan["put"]:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # it was put into place before
                (folder / NEW / path).replace(folder / path)
        for path in plan["removed"]:
            (folder / path).unlink(missing_ok=True)
        (folder / PLAN).unlink()
    shutil.rmtree(folder / NEW, ignore_errors=True)


def digest_of_text(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", errors="surrogateescape")).hexdigest()
