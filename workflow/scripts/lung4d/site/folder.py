"""A map of the results folder, for someone who opens it for the first time."""

from lung4d.site.page import TEMPLATES


def folder_map() -> str:
    """The map as Markdown."""
    return (TEMPLATES / "folder.md").read_text(encoding="utf-8")
