"""A map of the results folder, for someone who opens it for the first time."""

from lung4d.report.page import TEMPLATES


def place(name: str) -> str:
    """Where a file or folder of the results is, as the page says it."""
    return f"results/{name}"


def folder_map() -> str:
    """The map as Markdown."""
    return (TEMPLATES / "folder.md").read_text(encoding="utf-8")
