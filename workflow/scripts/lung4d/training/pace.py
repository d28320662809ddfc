"""How fast a training is, and how long it will take, said in the log every so often."""

import logging
import time
from collections.abc import Mapping

logger = logging.getLogger("lung4d")


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
