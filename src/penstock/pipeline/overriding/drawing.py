"""Random search: values drawn from what `-S` gives, instead of every combination of them.

`interval(a,b)` is any number between two, whole where both are written whole and the parameter is no float now; `tag(log,interval(a,b))` draws it on a logarithmic scale.
Several values, `choice(…)` and `range(…)` are drawn from with equal chances; one value stands as it is.

Source: as `values`. Differs in that an interval may be one of whole numbers, where Hydra's is always one of floats.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from penstock.base.errors import Invalid
from penstock.pipeline.overriding.overrides import Override, parse_override
from penstock.pipeline.overriding.values import MAX_VALUES

MISSES = 20
"""How many draws in a row, for each different one found, may give nothing new before there is taken to be no more."""
SEARCHES = ("random", "optuna")
_NUMBER = r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)"
_INTERVAL = re.compile(rf"(tag\(\s*log\s*,\s*)?interval\(\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\)(?(1)\s*\))\Z")


class Search(NamedTuple):
    """How experiments are chosen: at `random`, or by `optuna`; and how many."""

    kind: str
    number: int


def parse_search(text: str) -> Search:
    """Return what `random:N` or `optuna:N` asks for.

    Raises:
        Invalid: it asks for something else.

    Example:
        >>> parse_search("random:20")
        Search(kind='random', number=20)
    """
    kind, _, count = text.partition(":")
    if (
        kind not in SEARCHES
        or not count.isascii()
        or not count.isdecimal()
        or not 1 <= int(count) <= MAX_VALUES
    ):
        raise Invalid(
            f"--search {text!r} is none",
            code="experiments.bad_search",
            hint=f"--search random:N or optuna:N, for N experiments, at most {MAX_VALUES}",
        )
    return Search(kind, int(count))


@dataclass(frozen=True)
class Interval:
    """Numbers between two that a parameter may have; whole ones where both are written whole."""

    to: Override
    low: float
    high: float
    is_whole: bool
    is_log: bool

    def at(self, value: float) -> Override:
        """Return the change to one of them."""
        return replace(self.to, value=int(value) if self.is_whole else round_to(value))

    def draw(self, generator: random.Random) -> Override:
        """Return the change to one of them, drawn."""
        if self.is_log:
            scale = math.log(self.high / self.low)
            return self.at(round_to(self.low * math.exp(scale * generator.random())))
        if self.is_whole:
            return self.at(generator.randint(int(self.low), int(self.high)))
        return self.at(generator.uniform(self.low, self.high))


Present = Callable[[Override], Any]
"""What a parameter is now; None where that is not known."""
Dimension = Interval | Sequence[Override]
"""What one text gives: an interval, or changes to choose from."""


def draw_overrides(given: Sequence[Dimension], count: int, seed: int) -> list[tuple[Override, ...]]:
    """Return so many different draws of what is given, the same for the same seed; fewer where there are no more."""
    generator = random.Random(seed)
    found: dict[str, tuple[Override, ...]] = {}
    missed = 0
    while len(found) < count and missed < MISSES + MISSES * len(found):
        drawn = tuple(
            one.draw(generator) if isinstance(one, Interval) else generator.choice(one) for one in given
        )
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


def told_fewer(given: Sequence[Dimension], found_count: int, count: int) -> str:
    """Return what is told where there are fewer different draws than were asked for, and why."""
    text = f"only {found_count} different experiments can be drawn, not {count}"
    whole = [one for one in given if isinstance(one, Interval) and one.is_whole]
    if not whole:
        return text
    names = ", ".join(one.to.key for one in whole)
    low, high = float(whole[0].low), float(whole[0].high)
    return f"{text}: {names} is drawn from whole numbers; interval({low},{high}) has those between"


def parse_dimension(text: str, present: Present = lambda _: None) -> Dimension:
    """Return what a text gives to choose from.

    Args:
        present: says what the parameter is now: one that is a float gets floats, however the interval is written.

    Raises:
        Invalid: it cannot be read.
    """
    head, _, value = text.partition("=")
    found = _INTERVAL.match(value.strip())
    if found is None:
        return parse_override(text)
    (plain,) = parse_override(f"{head}=0")
    try:
        return _between(
            plain, found[2], found[3], is_log=bool(found[1]), is_float=isinstance(present(plain), float)
        )
    except ValueError:
        raise Invalid(
            f"{value!r} is no interval",
            code="experiments.bad_value",
            hint="interval(LOW,HIGH), LOW below HIGH; above 0 with tag(log,…)",
            value=value,
        ) from None


def _between(to: Override, low: str, high: str, *, is_log: bool, is_float: bool) -> Interval:
    """Return the numbers between two.

    Raises:
        ValueError: these are none, or not in order.
    """
    is_whole = not is_float and all(one.lstrip("+-").isdecimal() for one in (low, high))
    first, last = float(low), float(high)
    if not first < last or (is_log and first <= 0):
        raise ValueError
    return Interval(Override(to.file, to.key, to.action), first, last, is_whole, is_log)


def round_to(value: float) -> float:
    """Return a value with six significant digits, which a parameter file shows and a person can repeat."""
    return float(f"{value:.6g}")
