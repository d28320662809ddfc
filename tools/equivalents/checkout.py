"""A commit in a folder of its own, and what a folder's code says of itself."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.equivalents.code import LIBRARY

ASK = Path(__file__).with_name("ask.py")
VERSION = re.compile(r'^__version__ = ".*"$', re.M)


@dataclass(frozen=True)
class Stage:
    """`raw` is the digest of the code, `recorded` what a run writes down for it; `files` are those that count, and
    `left_out` places in the library (files, or folders with a slash) that do not."""

    raw: str
    recorded: str
    files: frozenset[Path]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Checkout:
    """A copy of the repository at `folder`, with its version and its stages by name."""

    folder: Path
    version: str
    stages: dict[str, Stage]

    @property
    def scripts(self) -> Path:
        return self.folder / "workflow" / "scripts"

    @classmethod
    def at(cls, folder: Path) -> "Checkout":
        """Raises SystemExit where the code there cannot be asked."""
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        command = [sys.executable, str(ASK), str(folder / "workflow" / "scripts")]
        done = subprocess.run(command, env=environment, text=True, capture_output=True)
        if done.returncode:
            raise SystemExit(f"the code in {folder} does not say its digests:\n{done.stderr}")
        said = json.loads(done.stdout)
        stages = {
            name: Stage(s["raw"], s["recorded"], frozenset(map(Path, s["files"])), tuple(s["left_out"]))
            for name, s in said["stages"].items()
        }
        return cls(folder, said["version"], stages)

    def files(self, stage: str, left_out: tuple[str, ...] = ()) -> set[Path]:
        """Files that count for a stage, without those at places that no longer do."""
        places = tuple(str(self.scripts / LIBRARY / place) for place in left_out)
        return {path for path in self.stages[stage].files if not str(path).startswith(places)}

    def set_version(self, version: str) -> None:
        """Make the code say another version of itself: it stands in headers of files, which are compared."""
        for path in sorted((self.scripts / LIBRARY).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            if VERSION.search(text):
                path.write_text(VERSION.sub(f'__version__ = "{version}"', text), encoding="utf-8")
                return
        raise SystemExit(f"no module in {self.scripts} has a line __version__ = ...")


def full_name(repository: Path, commit: str) -> str:
    """The commit's whole digest. Raises SystemExit where there is none."""
    done = _git(repository, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}", check=False)
    if done.returncode:
        raise SystemExit(f"BASE={commit} is no commit of this repository")
    return done.stdout.strip()


@contextmanager
def worktree(repository: Path, commit: str) -> Iterator[Path]:
    """A folder with the files of `commit`, for as long as it is wanted."""
    with TemporaryDirectory(prefix="equivalents-") as temporary:
        folder = Path(temporary).resolve() / "base"
        _git(repository, "worktree", "add", "--quiet", "--detach", str(folder), commit)
        try:
            yield folder
        finally:
            _git(repository, "worktree", "remove", "--force", str(folder))


def _git(repository: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess:
    return subprocess.run(["git", *words], cwd=repository, text=True, capture_output=True, check=check)
