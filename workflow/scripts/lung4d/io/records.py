"""Frozen records as JSON and back.

A record is a dataclass of plain values, of tuples of them, of records, and of records that may be absent. Numbers that
are missing are NaN in a record and null in the file, which has no NaN; those without bound are words there.
"""

import math
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, get_args, get_origin


def as_data(value: Any) -> Any:
    """What `write_json` can write of a record."""
    if is_dataclass(value):
        return {field.name: as_data(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [as_data(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def as_record(kind: Any, data: Any) -> Any:
    """The record of this kind that `as_data` made `data` of. Raises KeyError where a field is not there."""
    if get_origin(kind) is UnionType:  # a record that may be absent
        (kind,) = set(get_args(kind)) - {NoneType}
        return None if data is None else as_record(kind, data)
    if is_dataclass(kind):
        values = {field.name: as_record(field.type, data[field.name]) for field in fields(kind)}
        return kind(**values)  # type: ignore[operator]  # a class
    if get_origin(kind) is tuple:
        return tuple(as_record(get_args(kind)[0], item) for item in data)
    if kind is float:
        return math.nan if data is None else float(data)
    return data
