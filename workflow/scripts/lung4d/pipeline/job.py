"""A job's log, and what it says of a damaged file: which file, and the command that makes it again."""

import atexit
import gc
import logging
import sys
from pathlib import Path

from lung4d import logs
from lung4d.io.atomic import DamagedFile

DECLARED_FOLDERS = ("simulate", "truth", "extract_latents", "generate_trajectories")  # of a patient, by stage


def start(path: str | Path, level: str = "INFO", append: bool = False) -> logging.Logger:
    """As `lung4d.logs.start`; an error over a damaged file tells the remedy too."""
    logger = logs.start(path, level, append)
    log_uncaught = sys.excepthook

    def log_with_remedy(kind, error, trace):
        if isinstance(error, DamagedFile):
            error.add_note(f"To mend it, {remedy_for(error.path)}.")
        log_uncaught(kind, error, trace)

    sys.excepthook = log_with_remedy
    # Python ends with a search for objects that nobody uses any more: up to half a second, of a job of one or two.
    atexit.register(gc.freeze)
    return logger


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
