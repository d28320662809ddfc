"""What a training depends on, as a digest that its checkpoints carry in their names."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from lung4d.io.atomic import digest_of_file

# Parameters that do not change what is trained. The digest of all settings is among them: each counts by itself here.
NOT_SETTINGS = (
    "version", "checkpoints", "folders", "settings_digest", "fits", "checkpointing", "tensorboard", "save_every",
)  # fmt: skip


def training_digest(settings: Mapping[str, Any], rows: pd.DataFrame, files: Iterable[str | Path]) -> str:
    """Digest "settings-split-data" of what a training depends on: a checkpoint with another one is not resumed.

    `settings` are the stage's parameters (`NOT_SETTINGS` do not count), `rows` the table of
    scans it trains on, `files` its inputs. Files count by name and content, never by folder or time, so that the
    digest survives a touch, a copy and another machine; preprocessed volumes all have one size, which therefore
    tells nothing. Reading them costs seconds and leaves them in the page cache for the training.
    """
    kept = {key: value for key, value in settings.items() if key not in NOT_SETTINGS}
    of_settings = _short(json.dumps(kept, sort_keys=True, default=list).encode())
    rows = rows.drop(columns="digest", errors="ignore")  # of the files, which count by themselves
    of_rows = _short(rows.to_csv(index=False, float_format="%.6g").encode())
    paths = sorted(map(Path, files), key=lambda path: path.name)
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        contents = list(pool.map(digest_of_file, paths))
    named = [f"{path.name} {content}" for path, content in zip(paths, contents, strict=True)]
    return "-".join([of_settings, of_rows, _short("\n".join(named).encode())])


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]
