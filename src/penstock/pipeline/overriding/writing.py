"""Overrides written into the text of a parameter file: comments and the order of keys stay."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import Any

from penstock.base.errors import Conflict, NotFound, PenstockError
from penstock.pipeline.overriding.overrides import Override
from penstock.pipeline.parameter_editing import load_editable, render_edited
from penstock.pipeline.parameters import flatten, is_same, parse_values


def apply_overrides(text: str, file: str, overrides: Sequence[Override]) -> str:
    """Return a parameter file's text with what the overrides say; the text itself where that changes nothing.

    Raises:
        NotFound: a parameter that is set or taken away is not there; the nearest is named.
        Conflict: one that is added is there already.
        Invalid: the file cannot be read, or is of a kind that cannot be written.
    """
    path = PurePath(file)
    parse_values(text, Path(file))  # tells what is wrong with the file, the same for every kind
    document = load_editable(text, path)
    changed = False
    for override in overrides:
        changed = _apply(document, file, override) or changed
    return render_edited(document, path) if changed else text


def _apply(document: MutableMapping[str, Any], file: str, override: Override) -> bool:
    *parents, last = _split(document, override.key)
    may_make = override.action in {"add", "put"}
    place: Any = document
    for part in parents:
        inner = _get(place, part)
        if inner is None and may_make and isinstance(place, MutableMapping):
            place[part] = inner = {}
        if not isinstance(inner, MutableMapping | list):
            raise _absent(document, file, override)
        place = inner
    known = _has(place, last)
    if override.action == "delete":
        before = _get(place, last)
        if not known or (override.has_value and not is_same(before, override.value)):
            raise _absent(document, file, override)
        del place[_index(place, last)]
        return True
    if known and override.action == "add":
        raise Conflict(
            f"{file} has {override.key!r} already",
            code="experiments.parameter_exists",
            hint=f"-S {override.key}=…, without the +",
            file=file,
            key=override.key,
        )
    if not known and (not may_make or isinstance(place, list)):
        raise _absent(document, file, override)
    return _put(place, last, override)


def _split(document: Any, key: str) -> list[str]:
    """Return the names, from outside inwards, that a dotted key stands for; a name in the file may have dots itself."""
    words = key.split(".")
    return _find(document, words) or [*(_find(document, words[:-1]) or words[:-1]), words[-1]]


def _find(place: Any, words: Sequence[str]) -> list[str] | None:
    if not words:
        return []
    if not isinstance(place, MutableMapping | list):
        return None
    for count in range(1, len(words) + 1):
        name = ".".join(words[:count])
        if _has(place, name):
            below = _find(_get(place, name), words[count:])
            if below is not None:
                return [name, *below]
    return None


def _put(place: Any, last: str, override: Override) -> bool:
    before = _get(place, last)
    if isinstance(before, MutableMapping) and isinstance(override.value, Mapping):
        return _merge(before, override.value)
    if _has(place, last) and type(before) is type(override.value) and is_same(before, override.value):
        return False
    place[_index(place, last)] = override.value
    return True


def _merge(into: MutableMapping[str, Any], values: Mapping[str, Any]) -> bool:
    changed = False
    for key, value in values.items():
        known = into.get(key)
        if isinstance(known, MutableMapping) and isinstance(value, Mapping):
            changed = _merge(known, value) or changed
        elif key not in into or not is_same(known, value):
            into[key] = value
            changed = True
    return changed


def _has(place: Any, key: str) -> bool:
    if isinstance(place, list):
        return key.isdecimal() and int(key) < len(place)
    return key in place or _index(place, key) in place


def _get(place: Any, key: str) -> Any:
    return place[_index(place, key)] if _has(place, key) else None


def _index(place: Any, key: str) -> Any:
    """Return the key as the file has it: a number where the file's key is one."""
    if isinstance(place, list):
        return int(key)
    return int(key) if key not in place and key.isdecimal() and int(key) in place else key


def _absent(document: Mapping[str, Any], file: str, override: Override) -> PenstockError:
    near = get_close_matches(override.key, [str(key) for key in flatten(document)], 1)
    adding = f"-S +{override.key}=… adds it"
    return NotFound(
        f"{file} has no {override.text.lstrip('+~')!r}"
        if override.action == "delete"
        else f"{file} has no {override.key!r}",
        code="experiments.no_parameter",
        hint=f"did you mean {near[0]!r}? {adding}" if near else adding,
        file=file,
        key=override.key,
    )
