"""Real CT for tests that want it: not part of the project, so every such test skips where the folder is not there."""

import os
from pathlib import Path

REASON = "real CT not found: set LUNG4D_DATA to the folder that holds it"


def folder() -> Path | None:
    """The folder of real CT: the environment variable LUNG4D_DATA, or ../shared/data beside the repository."""
    named = os.environ.get("LUNG4D_DATA")
    path = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "data"
    return path if path.is_dir() else None
