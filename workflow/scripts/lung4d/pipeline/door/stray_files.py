"""Files that nobody reads, because their name or place is not quite the one that is read."""

import difflib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

ALSO_CALLED = {  # by name of the file that is read
    "scans": {"scan"},
    "participants": {
        *(
            "participant",
            "patients",
            "patient",
            "subjects",
            "subject",
            "patienten",
            "teilnehmer",
            "pazienti",
            "pacientes",
        ),
    },
    "qc": {"qualitycontrol"},
    "config": {"configs", "configuration", "conf", "cfg", "konfiguration"},
}
FOLDER = "config"
TABLES = {
    *("tsv", "csv", "txt", "tab", "dat", "xls", "xlsx", "xlsm", "xlsb", "ods", "numbers", "gz"),
    *("dta", "sav", "rds", "sas7bdat", "parquet", "feather"),
}
SETTINGS = {"yaml", "yml", "json", "toml", "ini", "cfg", "txt"}
NOTES = {"txt"}  # an ending of files that may have any name that begins like a table's
PUT_ASIDE = {"bak", "backup", "old", "orig", "tmp", "swp", "lock", "example", "template"}
COPY = re.compile(r"^(kopie|copy|copie|copia|kopi)([ _-]+(von|of|de|di|van))?[ _-]+")  # as file managers begin a name
NUMBERED = re.compile(r"[.]?[0-9]{1,2}$")  # as downloads end one
COLUMNS = {  # by table, columns that it has, and some of which no other has one
    "participants": ({"subject"}, {"followup_years", "event", "age", "sex", "smoking", "fvc_pct", "dlco_pct", "split"}),
    "qc": ({"subject", "session"}, {"reason"}),
}
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
        notices += [
            f"{path.as_posix()} has columns of {expected.name}, which is not there, and is read by nobody; write it to "
            f"{expected.as_posix()} if it is meant"
            for path in sorted(set(_entries(folder)) - set(found))
            if name in COLUMNS and _has_columns(path, *COLUMNS[name])
        ]
    return errors, notices


def _has_columns(path: Path, needed: set[str], own: set[str]) -> bool:
    """Whether a text file's first line names these columns, all `needed` ones and one of `own`."""
    low = path.name.casefold()
    if low[:1] in ".~#" or not TABLES & set(low.split(".")) or PUT_ASIDE & set(re.split("[^a-z]+", low)):
        return False
    cells = {cell.strip().strip('"') for cell in re.split("[\t,;]", _first_line(path).casefold())}
    return needed <= cells and bool(own & cells)


def _first_line(path: Path) -> str:
    """The beginning of a file up to its first line's end, "" where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.readline(10_000).decode("utf-8-sig", errors="replace")
    except OSError:
        return ""


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
    low = _plain(path.name)
    _, *parts = low.split(".")
    words = _words(path)
    if len(words) > 1 and words[-1] in endings:  # participants_tsv.txt
        words.pop()
    if not words or low[:1] in ".~#" or low[-1:] in "~#" or PUT_ASIDE & {*words, *parts}:
        return False
    if parts and (parts[-1] not in endings or (len(words) > 1 and parts[-1] in NOTES)):
        return False
    return bool({stem, *ALSO_CALLED[stem]} & {words[0], "".join(words)}) or _alike("".join(words), stem)


def _alike(word: str, stem: str) -> bool:
    return abs(len(word) - len(stem)) <= 2 and difflib.SequenceMatcher(None, word, stem).ratio() >= ALIKE


def _words(path: Path) -> list[str]:
    """The words of a file's name before its first point, in small letters: "Participants (1).tsv" has one."""
    return re.findall("[a-z]+", _plain(path.name).split(".")[0])


def _plain(name: str) -> str:
    """A name in small letters, without what says that the file is a copy: "Copy of a.tsv", "a.tsv.1"."""
    low = COPY.sub("", unicodedata.normalize("NFKC", name).strip().casefold())
    return NUMBERED.sub("", low) if low.count(".") > 1 else low


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
