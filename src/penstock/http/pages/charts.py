"""Small charts of an endpoint's windows, as coordinates; the template draws them. Pure.

The horizontal axis counts windows that had traffic, so quiet hours take no room; its labels are times.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from penstock.base.clock import find_moment
from penstock.flows.production.windows import WindowView

WIDTH, HEIGHT = 420, 200
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 22, 26
ROUTES = ("stable", "canary")

Slot = tuple[int, int]
"""A place on the horizontal axis: a window's start and its revision."""
Value = Callable[[WindowView], float | None]


@dataclass(frozen=True)
class Tick:
    """A label at a place of an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Bar:
    """One bar, with what a pointer over it says."""

    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class Series:
    """One route's marks: bars, or lines (each a polyline's points) with their dots."""

    route: str
    bars: tuple[Bar, ...] = ()
    lines: tuple[str, ...] = ()
    dots: tuple[Bar, ...] = ()


@dataclass(frozen=True)
class Chart:
    """A chart ready to be drawn; `marks` are where a new revision began."""

    title: str
    unit: str
    series: tuple[Series, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marks: tuple[Tick, ...]
    summary: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    base: int = HEIGHT - BOTTOM


def bar_chart(title: str, unit: str, windows: Sequence[WindowView], value: Value) -> Chart | None:
    """Return bars from zero, the canary on top of the stable route; None without values."""
    return _chart(title, unit, windows, value, bars=True)


def line_chart(title: str, unit: str, windows: Sequence[WindowView], value: Value) -> Chart | None:
    """Return a line a route; None without values."""
    return _chart(title, unit, windows, value, bars=False)


def _chart(title: str, unit: str, windows: Sequence[WindowView], value: Value, *, bars: bool) -> Chart | None:
    told = [
        (window, float(number))
        for window in windows
        if window.route in ROUTES and (number := value(window)) is not None and math.isfinite(number)
    ]
    if not told:
        return None
    slots = sorted({_slot(window) for window in windows if window.route in ROUTES})
    step = (WIDTH - LEFT - RIGHT) / len(slots)
    place = {slot: LEFT + step * (index + 0.5) for index, slot in enumerate(slots)}
    low, high, y_values = _scale(told, bars)
    scale = (HEIGHT - TOP - BOTTOM) / (high - low)

    def y_of(number: float) -> float:
        return round(HEIGHT - BOTTOM - (number - low) * scale, 1)

    draw = _bars if bars else _lines
    series = tuple(
        draw(route, [one for one in told if one[0].route == route], told, place, step, y_of)
        for route in ROUTES
        if any(window.route == route for window, _ in told)
    )
    newest = told[-1]
    return Chart(
        title=title,
        unit=unit,
        series=series,
        x_ticks=_time_ticks(slots, place),
        y_ticks=tuple(Tick(y_of(number), short(number)) for number in y_values),
        marks=_marks(windows, place, step),
        summary=f"{title} over {len(slots)} windows; newest {newest[0].route} {short(newest[1])} {unit}",
    )


def _scale(told: Sequence[tuple[WindowView, float]], bars: bool) -> tuple[float, float, list[float]]:
    if bars:
        sums = _sums(told)
        low, high = 0.0, max(sums.values())
    else:
        low, high = min(number for _, number in told), max(number for _, number in told)
    return axis(low, high, bars=bars)


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


def _slot(window: WindowView) -> Slot:
    return (window.start_s, window.revision)


def _sums(told: Sequence[tuple[WindowView, float]]) -> dict[Slot, float]:
    found: dict[Slot, float] = {}
    for window, number in told:
        found[_slot(window)] = found.get(_slot(window), 0.0) + number
    return found


def _nice(size: float) -> float:
    power = 10.0 ** math.floor(math.log10(size))
    return next(power * step for step in (1, 2, 2.5, 5, 10) if power * step >= size * 0.999)


def _bars(
    route: str,
    own: Sequence[tuple[WindowView, float]],
    told: Sequence[tuple[WindowView, float]],
    place: dict[Slot, float],
    step: float,
    y_of: Callable[[float], float],
) -> Series:
    under = {} if route == ROUTES[0] else _sums([one for one in told if one[0].route == ROUTES[0]])
    width = round(max(1.0, min(step * 0.8, 24)), 1)
    bars = []
    for slot, number in _sums(own).items():
        bottom, top = y_of(under.get(slot, 0.0)), y_of(under.get(slot, 0.0) + number)
        text = f"{_clock(slot[0])} {route}: {short(number)}"
        bars.append(Bar(round(place[slot] - width / 2, 1), top, width, round(bottom - top, 1), text))
    return Series(route, bars=tuple(bars))


def _lines(
    route: str,
    own: Sequence[tuple[WindowView, float]],
    _told: Sequence[tuple[WindowView, float]],
    place: dict[Slot, float],
    step: float,
    y_of: Callable[[float], float],
) -> Series:
    lines: list[list[str]] = []
    dots = []
    before: WindowView | None = None
    for window, number in own:
        x, y = round(place[_slot(window)], 1), y_of(number)
        if before is None or before.version != window.version or x - place[_slot(before)] > 4.5 * step:
            lines.append([])
        lines[-1].append(f"{x},{y}")
        text = f"{_clock(window.start_s)} {route}, version {window.version}: {short(number)}"
        dots.append(Bar(x, y, 0, 0, text))
        before = window
    return Series(
        route, lines=tuple(" ".join(points) for points in lines if len(points) > 1), dots=tuple(dots)
    )


def _marks(windows: Sequence[WindowView], place: dict[Slot, float], step: float) -> tuple[Tick, ...]:
    marks: list[Tick] = []
    known: int | None = None
    for window in sorted(windows, key=lambda one: (one.start_s, one.revision)):
        if window.route not in ROUTES or window.revision == known:
            continue
        known = window.revision
        marks.append(Tick(round(place[_slot(window)] - step / 2, 1), f"#{known}"))
    apart: list[Tick] = []
    for mark in marks:
        close = apart and mark.at - apart[-1].at < 15
        apart.append(Tick(mark.at, "") if close else mark)
    return tuple(apart)


def _time_ticks(slots: Sequence[Slot], place: dict[Slot, float]) -> tuple[Tick, ...]:
    count = min(4, len(slots))
    chosen = sorted({round(index * (len(slots) - 1) / max(1, count - 1)) for index in range(count)})
    return tuple(Tick(round(place[slots[index]], 1), _clock(slots[index][0])) for index in chosen)


def _clock(start_s: int) -> str:
    moment = find_moment(1000 * start_s)
    return f"{start_s} s" if moment is None else moment.strftime("%H:%M:%S")


def short(number: float) -> str:
    """Render a number for an axis: three digits that matter."""
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"
