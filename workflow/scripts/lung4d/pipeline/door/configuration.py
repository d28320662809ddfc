"""The configuration: defaults overlaid by what the user says, checked against a strict schema, errors in sentences."""

import copy
import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from lung4d.pipeline.door.invalid import InvalidInput
from lung4d.pipeline.door.wanted import as_wanted, kinds_of
from lung4d.pipeline.door.yaml_file import Place, YamlFile, read_yaml_file

ON_COMMAND_LINE = "--config"
KINDS = {"array": "a list", "object": "a section", "boolean": "true or false"}


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
    """Read a YAML mapping of the repository's own, such as a schema; an empty file is an empty mapping."""
    return yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}


def can_be_read_again(files: Iterable[Path]) -> bool:
    """Whether files that Snakemake has read say the same again: no pipe, and no template (yte) that it has filled."""
    return all(path.is_file() and b"__use_yte__" not in path.read_bytes() for path in files)


def read_layers(
    files: Mapping[str, Path], given: Mapping[str, Any], schema: Mapping[str, Any]
) -> tuple[list[YamlFile], list[str]]:
    """The user's files by the name that they have in errors, then what was `given` as values; and all that is wrong
    with the files. Values are as the schema wants them where they can be read so; a later layer is over an earlier."""
    layers, errors = [], []
    for name, path in files.items():
        try:
            layers.append(read_yaml_file(path, name))
        except InvalidInput as error:
            errors += error.errors
    layers.append(YamlFile(ON_COMMAND_LINE, dict(given)))
    return [YamlFile(layer.name, as_wanted(layer.values, schema, schema), layer.lines) for layer in layers], errors


def check_writable(*folders: Path) -> None:
    """Raise InvalidInput naming those of `folders` that are there and cannot be written to."""
    errors = [
        f"{folder.resolve()} cannot be written to; mend its permissions or its disk, or run in a folder of your own"
        for folder in folders
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK)
    ]
    if errors:
        raise InvalidInput(errors)


def check_named_plainly(folder: Path) -> None:
    """Raise InvalidInput where the working folder's path holds a brace: Snakemake looks for its locks by a pattern that
    begins with it, fails or finds those of other folders."""
    if "{" in str(folder) or "}" in str(folder):
        raise InvalidInput(
            [f"the working folder is {folder}, with a brace in its path, in which Snakemake cannot lock it; run in "
             "another one (--directory), or rename it"]
        )  # fmt: skip


def check_config(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Raise InvalidInput naming section, key, value and remedy for everything that breaks the schema."""
    if errors := config_errors(config, schema):
        raise InvalidInput(errors)


def config_errors(config: Mapping[str, Any], schema: Mapping[str, Any], layers: Sequence[YamlFile] = ()) -> list[str]:
    """A sentence for everything that breaks the schema; `layers` tell the file and the line."""
    validator = jsonschema.Draft202012Validator(schema)
    errors = [sentence for error in validator.iter_errors(config) for sentence in _sentences(error, schema, layers)]
    return sorted(set(errors)) + [
        f"{_place(place, layers)} holds a line break or another control character; leave it out"
        for place, text in _texts(config)
        if re.search(r"[\x00-\x1f\x7f]", text)
    ]


def _texts(value: Any, place: Place = ()) -> Iterable[tuple[Place, str]]:
    """Every text in the configuration, with its place."""
    if isinstance(value, str):
        yield place, value
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _texts(item, (*place, key))


def _place(place: Place, layers: Sequence[YamlFile]) -> str:
    """The key in words, and where the last that says it does so."""
    said_by = next((layer for layer in reversed(layers) if _holds(layer.values, place)), None)
    return ", ".join([said_by.where(place) if said_by else "config", *map(str, place)])


def _holds(value: Any, place: Place) -> bool:
    for key in place:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _sentences(error: jsonschema.ValidationError, schema: Mapping[str, Any], layers: Sequence[YamlFile]) -> list[str]:
    nearly = [inner for inner in error.context or () if inner.validator != "type"] if error.validator == "oneOf" else []
    if nearly:
        return [sentence for inner in nearly for sentence in _sentences(inner, schema, layers)]
    path = tuple(error.absolute_path)
    place = _place(path, layers)
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = [key for key in error.instance if key not in known]
        return [_unknown_key(_place((*path, key), layers), key, known, schema) for key in unknown]
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return [f"{place}: {key} is missing; take it over from the repository's config/config.yaml" for key in missing]
    key, description = _described(path, schema)
    value = "empty" if error.instance is None else repr(error.instance)
    return [f"{place} is {value}; {_allowed(error)}. {key}: {description}"]


def _unknown_key(place: str, key: str, known: list[str], schema: Mapping[str, Any]) -> str:
    """The sentence, with the near key or the section where this one belongs; `place` ends with the key itself."""
    homes = [f"into {name}" for name, section in schema["properties"].items() if key in section.get("properties", {})]
    homes += ["to the top, in no section"] if key in schema["properties"] else []
    letters = {_letters(name): name for name in known}
    near = difflib.get_close_matches(_letters(key), letters, n=1)
    hint = f"did you mean {letters[near[0]]!r}?" if near else f"known are {', '.join(known)}"
    if homes:
        hint = f"it belongs {' or '.join(homes)}"
    return f"{place.removesuffix(f', {key}')}: unknown key {key!r}, {hint}"


def _letters(key: str) -> str:
    """A key as it is looked for: `Train-VQGAN` is near to `train_vqgan`."""
    return str(key).strip().lower().replace("-", "_")


def _described(path: Place, schema: Mapping[str, Any]) -> tuple[str, str]:
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
    words = " or ".join(KINDS.get(kind, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds))
    bounds = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[key]}" for key, sign in bounds.items() if key in schema]
    hint = ""
    if isinstance(error.instance, str) and kinds_of(schema) & {"number", "integer"}:
        hint = ", in plain decimals such as 0.2, 20 or 3e-4"
    return " ".join(["give", words, " and ".join(limits)]).strip() + hint
