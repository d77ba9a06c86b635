"""Single values of parameter files changed in place: comments and the order of keys survive (YAML, TOML, JSON)."""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping, MutableSequence
from pathlib import Path, PurePath
from typing import Any

from penstock.base.errors import Invalid, NotFound
from penstock.base.files import write_atomic
from penstock.data.formats.plainyaml import parse_plain, render_plain
from penstock.pipeline.parameters import load_values


def set_values(path: Path, changes: Mapping[str, Any]) -> None:
    """Set values of a parameter file by dotted key; mappings that are missing on the way are made.

    Raises:
        NotFound: no such file, or a key leads through a list beyond its end.
        Invalid: the file cannot be parsed or is of a kind that cannot be edited, or a key leads through a value.
    """
    load_values(path)  # tells what is wrong with the file, the same for every kind
    document = load_editable(path.read_text(encoding="utf-8"), path)
    for key, value in changes.items():
        _set(document, key, value, path)
    write_atomic(path, render_edited(document, path).encode(), durable=False)


def load_editable(text: str, path: PurePath) -> Any:
    """Parse a parameter file's text as a document that can be changed in place; `path` tells its kind.

    Raises:
        Invalid: it cannot be parsed, or is of a kind that cannot be edited.
    """
    match path.suffix.lower():
        case ".yaml" | ".yml":
            plain = parse_plain(text)
            if plain is not None and render_plain(plain) == text:
                return plain
            from penstock.data.formats.yamltext import load_document

            return load_document(text, str(path))
        case ".json":
            return json.loads(text)
        case ".toml":
            import tomlkit

            return tomlkit.parse(text)
    raise Invalid(
        f"{path} cannot be edited: it is no YAML, TOML or JSON",
        code="pipeline.not_editable",
        hint="keep what is to be varied in params.yaml",
        path=str(path),
    )


def render_edited(document: Any, path: PurePath) -> str:
    """Return what `load_editable` gave, as text of the same kind."""
    match path.suffix.lower():
        case ".json":
            return json.dumps(document, indent=4, ensure_ascii=False) + "\n"
        case ".toml":
            import tomlkit

            return tomlkit.dumps(document)
    plain = render_plain(document)
    if plain is not None:
        return plain
    from penstock.data.formats.yamltext import dump_document

    return dump_document(document)


def _set(document: Any, key: str, value: Any, path: Path) -> None:
    current = document
    *way, last = [key] if isinstance(document, Mapping) and key in document else key.split(".")
    for part in way:
        if isinstance(current, MutableMapping) and part not in current:
            current[part] = {}
        current = current[_index(current, part, key, path)]
    at = last if isinstance(current, MutableMapping) else _index(current, last, key, path)
    current[at] = value


def _index(current: Any, part: str, key: str, path: Path) -> Any:
    if isinstance(current, MutableMapping):
        return part
    if not isinstance(current, MutableSequence):
        raise Invalid(
            f"{path}: {key} leads through a value that has no parts",
            code="pipeline.bad_key",
            hint=f"set {key.rpartition('.')[0]} as a whole",
            key=key,
        )
    if not (part.isdigit() and int(part) < len(current)):
        raise NotFound(
            f"{path}: {key}: the list has no element {part}",
            code="pipeline.bad_key",
            hint=f"its elements are 0 to {len(current) - 1}",
            key=key,
        )
    return int(part)
