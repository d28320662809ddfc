"""What both trainings share: device, random states, signals, digests; checkpoints, lock and history come with it.

A training keeps everything it needs to go on in one dict (weights, optimisers, codebook statistics, random states,
history, best so far) and hands it to `Checkpoints`; an interrupted run that is started again then ends where an
uninterrupted one would have ended.
"""

import hashlib
import json
import logging
import os
import random
import resource
import signal
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from lung4d.checkpoints import Checkpoints, Lock
from lung4d.files import digest_of_file
from lung4d.history import History

__all__ = [
    "GB",
    "Checkpoints",
    "History",
    "Lock",
    "Pace",
    "Stopper",
    "capture_random_states",
    "choose_device",
    "digest_of",
    "has_bf16",
    "peak_memory",
    "restore_random_states",
    "seed_everything",
]

GB = 1e9
INTERRUPTED = 75  # exit status "try again" (EX_TEMPFAIL): the job was stopped and may be started again
# Parameters that do not change what is trained. The digest of all settings is among them: each counts by itself here.
NOT_SETTINGS = (
    "version", "checkpoints", "folders", "settings_digest", "fits", "checkpointing", "tensorboard", "save_every",
)  # fmt: skip

logger = logging.getLogger("lung4d")


def choose_device(threads: int | None = None) -> torch.device:
    """The GPU where there is one, of several this process's own, else the CPU with `threads` threads."""
    if torch.cuda.is_available():
        device = torch.device("cuda", torch.cuda.current_device())
        logger.info("training on %s", torch.cuda.get_device_name(device))
        return device
    if threads:
        torch.set_num_threads(threads)
    logger.info("no GPU found: running on the CPU with %d threads", torch.get_num_threads())
    return torch.device("cpu")


def has_bf16(device: torch.device) -> bool:
    """Whether the device has matrix units for bf16; without them it is no faster than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


def peak_memory(device: torch.device) -> float:
    """The most memory that this process has held so far, GB: of the GPU where there is one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GB


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and torch (CPU and GPU)."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries may draw from the global generator
    torch.manual_seed(seed)


def capture_random_states() -> dict[str, Any]:
    """States of all global random generators, as plain values and tensors that a checkpoint can hold."""
    name, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    return {
        "python": random.getstate(),
        "numpy": (name, keys.tolist(), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_states(states: Mapping[str, Any]) -> None:
    """Put back what `capture_random_states` returned; GPU states only where as many GPUs are there."""
    random.setstate(states["python"])
    name, keys, position, has_gauss, gauss = states["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), position, has_gauss, gauss))  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])


class Stopper:
    """Context manager that turns SIGTERM and SIGINT into a request to stop after the current step.

    The training loop asks `requested` between steps, saves a checkpoint and calls `leave`, which ends the process
    with exit status 75: a scheduler's time limit then costs no work. Repeated signals change nothing, because one
    that is sent to a whole job often arrives twice, forwarded by the parent.
    """

    def __init__(self):
        self.requested = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Stopper":
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, _number: int, _frame: object) -> None:
        self.requested = True

    def leave(self) -> None:
        logger.warning("stopped by a signal; the checkpoint is written, start again to go on")
        raise SystemExit(INTERRUPTED)


class Pace:
    """Log "step 250/20000, 3.1 steps/s, 1 h 46 min left, ..." at most every `every_seconds`."""

    def __init__(self, total: int, every_seconds: float = 30.0):
        self.total, self.every = total, every_seconds
        self.begun = self.said = time.monotonic()
        self.first_step: int | None = None

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Say how far step `step` (counted from 1) is, with `values` in words; silent when it is too soon."""
        now = time.monotonic()
        if self.first_step is None:
            self.first_step = step - 1
        if now - self.said < self.every and step != self.total:
            return
        self.said = now
        rate = (step - self.first_step) / max(now - self.begun, 1e-9)
        words = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        logger.info(
            "step %d/%d, %s, %s left, %s", step, self.total, _rate(rate), _duration(self.total, step, rate), words
        )


def _rate(rate: float) -> str:
    return f"{rate:.2g} steps/s" if rate >= 0.1 else f"{1 / rate:.3g} s/step"


def _duration(total: int, step: int, rate: float) -> str:
    seconds = (total - step) / rate
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def digest_of(settings: Mapping[str, Any], rows: pd.DataFrame, files: Iterable[str | Path]) -> str:
    """Digest "settings-split-data" of what a training depends on: a checkpoint with another one is not resumed.

    `settings` are the stage's parameters (`NOT_SETTINGS` do not count), `rows` the table of
    scans it trains on, `files` its inputs. Files count by name and content, never by folder or time, so that the
    digest survives a touch, a copy and another machine; preprocessed volumes all have one size, which therefore
    tells nothing. Reading them costs seconds and leaves them in the page cache for the training.
    """
    kept = {key: value for key, value in settings.items() if key not in NOT_SETTINGS}
    of_settings = _short(json.dumps(kept, sort_keys=True, default=list).encode())
    rows = rows.drop(columns="digest", errors="ignore")  # of the files, which count by themselves
    of_rows = _short(rows.to_csv(index=False, float_format="%.6g").encode())
    paths = sorted(map(Path, files), key=lambda path: path.name)
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        contents = list(pool.map(digest_of_file, paths))
    named = [f"{path.name} {content}" for path, content in zip(paths, contents, strict=True)]
    return "-".join([of_settings, of_rows, _short("\n".join(named).encode())])


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]
