"""Signals that end a training after its current step, with a checkpoint."""

import logging
import signal
from typing import Any

INTERRUPTED = 75  # exit status "try again" (EX_TEMPFAIL): the job was stopped and may be started again

logger = logging.getLogger("lung4d")


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
