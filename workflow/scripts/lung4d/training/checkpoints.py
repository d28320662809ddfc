"""Checkpoints that survive a kill, a full disk and a change of settings."""

import logging
import re
from pathlib import Path
from typing import Any

import torch

from lung4d.io.atomic import atomic

PARTS = ("settings or code", "split", "data")  # of a digest, see `lung4d.training.digest.training_digest`

logger = logging.getLogger("lung4d")


def save_whole(state: dict[str, Any], path: str | Path) -> None:
    """Write `state` (tensors, numbers, text, lists, dicts) whole or not at all: equal states as equal bytes."""
    with atomic(path) as temporary, temporary.open("wb") as stream:  # torch would write a file's name into it
        torch.save(state, stream)


class Checkpoints:
    """Checkpoints `step-00000250_digest-<digest>.pt` in a folder, the newest `keep` of this digest.

    Checkpoints of another digest stay where they are, so that undoing a change of the configuration finds them
    again; they are never loaded.
    """

    def __init__(self, folder: str | Path, digest: str, keep: int = 2):
        self.folder, self.digest, self.keep = Path(folder), digest, keep
        self.folder.mkdir(parents=True, exist_ok=True)

    def save(self, state: dict[str, Any], step: int) -> Path:
        """Write `state` (tensors, numbers, text, lists, dicts) whole or not at all, then drop the oldest."""
        path = self.folder / f"step-{step:08d}_digest-{self.digest}.pt"
        save_whole(state, path)
        for old in self._own()[self.keep :]:
            old.unlink(missing_ok=True)
        return path

    def load_latest(self) -> dict[str, Any] | None:
        """The newest readable state on the CPU, or None where there is none; the log says what was passed over."""
        self._name_the_others()
        for path in self._own():
            try:
                state = torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:  # a truncated file fails in many ways
                logger.warning(
                    "checkpoint %s cannot be read (%s): taking the one before", path.name, _first_line(error)
                )
                continue
            logger.info("going on from checkpoint %s", path.name)
            return state
        return None

    def _own(self) -> list[Path]:
        return sorted(self.folder.glob(f"step-*_digest-{self.digest}.pt"), reverse=True)

    def _name_the_others(self) -> None:
        for path in sorted(self.folder.glob("step-*_digest-*.pt")):
            other = re.fullmatch(r"step-\d+_digest-(.+)\.pt", path.name).group(1)  # type: ignore[union-attr]  # as globbed
            if other != self.digest:
                logger.warning("checkpoint %s is not used: it was made with other %s", path.name, self._what(other))

    def _what(self, other: str) -> str:
        ours, theirs = self.digest.split("-"), other.split("-")
        if len(ours) != len(PARTS) or len(theirs) != len(PARTS):
            return "parameters"
        return " and ".join(part for part, a, b in zip(PARTS, ours, theirs, strict=True) if a != b)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
