"""All files below a folder of anybody's making: links in circles, folders that cannot be read, any names."""

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
Progress = Callable[[str, int, int], None]  # is told of what, how many are done, and of how many


@dataclass(frozen=True)
class TreeFiles:
    """Paths relative to the tree: its files, folders that cannot be read, links to nowhere, hidden folders, links to
    folders elsewhere, and links to folders that hold the tree."""

    files: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    dead_links: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    linked_out: list[str] = field(default_factory=list)
    around: list[str] = field(default_factory=list)


def walk_tree(root: Path, but: Path | None = None) -> TreeFiles:
    """Find the files below `root` by name, without opening any; the folder `but`, to which links may lead, is left out.

    Links are followed, to folders as well, but each folder is entered once, and none that holds the tree. Hidden
    folders are left out: version control and snapshots keep a second copy of the tree there.
    """
    top = os.path.realpath(root)
    tree = TreeFiles()
    entered, waiting = {top, os.path.realpath(but or root)}, [("", top)]
    while waiting:
        place, real_place = waiting.pop()
        try:
            with os.scandir(real_place) as listed:
                entries = sorted(listed, key=lambda entry: entry.name, reverse=True)
        except OSError:
            tree.unreadable.append(place)
            continue
        folders = []
        for entry in entries:
            path = f"{place}/{entry.name}" if place else entry.name
            if _is(entry, "is_dir"):
                folders += _to_enter(entry, path, top, entered, tree)
            elif _is(entry, "is_file"):
                tree.files.append(path)
            elif entry.is_symlink():
                tree.dead_links.append(path)
        waiting += folders
    tree.files.sort()
    return tree


def told(items: Collection[T], what: str, progress: Progress) -> Iterator[T]:
    """The items one by one; `progress` is told how many are done."""
    for done, item in enumerate(items):
        progress(what, done, len(items))
        yield item
    progress(what, len(items), len(items))


def _is(entry: os.DirEntry, kind: str) -> bool:
    try:
        return getattr(entry, kind)()
    except OSError:  # a link to itself
        return False


def _to_enter(entry: os.DirEntry, path: str, top: str, entered: set[str], tree: TreeFiles) -> list[tuple[str, str]]:
    """The folder, and where it really is, unless it is hidden, was entered already or holds the tree."""
    real = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
    if entry.name.startswith(".") and not entry.name.startswith(".."):
        tree.hidden.append(path)
        return []
    if entry.is_symlink():
        if Path(real).is_relative_to(top) and not _is_hidden(os.path.relpath(real, top)):
            return []  # it is entered at its own place
        if Path(top).is_relative_to(real):
            tree.around.append(path)
            return []
    if real in entered:
        return []
    if entry.is_symlink():
        tree.linked_out.append(path)
    entered.add(real)
    return [(path, real)]


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in Path(path).parts)
