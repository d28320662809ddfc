"""Patients in shards: what one job of a large cohort takes, and how it is known to have changed."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from lung4d.io.atomic import digest_of_file

# What a job of each rule takes its patients through.
STAGES = {
    "shard_scans": ["simulate", "convert", "segment", "register", "resample"],
    "shard_latents": ["extract_latents"],
    "shard_trajectories": ["generate_trajectories"],
}


def shards_of(subjects: Iterable[str], size: int) -> dict[str, list[str]]:
    """Patients by shard, of `size` patients at most on average; shards are named "03-of-16".

    A patient's shard follows from the name and from the number of shards alone, which is a power of two. A patient more
    or less therefore changes one shard, and all of them only where the cohort has doubled or halved.
    """
    subjects = list(subjects)
    count = 1
    while count * size < len(subjects):
        count *= 2
    shards: dict[str, list[str]] = {}
    for subject in subjects:
        number = int(hashlib.sha256(subject.encode()).hexdigest(), 16) % count
        shards.setdefault(f"{number + 1:0{len(str(count))}d}-of-{count}", []).append(subject)
    return dict(sorted(shards.items()))


def result_digest(path: str | Path) -> str:
    """Digest of a file's content, or of the names and contents of all files below a folder."""
    path = Path(path)
    if path.is_file():
        return digest_of_file(path)[:16]
    files = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    named = "".join(f"{file.relative_to(path).as_posix()}\0{digest_of_file(file)}\n" for file in files)
    return hashlib.sha256(named.encode()).hexdigest()[:16]
