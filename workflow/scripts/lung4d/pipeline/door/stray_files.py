"""Files that nobody reads, because their name or place is not quite the one that is read."""

import difflib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

ALSO_CALLED = {  # by name of the file that is read
    "scans": {"scan"},
    "participants": {"participant", "patients", "patient", "subjects", "subject"},
    "qc": {"qualitycontrol"},
    "config": {"configs", "configuration", "conf", "cfg"},
}
FOLDER = "config"
TABLES = {"tsv", "csv", "txt", "tab", "xls", "xlsx", "xlsm", "ods", "numbers", "gz"}
SETTINGS = {"yaml", "yml", "json", "toml", "ini", "cfg", "txt"}
NOTES = {"txt"}  # an ending of files that may have any name that begins like a table's
PUT_ASIDE = {"bak", "backup", "old", "orig", "tmp", "swp", "lock", "example", "template"}
FORMS = {".tsv": "text with tabs between the cells", ".yaml": "YAML"}
ALIKE = 0.85  # share of equal letters


def stray_tables(folder: Path) -> tuple[list[str], list[str]]:
    """Errors over files that look like a table of `folder` which is not there, and notices over those beside one."""
    errors, notices = [], []
    for name in ("scans", "participants", "qc"):
        expected = folder / f"{name}.tsv"
        found = _lookalikes(expected, TABLES)
        if expected.is_file():
            notices += _beside(found, expected)
            continue
        outside = [path for path in found if path.parent == folder.parent]
        meant = [path for path in found if path not in outside or (len(_words(path)) == 1 and _may_be_ours(path))]
        errors += [*_no_file(expected), *(_said(path, expected) for path in meant)]
    return errors, notices


def stray_settings(expected: Path, named: Iterable[Path]) -> tuple[list[str], list[str]]:
    """The same for the settings, `expected` being their file; `named`: files that the command line gives."""
    given = {Path(path).resolve() for path in named}
    found = [path for path in _lookalikes(expected, SETTINGS) if path.resolve() not in given]
    if expected.is_file():
        return [], _beside(found, expected)
    # config.json and the like in the working folder are other programs'
    outside = [path for path in found if path.parent == expected.parent.parent]
    meant = [path for path in found if len(_words(path)) == 1 and (path not in outside or _is_yaml(path))]
    return [*_no_file(expected), *(_said(path, expected) for path in meant)], []


def _said(path: Path, expected: Path) -> str:
    how = f", as {FORMS[expected.suffix]}," if path.suffix.lower() not in (expected.suffix, ".yml") else ""
    return (
        f"{path.as_posix()} looks like {expected.name} and is read by nobody; write it{how} to {expected.as_posix()}, "
        "or give it a name that is not taken for it"
    )


def _no_file(expected: Path) -> list[str]:
    """That something of the right name is not a file, such as a link to nothing, which would count as none."""
    if not os.path.lexists(expected):
        return []
    return [f"{expected.as_posix()} is a folder, or a link to nothing; put the file there, or remove it"]


def _beside(found: Iterable[Path], expected: Path) -> list[str]:
    """Notices over files beside the one that is read, with its name but for the ending, capitals and numbers."""
    beside = [path for path in found if path.parent == expected.parent and _words(path) == [expected.stem]]
    return [f"{path.as_posix()} is not read, because {expected.name} is there" for path in beside]


def _lookalikes(expected: Path, endings: set[str]) -> list[Path]:
    """Files with a name that is taken for the expected one's: in its folder, and where that is called `config` in the
    folder above it and in those with names like it."""
    folder, places = expected.parent, [expected.parent]
    if folder.name == FOLDER:
        called = {FOLDER, *ALSO_CALLED[FOLDER]}
        like = [path for path in _entries(folder.parent) if path.name != FOLDER and path.name.casefold() in called]
        places += [folder.parent, *(path for path in like if path.is_dir())]
    names = [path for place in places for path in _entries(place) if _looks_like(path, expected.stem, endings)]
    return [path for path in names if path.is_file() and not (expected.is_file() and path.samefile(expected))]


def _entries(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(folder.iterdir())
    except OSError:
        return


def _looks_like(path: Path, stem: str, endings: set[str]) -> bool:
    low = unicodedata.normalize("NFKC", path.name).strip().casefold()
    _, *parts = low.split(".")
    words = _words(path)
    if not words or low[:1] in ".~#" or low[-1:] in "~#" or PUT_ASIDE & {*words, *parts}:
        return False
    if parts and (parts[-1] not in endings or (len(words) > 1 and parts[-1] in NOTES)):
        return False
    return bool({stem, *ALSO_CALLED[stem]} & {words[0], "".join(words)}) or _alike("".join(words), stem)


def _alike(word: str, stem: str) -> bool:
    return abs(len(word) - len(stem)) <= 2 and difflib.SequenceMatcher(None, word, stem).ratio() >= ALIKE


def _words(path: Path) -> list[str]:
    """The words of a file's name before its first point, in small letters: "Participants (1).tsv" has one."""
    return re.findall("[a-z]+", unicodedata.normalize("NFKC", path.name).casefold().split(".")[0])


def _is_yaml(path: Path) -> bool:
    return bool({".yaml", ".yml"} & {ending.lower() for ending in path.suffixes})


def _may_be_ours(path: Path) -> bool:
    """Whether a file outside the folder of tables can be meant: a text with a column `subject`, or no text at all.

    A folder of BIDS has a participants.tsv of its own, by participant_id.
    """
    try:
        with path.open("rb") as stream:
            first = stream.readline(10_000)
    except OSError:
        return True
    return b"subject" in first.lower() or b"\0" in first or first.startswith(b"PK")
