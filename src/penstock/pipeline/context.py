"""The names that templates in `dvc.yaml` may use, and `${…}` put in their place.

Names come from `params.yaml`, the files and literals under `vars`, and, for generated stages, `item` and `key`.
A name is given once: two sources may fill one mapping, and may not give two values to one name.

Source: the documentation of DVC's `dvc.yaml`, "Templating", and the behaviour of DVC 3.67.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock.base.errors import Invalid, NotFound
from penstock.pipeline.parameters import flatten, load_values

_TEMPLATE = re.compile(r"(?<!\\)\$\{(.*?)\}")
_EXPRESSION = re.compile(r"\s*[^.\[\]]+(?:\.[^.\[\]]+|\[[^.\[\]]+\])*\Z")
_PRIMITIVES = (str, int, float, bool)


class Context:
    """Names and values. `fork` makes one for a stage; what is added there does not come back."""

    def __init__(self, root: Path, flags: Mapping[str, str] | None = None) -> None:
        """Start without names.

        Args:
            root: the directory of `dvc.yaml`, where files are looked for.
            flags: how mappings become command-line flags, as DVC's `parsing` section says: `bool`, `list`.
        """
        self._root = root
        self._flags = flags or {}
        self._values: dict[str, Any] = {}
        self._sources: dict[str, str] = {}
        self._loaded: dict[str, set[str] | None] = {}
        self._reserved: frozenset[str] = frozenset()

    def fork(self, **reserved: Any) -> Context:
        """Return a copy in which names are set that no `vars` may redefine."""
        copy = Context(self._root, self._flags)
        copy._values = {**_copy(self._values), **reserved}
        copy._sources, copy._loaded = dict(self._sources), dict(self._loaded)
        copy._reserved = self._reserved | reserved.keys()
        return copy

    def add(self, values: Mapping[str, Any], source: str) -> None:
        """Add names.

        Raises:
            Invalid: one is there already, or is reserved for generated stages.
        """
        taken = sorted(self._reserved & values.keys())
        if taken:
            raise _bad(f"`{taken[0]}` in {source} is reserved for generated stages")
        self._merge(self._values, values, source, "")

    def load(self, item: str, wdir: str = ".") -> None:
        """Add what a file holds; `item` is its path, or `path:key,key` for some of its keys.

        Raises:
            NotFound: the file does not exist, or lacks a key.
            Invalid: it was loaded before in another way, or redefines a name.
        """
        name, _, wanted = item.partition(":")
        path = (self._root / wdir / name).resolve()
        keys = {key for key in wanted.split(",") if key} or None
        before = self._loaded.get(str(path), ...)
        if before is None and keys is None:
            return
        if before is not ... and (before is None or keys is None or before & keys):
            raise _bad(f"`{item}` is loaded already, whole or in part")
        values = load_values(path)
        if keys is not None:
            absent = sorted(keys - values.keys())
            if absent:
                raise NotFound(f"{name} has no `{absent[0]}`", code="pipeline.no_value", path=str(path))
            values = {key: values[key] for key in values if key in keys}
        self.add(values, name)
        self._loaded[str(path)] = (
            None if keys is None else keys | (before if isinstance(before, set) else set())
        )

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def select(self, expression: str) -> Any:
        """Return the value of `a.b[0]`.

        Raises:
            Invalid: the expression cannot be read, or names nothing.
        """
        if not _EXPRESSION.match(expression):
            raise _bad(f"`${{{expression}}}` is not a name such as ${{a.b[0]}}")
        current: Any = self._values
        for part in (one.strip() for one in expression.replace("[", ".").replace("]", "").split(".")):
            try:
                if isinstance(current, Mapping):
                    current = current[part]
                elif isinstance(current, Sequence) and not isinstance(current, str):
                    current = current[int(part)]
                else:
                    raise KeyError(part)
            except (LookupError, ValueError):
                raise _bad(f"`${{{expression}}}`: there is no {part!r}") from None
        return current

    def resolve(self, value: Any, field: str) -> Any:
        """Return a value with every template in it replaced, in the keys of mappings too.

        Args:
            field: what is resolved: only `cmd` takes mappings, as flags, and only `foreach` and `matrix` take
                mappings and lists whole.
        """
        if isinstance(value, Mapping):
            return {self.resolve(key, field): self.resolve(one, field) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.resolve(one, field) for one in value]
        return self._text(value, field) if isinstance(value, str) else value

    def _text(self, text: str, field: str) -> Any:
        whole = _TEMPLATE.fullmatch(text)
        if whole is not None and "${" not in whole[1]:
            value = self.select(whole[1])
            if field in {"foreach", "matrix"} or value is None or isinstance(value, _PRIMITIVES):
                return value
        rendered = _TEMPLATE.sub(lambda found: self._rendered(found[1], field), text)
        return rendered.replace("\\${", "${")

    def _rendered(self, expression: str, field: str) -> str:
        value = self.select(expression)
        if isinstance(value, Mapping) and field == "cmd":
            return " ".join(self._as_flags(value))
        if value is not None and not isinstance(value, _PRIMITIVES):
            kind = "a mapping" if isinstance(value, Mapping) else "a list"
            raise _bad(f"`${{{expression}}}` is {kind}, which cannot be put into text")
        return text_of(value)

    def _as_flags(self, values: Mapping[str, Any]) -> Iterator[str]:
        for key, value in flatten(values).items():
            if isinstance(value, bool):
                if value:
                    yield f"--{key}"
                elif self._flags.get("bool") == "boolean_optional":
                    yield f"--no-{key}"
            elif isinstance(value, list):
                if any(isinstance(one, list | Mapping) for one in value):
                    raise _bad(f"`{key}` is a list of lists, which cannot become flags")
                items = [_quoted(one) for one in value]
                if self._flags.get("list") == "append":
                    yield from (f"--{key} {one}" for one in items)
                elif items:
                    yield f"--{key} {' '.join(items)}"
            else:
                yield f"--{key} {_quoted(value)}"

    def _merge(self, into: dict[str, Any], values: Mapping[str, Any], source: str, prefix: str) -> None:
        for key, value in values.items():
            if not isinstance(key, str):
                continue  # a template cannot name it
            path = f"{prefix}{key}"
            known = into.get(key)
            if isinstance(known, dict) and isinstance(value, Mapping):
                self._merge(known, value, source, f"{path}.")
            elif key in into:
                raise _bad(
                    f"`{path}` in {source} is there already, from {self._sources.get(path, 'another source')}"
                )
            else:
                into[key] = _copy(value)
                self._sources[path] = source


def text_of(value: Any) -> str:
    """Return a value as DVC writes it into text and into names of stages.

    Example:
        >>> text_of(True), text_of(0.5), text_of(None)
        ('true', '0.5', 'None')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


def has_template(value: Any) -> bool:
    """Say whether there is a template anywhere in a value, escaped ones included."""
    if isinstance(value, Mapping):
        return any(has_template(key) or has_template(one) for key, one in value.items())
    if isinstance(value, list | tuple):
        return any(map(has_template, value))
    return isinstance(value, str) and "${" in value


def _quoted(value: Any) -> str:
    return shlex.quote(value) if isinstance(value, str) else str(value)


def _copy(value: Any) -> Any:
    """Return a value whose mappings can be merged into."""
    return {key: _copy(one) for key, one in value.items()} if isinstance(value, Mapping) else value


def _bad(problem: str) -> Invalid:
    return Invalid(
        problem, code="pipeline.bad_template", hint="templates are ${name}; \\${…} is left as it is"
    )
