"""A table of the user's as typed rows: every cell as anybody would read it, or refused in a sentence.

A sentence names file, row, column and value; rows are counted as lines of the file. Nothing is turned into something
else on the way: a number that is not quite 1 is not 1, and a word that stands for "not known" is no value.
"""

import csv
import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from lung4d.pipeline.door.likely import LikelyNames

NOTHING = {"n/a", "na", "nan", "null", "none", "nil", "#n/a", "<na>"}  # what programs write for no value
DASHES = {".", "-", "--", "\u2013", "\u2014"}
NOT_KNOWN = {
    *("?", "unknown", "unk", "not known", "missing", "not available", "not applicable", "not reported"),
    *("not recorded", "unspecified", "n.a.", "k.a.", "unbekannt", "inconnu", "desconocido", "sconosciuto"),
    *("onbekend", "desconhecido"),
}  # in the languages of the words for a breath (convert)
NO_NAME = re.compile(r"-[0-9]+(\.0*)?|999+(\.0*)?")  # what stands for not known where words are
FAILED = re.compile(r"#(REF|VALUE|NAME|DIV/0|NUM|NULL|SPILL|CALC)[!?]")  # a spreadsheet's formula
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
SHOWN = 60  # characters of a value in a sentence
MAGIC = {b"PK\x03\x04": "a spreadsheet or zip", b"\xd0\xcf\x11\xe0": "a spreadsheet", b"\x1f\x8b": "a compressed file"}
MARKS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
SEPARATORS = {",": "commas", ";": "semicolons", "|": "bars", " ": "spaces"}
COMMENT = "begins with #, and the table has no comments; remove the line"


class UnreadableTable(Exception):
    """Why a file, or the rest of it, is no table: a sentence that begins behind the file's name."""


@dataclass
class Sheet:
    """A table's name, its typed rows (with "row", the line in the file), and what was read otherwise than written.

    whole: every line of the file is in `rows`, so that what is not in them is not in the table.
    """

    name: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    whole: bool = True
    notices: list[str] = field(default_factory=list)


def read_sheet(
    path: Path, schema: Mapping[str, Any], errors: list[str], known: Mapping[str, LikelyNames] | None = None
) -> Sheet:
    """Read a tab-separated table; what is wrong goes to `errors`.

    known: by column, names that the table ought to use, for a hint where it does not.
    """
    sheet = Sheet(path.name)
    try:
        text = _text(path)
        _check_separator(text, schema)
        lines = _records(text)
        header = _header(*next(lines, (1, [""])), schema)
        places = _places(header, schema, path.name, errors)
        sheet.whole = set(schema["required"]) <= set(places.values())
        for number, cells in lines if sheet.whole else ():
            if problem := _shape_problem(cells, header):
                errors.append(f"{path.name} row {number}: {problem}")
                sheet.whole = False
            else:
                texts = {name: cells[place] for place, name in places.items()}
                sheet.rows.append(_typed_row(number, texts, sheet, schema, errors, known or {}))
    except UnreadableTable as error:
        errors.append(f"{path.name} {error}")
        sheet.whole = False
    counted = Counter(sheet.notices)
    sheet.notices = [f"{said} ({count} {'row' if count == 1 else 'rows'})" for said, count in counted.items()]
    return sheet


def _typed_row(
    number: int, written: Mapping[str, str], sheet: Sheet, schema: Mapping[str, Any], errors: list[str],
    known: Mapping[str, LikelyNames],
) -> dict[str, Any]:  # fmt: skip
    properties = schema["properties"]
    texts = {name: text.strip() for name, text in written.items()}
    found = {name: typed(text, properties[name], name in schema["required"]) for name, text in texts.items()}
    row = {"row": number, **{name: value for name, (value, _) in found.items()}}
    row |= {name: written[name] for name in written if row[name] and properties[name].get("as_written")}
    for name, (value, problem) in found.items():
        if problem:
            hint = known[name].hint(texts[name]) if name in known else ""
            errors.append(f"{row_place(sheet.name, row)}: {name} {problem}; {properties[name]['description']}{hint}")
        elif value is None and texts[name] not in ("", "n/a", "NA"):
            sheet.notices.append(f"{sheet.name}: {shown(texts[name])} in column {name} is read as not known")
    return row


