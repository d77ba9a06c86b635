"""Values of parameter and metric files (YAML, JSON, TOML, Python) by dotted key."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import Any, TypeGuard

from penstock.base.conflicts import refuse_conflict
from penstock.base.errors import Invalid, NotFound
from penstock.data.formats.plainyaml import load, parse_plain
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


def parse_values(text: str, path: PurePath) -> Mapping[str, Any]:
    """Parse the text of a values file as a mapping; its kind is told by the name's ending."""
    value = parse_any(text, path)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Invalid(
            f"{path}: expected a mapping of names to values", code="pipeline.bad_values", path=str(path)
        )
    return value


def parse_any(text: str, path: PurePath) -> Any:
    """Parse the text of a values file, whatever it holds: a mapping, or a number alone.

    Raises:
        Invalid: it cannot be parsed, or git left both sides of a conflict in it.
    """
    refuse_conflict(text, str(path))
    try:
        if path.suffix.lower() == ".json":
            return json.loads(text, object_pairs_hook=_each_once)
        if path.suffix.lower() == ".toml":
            return tomllib.loads(text)
        if path.suffix.lower() == ".py":
            return parse_python(text)
        return parse_plain(text) or load(text)
    except (ValueError, SyntaxError) as error:
        problem = " ".join(str(error).split())
        raise Invalid(f"{path}: {problem}", code="pipeline.bad_values", path=str(path)) from None


def _each_once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key!r} stands twice")
        found[key] = value
    return found


_MISSING = object()


def select_values(root: Path, ref: ParameterRef) -> dict[str, Any]:
    """Return the values of a stage's parameters, keys sorted; keys that are absent are left out.

    Raises:
        NotFound, Invalid: as `load_values`; or a value is of a kind that no lock can hold.
    """
    values = load_values(root / ref.file)
    keys = sorted(ref.keys) if ref.keys else sorted(values, key=str)
    found = {key: get_value(values, key) for key in keys}
    for key, value in found.items():
        if value is not _MISSING:
            _check_kind(value, ref.file, str(key))
    return {key: value for key, value in found.items() if value is not _MISSING}


def require_values(root: Path, ref: ParameterRef, stage: str) -> dict[str, Any]:
    """Return what `select_values` does; every key that the stage names is there.

    Raises:
        NotFound: one is not; the nearest is named.
    """
    found = select_values(root, ref)
    absent = [key for key in ref.keys if key not in found]
    if not absent:
        return found
    values = load_values(root / ref.file)
    near = get_close_matches(absent[0], flatten(values), 1)
    named = _hint_of_file(root, absent[0]) or hint_of_dots(values, absent[0])
    raise NotFound(
        f"stage `{stage}` depends on {', '.join(map(repr, absent))}, which {ref.file} does not have",
        code="pipeline.no_parameter",
        hint=named
        if named is not None
        else f"did you mean {near[0]!r}?"
        if near
        else f"set it in {ref.file}, or mend `params` in dvc.yaml",
        stage=stage,
        file=ref.file,
        keys=absent,
    )


def _hint_of_file(root: Path, key: str) -> str | None:
    """Return what to do where a name is that of a file with a colon: `[a.json:]`, which YAML takes for a text."""
    file = key.removesuffix(":")
    if file == key or not (root / file).is_file():
        return None
    return f"for all of {file} write it on a line of its own, `- {key}`, or with a blank, `[{key} ]`"


def hint_of_dots(values: Mapping[str, Any], key: str) -> str | None:
    """Return what to do where a name is that of a key with a dot in it, such as `v1.2` in a mapping; None where it is not.

    Each dot of a name goes one mapping down, for DVC as for Penstock: within a mapping no name is that of such a key.

    Example:
        >>> hint_of_dots({"train": {"v1.2": 3}}, "train.v1.2")
        "no name reaches the key 'v1.2', since a dot goes one mapping down: name 'train', or write the key without a dot"
    """
    if key not in flatten(values):
        return None
    above: list[str] = []
    rest = key
    current: Any = values
    while isinstance(current, Mapping) and rest:
        found = max((str(one) for one in current if f"{rest}.".startswith(f"{one}.")), key=len, default="")
        if "." in found:
            whole = f"name {'.'.join(above)!r}, or " if above else ""
            return f"no name reaches the key {found!r}, since a dot goes one mapping down: {whole}write the key without a dot"
        current = next((value for one, value in current.items() if str(one) == found), None)
        above.append(found)
        rest = rest[len(found) + 1 :]
    return None


def is_same(one: Any, other: Any) -> bool:
    """Say whether two values are the same; NaN is the same as NaN."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (one != one and other != other)  # noqa: PLR0124
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(is_same(value, other[key]) for key, value in one.items())
    return bool(one == other)


def _check_kind(value: Any, file: str, key: str) -> None:
    """Refuse a value that a lock would not give back, or DVC not read.

    Raises:
        Invalid: it is a date, a set, bytes or the like.
    """
    if isinstance(value, Mapping):
        for name, one in value.items():
            _check_kind(name, file, f"{key}.{name}")
            _check_kind(one, file, f"{key}.{name}")
    elif isinstance(value, list):
        for at, one in enumerate(value):
            _check_kind(one, file, f"{key}[{at}]")
    elif not isinstance(value, str | int | float | None):
        raise Invalid(
            f"{file}: {key} is a {type(value).__name__}, which no lock can hold",
            code="pipeline.bad_parameter",
            hint=f"make it a text: {key.rpartition('.')[2]}: '{value}'",
            file=file,
            key=key,
        )


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
    return dict(_leaves(values, prefix))


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value


def load_metrics(path: Path) -> dict[str, float]:
    """Return the numbers of a metrics file by dotted key.

    Raises:
        NotFound, Invalid: as `load_values`; or two of them have the same dotted key.
    """
    leaves = [(key, value) for key, value in _leaves(load_values(path)) if _is_number(value)]
    found = {key: float(value) for key, value in leaves}
    names = Counter(key for key, _ in leaves)
    twice = next((key for key, count in names.items() if count > 1), None)
    if twice is not None:
        raise Invalid(
            f"{path}: two metrics are called {twice!r}, one as a key with dots and one by its place",
            code="pipeline.bad_values",
            hint="rename one of them",
            path=str(path),
        )
    return found


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the numeric leaves of a metrics mapping by dotted key."""
    return {key: float(value) for key, value in flatten(values).items() if _is_number(value)}


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
