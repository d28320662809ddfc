"""Where lines go: a terminal, on which the last ones are drawn anew, or a file."""

import os
import select
import sys
import time
from collections.abc import Iterable
from typing import Any

READ = 65536


class Screen:
    """Lines that stay (`say`), and on a terminal some below them that are drawn anew (`draw`).

    `tty`: a person may be looking; `live`: the terminal can be drawn on. Every line of a file has the time before it.
    """

    def __init__(self, stream: Any):
        self.stream = stream
        self.tty = bool(getattr(stream, "isatty", bool)())
        self.live = self.tty and os.environ.get("TERM", "dumb") != "dumb"
        self.drawn = 0
        self.said = time.monotonic()
        self.kept: dict[int, int] = {}  # the terminal itself, by the number under which others write to it
        self.source = -1
        self.rest = b""
        self.held: list[str] = []

    def say(self, lines: Iterable[str], stamped: bool = True) -> None:
        lines = list(lines)
        if not lines:
            return
        before = "" if self.tty or not stamped else time.strftime("%H:%M:%S ")
        self._erase()
        self.stream.write("".join(f"{before}{line}\n" for line in lines))
        self.stream.flush()
        self.said = time.monotonic()

    def draw(self, lines: list[str]) -> None:
        """Put these lines, cut to the terminal's size, in the place of those that were drawn before."""
        columns, rows = self._size()
        shown = [line[: columns - 1] for line in lines[: max(rows - 1, 1)]]
        self._erase()
        self.stream.write("".join(f"{line}\n" for line in shown))
        self.stream.flush()
        self.drawn = len(shown)

    def _size(self) -> tuple[int, int]:
        """Columns and rows of the terminal itself."""
        try:
            columns, rows = os.get_terminal_size(self.stream.fileno())
        except (AttributeError, OSError, ValueError):
            columns, rows = 0, 0
        return columns or 80, rows or 24

    def _erase(self) -> None:
        if self.drawn:
            self.stream.write(f"\x1b[{self.drawn}A\x1b[J")
            self.drawn = 0

    def take_over(self) -> None:
        """Let what others write to the terminal, such as jobs, come here first, so that nothing is drawn over it."""
        try:
            number = self.stream.fileno()
        except (AttributeError, OSError, ValueError):
            return
        if not self.live:
            return
        self.stream.flush()
        sys.stdout.flush()
        self.kept = {one: os.dup(one) for one in {1, 2, number} if os.isatty(one)}
        self.source, sink = os.pipe()
        for one in self.kept:
            os.dup2(sink, one)
        os.close(sink)
        self.stream = os.fdopen(os.dup(self.kept[number]), "w", encoding="utf-8", errors="replace")

    def written(self, seconds: float) -> list[str]:
        """Lines that others wrote, once there are any, or after so many seconds."""
        held, self.held = self.held, []
        if self.source < 0:
            time.sleep(seconds)
            return held
        if select.select([self.source], [], [], 0 if held else seconds)[0]:
            held += self._lines(os.read(self.source, READ))
        return held

    def unread(self, lines: list[str]) -> None:
        """Lines that could not be said yet: they come again."""
        self.held = [*lines, *self.held]

    def _lines(self, data: bytes) -> list[str]:
        *whole, self.rest = (self.rest + data).split(b"\n")
        # of a line that was drawn over itself, as bars of progress are, what was there last
        return [line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2] for line in whole]

    def give_back(self) -> None:
        """Nothing is drawn any more, and others write to the terminal themselves again."""
        self._erase()
        self.stream.flush()
        if self.source < 0:
            return
        sys.stdout.flush()
        sys.stderr.flush()
        for number, terminal in self.kept.items():
            os.dup2(terminal, number)
            os.close(terminal)
        os.set_blocking(self.source, False)
        lines = self.held
        try:
            while data := os.read(self.source, READ):
                lines += self._lines(data)
        except BlockingIOError:  # somebody still holds the other end
            pass
        os.close(self.source)
        self.source = -1
        self.say(lines + ([self.rest.decode("utf-8", "replace")] if self.rest else []), stamped=False)
