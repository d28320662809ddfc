"""A job that trained in the same folder before, and is still there for a while."""

import json
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from lung4d.training import earlier_jobs
from lung4d.training.earlier_jobs import EarlierJobs, Job


def leave_record(log: Path, **changes: object) -> None:
    """Beside the log of a training, name a job of SLURM's that trained before."""
    known = {"host": "elsewhere", "pid": 1, "started": "0", "slurm": "7", "ended": time.time()}
    log.with_suffix(".jobs.json").write_text(json.dumps([known | changes]))


def beside(patch: pytest.MonkeyPatch, log: Path, outputs: Iterable[str | Path], asked: int = 8) -> list[list[str]]:
    """Let the job of `leave_record` be gone when it is asked about for the time `asked`. The list that is returned
    grows by the names of the `outputs` that are there, each time before that."""
    seen: list[list[str]] = []

    def is_gone(_self: EarlierJobs, earlier: Job) -> bool:
        assert earlier.slurm == "7"
        if len(seen) == asked - 1:
            return True
        seen.append([Path(path).name for path in outputs if Path(path).exists()])
        return False

    leave_record(log)
    patch.setattr(EarlierJobs, "_is_gone", is_gone)
    patch.setattr(earlier_jobs, "POLL", 0.01)
    return seen
