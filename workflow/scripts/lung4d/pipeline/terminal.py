"""What a run says on the terminal: by the logger plugin where it is installed, else Snakemake's own output.

Needs Snakemake's logging at work; everything that may be missing, the plugin first of all, leaves the output as it is.
"""

import logging
import os
from collections.abc import Callable
from importlib import import_module
from typing import Any

PLUGIN = "snakemake_logger_plugin_lung4d"
OWN = "snakemake"  # LUNG4D_TERMINAL=snakemake: its own output, for who reads or parses that
QUIET_JOBS = "LUNG4D_QUIET_JOBS"  # a job's warnings and errors go to its log alone (lung4d.logs)

Facts = Callable[[bool, set[str]], list[str]]


def take_over(manager: Any, logger: logging.Logger, facts: Facts) -> bool:
    """Let the plugin tell the run, and `facts` its results at the end; whether it does.

    manager: Snakemake's LoggerManager, None where it has none. Not where somebody else writes to the terminal already,
    nor in a dry run or where Snakemake is asked to tell everything.
    """
    os.environ.pop(QUIET_JOBS, None)
    if manager is None:
        return False
    ours = [handler for handler in manager.get_log_handlers() if type(handler).__module__ == PLUGIN]
    asked = manager.settings
    plain = [handler for handler in logger.handlers if handler.name == "DefaultStreamHandler"]
    if not ours and plain and not (asked.dryrun or asked.verbose or asked.debug_dag) and _wanted():
        try:
            ours = [import_module(PLUGIN).LogHandler(asked, None)]
        except ImportError:
            return False
        logger.removeHandler(plain[0])
        logger.addHandler(ours[0])
    for handler in ours:
        handler.facts = facts
        handler.full_log = next(iter(manager.get_logfile()), "")
    return bool(ours)


def _wanted() -> bool:
    return os.environ.get("LUNG4D_TERMINAL") != OWN


def quieten_jobs() -> None:
    """From now on what goes wrong in a job is in its log, of which the run tells."""
    os.environ[QUIET_JOBS] = "1"
