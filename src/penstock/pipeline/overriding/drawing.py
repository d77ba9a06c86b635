"""Random search: values drawn from what `-S` gives, instead of every combination of them.

`interval(a,b)` is any number between two, whole where both are written whole; `tag(log,interval(a,b))` draws it on a logarithmic scale.
Several values, `choice(…)` and `range(…)` are drawn from with equal chances; one value stands as it is.

Source: as `values`. Differs in that a whole interval gives whole numbers.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

from penstock.base.errors import Invalid
from penstock.pipeline.overriding.overrides import Override, parse_override
from penstock.pipeline.overriding.values import MAX_VALUES

MISSES = 20
"""How many draws in a row, for each different one found, may give nothing new before there is taken to be no more."""
Draw = Callable[[random.Random], Any]
_NUMBER = r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)"
_INTERVAL = re.compile(rf"(tag\(\s*log\s*,\s*)?interval\(\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\)(?(1)\s*\))\Z")


def parse_search(text: str) -> int:
    """Return how many experiments `random:N` asks for.

    Raises:
        Invalid: it asks for something else.

    Example:
        >>> parse_search("random:20")
        20
    """
    kind, _, count = text.partition(":")
    if kind != "random" or not count.isascii() or not count.isdecimal() or not 1 <= int(count) <= MAX_VALUES:
        raise Invalid(
            f"--search {text!r} is none",
            code="experiments.bad_search",
            hint=f"--search random:N, for N experiments, at most {MAX_VALUES}",
        )
    return int(count)


def draw_overrides(texts: Sequence[str], count: int, seed: int) -> list[tuple[Override, ...]]:
    """Return so many different draws of what the texts give, the same for the same seed; fewer where there are no more.

    Raises:
        Invalid: a text cannot be read.
    """
    given = [_of(text) for text in texts]
    generator = random.Random(seed)
    found: dict[str, tuple[Override, ...]] = {}
    missed = 0
    while len(found) < count and missed < MISSES + MISSES * len(found):
        drawn = tuple(draw(generator) for draw in given)
        name = repr([one.text for one in drawn])
        missed = missed + 1 if name in found else 0
        found.setdefault(name, drawn)
    return list(found.values())


def require_several(drawn: Sequence[object], count: int) -> None:
    """Make sure that there was something to draw from, where more than one experiment is asked for.

    Raises:
        Invalid: there was not (code `experiments.nothing_to_draw`).
    """
    if len(drawn) == 1 and count > 1:
        raise Invalid(
            "nothing can be drawn: each parameter has one value",
            code="experiments.nothing_to_draw",
            hint="-S 'name=interval(0.001,0.1)' or -S name=a,b",
        )


def _of(text: str) -> Callable[[random.Random], Override]:
    head, _, value = text.partition("=")
    found = _INTERVAL.match(value.strip())
    if found is None:
        choices = parse_override(text)
        return lambda generator: generator.choice(choices)
    (plain,) = parse_override(f"{head}=0")
    low, high, is_log = found[2], found[3], bool(found[1])
    try:
        draw = _between(low, high, is_log=is_log)
    except ValueError:
        raise Invalid(
            f"{value!r} is no interval",
            code="experiments.bad_value",
            hint="interval(LOW,HIGH), LOW below HIGH; above 0 with tag(log,…)",
            value=value,
        ) from None
    return lambda generator: Override(plain.file, plain.key, plain.action, draw(generator))


def _between(low: str, high: str, *, is_log: bool) -> Draw:
    """Return what draws between two numbers.

    Raises:
        ValueError: these are none, or not in order.
    """
    is_whole = all(one.lstrip("+-").isdecimal() for one in (low, high))
    first, last = float(low), float(high)
    if not first < last or (is_log and first <= 0):
        raise ValueError
    if is_log:
        scale = math.log(last / first)
        return lambda generator: (int if is_whole else float)(
            round_to(first * math.exp(scale * generator.random()))
        )
    if is_whole:
        return lambda generator: generator.randint(int(low), int(high))
    return lambda generator: round_to(generator.uniform(first, last))


def round_to(value: float) -> float:
    """Return a value with six significant digits, which a parameter file shows and a person can repeat."""
    return float(f"{value:.6g}")