def row_place(table: str, row: Mapping[str, Any]) -> str:
    """Where a row stands, for a sentence: "scans.tsv row 3, patient 001"."""
    patient = f", patient {row['subject']}" if row.get("subject") else ""
    return f"{table} row {row['row']}{patient}"


def _text(path: Path) -> str:
    """The file's text, with one kind of line end."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableTable(f"cannot be read ({error.strerror}); it must be a text file") from error
    for magic, what in MAGIC.items():
        if content.startswith(magic):
            raise UnreadableTable(f"is {what} under another ending; export it as tab-separated text")
    coding = next((name for mark, name in MARKS.items() if content.startswith(mark)), "UTF-8")
    try:
        text = re.sub(r"\r\n?", "\n", content.decode(coding).lstrip("\ufeff"))
    except UnicodeDecodeError as error:
        row = _line_of(content[: error.start].decode("latin-1"))
        where = f"row {row}: " if coding == "UTF-8" else ""
        raise UnreadableTable(f"{where}is not {coding} text; save the table as UTF-8") from error
    if "\0" in text:
        row = _line_of(text[: text.index("\0")])
        raise UnreadableTable(f"row {row}: holds a NUL byte, which text does not; save the table as UTF-8 text")
    return text


def _line_of(before: str) -> int:
    """The number of the line that follows on this text."""
    return len(re.findall(r"\r\n?|\n", before)) + 1


def _check_separator(text: str, schema: Mapping[str, Any]) -> None:
    """Raise UnreadableTable where the header has another separator than tabs; before quotation marks are looked at."""
    first = next((line for line in text.split("\n") if line.strip()), "")
    for separator, word in SEPARATORS.items() if "\t" not in first else ():
        parts = [part.strip().strip('"') for part in first.split(separator)]
        if len(parts) > 1 and set(schema["required"]) & {_column_name(part, schema["properties"]) for part in parts}:
            raise UnreadableTable(f"has {word} between its cells; save it with tabs between them")


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """Lines that are not blank, as their numbers and cells; a cell in quotation marks may go over several lines."""
    reader = csv.reader((line + "\n" for line in text.split("\n")), delimiter="\t", strict=True)
    number = 1
    try:
        for cells in reader:
            if any("\n" in cell and "\t" in cell for cell in cells):
                last = f"row {reader.line_num} only, behind other cells"
                raise UnreadableTable(f"row {number}: a quotation mark is closed in {last}; remove it")
            if any(cell.strip() for cell in cells):
                yield number, cells
            number = reader.line_num + 1
    except csv.Error as error:
        if "limit" in str(error):
            most = f"{csv.field_size_limit():,} characters"
            raise UnreadableTable(f"row {number}: a cell is longer than {most}; shorten it") from error
        raise UnreadableTable(
            f"row {number}: a quotation mark begins a cell and is not closed at its end; remove it, or write it twice"
        ) from error


def _header(number: int, cells: list[str], schema: Mapping[str, Any]) -> list[str]:
    """Names of the columns as the schema writes them where it knows them, without empty ones at the end."""
    columns = schema["properties"]
    names = [_column_name(cell, columns) for cell in cells]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise UnreadableTable(f"is empty; its first line must name the columns ({', '.join(columns)})")
    if names[0].startswith("#"):
        raise UnreadableTable(f"row {number}: {COMMENT}")
    return names


def _column_name(cell: str, columns: Mapping[str, Any]) -> str:
    form = re.sub(r"[\s-]+", "_", unicodedata.normalize("NFKC", cell).strip().casefold())
    return form if form in columns else cell.strip()


def _places(header: list[str], schema: Mapping[str, Any], table: str, errors: list[str]) -> dict[int, str]:
    """By place in a row, the columns that are known; others, and those that are missing, go to `errors`."""
    columns = schema["properties"]
    places: dict[int, str] = {}
    for place, name in enumerate(header):
        if name in places.values():
            errors.append(f"{table}: column {name!r} is there twice; keep one")
        elif name in columns:
            places[place] = name
        elif name:
            near = difflib.get_close_matches(name.casefold(), columns, n=1, cutoff=0.7)
            hint = f", did you mean {near[0]!r}?" if near else f"; known are {', '.join(columns)}"
            errors.append(f"{table}: unknown column {shown(name)}{hint}")
    for name in schema["required"]:
        if name not in places.values():
            errors.append(f"{table}: column {name!r} is missing; {columns[name]['description']}")
    return places


def _shape_problem(cells: list[str], header: list[str]) -> str:
    """Why the header does not say what the cells are, "" where it does."""
    if cells[0].lstrip().startswith("#"):
        return COMMENT
    for place, cell in enumerate(cells):
        if cell.strip() and (place >= len(header) or not header[place]):
            return f"{shown(cell)} is a cell too many, under no name in the header; remove it, or name its column"
    if len(cells) < len(header):
        return f"has {len(cells)} cells for {len(header)} columns; put a tab before each, also where a cell is empty"
    return ""


def shown(text: str) -> str:
    """A value in a sentence: in quotation marks, cut where it is long."""
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "\u2026")


def typed(text: str, column: Mapping[str, Any], required: bool) -> tuple[Any, str]:
    """The value of one cell, a text without spaces around it, and "", or None and what is wrong with it.

    None and "" is a value that is not known; a column that is `required` has none of them.
    """
    word, coded = text.casefold(), column["type"] != "string" or "enum" in column
    words = column.get("may_be_unknown", False)
    if FAILED.fullmatch(text.upper()):
        return None, f"is {shown(text)}, which a spreadsheet writes where it could not compute"
    if required and (text == "" or word in NOTHING):
        return None, "is empty" if text in ("", "n/a", "NA") else f"is {shown(text)}, which stands for nothing"
    if not required and (text == "" or word in NOTHING | DASHES):
        return None, ""
    if ((coded or words) and word in NOT_KNOWN) or (coded and word == "u") or (words and NO_NAME.fullmatch(word)):
        return None, ""
    if word in column.get("refused", ()):
        return None, f"is {shown(text)}, which {column['refused_because']}"
    if column["type"] in ("number", "integer"):
        return _number(text, column)
    if len(text) > (most := column.get("maxLength", len(text))):
        return None, f"is {shown(text)}, longer than {most} characters"
    fits = text in column.get("enum", [text]) and re.fullmatch(column.get("pattern", "(?s:.*)"), text) is not None
    return (text, "") if fits else (None, f"is {shown(text)}")


def _number(text: str, column: Mapping[str, Any]) -> tuple[Any, str]:
    """The number that the text is: a whole one exactly where the column holds these, within the column's limits."""
    low, high = column.get("minimum", float("-inf")), column.get("maximum", float("inf"))
    if NUMBER.fullmatch(text) is None:
        comma = NUMBER.fullmatch(text.replace(",", ".", 1)) is not None
        return None, f"is {shown(text)}" + (", with a comma where numbers have a point" if comma else "")
    try:
        exact = Decimal(text)
    except ArithmeticError:
        return None, f"is {shown(text)}"
    if not low <= exact <= high:
        return None, f"is {shown(text)}, not a number from {low:g} to {high:g}"
    if exact and not float(exact):
        return None, f"is {shown(text)}, nearer to 0 than a computer's numbers come"
    if column["type"] == "integer":
        whole = exact == exact.to_integral_value()
        return (int(exact), "") if whole else (None, f"is {shown(text)}, not a whole number")
    return float(text) + 0.0, ""
