"""A job's log, what it says of a damaged file (which file, and the command that makes it again), and that it stops."""

import atexit
import gc
import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

from lung4d import logs
from lung4d.io.atomic import DamagedFile

PATIENCE = 26.0  # s that a job has to end by itself after a signal
SOONER = 4.0  # s by which the processes of a training end before the one that waits for them
DECLARED_FOLDERS = ("simulate", "truth", "extract_latents", "generate_trajectories")  # of a patient, by stage


def start(path: str | Path, level: str = "INFO", append: bool = False) -> logging.Logger:
    """As `lung4d.logs.start`; an error over a damaged file tells the remedy too, and a signal ends the job in time."""
    logger = logs.start(path, level, append)
    if hasattr(sys.modules["__main__"], "snakemake"):  # the process is a job, and not a test that runs one
        stop_in_time(PATIENCE - SOONER if append else PATIENCE)
    log_uncaught = sys.excepthook

    def log_with_remedy(kind, error, trace):
        if isinstance(error, DamagedFile):
            error.add_note(f"To mend it, {remedy_for(error.path)}.")
        log_uncaught(kind, error, trace)

    sys.excepthook = log_with_remedy
    # Python ends with a search for objects that nobody uses any more: up to half a second, of a job of one or two.
    atexit.register(gc.freeze)
    return logger


def stop_in_time(patience: float) -> None:
    """End this process `patience` seconds after SIGINT, or SIGTERM where it has a handler, unless it ended by itself.

    Python hears a signal between two steps of its own: a call into a library may take minutes, and a training hears it
    between its optimiser steps. What is on disk then stays as it was last written. For the main thread.
    """
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)  # written to at once, whatever the main thread does
    ended = threading.Event()
    atexit.register(ended.set)
    threading.Thread(target=_end_after, args=(told, patience, ended), daemon=True).start()


def _end_after(told: int, patience: float, ended: threading.Event) -> None:
    """Wait for a signal's number in the pipe `told`, then for the process to end, which is ended if it does not."""
    number = 0
    while number not in (signal.SIGTERM, signal.SIGINT):
        number = os.read(told, 1)[0]
    by_training = signal.getsignal(number) is not signal.default_int_handler
    if not ended.wait(patience):
        logging.getLogger("lung4d").warning(
            "stopped by a signal after %.0f s, in the middle of a step; start again to go on from what is on disk",
            patience,
        )
        os._exit(os.EX_TEMPFAIL if by_training else 128 + number)


def descendants(pid: int) -> list[int]:
    """The processes that a process of this machine has started, directly or not."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            parent = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = children.get(pid, [])
    for child in found:  # which grows
        found += children.get(child, [])
    return found


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
