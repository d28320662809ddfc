"""workflow/code_equivalents.tsv: which digest of a stage's code stands for which earlier one, and why."""

import csv
from dataclasses import astuple, dataclass
from pathlib import Path

COLUMNS = ("stage", "digest", "stands_for", "why")
BY_ITSELF = "moves, renames and imports alone"


@dataclass(frozen=True, order=True)
class Row:
    """The stage with this digest goes on under that of `stands_for`."""

    stage: str
    digest: str
    stands_for: str
    why: str


def read_rows(path: Path) -> list[Row]:
    """Rows of the table, none where there is no file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [Row(*(row[column] for column in COLUMNS)) for row in rows]


def with_rows(rows: list[Row], new: list[Row], now: set[tuple[str, str]]) -> list[Row]:
    """The table after an update: `now` are stage and digest of today's code, of which only the `new` rows speak.

    Rows of earlier digests stay, for folders and checkouts between two versions.
    """
    return sorted([*(row for row in rows if (row.stage, row.digest) not in now), *new])


def write_rows(rows: list[Row], path: Path) -> None:
    """Write the table whole or not at all."""
    lines = ["\t".join(COLUMNS), *("\t".join(astuple(row)) for row in rows)]
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    temporary.replace(path)


def reasons(text: str, stages: set[str]) -> dict[str, str]:
    """Why no number changes, by stage: from lines "stage[, stage]: why", or the file of them that `text` names. A stage
    may be in several.

    Raises SystemExit for other lines and for stages that there are not.
    """
    if text and "\n" not in text and Path(text).is_file():
        text = Path(text).read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        names, colon, why = line.partition(":")
        named = [name.strip() for name in names.split(",")]
        if not colon or not why.strip() or "\t" in why:
            raise SystemExit(f"SAME wants lines 'stage: why no number can change', without tabs: {line}")
        if unknown := sorted(set(named) - stages):
            raise SystemExit(f"SAME names stages that there are not: {', '.join(unknown)}")
        found |= {name: "; ".join(filter(None, [found.get(name), why.strip()])) for name in named}
    return found
