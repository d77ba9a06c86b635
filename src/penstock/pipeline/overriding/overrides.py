"""What `-S` asks for: which parameter of which file is set, added or taken away; and all combinations of several values.

`name=value` sets what is there, `+name=value` adds what is not, `++name=value` does either, `~name` takes away; a file
before a colon is meant instead of params.yaml. Source: as `values`; dvc/utils/cli_parse.py (3.67).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from penstock.base.errors import Invalid
from penstock.base.numbers import counted
from penstock.pipeline.definition import DEFAULT_PARAMETER_FILE
from penstock.pipeline.overriding.values import MAX_VALUES, parse_values

Action = Literal["set", "add", "put", "delete"]
_KEY = re.compile(r"[^\s=+~:,\[\](){}'\"]+\Z")
_MARKS: tuple[tuple[str, Action], ...] = (("++", "put"), ("+", "add"), ("~", "delete"))


@dataclass(frozen=True)
class Override:
    """One change of one parameter; `file` as it was given, `key` dotted. `value` None with `has_value` is null."""

    file: str
    key: str
    action: Action
    value: Any = None
    has_value: bool = True

    @property
    def text(self) -> str:
        """How it is told: `lr=0.1`."""
        mark = {"set": "", "add": "+", "put": "++", "delete": "~"}[self.action]
        prefix = "" if self.file == DEFAULT_PARAMETER_FILE else f"{self.file}:"
        return f"{prefix}{mark}{self.key}" + (f"={self.value}" if self.has_value else "")


def combine(texts: Iterable[str]) -> list[tuple[Override, ...]]:
    """Return every combination of what the texts ask for; one, which may be empty, where none gives several values.

    Raises:
        Invalid: one cannot be read, or there are too many combinations.

    Example:
        >>> [[one.text for one in chosen] for chosen in combine(["lr=0.1,0.2", "+x=1"])]
        [['lr=0.1', '+x=1'], ['lr=0.2', '+x=1']]
    """
    choices = [parse_override(text) for text in texts]
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > MAX_VALUES:
        raise Invalid(
            f"these are {counted(count, 'combination')}, more than {MAX_VALUES}",
            code="experiments.too_many",
            hint="give fewer values",
        )
    return list(itertools.product(*choices))


def parse_override(text: str) -> Sequence[Override]:
    """Return one change for each value that a text gives.

    Raises:
        Invalid: it cannot be read.
    """
    file, rest = DEFAULT_PARAMETER_FILE, text
    if ":" in text.partition("=")[0]:
        file, _, rest = text.partition(":")
    action: Action = "set"
    for mark, meaning in _MARKS:
        if rest.startswith(mark):
            action, rest = meaning, rest.removeprefix(mark)
            break
    key, equals, value = rest.partition("=")
    if not file or not _KEY.match(key) or (not equals and action != "delete"):
        raise Invalid(
            f"-S {text!r} does not say which parameter to set",
            code="experiments.bad_override",
            hint="-S name=value, -S +new=value, -S ~gone, -S file.yaml:name=value",
        )
    if not equals:
        return [Override(file, key, action, has_value=False)]
    return [Override(file, key, action, one) for one in parse_values(value)]
