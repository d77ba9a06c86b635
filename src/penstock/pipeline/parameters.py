"""Values of parameter and metric files (YAML, JSON, TOML, Python) by dotted key."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from penstock.base.errors import Invalid, NotFound
from penstock.base.yaml12 import load
from penstock.pipeline.python_values import parse_python
from penstock.pipeline.stage import ParameterRef


def load_values(path: Path) -> Mapping[str, Any]:
    """Read a parameter or metrics file as a mapping.

    Raises:
        NotFound: no such file.
        Invalid: it cannot be parsed, or holds no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(
            f"{path} does not exist",
            code="pipeline.no_values",
            hint="penstock repro, where a stage makes it; else write it, or mend the name",
            path=str(path),
        ) from None
    except UnicodeDecodeError as error:
        raise Invalid(
            f"{path}: not UTF-8 text at byte {error.start}",
            code="pipeline.bad_values",
            hint="save it as UTF-8",
            path=str(path),
        ) from None
    return parse_values(text, path)


def parse_values(text: str, path: Path) -> Mapping[str, Any]:
    """Parse the text of a values file as a mapping; its kind is told by the name's ending."""
    value = parse_any(text, path)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Invalid(
            f"{path}: expected a mapping of names to values", code="pipeline.bad_values", path=str(path)
        )
    return value


def parse_any(text: str, path: Path) -> Any:
    """Parse the text of a values file, whatever it holds: a mapping, or a number alone.

    Raises:
        Invalid: it cannot be parsed.
    """
    try:
        if path.suffix.lower() == ".json":
            return json.loads(text)
        if path.suffix.lower() == ".toml":
            return tomllib.loads(text)
        if path.suffix.lower() == ".py":
            return parse_python(text)
        return load(text)
    except (ValueError, SyntaxError, yaml.YAMLError) as error:
        problem = " ".join(str(error).split())
        raise Invalid(f"{path}: {problem}", code="pipeline.bad_values", path=str(path)) from None


_MISSING = object()


def select_values(root: Path, ref: ParameterRef) -> dict[str, Any]:
    """Return the values of a stage's parameters, keys sorted; keys that are absent are left out."""
    values = load_values(root / ref.file)
    keys = sorted(ref.keys) if ref.keys else sorted(values)
    found = {key: get_value(values, key) for key in keys}
    return {key: value for key, value in found.items() if value is not _MISSING}


def get_value(values: Mapping[str, Any], key: str) -> Any:
    """Return the value at a dotted key, or a private marker when there is none.

    Example:
        >>> get_value({"train": {"rate": 0.1}}, "train.rate")
        0.1
    """
    current: Any = values
    if key in values:
        return values[key]
    for part in key.split("."):
        if isinstance(current, Mapping) and part in current:
            current = current[part]
        elif isinstance(current, list) and part.isdigit() and int(part) < len(current):
            current = current[int(part)]
        else:
            return _MISSING
    return current


def is_missing(value: object) -> bool:
    """Say whether `get_value` found nothing."""
    return value is _MISSING


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one level of dotted keys; lists stay values.

    Example:
        >>> flatten({"a": {"b": 1, "c": {"d": [2]}}})
        {'a.b': 1, 'a.c.d': [2]}
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the numeric leaves of a metrics mapping by dotted key."""
    return {
        key: float(value)
        for key, value in flatten(values).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
