"""What a run of lung4d says: a line a stage, a training as it goes, failures with their reason, and at the end what was
left out, flagged and not done.

On a terminal the stages that run are drawn anew every second below the lines that stay; into a file goes a line a stage
when it is over. Snakemake's own log is written beside, in full, to .snakemake/log. The workflow turns this on by itself
where it is installed (lung4d.pipeline.terminal); `--logger lung4d` does too.

words   what files of the run say: logs, statuses
course  which jobs are done, failed and running
teller  Snakemake's records in words
screen  a terminal or a file
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase

from snakemake_logger_plugin_lung4d.screen import Screen
from snakemake_logger_plugin_lung4d.teller import Teller

DRAW_SECONDS = 1.0
SIGN_SECONDS = 50.0  # on a terminal that cannot be drawn on: a line at least as often
LOOK_SECONDS = 0.2


def no_facts(finished: bool, made: set[str]) -> list[str]:
    """Of a workflow that tells nothing of its results."""
    return []


class LogHandler(LogHandlerBase):
    """Snakemake's records to lines on the terminal.

    `facts` gives the last lines of a run, of its results; it is asked with whether all jobs are done, and the rules
    that had jobs. `full_log` is the file with Snakemake's own log. Both are the workflow's to set.
    """

    def __post_init__(self) -> None:
        asked = self.common_settings
        self.facts: Callable[[bool, set[str]], list[str]] = no_facts
        self.full_log = ""
        self.process = os.getpid()
        self.ended = False
        stream = sys.stdout if asked.stdout else sys.stderr
        quiet = {getattr(one, "name", str(one)).lower() for one in asked.quiet or ()}
        self.silent = "all" in quiet and not asked.dryrun
        self.own: logging.Handler | None = None
        if asked.dryrun or asked.verbose or asked.debug_dag:
            self.own = snakemakes_own(asked, stream)
        self.teller = Teller(counted="progress" not in quiet)
        self.screen = Screen(stream)
        self.thread: threading.Thread | None = None
        self.stopping = threading.Event()
        if self.own is None and not self.silent and self.screen.tty:
            self.screen.take_over()
            self.thread = threading.Thread(target=self._beat, daemon=True)
            self.thread.start()

    @property
    def writes_to_stream(self) -> bool:
        return True

    @property
    def writes_to_file(self) -> bool:
        return False

    @property
    def has_filter(self) -> bool:
        return True

    @property
    def has_formatter(self) -> bool:
        return True

    @property
    def needs_rulegraph(self) -> bool:
        return False

    def emit(self, record: logging.LogRecord) -> None:
        if self.own is not None:
            self.own.handle(record)
            return
        if self.silent:
            return
        try:
            lines = self.teller.take(record, time.monotonic())
            self.screen.say(lines, stamped=self.teller.planned)  # not what a command that runs nothing is asked for
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """The last lines; once, and not in a process that was forked from this one."""
        if not self.ended and os.getpid() == self.process:
            self.ended = True
            self.stopping.set()
            if self.thread is not None:
                self.thread.join(timeout=5.0)
            self.screen.give_back()
            if self.own is None and not self.silent:
                self.screen.say(self._last_lines(), stamped=False)
        super().close()

    def _last_lines(self) -> list[str]:
        head = self.teller.ending(time.monotonic())
        if not head:
            return []
        try:
            facts = self.facts(self.teller.finished, set(self.teller.course.totals))
        except Exception as error:  # a run that went well does not end with a fault of its last words
            facts = [f"What the results hold could not be read: {type(error).__name__}: {error}"]
        log = [f"Full log: {self.full_log}"] if self.full_log else []
        return [*head, *facts, *log]

    def _beat(self) -> None:
        """Beside the run: what its jobs write to the terminal, and the stages that run, drawn anew."""
        drawn = 0.0
        while not self.stopping.is_set():
            written = self.screen.written(LOOK_SECONDS)
            due = time.monotonic() - drawn >= DRAW_SECONDS
            if not (written or due):
                continue
            # never waits: who closes this handler may hold the lock and wait for this thread
            if not self.lock.acquire(timeout=LOOK_SECONDS):  # type: ignore[union-attr]
                self.screen.unread(written)
                continue
            try:
                with suppress(OSError):  # the terminal is gone; what jobs write is still to be read, or they would wait
                    self._show(written, due)
            finally:
                self.lock.release()  # type: ignore[union-attr]
            drawn = time.monotonic() if due else drawn

    def _show(self, written: list[str], due: bool) -> None:
        now = time.monotonic()
        if written:
            self.screen.say(written, stamped=False)
        if not due:
            return
        if self.screen.live:
            self.screen.draw(self.teller.status(now))
        elif now - self.screen.said >= SIGN_SECONDS:
            self.screen.say(self.teller.status(now)[:1])


def snakemakes_own(asked: Any, stream: Any) -> logging.Handler:
    """What Snakemake would write without a plugin: for a dry run, and for who asks it to tell everything."""
    from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter

    handler = ColorizingTextHandler(nocolor=asked.nocolor, stream=stream)
    handler.addFilter(DefaultFilter(asked.quiet, asked.debug_dag, asked.verbose, asked.dryrun, asked.printshellcmds))
    handler.setFormatter(DefaultFormatter(asked.quiet, asked.show_failed_logs))
    return handler
