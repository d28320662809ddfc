"""The configuration: defaults overlaid by what the user says, checked against a strict schema, errors in sentences."""

import copy
import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml


class InvalidInput(Exception):
    """Everything that is wrong with the configuration or the tables, one sentence a line."""

    def __init__(self, errors: list[str]):
        self.errors = errors
        count = "1 problem" if len(errors) == 1 else f"{len(errors)} problems"
        super().__init__(f"{count} in the input; nothing was started\n" + "\n".join(f"  - {error}" for error in errors))


def overlaid(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `top` over it, section by section; lists and plain values are replaced whole."""
    merged = copy.deepcopy(dict(base))
    for key, value in top.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = overlaid(merged[key], value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def load_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping; an empty file is an empty mapping."""
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise InvalidInput([f"{Path(path).name} is not valid YAML: {error}"]) from error


def check_writable(*folders: Path) -> None:
    """Raise InvalidInput naming those of `folders` that are there and cannot be written to."""
    errors = [
        f"{folder.resolve()} cannot be written to; mend its permissions or its disk, or run in a folder of your own"
        for folder in folders
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK)
    ]
    if errors:
        raise InvalidInput(errors)


def check_config(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Raise InvalidInput naming section, key, value and remedy for everything that breaks the schema."""
    validator = jsonschema.Draft202012Validator(schema)
    errors = [sentence for error in validator.iter_errors(config) for sentence in _sentences(error, schema)]
    if errors:
        raise InvalidInput(sorted(errors))


def _sentences(error: jsonschema.ValidationError, schema: Mapping[str, Any]) -> list[str]:
    path = list(error.absolute_path)
    place = "config" + "".join(f", {part}" for part in path)
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        return [_unknown_key(place, key, known) for key in error.instance if key not in known]
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return [f"{place}: {key} is missing; take it over from the repository's config/config.yaml" for key in missing]
    key, description = _described(path, schema)
    return [f"{place} is {error.instance!r}; {_allowed(error)}. {key}: {description}"]


def _unknown_key(place: str, key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(str(key), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    return f"{place}: unknown key {key!r}, {hint}"


def _described(path: list[str | int], schema: Mapping[str, Any]) -> tuple[str, str]:
    """The innermost key on `path` that the schema describes, and its description."""
    name, words = "config", ""
    for part in path:
        schema = schema.get("properties", {}).get(part, {})
        if "description" in schema:
            name, words = str(part), schema["description"]
    return name, words


def _allowed(error: jsonschema.ValidationError) -> str:
    """What the value may be, in words."""
    schema = error.schema
    if "enum" in schema:
        return "give one of " + ", ".join(str(value) for value in schema["enum"])
    if error.validator in ("minItems", "maxItems"):
        return f"give {schema.get('minItems', 0)} to {schema.get('maxItems', 'any number of')} values"
    if error.validator == "oneOf":
        return "it has none of the forms it may have"
    if error.validator == "pattern":
        return f"it does not look like {schema['pattern']}"
    kinds = schema.get("type", "another value")
    words = " or ".join(kinds) if isinstance(kinds, list) else kinds
    bounds = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[key]}" for key, sign in bounds.items() if key in schema]
    return " ".join(["give", words, " and ".join(limits)]).strip()
