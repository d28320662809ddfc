"""The lock of a folder in which one process at a time trains."""

import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from lung4d.io.atomic import atomic
from lung4d.training.earlier_jobs import EarlierJobs

logger = logging.getLogger("lung4d")


class Lock:
    """Context manager that lets one process at a time train in a folder, also across machines that share it.

    The file `lock.json` names host, process and a counter that a thread raises every `beat` seconds. A process that
    finds it waits until it is released. It is taken over when its owner is gone: at once if that process ran on this
    host and is dead, else when the counter has not moved for `stale` seconds of our own clock (clocks of two hosts
    may differ). Raises SystemExit(75) through `give_up` (a function asked while waiting) if that returns True. A
    process that was started by the one that has the lock says so by `held`: it leaves the lock alone and only checks
    that it is still there.

    The lock is of a training, and its job ends later: `earlier` (`lung4d.training.earlier_jobs`) tells when outputs
    can be written, by what it keeps in the file `record`.
    """

    def __init__(
        self,
        folder: str | Path,
        give_up: Callable[[], bool] = lambda: False,
        beat: float = 10,
        stale: float = 120,
        held: bool = False,
        record: str | Path | None = None,
    ):
        self.path = Path(folder) / "lock.json"
        self.earlier = EarlierJobs(record, give_up)
        self.give_up, self.beat, self.stale, self.held = give_up, beat, stale, held
        self.token: str | None = secrets.token_hex(8)
        self._done = threading.Event()
        self._thread: threading.Thread | Any = None
        self.lost = False

    def __enter__(self) -> "Lock":
        if self.held:
            self.token = (self._read() or {}).get("token")
            self.earlier.enter(held=True)
            return self
        self.path.parent.mkdir(parents=True, exist_ok=True)
        seen, seen_at, said = None, time.monotonic(), False
        while not self._create():
            owner = self._read()
            if owner != seen:
                seen, seen_at = owner, time.monotonic()
            if owner is not None and not said:
                logger.warning(
                    "waiting: process %s on %s trains in the same folder", owner.get("pid"), owner.get("host")
                )
                said = True
            if _is_dead(owner) or time.monotonic() - seen_at > self.stale:
                logger.warning("taking over the lock of a process that is gone")
                self._remove(owner)
                continue
            if self.give_up():
                raise SystemExit(75)
            time.sleep(min(1.0, self.beat))
        self.earlier.enter()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.held:
            return
        self._done.set()
        self._thread.join()
        if not self.lost:
            self.earlier.leave()
            self.path.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise RuntimeError if another process has taken the lock over, as after a long suspension."""
        if self.held:
            owner = self._read()
            self.lost = owner is not None and (owner["token"] != self.token or _is_dead(owner))
        if self.lost:
            raise RuntimeError(f"{self.path} now belongs to another process; this one stops without saving")

    def _create(self) -> bool:
        try:
            handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return False
        try:
            with os.fdopen(handle, "w") as stream:
                stream.write(self._text(0))
        except OSError:  # a full disk: without its text, the next process would wait for it
            self.path.unlink()
            raise
        return True

    def _text(self, beats: int) -> str:
        return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "token": self.token, "beats": beats})

    def _read(self) -> dict[str, Any] | None:
        try:
            return json.loads(self.path.read_text())
        except (OSError, ValueError):
            return None  # being written, or just removed

    def _remove(self, owner: dict[str, Any] | None) -> None:
        """Remove the lock that was seen, by a rename that only one of several waiting processes can win."""
        aside = self.path.with_name(f"lock-{self.token}.json")
        try:
            self.path.rename(aside)
        except FileNotFoundError:
            return
        taken = json.loads(aside.read_text() or "null")
        if owner is not None and taken is not None and taken["token"] != owner["token"]:
            aside.rename(self.path)  # another waiting process was faster: it is its lock by now
            return
        aside.unlink()

    def _keep(self) -> None:
        beats = 0
        while not self._done.wait(self.beat):
            owner = self._read()
            if owner is not None and owner["token"] != self.token:
                self.lost = True
                return
            beats += 1
            with suppress(OSError), atomic(self.path) as temporary:  # a disk that is full now may have room later
                temporary.write_text(self._text(beats))


def _is_dead(owner: dict[str, Any] | None) -> bool:
    if owner is None or owner.get("host") != socket.gethostname():
        return False
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
