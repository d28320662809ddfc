"""What comparing two pieces of code gives, and how it is told."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import zip_longest

from tools.equivalents.code import Definition, Foreign, Module, Part
from tools.equivalents.scopes import Scope

OLD, NEW = 0, 1
Reference = Part | Module | Foreign


class Mismatch(Exception):
    """Two pieces of code differ by more than names."""


@dataclass(frozen=True)
class Found:
    """Something at a place of the old or the new code, or of both: lines of files, "-" for nowhere."""

    old: str
    new: str
    what: str

    def __str__(self) -> str:
        return f"{self.old} -> {self.new}: {self.what}"


@dataclass(frozen=True)
class LoneMethod:
    """A method that a class has on one side only, by its statements: those of a property's setter are among them."""

    side: int
    module: Module
    owner: ast.ClassDef
    statements: list[ast.FunctionDef]
    found: Found

    @property
    def name(self) -> str:
        return self.statements[0].name


@dataclass(frozen=True)
class Outcome:
    """What comparing two definitions gave: differences; what must be equal too for these to be; members, and keywords
    of unknown callees, with other names (old, new, where); parameters and fields (old, new); lone methods.
    """

    problems: list[Found] = field(default_factory=list)
    meets: list[tuple[Definition, Definition]] = field(default_factory=list)
    renames: list[tuple[str, str, Found]] = field(default_factory=list)
    keywords: list[tuple[str, str, Found]] = field(default_factory=list)
    parameters: list[tuple[str, str]] = field(default_factory=list)
    lone_methods: list[LoneMethod] = field(default_factory=list)


@dataclass
class Frame:
    """Two scopes that correspond, and which name of the old one is which of the new one."""

    scopes: tuple[Scope, Scope]
    there: dict[str, str] = field(default_factory=dict)
    back: dict[str, str] = field(default_factory=dict)

    def same(self, old: str, new: str) -> bool:
        return self.there.setdefault(old, new) == new and self.back.setdefault(new, old) == old


def aligned(old: list[ast.stmt], new: list[ast.stmt]) -> Iterator[tuple[ast.stmt | None, ast.stmt | None]]:
    """Statements that correspond; None where one side has none."""
    if len(old) == len(new):
        yield from zip(old, new, strict=True)
        return
    texts = ([ast.dump(statement) for statement in part] for part in (old, new))
    for _, a, b, c, d in SequenceMatcher(None, *texts, autojunk=False).get_opcodes():
        yield from zip_longest(old[a:b], new[c:d])


def shown(node: ast.AST) -> str:
    """A node as one short line of code."""
    text = " ".join(ast.unparse(node).split()) if node._fields else type(node).__name__.lower()
    return f"`{text[:60]}...`" if len(text) > 63 else f"`{text}`"


def named(what: Reference | None) -> str:
    """What a reference stands for, for a reader."""
    match what:
        case None:
            return "a local name"
        case Part():
            return f"{what.definition.module.name}.{what.definition.names[what.index]}"
        case _:
            return what.name
