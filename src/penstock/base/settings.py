"""Strict settings from YAML: every error names file, line, field and the nearest known key.

Settings are declared as frozen `msgspec.Struct`s; `load_settings` walks the YAML document beside the type,
so that a wrong key or value is reported at its own line. Numbers are finite: what is compared with `.nan` or `.inf` never
fails, and a limit that nothing can break is none. It knows no particular setting.
"""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from typing import (
    Any,
    Literal,
    Protocol,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    runtime_checkable,
)

import msgspec
import yaml
from msgspec.structs import FieldInfo

from penstock.base.conflicts import refuse_conflict
from penstock.base.errors import Invalid
from penstock.base.yaml12 import Loader

S = TypeVar("S")


def load_settings(path: Path, kind: type[S], *, is_finite: bool = True) -> S:
    """Read the YAML file at `path` as a value of the struct `kind`; see `parse_settings`.

    Raises:
        Invalid: not YAML, an unknown or repeated key, a missing field, a value of the wrong type or no finite number.
        OSError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Invalid(
            f"{path}: not UTF-8 text at byte {error.start}",
            code="settings.not_text",
            hint="save it as UTF-8",
            file=str(path),
        ) from None
    return parse_settings(text, kind, str(path), is_finite=is_finite)


def parse_settings(text: str, kind: type[S], name: str, *, is_finite: bool = True) -> S:
    """Read YAML text as a value of the struct `kind`.

    Args:
        text: what is read.
        kind: the struct.
        name: what errors call the text.
        is_finite: whether `.nan` and `.inf` are refused wherever they stand; a file of other programs may have them.
    """
    refuse_conflict(text, name)
    loader = None
    try:
        loader = Loader(text)
        node = loader.get_single_node()
        if node is None:
            return parse_settings("{}", kind, name, is_finite=is_finite)
        value = _Reader(name, loader, is_finite).read(node, kind, "")
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Invalid(
            f"{name}:{line}: not valid YAML: {error.problem}", code="settings.not_yaml", file=name, line=line
        ) from None
    except yaml.YAMLError as error:
        raise Invalid(f"{name}: not valid YAML: {error}", code="settings.not_yaml", file=name) from None
    finally:
        if loader is not None:
            loader.dispose()
    return value  # type: ignore[no-any-return]


def line_of(path: Path, field: Sequence[str | int]) -> int | None:
    """Return the line at which a field stands in a YAML file, counted from 1; None when it cannot be found."""
    try:
        loader = Loader(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    try:
        node = loader.get_single_node()
        for key in field:
            node = _step(node, key)
        return None if node is None else int(node.start_mark.line) + 1
    except yaml.YAMLError:
        return None
    finally:
        loader.dispose()


def _step(node: yaml.Node | None, key: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((item for name, item in node.value if name.value == key), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        found: yaml.Node = node.value[key]
        return found
    return None


@cache
def _described(kind: type[msgspec.Struct]) -> tuple[dict[str, Any], tuple[FieldInfo, ...]]:
    """Return the types and fields of a structure: evaluating its annotations takes a millisecond."""
    return get_type_hints(kind), msgspec.structs.fields(kind)


@runtime_checkable
class Doubtful(Protocol):
    """Settings that a file must not say, though they are read where they were stored before."""

    def mistake(self) -> str:
        """Return what is wrong; empty where nothing is."""
        ...


class _Reader:
    def __init__(self, name: str, loader: Any, is_finite: bool) -> None:
        self.name = name
        self.loader = loader
        self.is_finite = is_finite
        self.looked_at: set[int] = set()

    def fail(self, node: yaml.Node, field: str, problem: str, hint: str | None = None) -> Invalid:
        line = node.start_mark.line + 1
        where = f" in `{field}`" if field else ""
        return Invalid(
            f"{self.name}:{line}: {problem}{where}",
            code="settings.invalid",
            hint=hint or f"edit {self.name} at line {line}",
            file=self.name,
            line=line,
            field=field,
        )

    def read(self, node: yaml.Node, kind: Any, field: str) -> Any:
        origin = get_origin(kind)
        if origin in (Union, types.UnionType):
            return self._read_union(node, kind, field)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self._read_struct(node, kind, field)
        if origin is dict and isinstance(node, yaml.MappingNode):
            inner = get_args(kind)[1]
            return {
                key: self.read(item, inner, f"{field}.{key}" if field else key)
                for key, item in self._items(node, field)
            }
        if origin in (tuple, list) and isinstance(node, yaml.SequenceNode):
            inner = get_args(kind)[0]
            values = [self.read(item, inner, f"{field}[{index}]") for index, item in enumerate(node.value)]
            return tuple(values) if origin is tuple else values
        return self._read_value(node, kind, field)

    def _read_union(self, node: yaml.Node, kind: Any, field: str) -> Any:
        options = get_args(kind)
        if type(None) in options and isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null"):
            return None
        rest = [option for option in options if option is not type(None)]
        if len(rest) == 1:
            return self.read(node, rest[0], field)
        structs = [
            option for option in rest if isinstance(option, type) and issubclass(option, msgspec.Struct)
        ]
        if isinstance(node, yaml.MappingNode) and len(structs) == 1:
            return self.read(node, structs[0], field)
        lists = [option for option in rest if get_origin(option) in (tuple, list)]
        fitting = lists if isinstance(node, yaml.SequenceNode) else [one for one in rest if one not in lists]
        if lists and len(fitting) == 1:
            return self.read(node, fitting[0], field)
        return self._read_value(node, kind, field)

    def _read_struct(self, node: yaml.Node, kind: type[msgspec.Struct], field: str) -> Any:
        if not isinstance(node, yaml.MappingNode):
            raise self.fail(node, field, "expected a mapping (key: value)")
        if hasattr(kind, "of_keys"):
            return self._read_keys(node, kind, field)
        hints, fields = _described(kind)
        names = {item.encode_name: item.name for item in fields}
        values: dict[str, Any] = {}
        for key, item in self._items(node, field):
            if key not in names:
                raise self._unknown(node, key, list(names), field)
            values[names[key]] = self.read(item, hints[names[key]], f"{field}.{key}" if field else key)
        for known in fields:
            if known.required and known.name not in values:
                raise self.fail(node, field, f"missing key `{known.encode_name}`")
        try:
            found = kind(**values)
        except (ValueError, TypeError) as error:
            raise self.fail(node, field, str(error)) from None
        mistake = found.mistake() if isinstance(found, Doubtful) else ""
        if mistake:
            raise self.fail(node, field, mistake)
        return found

    def _read_keys(self, node: yaml.MappingNode, kind: Any, field: str) -> Any:
        """Read a struct that says itself which keys it has: `key_names`, `own_keys`, `type_of` and `of_keys`."""
        values: dict[str, Any] = {}
        try:
            for key, item in self._items(node, field):
                if key not in kind.key_names():
                    raise self._unknown(node, key, kind.key_names(), field)
                self._refuse_inside(item, key, kind.own_keys(key), field)
                values[key] = self.read(item, kind.type_of(key), f"{field}.{key}" if field else key)
            return kind.of_keys(values)
        except (ValueError, TypeError) as error:
            raise self.fail(node, field, str(error)) from None

    def _refuse_inside(self, node: yaml.Node, outer: str, own: Collection[str], field: str) -> None:
        """Refuse a key of the entry itself that stands inside of one of its keys."""
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.value in own:
                hint = f"write it beside `{outer}`, not inside of it"
                raise self.fail(key, f"{field}.{outer}", f"`{key.value}` belongs one level up", hint)

    def _unknown(self, node: yaml.MappingNode, key: str, known: Sequence[str], field: str) -> Invalid:
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(sorted(known))}"
        at = next(one for one, _ in node.value if one.value == key)
        return self.fail(at, field, f"unknown key `{key}`", hint)

    def _items(self, node: yaml.MappingNode, field: str) -> list[tuple[str, yaml.Node]]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self.fail(key, field, "a key must be text")
            if key.value in seen:
                raise self.fail(key, field, f"key `{key.value}` stands twice")
            seen.add(key.value)
        return [(key.value, item) for key, item in node.value]

    def _read_value(self, node: yaml.Node, kind: Any, field: str) -> Any:
        value = self.loader.construct_object(node, deep=True)
        if self.is_finite:
            self._refuse_endless(node, value, field)
        try:
            return msgspec.convert(value, kind, strict=True)
        except msgspec.ValidationError as error:
            problem = str(error).split(" - at ", maxsplit=1)[0]
            allowed = get_args(kind) if get_origin(kind) is Literal else ()
            hint = f"use one of {', '.join(map(str, allowed))}" if allowed else None
            raise self.fail(node, field, problem[0].lower() + problem[1:], hint) from None

    def _refuse_endless(self, node: yaml.Node, value: Any, field: str) -> None:
        """Refuse a number that is none or has no end, at its own line, however deep it stands in a free value."""
        if id(node) in self.looked_at:
            return  # an alias: what many aliases share is looked at once
        self.looked_at.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            if isinstance(value, float) and not math.isfinite(value):
                problem = f"`{node.value[:40]}` is no finite number"
                raise self.fail(node, field, problem, "write a number, or leave the key out")
        elif isinstance(node, yaml.MappingNode) and isinstance(value, dict):
            for key, item in node.value:
                inner = self.loader.construct_object(item, deep=True)
                self._refuse_endless(key, self.loader.construct_object(key, deep=True), field)
                self._refuse_endless(item, inner, f"{field}.{key.value}" if field else str(key.value))
        elif isinstance(node, yaml.SequenceNode) and isinstance(value, list):
            for index, (item, inner) in enumerate(zip(node.value, value, strict=True)):
                self._refuse_endless(item, inner, f"{field}[{index}]")
