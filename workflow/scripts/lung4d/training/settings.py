"""A part of a config section as a frozen dataclass that is checked when it is made."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Self


class SettingsSection:
    """Base of frozen dataclasses whose fields are keys of one section of the configuration.

    Defaults stand in config/config.yaml alone. SECTION: the section's name; CHOICES: the values that a key may have;
    COUNTS: keys that must be 1 or more. Raises ValueError, naming the key, for other values.
    """

    SECTION: ClassVar[str]
    CHOICES: ClassVar[Mapping[str, tuple]] = {}
    COUNTS: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        for key, allowed in self.CHOICES.items():
            if getattr(self, key) not in allowed:
                given = f"{self.SECTION}.{key} is '{getattr(self, key)}'"
                raise ValueError(f"{given}; give one of {', '.join(map(str, allowed))}")
        for key in self.COUNTS:
            if getattr(self, key) < 1:
                raise ValueError(f"{self.SECTION}.{key} is {getattr(self, key)}; give 1 or more")

    __dataclass_fields__: ClassVar[dict[str, Any]]  # of every section, which are dataclasses

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The fields among `values`, which may hold other keys too; lists become tuples.

        Raises ValueError, naming them, for fields without a value.
        """
        if absent := [field.name for field in fields(cls) if field.name not in values]:
            raise ValueError(f"{cls.SECTION} has no {', '.join(absent)}")
        own = {field.name: values[field.name] for field in fields(cls)}
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in own.items()})
