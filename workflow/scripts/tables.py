"""tables: from a tree of files to config/scans.tsv, config/participants.tsv and private/. Writes nothing into the tree.

The tree's names are said nowhere: neither in this log nor in an error's words.
"""

import logging
import os
import sys
import time
import traceback
from datetime import date
from pathlib import Path

from lung4d.io.atomic import DamagedFile
from lung4d.pipeline import job
from lung4d.pipeline.tables.make import make_tables
from lung4d.pipeline.tables.writing import Refused

logger = job.start(snakemake.log[0])
logging.getLogger("pydicom").disabled = True
EVERY = 5.0  # s between two lines of the log on how far it is
begun: dict[str, float] = {}  # when each part of the work began, by what it counts
told = 0.0


def show(what: str, done: int, total: int) -> None:
    global told
    now = time.monotonic()
    took = now - begun.setdefault(what, now)
    if not done:
        return
    if now - told >= EVERY or done == total:
        told, pace = now, done / max(took, 1e-9)
        logger.info("%d/%d %s, %.0f/s, %.0f s left", done, total, what, pace, (total - done) / pace)
    if sys.stderr.isatty():
        print(f"\r{done:,} of {total:,} {what}", end="\n" if done == total else "", file=sys.stderr, flush=True)


try:
    if not snakemake.config["tree"]:
        raise Refused("Give the folder of the files, as --config tree=/path/to/tree.")
    lines = make_tables(Path(snakemake.config["tree"]), Path(), snakemake.threads, date.today(), show)
except (Refused, DamagedFile) as refusal:
    logger.error("%s", refusal)
    raise SystemExit(1) from None
except BlockingIOError:
    logger.error("Another run of the target tables is writing here: wait for its end.")
    raise SystemExit(1) from None
except Exception as error:
    logger.info("%s%s", "".join(traceback.format_tb(error.__traceback__)), type(error).__name__)
    if isinstance(error, OSError) and error.errno:
        logger.error("A file or folder cannot be used: %s. Mend that, and run this again.", os.strerror(error.errno))
    else:
        logger.error("A fault of this program (%s), told in this log without any name.", type(error).__name__)
    raise SystemExit(1) from None
logger.info("\n".join(lines))
print(*lines, sep="\n", flush=True)
