"""The course of a training: a table that grows with it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lung4d.io.atomic import atomic


class History:
    """Rows of numbers, one a step, written as a whole to a parquet file.

    The rows are part of the checkpoint (`rows`), so that a resumed training continues them: rows that were written
    after the checkpoint come a second time from the repeated steps and never stand in the file twice.

    With `tensorboard`, event files in a folder of that name beside the file tell the same to TensorBoard. Raises
    ValueError where that package is missing.
    """

    def __init__(self, path: str | Path, rows: Sequence[Mapping[str, float]] = (), tensorboard: bool = False):
        self.path = Path(path)
        self.rows = [dict(row) for row in rows]
        self.make_events = _event_writer() if tensorboard else None
        self.events: Any = None

    def add(self, **values: float) -> None:
        self.rows.append(values)
        if self.make_events is None:
            return
        if self.events is None:  # of an earlier process, steps that come again are forgotten
            self.events = self.make_events(self.path.with_name("tensorboard"), purge_step=values["step"])
        for name, value in values.items():
            if name != "step":
                self.events.add_scalar(name, value, values["step"])

    def frame(self) -> pd.DataFrame:
        """One row a step; NaN where a step has no such number (validation happens now and then)."""
        return pd.DataFrame(self.rows)

    def write(self) -> None:
        with atomic(self.path) as temporary:
            self.frame().to_parquet(temporary, index=False)


def _event_writer() -> type:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ValueError("tensorboard is true, but the package is missing: pip install tensorboard") from None
    return SummaryWriter
