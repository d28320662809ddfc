"""One log per job: everything a script says, and its traceback when it fails."""

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def start(path: str | Path, level: str = "INFO", append: bool = False) -> logging.Logger:
    """Log to the file at `path`, warnings to the terminal too; an uncaught error leaves its traceback in the file.

    Where LUNG4D_QUIET_JOBS is set, what started the job reads its log, and nothing goes to the terminal. Processes that
    work on one job together `append` to one file, all but the first of them from WARNING on.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    to_file = logging.FileHandler(path, mode="a" if append else "w", encoding="utf-8")
    to_terminal = logging.StreamHandler()
    to_terminal.setLevel(logging.WARNING)
    logging.basicConfig(
        level=level,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
        handlers=[to_file] if os.environ.get("LUNG4D_QUIET_JOBS") else [to_file, to_terminal],
        force=True,
    )
    logging.captureWarnings(True)
    logger = logging.getLogger("lung4d")

    def log_uncaught(kind, value, trace):
        logger.critical("stopped by an error", exc_info=(kind, value, trace))

    sys.excepthook = log_uncaught
    return logger


def progress(items: Iterable[T], total: int, what: str, every_seconds: float = 30.0) -> Iterator[T]:
    """Yield `items` unchanged and log "12/80 scans, 3.1/s, 22 s left" every so often."""
    logger = logging.getLogger("lung4d")
    begun = said = time.monotonic()
    for count, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - said >= every_seconds or count == total:
            rate = count / max(now - begun, 1e-9)
            logger.info("%d/%d %s, %.2g/s, %.0f s left", count, total, what, rate, (total - count) / rate)
            said = now
