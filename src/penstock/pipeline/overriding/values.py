"""The values that stand after `=` in `-S name=value`: one value, or several that are tried one after another.

Source: the documentation of Hydra 1.3, "The Override Grammar", which DVC takes `-S` from. Differs in that what draws or
reorders values (`interval`, `glob`, `shuffle`, `sort`, `tag`) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from penstock.base.errors import Invalid

_INT = re.compile(r"[+-]?(?:0|[1-9](?:_?[0-9])*)\Z")
_FLOAT = re.compile(
    r"[+-]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*(?=[eE]))(?:[eE][+-]?[0-9]+)?\Z"
)
_CALL = re.compile(r"([a-z_]+)\((.*)\)\Z", re.DOTALL)
_WORDS: Mapping[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "inf": float("inf"),
    "+inf": float("inf"),
    "-inf": float("-inf"),
    "nan": float("nan"),
}
_OPENED, _CLOSED = "([{", ")]}"
_CASTS: Mapping[str, Callable[[Any], Any]] = {"int": int, "float": float, "str": str}
_UNKNOWN = frozenset({"glob", "shuffle", "sort", "extend_list", "json_str", "bool"})
MAX_VALUES = 10_000


def parse_values(text: str) -> list[Any]:
    """Return the values a text stands for: several for `a,b`, `choice(a,b)` and `range(…)`, else one.

    Raises:
        Invalid: it cannot be read, or uses what is not supported.

    Example:
        >>> parse_values("0.1,[a, 2]"), parse_values("range(1,4)"), parse_values("'1,2'")
        ([0.1, ['a', 2]], [1, 2, 3], ['1,2'])
    """
    parts = split_top(text, ",")
    if len(parts) > 1:
        return _values(text, parts)
    call = _CALL.match(text.strip())
    if call is not None and call[1] == "choice":
        return _values(text, split_top(call[2], ","))
    if call is not None and call[1] == "range":
        return _range(call[2])
    return [_value(text)]


def split_top(text: str, mark: str) -> list[str]:
    """Split a text at a mark where it stands in no quotes and no brackets.

    Raises:
        Invalid: a quote or bracket is not closed.
    """
    parts, start, open_marks, quote = [], 0, "", ""
    at = 0
    while at < len(text):
        character = text[at]
        if quote:
            if character == "\\":
                at += 1
            elif character == quote:
                quote = ""
        elif character == "\\":
            at += 1
        elif character in "'\"":
            quote = character
        elif character in _OPENED:
            open_marks += character
        elif character in _CLOSED:
            if not open_marks or _OPENED.index(open_marks[-1]) != _CLOSED.index(character):
                raise _bad(text, f"{character!r} closes nothing")
            open_marks = open_marks[:-1]
        elif character == mark and not open_marks:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    if quote or open_marks:
        raise _bad(text, f"{(quote or open_marks[-1])!r} is not closed")
    return [*parts, text[start:]]


def _values(text: str, parts: list[str]) -> list[Any]:
    if not all(part.strip() for part in parts):
        raise _bad(text, "nothing stands between two commas, or at an end")
    return [_value(part) for part in parts]


def _value(text: str) -> Any:
    text = text.strip()
    if text[:1] in {"'", '"'}:
        return _quoted(text)
    if text[:1] == "[":
        inner = text[1:-1].strip()
        return _values(text, split_top(inner, ",")) if inner else []
    if text[:1] == "{":
        return dict(_pairs(text))
    call = _CALL.match(text)
    if call is not None:
        return _call(text, call[1], call[2])
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INT.match(text):
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    return re.sub(r"\\(.)", r"\1", text)


def _quoted(text: str) -> str:
    if len(text) < 2 or text[-1] != text[0]:
        raise _bad(text, "something stands after the closing quote")
    return text[1:-1].replace(f"\\{text[0]}", text[0])


def _pairs(text: str) -> Iterator[tuple[str, Any]]:
    inner = text[1:-1].strip()
    for pair in split_top(inner, ",") if inner else ():
        key, mark, value = pair.partition(":")
        if not mark:
            raise _bad(text, f"{pair.strip()!r} is not `key: value`")
        yield str(_value(key)), _value(value)


def _call(text: str, name: str, inside: str) -> Any:
    if name in _CASTS:
        try:
            return _CASTS[name](_value(inside))
        except (TypeError, ValueError):
            raise _bad(text, f"{inside!r} is no {name}") from None
    if name in {"choice", "range"}:
        raise _bad(text, f"{name}(…) stands alone, not inside another value")
    if name in {"interval", "tag"}:
        raise _bad(text, f"{name}(…) is drawn from, with --search", "--search random:N, for N experiments")
    if name in _UNKNOWN:
        raise _bad(text, f"{name}(…) is not supported: write the values out, with commas between them")
    raise _bad(text, f"there is no {name}(…)")


def _range(inside: str) -> list[Any]:
    text = f"range({inside})"
    given: dict[str, Decimal] = {}
    loose: list[Decimal] = []
    for part in split_top(inside, ","):
        name, mark, value = part.strip().rpartition("=")
        try:
            number = Decimal(value.strip())
        except InvalidOperation:
            raise _bad(text, f"{value.strip()!r} is not a number") from None
        if mark and name.strip() not in {"start", "stop", "step"}:
            raise _bad(text, f"there is no {name.strip()!r}: start, stop, step")
        if mark:
            given[name.strip()] = number
        else:
            loose.append(number)
    names = ("stop",) if len(loose) == 1 and not given else ("start", "stop", "step")
    if len(loose) > len(names):
        raise _bad(text, "it takes start, stop and step")
    given |= dict(zip(names, loose, strict=False))
    start, stop, step = given.get("start", Decimal(0)), given.get("stop"), given.get("step", Decimal(1))
    if stop is None or not step or not all(one.is_finite() for one in (start, stop, step)):
        raise _bad(text, "it needs a stop, and a step other than 0")
    count = -((start - stop) // step) + 1
    if count > MAX_VALUES:
        raise _bad(text, f"these are more than {MAX_VALUES} values")
    is_whole = all(one == one.to_integral_value() for one in (start, stop, step)) and "." not in inside
    found: list[Any] = []
    current = start
    while (current < stop) if step > 0 else (current > stop):
        found.append(int(current) if is_whole else float(current))
        current += step
    if not found:
        raise _bad(text, "there is no value in it")
    return found


def _bad(
    text: str, problem: str, hint: str = "quote what is meant as it stands: -S \"name='a,b'\""
) -> Invalid:
    return Invalid(
        f"{text!r} is no value for a parameter: {problem}",
        code="experiments.bad_value",
        hint=hint,
        value=text,
    )
