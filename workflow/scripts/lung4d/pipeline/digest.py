"""A digest of the code behind a stage that ignores comments, docstrings and layout.

Snakemake's own code trigger looks at a script's time stamp: a checkout would retrain a model, and a change in an
imported module would go unseen. This digest is a parameter of every rule instead: it changes with the logic of the
script or of any library module it imports, directly or not, and with nothing else. What cannot change a stage's numbers
(`NOT_COUNTED`) does not count: the pictures that a stage leaves beside its numbers are as old as the stage.

A refactor changes the digest and no number. `workflow/code_equivalents.tsv` then says what the new digest stands for,
and the stage goes on under the old one: nothing is made again. docs/architecture.md says when it may be used.
"""

import ast
import csv
import hashlib
import io
import json
import tokenize
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from lung4d.io.atomic import read_json, write_json

# What cannot change a number, by place in the library (a folder, or a module), with the reason.
NOT_COUNTED = {
    "figures/": "pictures are drawn of numbers that are there already",
    "logs.py": "what a job says of itself",
    "pipeline/": "where files lie and when jobs run, which reaches a stage as paths and parameters",
    "report/": "the page shows what the stages left",
    "training/launch.py": "how processes are started; what each computes is in the trainings",
}
# Stages whose declared results are pictures or pages, and what counts for them all the same.
COUNTED_THERE = {
    "codebook": ("figures/",),
    "report": ("figures/", "logs.py", "pipeline/", "report/"),
}

_LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}
_BLOCKS = {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
# What ends a statement. A colon within one ends it too soon, but no import has a colon.
_SEPARATORS = {*(tokenize.tok_name[kind] for kind in _BLOCKS), ":", ";"}
# From Python 3.12 on an f-string is several tokens; its source text keeps the digest the same across versions.
_FSTRING_START = getattr(tokenize, "FSTRING_START", None)
_FSTRING_END = getattr(tokenize, "FSTRING_END", None)


class Digests:
    """Code digests of the scripts in a folder, kept in the file `memory` for as long as no file of the folder changes
    its time or size: reading all the code takes seconds, and every job on a cluster asks for it.

    `equivalents` is a table (see `read_equivalents`); it is read each time, so that a new row counts at once.
    """

    def __init__(self, scripts: Path, library: Path, memory: Path, equivalents: Path):
        self.scripts, self.library, self.memory = scripts, library, memory
        files = sorted(path for path in scripts.rglob("*") if path.is_file() and path.suffix != ".pyc")
        stats = [(path.relative_to(scripts).as_posix(), path.stat()) for path in files]
        facts = repr([(name, stat.st_mtime_ns, stat.st_size) for name, stat in stats])
        self._state = hashlib.sha256((facts + str(scripts)).encode()).hexdigest()
        self._digests = self._remembered() or self._made()
        self._equivalents = read_equivalents(equivalents)

    def of(self, stage: str) -> str:
        """What stands for the stage's code in parameters and checkpoints: its digest, or the one it is equal to."""
        return self._equivalents.get((stage, self.raw(stage)), self.raw(stage))

    def raw(self, stage: str) -> str:
        """Digest of the stage's script and of what it imports."""
        return self._digests[stage]

    def _remembered(self) -> dict[str, str]:
        try:
            kept = read_json(self.memory)
            return kept["digests"] if kept["state"] == self._state else {}
        except (OSError, ValueError, KeyError):
            return {}

    def _made(self) -> dict[str, str]:
        digests = {script.stem: code_digest(script, self.library) for script in self.scripts.glob("*.py")}
        with suppress(OSError):  # a folder that cannot be written to costs time, no more
            write_json({"state": self._state, "digests": digests}, self.memory)
        return digests


def read_equivalents(table: Path) -> dict[tuple[str, str], str]:
    """(stage, digest) to the digest it stands for, from a TSV with these columns; empty where there is none."""
    if not table.is_file():
        return {}
    with table.open(encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {(row["stage"], row["digest"]): row["stands_for"] for row in rows}


def code_digest(script: Path, library: Path) -> str:
    """Digest of `script` and of the modules of the package folder `library` that count for it (`counted_files`)."""
    seen = counted_files(script, library)
    combined = hashlib.sha256()
    for path in sorted(seen, key=lambda path: path.relative_to(library.parent).as_posix()):
        combined.update(path.relative_to(library.parent).as_posix().encode() + b"\0" + _digest(path))
    return combined.hexdigest()[:16]


def counted_files(script: Path, library: Path) -> set[Path]:
    """`script`, the library modules that it imports, directly or not, and the files that their packages carry; without
    what `NOT_COUNTED` names, and without what only that imports."""
    seen: set[Path] = set()
    queue = [script]
    while queue:
        path = queue.pop()
        if path not in seen:
            seen.add(path)
            queue.extend(file for file in imported_modules(path, library) if _counts(file, library, script.stem))
    return seen | {file for path in seen for file in _data_files(path)}


def _counts(path: Path, library: Path, stage: str) -> bool:
    place = path.relative_to(library).as_posix()
    left_out = tuple(set(NOT_COUNTED) - set(COUNTED_THERE.get(stage, ())))
    return not place.startswith(left_out)


def settings_digest(settings: dict[str, Any]) -> str:
    """Digest of a config section, keys and values.

    Snakemake compares the parameters of a job as a set of values without their names, so that two keys that swap
    values, or one that takes the value of another, would go unseen.
    """
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


@cache
def _digest(path: Path) -> bytes:
    """Digest of the tokens of a Python file, of the bytes of any other."""
    if path.suffix != ".py":
        return hashlib.sha256(path.read_bytes()).digest()
    return hashlib.sha256("\x1f".join(_tokens_of(path)).encode()).digest()


@cache
def _tokens_of(path: Path) -> list[str]:
    return significant_tokens(path.read_text(encoding="utf-8"))


def significant_tokens(source: str) -> list[str]:
    """Tokens of Python source without comments, docstrings, layout and the version; blocks appear as marks."""
    statement: list[str] = []
    kinds: set[int] = set()
    kept: list[str] = []
    lines = source.splitlines(keepends=True)
    fstring_depth, fstring_start = 0, (0, 0)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == _FSTRING_START:
            fstring_depth += 1
            fstring_start = token.start if fstring_depth == 1 else fstring_start
        elif token.type == _FSTRING_END and fstring_depth:
            fstring_depth -= 1
            if fstring_depth == 0:
                statement.append(_source_between(lines, fstring_start, token.end))
                kinds.add(tokenize.OP)
        elif fstring_depth or token.type in _LAYOUT:
            continue
        elif token.type in _BLOCKS:
            # a statement of strings alone is a docstring; the version says which code it is, not what it does
            if kinds != {tokenize.STRING} and statement[:2] != ["__version__", "="]:
                kept.extend(statement)
                if statement:
                    kept.append(tokenize.tok_name[tokenize.NEWLINE])
            statement, kinds = [], set()
            if token.type != tokenize.NEWLINE:
                kept.append(tokenize.tok_name[token.type])
        else:
            statement.append(token.string)
            kinds.add(token.type)
    return kept


def _source_between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    (first, left), (last, right) = start, end
    if first == last:
        return lines[first - 1][left:right]
    return lines[first - 1][left:] + "".join(lines[first : last - 1]) + lines[last - 1][:right]


def _data_files(path: Path) -> list[Path]:
    """What a package carries besides modules (page templates): files in folders beside its `__init__` without one."""
    if path.name != "__init__.py":
        return []
    folders = [folder for folder in path.parent.iterdir() if folder.is_dir() and not (folder / "__init__.py").exists()]
    return [file for folder in folders if folder.name != "__pycache__" for file in folder.rglob("*") if file.is_file()]


@cache
def imported_modules(path: Path, library: Path) -> tuple[Path, ...]:
    """Files of the library that the module at `path` imports, the packages' own `__init__` among them."""
    found: set[Path] = set()
    for node in _imports(_tokens_of(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            found.update(_module_files(name, library))
    return tuple(sorted(found - {path}))


def _imports(tokens: list[str]) -> Iterator[ast.stmt]:
    """The import statements among the tokens of a module, wherever they stand; to parse the rest takes seconds."""
    for between, statement in groupby(tokens, key=_SEPARATORS.__contains__):
        words = list(statement)
        if not between and words[0] in ("import", "from"):
            yield from ast.parse(" ".join(words)).body


def _module_files(name: str, library: Path) -> list[Path]:
    """Files that importing the dotted `name` runs: its packages' `__init__` and the module itself."""
    parts = name.split(".")
    if parts[0] != library.name:
        return []
    files = []
    for depth in range(1, len(parts) + 1):
        stem = library.parent.joinpath(*parts[:depth])
        files += [file for file in (stem / "__init__.py", stem.with_suffix(".py")) if file.is_file()]
    return files
