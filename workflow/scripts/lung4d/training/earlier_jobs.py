"""The jobs that train in one folder one after the other, and when the earlier ones are gone.

A job outlives its training: at its end its Snakemake looks for the outputs, and where one is missing it removes the
others. They are missing where a second job was started meanwhile (a run was killed and started again, or one passed
another's lock), whose Snakemake removed them before its script began. A training therefore writes its outputs when the
jobs before it are gone, which would else remove them.
"""

import json
import logging
import os
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lung4d.io.atomic import write_json

# What SLURM says of a job none of whose processes is left. One that was put back into the queue begins anew.
GONE = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PENDING", "PREEMPTED",
    "REVOKED", "TIMEOUT",
}  # fmt: skip
LONG_AGO = 3600.0  # s after the end of its training, when a job is gone for sure, also where two hosts' clocks differ
# s after which a job that is still there, or of which nothing can be said, counts as gone: Snakemake waits for missing
# outputs for `latency-wait` seconds, 60 in the profile for SLURM
PATIENCE = 300.0
POLL = 2.0  # s

logger = logging.getLogger("lung4d")


@dataclass(frozen=True)
class Job:
    """What a training belongs to: `pid` on `host` is the Snakemake that started the script, or the training itself if
    none did; `started` tells it from a later process with its number. `slurm` is the job's number in SLURM, or "".
    `ended` is when the training did, s since 1970, or None."""

    host: str
    pid: int
    started: str | None
    slurm: str
    ended: float | None = None

    @classmethod
    def here(cls) -> "Job":
        pid = int(os.environ.get("LUNG4D_JOB_PID", os.getpid()))
        return cls(socket.gethostname(), pid, _start_of(pid), os.environ.get("SLURM_JOB_ID", ""))

    def __str__(self) -> str:
        return f"job {self.slurm} of SLURM" if self.slurm else f"process {self.pid} on {self.host}"


class EarlierJobs:
    """The jobs that trained in a folder before this one and may still be there.

    The file `record` names them and this one, which is the last; it outlives the lock of the folder, under which alone
    it is written. Without `record` nobody was there before. `give_up` is asked while waiting.
    """

    def __init__(self, record: str | Path | None, give_up: Callable[[], bool]):
        self.record = Path(record) if record else None
        self.give_up = give_up
        self.own = Job.here()
        self.before: list[Job] = []
        self._until = 0.0
        self._said: set[str] = set()

    def enter(self, held: bool = False) -> None:
        """Take over: from now on this job is the last. `held`: the process that started this one did that."""
        self._until = time.monotonic() + PATIENCE
        named = self._read()
        self.before = named[:-1] if held else [job for job in named if not _ended_long_ago(job)]
        if not held:
            self._write(self.own)

    def leave(self) -> None:
        self._write(replace(self.own, ended=time.time()))

    def gone(self) -> bool:
        """Whether this job's outputs are safe by now."""
        self.before = [job for job in self.before if not self._is_gone(job)]
        if self.before and time.monotonic() > self._until:
            logger.warning("%s may still be there: the outputs are written all the same", self.before[0])
            self.before = []
        return not self.before

    def wait(self) -> None:
        """Return when `gone`; raises SystemExit(75) through `give_up`."""
        while not self.gone():
            self._say(f"waiting until {self.before[0]} is gone, which trained here before: it may remove the outputs")
            if self.give_up():
                raise SystemExit(75)
            time.sleep(POLL)

    def _is_gone(self, job: Job) -> bool:
        if job.slurm and job.slurm != self.own.slurm:
            return self._is_gone_from_slurm(job.slurm)
        if job.host != socket.gethostname():
            return bool(job.slurm)  # this job itself, which SLURM has moved to another node
        earlier_attempt = (job.pid, job.started) == (self.own.pid, self.own.started)
        return earlier_attempt or job.started is None or _start_of(job.pid) != job.started

    def _is_gone_from_slurm(self, number: str) -> bool:
        command = ["squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={number}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        except (OSError, subprocess.TimeoutExpired) as error:
            self._say(f"SLURM cannot be asked about its job {number}: {error}")
            return False
        if done.returncode and "Invalid job id" not in done.stderr:  # an invalid one is forgotten: it ended long ago
            self._say(f"SLURM does not tell about its job {number}: {done.stderr.strip()}")
            return False
        return set(done.stdout.split()) <= GONE

    def _say(self, text: str) -> None:
        """Warn, once."""
        if text not in self._said:
            logger.warning("%s", text)
        self._said.add(text)

    def _read(self) -> list[Job]:
        try:
            return [Job(**job) for job in json.loads(self.record.read_text())] if self.record else []
        except (OSError, ValueError, TypeError):
            return []  # nobody was there, or what is there cannot be read

    def _write(self, own: Job) -> None:
        if self.record:
            with suppress(OSError):  # on a full disk; nothing is lost but this caution
                write_json([asdict(job) for job in [*self.before, own]], self.record)


def _ended_long_ago(job: Job) -> bool:
    return job.ended is not None and time.time() - job.ended > LONG_AGO


def _start_of(pid: int) -> str | None:
    """When a process of this host started, in the kernel's count; None where there is none, or only its remains."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state == "Z" else rest[18]
