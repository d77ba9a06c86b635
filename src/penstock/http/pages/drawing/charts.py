"""Charts of an endpoint's windows over time, as coordinates; the template draws them. Pure.

The horizontal axis is time as it passed: where nothing came there is a gap.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from penstock.base.numbers import format_axis
from penstock.flows.production.windows import WindowView
from penstock.http.pages.drawing.axes import Tick, axis, clock, labels_apart, ticks_apart, time_ticks
from penstock.http.pages.telling.formatting import short

WIDTH, HEIGHT = 420, 200
LEFT, RIGHT, TOP, BOTTOM = 50, 10, 22, 26
ROUTES = ("stable", "canary", "batch")
GAP = 4.5
"""A line is not drawn over more than so many windows without traffic."""
LETTER = 6.5
"""So wide is a letter of a label."""
FAR = 4.0
"""A limit that is beyond so many times the greatest value is told, not drawn: it would flatten the values."""

Value = Callable[[WindowView], float | None]
Told = list[tuple[WindowView, float]]


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
class Frame:
    """What charts of one endpoint share: the time they show, and what happened in it.

    `marks` are moments in seconds with their label: `#3` for a deployment, `↩#4` for a rollback.
    """

    begin_s: float
    end_s: float
    marks: tuple[tuple[float, str], ...] = ()

    @classmethod
    def of(cls, windows: Sequence[WindowView], marks: Sequence[tuple[float, str]] = ()) -> Frame:
        """Return the frame of windows; marks before the first window are left out."""
        begin, end = float(min(one.start_s for one in windows)), float(max(one.end_s for one in windows))
        inside = [one for one in marks if begin <= one[0]]
        end = max(end, *(moment for moment, _ in inside)) if inside else end
        return cls(begin, max(end, begin + 1), tuple(inside))

    def x_of(self, moment_s: float) -> float:
        """Return where a moment is."""
        share = (moment_s - self.begin_s) / (self.end_s - self.begin_s)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)


@dataclass(frozen=True)
class Limit:
    """A limit that the values are judged by, in the chart's unit, in the spans of time in which it holds.

    `at` is where it is, None where it is not drawn, and `untold` why; it is drawn along `lines`, and labelled where no
    value is.
    """

    value: float
    text: str
    spans_s: tuple[tuple[float, float], ...] = ((0.0, math.inf),)
    at: float | None = None
    untold: str = "beyond the chart"
    lines: tuple[tuple[float, float], ...] = ()
    label_x: float = WIDTH - RIGHT
    label_y: float = 0.0
    is_label_end: bool = True


@dataclass(frozen=True)
class Scales:
    """What a chart's edges stand for, so that a pointer over it can be told as values; time is in milliseconds.

    Where `is_logarithmic`, `low` and `high` are powers of ten. Of a chart that `has_range` a span may be chosen.
    """

    first: float
    last: float
    low: float
    high: float
    is_time: bool = False
    is_logarithmic: bool = False
    has_range: bool = False


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
    limit: Limit | None = None
    newest: tuple[tuple[str, str], ...] = field(default=())
    scales: Scales | None = None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    base: int = HEIGHT - BOTTOM


def bar_chart(
    title: str, unit: str, windows: Sequence[WindowView], value: Value, frame: Frame | None = None
) -> Chart | None:
    """Return bars from zero, the canary on top of the stable route; None without values."""
    return _chart(title, unit, windows, value, frame, None, bars=True)


def line_chart(
    title: str,
    unit: str,
    windows: Sequence[WindowView],
    value: Value,
    frame: Frame | None = None,
    limit: Limit | None = None,
) -> Chart | None:
    """Return a line a route, with the limit it is judged by; None without values."""
    return _chart(title, unit, windows, value, frame, limit, bars=False)


def _chart(
    title: str,
    unit: str,
    windows: Sequence[WindowView],
    value: Value,
    frame: Frame | None,
    limit: Limit | None,
    *,
    bars: bool,
) -> Chart | None:
    told = [
        (window, float(number))
        for window in windows
        if window.route in ROUTES and (number := value(window)) is not None and math.isfinite(number)
    ]
    if not told:
        return None
    frame = frame or Frame.of([window for window, _ in told])
    low, high = _range(told, bars)
    greatest = max(abs(high), abs(low))
    if limit is not None:
        limit = replace(limit, lines=_inside(limit.spans_s, frame))
    if limit is not None and not limit.lines:
        limit = replace(limit, untold="set after this traffic")
    elif limit is not None and (greatest == 0 or abs(limit.value) <= FAR * greatest):
        low, high = min(low, limit.value), max(high, limit.value)
        limit = replace(limit, at=0.0)
    low, high, y_values = axis(low, high, bars=bars)
    scale = (HEIGHT - TOP - BOTTOM) / (high - low)

    def y_of(number: float) -> float:
        return round(HEIGHT - BOTTOM - (number - low) * scale, 1)

    draw = _bars if bars else _lines
    routes = [route for route in ROUTES if any(window.route == route for window, _ in told)]
    series = tuple(draw(route, told, frame, y_of) for route in routes)
    if limit is not None and limit.at is not None:
        limit = _labelled(replace(limit, at=y_of(limit.value)), series)
    newest = told[-1]
    return Chart(
        title=title,
        unit=unit,
        series=series,
        x_ticks=ticks_apart(
            (
                Tick(frame.x_of(moment), clock(moment, form), 1000 * moment, form)
                for moment, form in time_ticks(frame.begin_s, frame.end_s)
            ),
            WIDTH,
        ),
        y_ticks=tuple(
            Tick(y_of(number), text)
            for number, text in zip(y_values, format_axis(y_values, short), strict=True)
        ),
        marks=labels_apart([Tick(frame.x_of(moment), text) for moment, text in frame.marks], WIDTH - RIGHT),
        summary=f"{title} over {len({_slot(one) for one, _ in told})} windows; newest {newest[0].route} "
        f"{short(newest[1])} {unit}" + (f"; limit {limit.text}" if limit else ""),
        limit=limit,
        newest=tuple((route, short(_newest(told, route))) for route in routes),
        scales=Scales(1000 * frame.begin_s, 1000 * frame.end_s, low, high, is_time=True, has_range=True),
    )


def _inside(spans_s: Sequence[tuple[float, float]], frame: Frame) -> tuple[tuple[float, float], ...]:
    """Return where spans of time begin and end in a chart; those outside of it are left out."""
    cut = [(max(begin, frame.begin_s), min(end, frame.end_s)) for begin, end in spans_s]
    return tuple((frame.x_of(begin), frame.x_of(end)) for begin, end in cut if begin < end)


def _labelled(limit: Limit, series: Sequence[Series]) -> Limit:
    """Return a limit with its label above or below it or behind it, at its end or its beginning: where the fewest values are."""
    at, length = limit.at or 0.0, LETTER * len(f"limit {limit.text}")
    marks = [(dot.x, dot.y) for one in series for dot in one.dots]
    marks += [mark for one in series for line in one.lines for mark in _along(line)]
    right, begin, end = WIDTH - RIGHT, limit.lines[0][0], limit.lines[-1][1]
    last = max(end, min(LEFT + length, right))
    first = min(begin + 2, right - length)
    spots = [(last, at - 4, True), (last, at + 12, True), (first, at - 4, False), (first, at + 12, False)]
    if end + 4 + length <= right:
        spots.append((end + 4, at + 4, False))
    places: list[tuple[bool, int, int]] = []
    for number, (x, y, is_end) in enumerate(spots):
        left = x - length if is_end else x
        hit = sum(left - 4 <= one <= left + length + 4 and y - 12 <= up <= y + 4 for one, up in marks)
        places.append((not TOP + 8 <= y <= HEIGHT - BOTTOM, hit, number))
    x, y, is_end = spots[min(places)[2]]
    return replace(limit, label_x=round(x, 1), label_y=round(y, 1), is_label_end=is_end)


def _along(line: str) -> list[tuple[float, float]]:
    """Return points along a line, close enough to say what lies on it."""
    corners = [(float(x), float(y)) for x, y in (pair.split(",") for pair in line.split())]
    found = []
    for (x, y), (to_x, to_y) in itertools.pairwise(corners):
        count = max(1, math.ceil(max(abs(to_x - x), abs(to_y - y)) / LETTER))
        found += [(x + (to_x - x) * part / count, y + (to_y - y) * part / count) for part in range(count + 1)]
    return found


def _newest(told: Told, route: str) -> float:
    return next(number for window, number in reversed(told) if window.route == route)


def _slot(window: WindowView) -> tuple[int, int]:
    return (window.start_s, window.revision)


def _sums(told: Told) -> dict[int, float]:
    found: dict[int, float] = {}
    for window, number in told:
        found[window.start_s] = found.get(window.start_s, 0.0) + number
    return found


def _range(told: Told, bars: bool) -> tuple[float, float]:
    if bars:
        return 0.0, max(_sums(told).values())
    return min(number for _, number in told), max(number for _, number in told)


def _bars(route: str, told: Told, frame: Frame, y_of: Callable[[float], float]) -> Series:
    own = [one for one in told if one[0].route == route]
    below = ROUTES[: ROUTES.index(route)]
    under = _sums([one for one in told if one[0].route in below])
    lengths = {window.start_s: window.end_s - window.start_s for window, _ in own}
    bars = []
    for start_s, number in _sums(own).items():
        bottom, top = y_of(under.get(start_s, 0.0)), y_of(under.get(start_s, 0.0) + number)
        left, right = frame.x_of(start_s), frame.x_of(min(frame.end_s, start_s + lengths[start_s]))
        width = round(max(1.0, min(0.9 * (right - left), 24.0)), 1)
        text = f"{clock(start_s)} {route}: {short(number)}"
        bars.append(Bar(left, top, min(width, WIDTH - RIGHT - left + 1), round(bottom - top, 1), text))
    return Series(route, bars=tuple(bars))


def _lines(route: str, told: Told, frame: Frame, y_of: Callable[[float], float]) -> Series:
    lines: list[list[str]] = []
    dots = []
    before: WindowView | None = None
    for window, number in told:
        if window.route != route:
            continue
        middle = min(frame.end_s, (window.start_s + window.end_s) / 2)
        x, y = frame.x_of(middle), y_of(number)
        length = window.end_s - window.start_s
        if before is None or before.version != window.version or window.start_s - before.end_s > GAP * length:
            lines.append([])
        lines[-1].append(f"{x},{y}")
        text = f"{clock(window.start_s)} {route}, version {window.version}: {short(number)}"
        dots.append(Bar(x, y, 0, 0, text))
        before = window
    return Series(
        route, lines=tuple(" ".join(points) for points in lines if len(points) > 1), dots=tuple(dots)
    )
