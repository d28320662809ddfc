"""Two results folders, file by file: equal but for words and for names that hold a digest."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOT_COMPARED = ("logs", "report", "README.md")  # of the folder itself: times, words, pictures of what is compared
WORDS = "summary.json"
CHECKPOINT = re.compile(r"(step-\d+)_digest-.+\.pt")


def differences(old: Path, new: Path) -> list[str]:
    """What is not equal below two results folders, by name; empty where all is."""
    before, after = files_of(old), files_of(new)
    found = [f"{name}: not made any more" for name in before.keys() - after.keys()]
    found += [f"{name}: was not made before" for name in after.keys() - before.keys()]
    for name in before.keys() & after.keys():
        if Path(name).name == WORDS:
            found += [f"{name}: {key}" for key in _other_numbers(before[name], after[name])]
        elif sha256(before[name]) != sha256(after[name]):
            found.append(f"{name}: other content")
    return sorted(found)


def files_of(results: Path) -> dict[str, Path]:
    """Files that are compared, by their name below `results`; that of a checkpoint is without its digest."""
    files: dict[str, Path] = {}
    for path in sorted(results.rglob("*")):
        place = path.relative_to(results)
        if not path.is_file() or place.parts[0] in NOT_COMPARED:
            continue
        if checkpoint := CHECKPOINT.fullmatch(path.name):
            place = place.with_name(checkpoint.group(1))
        if place.as_posix() in files:
            raise SystemExit(f"{path.parent} has two checkpoints of one step: this is no run from scratch")
        files[place.as_posix()] = path
    return files


def stages_in(results: Path) -> set[str]:
    """Stages that left files that are compared."""
    left = {place.split("/")[0] for place in files_of(results)}
    return left | ({"simulate_tables"} if "simulate" in left else set())


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _other_numbers(old: Path, new: Path) -> list[str]:
    """Keys of numbers that are not the same in two JSON files; the new one may have more."""
    before, after = (dict(_numbers(json.loads(path.read_text()))) for path in (old, new))
    return [f"{key} was {value}, is {after.get(key)}" for key, value in before.items() if after.get(key) != value]


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every number, truth value and null below `value` by its dotted key, as text: NaN is equal to NaN."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _numbers(inner, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _numbers(inner, f"{key}[{i}]")
    elif not isinstance(value, str):
        yield key, repr(value)
