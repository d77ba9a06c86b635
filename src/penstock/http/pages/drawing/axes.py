"""The axes of charts: round values, and times at round moments. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from penstock.base.clock import find_moment

MOST_TICKS = 5
LEAST = 1e-300
"""An axis is at least so long: below are the last numbers that a float can be."""
SPANS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
DAY_S = 86_400
MOST_NAMES = 3
BESIDE = 2.0
"""So far beside its mark a label begins, or ends."""


@dataclass(frozen=True)
class Tick:
    """A label at a place of an axis. `time_ms` is the moment it names, for readers who know their zone.

    `title` says more than the text has room for; a text that `is_end` ends at the place, others begin there.
    """

    at: float
    text: str
    time_ms: int | None = None
    form: str = ""
    title: str = ""
    is_end: bool = False


def axis(low: float, high: float, *, bars: bool = False) -> tuple[float, float, list[float]]:
    """Return where a vertical axis begins and ends, and the round values on it, for values of a range.

    Values that differ in less than a millionth of themselves are drawn as the same.

    Example:
        >>> axis(1e-8, 5e-8), axis(5e-8, 5e-8)[2]
        ((0.0, 6e-08, [0.0, 2e-08, 4e-08, 6e-08]), [4e-08, 4.5e-08, 5e-08, 5.5e-08, 6e-08])
    """
    if not bars and low >= 0 and low < high / 2:
        low = 0.0
    least = max(LEAST, max(abs(low), abs(high)) * 1e-6)
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
    digits = max(10, 3 - math.floor(math.log10(size)))
    values = [round(size * index, digits) for index in range(first, last + 1)]
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


def step_ticks(first: int, last: int) -> list[int]:
    """Return at most five whole steps of a span, evenly apart.

    Example:
        >>> step_ticks(0, 3), step_ticks(1, 100), step_ticks(7, 7)
        ([0, 1, 2, 3], [20, 40, 60, 80, 100], [7])
    """
    power = 1
    while (last - first) // power > 10 * MOST_TICKS:
        power *= 10
    for size in (power * one for one in (1, 2, 5, 10, 20, 25, 50)):
        begin = -(-first // size) * size
        if (last - begin) // size < MOST_TICKS:
            return list(range(begin, last + 1, size)) or [first]
    return [first]


def ticks_apart(
    ticks: Iterable[Tick], width: float, letter: float = 7.0, gap: float = 4.0
) -> tuple[Tick, ...]:
    """Return ticks with their labels' middles moved into the chart; those whose label would lie on the one before are left out.

    Args:
        width: of the chart.
        letter: how wide a letter is.
        gap: how far labels are apart at least.
    """
    kept: list[Tick] = []
    end = 0.0
    for tick in ticks:
        half = letter * len(tick.text) / 2
        at = round(min(max(tick.at, half), width - half), 1)
        if not kept or at - half >= end + gap:
            kept.append(replace(tick, at=at))
            end = at + half
    return tuple(kept)


@lru_cache(maxsize=4096)
def clock(start_s: int, form: str = "HMS") -> str:
    """Render a moment for an axis, UTC."""
    moment = find_moment(1000 * start_s)
    if moment is None:
        return f"{start_s} s"
    return moment.strftime({"HM": "%H:%M", "MD": "%m-%d"}.get(form, "%H:%M:%S"))


@dataclass
class _Group:
    """Marks that share a label, since labels of their own would lie over one another."""

    marks: list[Tick]

    @property
    def text(self) -> str:
        names = [one.text for one in self.marks]
        return " ".join(names) if len(names) <= MOST_NAMES else f"{names[0]} … {names[-1]}"

    def box(self, right: float, width: float) -> tuple[float, float, bool]:
        """Return where the label begins and ends, and whether it ends at its last mark: it begins at its first if it fits."""
        length = width * len(self.text)
        begin = self.marks[0].at + BESIDE
        if begin + length <= right:
            return begin, begin + length, False
        end = self.marks[-1].at - BESIDE
        return end - length, end, True


def labels_apart(marks: Sequence[Tick], right: float = math.inf, width: float = 7.0) -> tuple[Tick, ...]:
    """Return marks whose labels do not overlap and end before `right`: where they would overlap, one names all of them.

    Of more than `MOST_NAMES` it names the first and the last; its `title` has every name.

    Args:
        width: of a character.
    """
    groups: list[_Group] = []
    for mark in sorted(marks, key=lambda one: one.at):
        groups.append(_Group([mark]))
        while len(groups) > 1:
            before, last = groups[-2], groups[-1]
            if last.box(right, width)[0] >= before.box(right, width)[1] + width:
                break
            groups[-2:] = [_Group([*before.marks, *last.marks])]
    apart: list[Tick] = []
    for group in groups:
        is_end = group.box(right, width)[2]
        named = len(group.marks) - 1 if is_end else 0
        title = ", ".join(one.text for one in group.marks)
        apart += [
            Tick(one.at, group.text, title=title, is_end=is_end) if place == named else Tick(one.at, "")
            for place, one in enumerate(group.marks)
        ]
    return tuple(apart)
