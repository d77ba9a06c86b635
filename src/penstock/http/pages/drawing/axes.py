"""The axes of charts: round values, and times at round moments. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.base.clock import find_moment

MOST_TICKS = 5
SPANS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
DAY_S = 86_400


@dataclass(frozen=True)
class Tick:
    """A label at a place of an axis. `time_ms` is the moment it names, for readers who know their zone."""

    at: float
    text: str
    time_ms: int | None = None
    form: str = ""


def axis(low: float, high: float, *, bars: bool = False) -> tuple[float, float, list[float]]:
    """Return where a vertical axis begins and ends, and the round values on it, for values of a range."""
    if not bars and low >= 0 and low < high / 2:
        low = 0.0
    least = max(1e-6, abs(high) * 1e-6)
    if high - low < least:
        low, high = (
            (0.0, 1.0)
            if high == low == 0
            else (
                max(low - abs(low) * 0.1 - least, 0.0 if bars else -math.inf),
                high + abs(high) * 0.1 + least,
            )
        )
    size = _nice((high - low) / 3)
    first, last = math.floor(low / size), math.ceil(high / size)
    values = [round(size * index, 10) for index in range(first, last + 1)]
    return values[0], values[-1], values


def _nice(size: float) -> float:
    power = 10.0 ** math.floor(math.log10(size))
    return next(power * step for step in (1, 2, 2.5, 5, 10) if power * step >= size * 0.999)


def time_ticks(begin_s: float, end_s: float) -> list[tuple[int, str]]:
    """Return at most five round moments of a span, with how each is told: `HMS`, `HM` or `MD`.

    Example:
        >>> time_ticks(3590, 3725)
        [(3600, 'HMS'), (3630, 'HMS'), (3660, 'HMS'), (3690, 'HMS'), (3720, 'HMS')]
    """
    span = max(1.0, end_s - begin_s)
    days = max(1, math.ceil(span / DAY_S / MOST_TICKS))
    step = next((one for one in SPANS_S if span / one <= MOST_TICKS), days * DAY_S)
    form = "HMS" if step < 60 else "HM" if step < DAY_S else "MD"
    first = math.ceil(begin_s / step) * step
    moments = range(first, math.floor(end_s) + 1, step) if first <= end_s else range(0)
    return [(moment, form) for moment in list(moments)[:MOST_TICKS]] or [(round(begin_s), "HMS")]


def clock(start_s: int, form: str = "HMS") -> str:
    """Render a moment for an axis, UTC."""
    moment = find_moment(1000 * start_s)
    if moment is None:
        return f"{start_s} s"
    return moment.strftime({"HM": "%H:%M", "MD": "%m-%d"}.get(form, "%H:%M:%S"))


def labels_apart(marks: Sequence[Tick], width: float = 7.0) -> tuple[Tick, ...]:
    """Return marks whose labels do not overlap: where they would, the first names all of them.

    Args:
        width: of a character.
    """
    apart: list[Tick] = []
    named = -1
    for mark in sorted(marks, key=lambda one: one.at):
        if named >= 0 and mark.at < apart[named].at + width * (len(apart[named].text) + 1):
            apart[named] = Tick(apart[named].at, f"{apart[named].text} {mark.text}")
            apart.append(Tick(mark.at, ""))
        else:
            named = len(apart)
            apart.append(mark)
    return tuple(apart)
