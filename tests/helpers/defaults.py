"""Settings of tests: what config/config.yaml says, but for what a test says itself."""

from dataclasses import fields
from functools import cache
from typing import TypeVar

from helpers.running import ROOT
from lung4d.pipeline.door.configuration import load_yaml
from lung4d.training.settings import SettingsSection

Made = TypeVar("Made", bound=SettingsSection)


@cache
def defaults(section: str) -> dict:
    """A section of config/config.yaml; not to be changed."""
    return load_yaml(ROOT / "config/config.yaml")[section]


def settings_of(kind: type[Made], **changes) -> Made:
    """The class's part of its section, with `changes`, among them stage 1's `channels` and `factor` for stage 2.

    Stage 2 is told nothing more of the visits unless `told` is changed.
    """
    unknown = set(changes) - {field.name for field in fields(kind)}
    assert not unknown, f"{kind.__name__} has no {unknown}"
    return kind.of({"told": ()} | defaults(kind.SECTION) | changes)
