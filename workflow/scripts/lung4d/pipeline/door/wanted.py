"""Texts as the values that their keys want, by the schema.

A text is read as anybody would read it where its key wants a number (`3e-4`, `"0.2"`), a yes or no (`on`), nothing
(`null`) or a section (`{lr: 1e-4}`); it stays a text where it is none, and the check against the schema says so.
"""

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from lung4d.pipeline.door.invalid import InvalidInput
from lung4d.pipeline.door.yaml_file import NULLS, parse_yaml

# A decimal number without zeros in front, which some read as octal; 20_000 is 20000.
WHOLE = r"(?:0|[1-9][0-9]*|[1-9][0-9]{0,2}(?:_[0-9]{3})+)"
NUMBER = re.compile(rf"[-+]?(?:{WHOLE}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
THOUSANDS = re.compile(r"[-+]?[1-9][0-9]{0,2}\.[0-9]{3}")  # a whole number as some write it, 20.000 for 20,000
WORDS = dict.fromkeys(("true", "yes", "on"), True) | dict.fromkeys(("false", "no", "off"), False)


def as_wanted(value: Any, schema: Mapping[str, Any], whole: Mapping[str, Any]) -> Any:
    """`value` as `schema` wants it, as far as it can be read so. `whole` is the schema with the definitions.

    A section without a value is left out, as if it were not there.
    """
    schema = _shape_of(schema, whole)
    kinds = kinds_of(schema)
    if isinstance(value, str):
        value = _read(value, schema, kinds)
    if isinstance(value, Mapping) and "object" in kinds:
        properties = schema.get("properties", {})
        read = {key: as_wanted(item, properties.get(key, {}), whole) for key, item in value.items()}
        return {key: item for key, item in read.items() if item is not None or not _is_section(properties.get(key))}
    if isinstance(value, list) and "array" in kinds:
        return [as_wanted(item, schema.get("items", {}), whole) for item in value]
    if isinstance(value, float) and "number" not in kinds and "integer" in kinds and value.is_integer():
        return int(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # is no number for any key, though it would pass some of their limits
    return value


def number_in(text: str) -> int | float | None:
    """The finite decimal number that a text is, or None."""
    text = text.strip()
    if not NUMBER.fullmatch(text):
        return None
    text = text.replace("_", "")
    value = float(text)
    if not math.isfinite(value):
        return None
    return int(text) if re.fullmatch("[-+]?[0-9]+", text) else value


def kinds_of(schema: Mapping[str, Any]) -> set[str]:
    """What a value may be, in the words of JSON Schema."""
    kinds = schema.get("type", [])
    kinds = {kinds} if isinstance(kinds, str) else set(kinds)
    if any(isinstance(choice, bool) for choice in schema.get("enum", [])):
        kinds.add("boolean")
    return kinds


def _shape_of(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema without references, and of several forms one that allows all their kinds."""
    if "$ref" in schema:
        return {**whole["$defs"][schema["$ref"].rpartition("/")[2]], **{k: v for k, v in schema.items() if k != "$ref"}}
    if "oneOf" in schema:
        forms = [_shape_of(form, whole) for form in schema["oneOf"]]
        return {**dict(item for form in forms for item in form.items()), "type": [form["type"] for form in forms]}
    return schema


def _is_section(schema: Mapping[str, Any] | None) -> bool:
    return schema is not None and schema.get("type") == "object"


def _read(text: str, schema: Mapping[str, Any], kinds: set[str]) -> Any:
    word = text.strip()
    if (word in NULLS or word.lower() == "none") and kinds & {"null", "object"}:
        return None
    if "boolean" in kinds and word not in schema.get("enum", []) and word.lower() in WORDS:
        return WORDS[word.lower()]
    if kinds & {"number", "integer"}:
        number = None if "number" not in kinds and THOUSANDS.fullmatch(word) else number_in(word)
        whole = isinstance(number, float) and "number" not in kinds and number.is_integer()
        return text if number is None else int(Decimal(word.replace("_", ""))) if whole else number
    if kinds & {"object", "array"} and word[:1] in ("{", "["):
        return _structure(word, text)
    return text


def _structure(word: str, text: str) -> Any:
    """The mapping or list that a text writes out, or the text itself where it is neither."""
    try:
        return parse_yaml(f"value: {word}", "").values["value"]
    except InvalidInput:
        return text
