"""A report page as data (sections of reportlets of bodies), and its rendering into one HTML file."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lung4d.figures.style import Chart

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Words:
    """Paragraphs; `tone` is "" or "note" for something that a reader must not miss."""

    paragraphs: tuple[str, ...]
    tone: str = ""
    kind: ClassVar[str] = "words"


@dataclass(frozen=True)
class Finding:
    """A sentence under a label of few words; `done` is False for what could not be done."""

    label: str
    sentence: str
    done: bool = True


@dataclass(frozen=True)
class Findings:
    """A list of findings."""

    findings: tuple[Finding, ...]
    kind: ClassVar[str] = "findings"


@dataclass(frozen=True)
class Table:
    """Cells are text already; `numeric` says which columns stand on the right; `strong` which rows are ours."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    strong: frozenset[int] = frozenset()
    kind: ClassVar[str] = "table"

    @property
    def long(self) -> frozenset[int]:
        """Columns with sentences, which may break their lines."""
        return frozenset(i for i in range(len(self.columns)) if any(len(row[i]) > 24 for row in self.rows))


@dataclass(frozen=True)
class Picture:
    """A PNG picture with its description for those who cannot see it; `width` in CSS pixels at full size."""

    png: bytes
    alt: str
    width: int
    kind: ClassVar[str] = "picture"


@dataclass(frozen=True)
class Charts:
    """Charts side by side where there is room, each with its description."""

    charts: tuple[tuple[Chart, str], ...]
    kind: ClassVar[str] = "charts"


@dataclass(frozen=True)
class Flicker:
    """Two pictures in one place, shown in turn under the pointer or by a tap."""

    first: bytes
    second: bytes
    names: tuple[str, str]
    alt: str
    width: int
    kind: ClassVar[str] = "flicker"


@dataclass(frozen=True)
class Fold:
    """Bodies that are opened by a click."""

    title: str
    bodies: tuple
    kind: ClassVar[str] = "fold"


@dataclass(frozen=True)
class Code:
    """Text in fixed width, as it is."""

    text: str
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Reportlet:
    """One thing to look at: its title, a caption that says what to look at, and bodies."""

    title: str
    caption: str
    bodies: tuple


@dataclass(frozen=True)
class Section:
    """A chapter: `name` is its anchor, `lead` the sentence under its title."""

    name: str
    title: str
    lead: str
    reportlets: tuple[Reportlet, ...]


@dataclass(frozen=True)
class Page:
    """`facts` are (number, what) of the header, `notice` a sentence above everything, or ""."""

    title: str
    subtitle: str
    notice: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]


def render(page: Page) -> str:
    """The page as one HTML document that loads nothing from anywhere: pictures and style are inside."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = data_uri
    style = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    return environment.get_template("page.html.j2").render(page=page, style=style)


def data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
