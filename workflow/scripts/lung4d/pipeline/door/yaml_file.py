"""A YAML file of the user's as texts with their lines: what a value means is for the key that it is given to.

YAML has habits that surprise whoever writes it by hand: of two equal keys the last counts and nothing is said, `3e-4`
is a text and `010` is eight, `no` is false, a tag may run a program. Here every value is the text that stands in the
file, `null` alone excepted (`lung4d.pipeline.door.wanted` reads it as its key wants it), and what two people could read
in two ways is an error that names the line.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lung4d.pipeline.door.invalid import InvalidInput

NULLS = ("", "~", "null", "Null", "NULL")
PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq", "int", "float", "bool", "null")}
MOST_VALUES = 100_000  # of a file, its anchors written out
EXAMPLE = "compare it with config/config.yaml of the repository"

Place = tuple[str | int, ...]  # keys and places in lists, from the top


@dataclass(frozen=True)
class YamlFile:
    """values: mappings, lists, texts and None. lines: of every key and every item of a list, counted from 1."""

    name: str
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[Place, int] = field(default_factory=dict)

    def where(self, place: Place) -> str:
        """File and line of a key, or of the nearest one around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return f"{self.name} line {self.lines[place]}" if place else self.name


def read_yaml_file(path: str | Path, name: str = "") -> YamlFile:
    """The YAML (or JSON) file at `path`, called `name` in errors; an empty one is an empty mapping.

    Raises InvalidInput with a sentence for every duplicate, tag or odd key, or for what keeps the file from being read.
    """
    name = name or Path(path).as_posix()
    return parse_yaml(_decoded(Path(path), name), name)


def parse_yaml(text: str, name: str) -> YamlFile:
    """As `read_yaml_file`, of a text."""
    if text.lstrip().startswith("{"):
        text = text.replace("\t", " ")  # JSON, in which a tab is a space; YAML knows none
    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what = f"{name} line {line} holds the character U+{ord(text[error.position]):04X}, which is no text"
        raise InvalidInput([f"{what}; save the file as UTF-8 text"]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise InvalidInput([f"{name} line {mark.line + 1 if mark else 1}{_complaint(error)}"]) from None
    if root is None or (isinstance(root, yaml.ScalarNode) and root.value in NULLS):
        return YamlFile(name)
    if not isinstance(root, yaml.MappingNode):
        kind = "a list" if isinstance(root, yaml.SequenceNode) else "a text"
        raise InvalidInput(
            [f"{name} line {_line(root)} begins {kind}; give sections with keys in them, such as `split: {{val: 0.2}}`"]
        )
    reader = _Reader(name)
    values = reader.read(root, ())
    if reader.errors:
        raise InvalidInput(reader.errors)
    return YamlFile(name, values, reader.lines)


def _decoded(path: Path, name: str) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput([f"{name} cannot be read ({error.strerror}); mend its permissions or its disk"]) from None
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = f"byte 0x{data[error.start]:02X}"
        raise InvalidInput([f"{name} line {line} is not UTF-8 ({byte}); save the file as UTF-8"]) from None


def _complaint(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or ""
    if "'\\t'" in problem:
        return " has a tab where the value or the key begins; indent with spaces"
    if "but found another document" in problem:
        return " begins a second document (---); keep one in a file"
    return f" is not YAML ({problem}); {EXAMPLE}"


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


class _Reader:
    """Nodes as values; `errors` and `lines` fill as it goes."""

    def __init__(self, name: str):
        self.name = name
        self.errors: list[str] = []
        self.lines: dict[Place, int] = {}
        self._around: list[yaml.Node] = []

    def read(self, node: yaml.Node, place: Place) -> Any:
        if node in self._around or len(self.lines) > MOST_VALUES:
            raise InvalidInput(
                [f"{self.name} line {_line(node)}: an anchor holds itself, or too much; write its values out"]
            )
        if node.tag not in PLAIN_TAGS:
            self._wrong(node, f"has the tag {node.tag.replace('tag:yaml.org,2002:', '!!')}; leave it out")
        if isinstance(node, yaml.ScalarNode):
            return None if node.style is None and node.value in NULLS else node.value
        self._around.append(node)
        value: Any = None
        if isinstance(node, yaml.MappingNode):
            value = self._mapping(node, place)
        elif isinstance(node, yaml.SequenceNode):
            value = self._list(node, place)
        self._around.pop()
        return value

    def _list(self, node: yaml.SequenceNode, place: Place) -> list[Any]:
        values = []
        for number, item in enumerate(node.value):
            self.lines[(*place, number)] = _line(item)
            values.append(self.read(item, (*place, number)))
        return values

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        values: dict[str, Any] = {}
        own: dict[str, int] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._wrong(key, "has a list or a section for a key; give a word")
            elif key.value == "<<" and key.style is None:
                merged |= self._merged(value, place)
            elif key.value in own:
                section = f" of {'.'.join(map(str, place))}" if place else ""
                lines = f"{self.name} lines {own[key.value]} and {_line(key)}"
                self.errors.append(f"{lines} both give {key.value}{section}; keep one of them")
            else:
                own[key.value] = _line(key)
                values[key.value] = self.read(value, (*place, key.value))
        self.lines.update({(*place, key): line for key, line in own.items()})
        return merged | values

    def _merged(self, node: yaml.Node, place: Place) -> dict[str, Any]:
        """What `<<: *anchor` or `<<: [*one, *other]` takes over; of several the first wins."""
        taken: dict[str, Any] = {}
        for part in _parts(node):
            if isinstance(part, yaml.MappingNode):
                taken = self.read(part, place) | taken
            else:
                self._wrong(part, "takes over (<<) what is no section; name the anchor of a section")
        return taken

    def _wrong(self, node: yaml.Node, what: str) -> None:
        self.errors.append(f"{self.name} line {_line(node)} {what}")


def _parts(node: yaml.Node) -> Iterator[yaml.Node]:
    yield from node.value if isinstance(node, yaml.SequenceNode) else [node]
