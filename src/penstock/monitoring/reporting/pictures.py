"""Pictures of a report as SVG text: two distributions, and values over time. Pure; no style sheet is needed.

Every picture says in words what it shows, for who does not see it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

import msgspec

from penstock.base.numbers import format_axis
from penstock.monitoring.reporting.changes import Bar

BEFORE, NOW, ALSO, GRID = "#8a8f98", "#1f5fbf", "#b8600b", "#d9dce1"
COLORS = (NOW, ALSO, "#6b3fa0", "#3a7d44")
"""Of lines, in their order."""
WIDTH, HEIGHT = 460, 170
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 30
STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 1.0)
"""Of the axis of shares: the smallest of which four reach the largest share."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """Values at moments (seconds since the epoch); `low` and `high` are the ends of their intervals, if any.

    A value that is not finite breaks the line.
    """

    name: str
    moments: Sequence[float]
    values: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


def draw_bars(bars: Sequence[Bar], description: str, *, is_text: bool) -> str:
    """Return both distributions as bars side by side; long texts lie at the left of horizontal ones."""
    return _lying(bars, description) if is_text else _standing(bars, description)


def _standing(bars: Sequence[Bar], description: str) -> str:
    most = max((max(one.reference, one.current) for one in bars), default=0.0) or 1.0
    step = (WIDTH - LEFT - RIGHT) / max(1, len(bars))
    scale = (HEIGHT - TOP - BOTTOM) / most
    base = HEIGHT - BOTTOM
    parts = [_grid(most, base, scale)]
    for index, one in enumerate(bars):
        x = LEFT + index * step
        for share, color, offset in ((one.reference, BEFORE, 0.08), (one.current, NOW, 0.5)):
            if share > 0:
                parts.append(
                    f'<rect x="{x + offset * step:.1f}" y="{base - share * scale:.1f}" width="{0.42 * step:.1f}" '
                    f'height="{share * scale:.1f}" fill="{color}"/>'
                )
    inner = [one.label.split(" to ")[0] for one in bars[1:-1]]
    for index in range(0, len(inner), max(1, len(inner) // 4)):
        parts.append(_text(LEFT + (index + 1) * step, base + 14, inner[index], "start"))
    return _svg(WIDTH, HEIGHT, description, parts)


def _lying(bars: Sequence[Bar], description: str) -> str:
    most = max((max(one.reference, one.current) for one in bars), default=0.0) or 1.0
    left, row = 130, 20
    scale = (WIDTH - left - 52) / most
    parts = []
    for index, one in enumerate(bars):
        y = 4 + index * row
        label = one.label if len(one.label) <= 18 else f"{one.label[:17]}…"
        parts.append(_text(left - 6, y + 13, label or "(empty)", "end"))
        for share, color, offset in ((one.reference, BEFORE, 1), (one.current, NOW, 9)):
            parts.append(
                f'<rect x="{left}" y="{y + offset}" width="{max(0.5, share * scale):.1f}" height="8" fill="{color}"/>'
            )
        end = left + max(one.reference, one.current) * scale
        parts.append(_text(end + 4, y + 13, f"{one.current:.1%}", "start"))
    return _svg(WIDTH, 8 + row * len(bars), description, parts)


def draw_lines(
    lines: Sequence[Line],
    description: str,
    ticks: Sequence[tuple[float, str]],
    *,
    floor: bool = True,
    unit: Callable[[float], str] | None = None,
) -> str:
    """Return lines over time, with their intervals as bands; nothing where no value is finite.

    Args:
        ticks: moments with their words, for the axis.
        floor: whether the axis begins at 0 when nothing is below.
        unit: how a value on the axis is written; by default as short as there is room for.
    """
    numbers = [
        value
        for one in lines
        for part in (one.values, one.low, one.high)
        for value in part
        if math.isfinite(value)
    ]
    moments = [moment for one in lines for moment in one.moments]
    if not numbers or not moments:
        return ""
    low, high, marks = _axis(min(numbers), max(numbers), floor=floor)
    first, last = min(moments), max(moments)
    wide = WIDTH * 1.5

    def x(moment: float) -> float:
        return LEFT + (wide - LEFT - RIGHT) * ((moment - first) / (last - first) if last > first else 0.5)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low)

    parts = []
    told = format_axis(marks) if unit is None else [unit(value) for value in marks]
    for value, words in zip(marks, told, strict=True):
        parts.append(
            f'<line x1="{LEFT}" x2="{wide - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="{GRID}"/>'
        )
        parts.append(_text(LEFT - 4, y(value) + 4, words, "end"))
    parts += [_text(x(moment), HEIGHT - BOTTOM + 16, words, "middle") for moment, words in ticks]
    for one, color in zip(lines, COLORS, strict=False):
        parts += _drawn(one, color, x, y)
    return _svg(wide, HEIGHT, description, parts)


def _drawn(one: Line, color: str, x: object, y: object) -> list[str]:
    place_x, place_y = x, y
    assert callable(place_x)
    assert callable(place_y)
    parts = []
    for run in _runs(one.values):
        moments = [one.moments[index] for index in run]
        if one.low and all(math.isfinite(one.low[index]) and math.isfinite(one.high[index]) for index in run):
            there = [
                f"{place_x(m):.1f},{place_y(one.high[i]):.1f}" for m, i in zip(moments, run, strict=True)
            ]
            back = [f"{place_x(m):.1f},{place_y(one.low[i]):.1f}" for m, i in zip(moments, run, strict=True)][
                ::-1
            ]
            if len(run) > 1:
                parts.append(
                    f'<polygon points="{" ".join(there + back)}" fill="{color}" fill-opacity="0.18"/>'
                )
            else:
                parts.append(
                    f'<path d="M{there[0]} L{back[0]}" stroke="{color}" stroke-opacity="0.5" stroke-width="2"/>'
                )
        points = [f"{place_x(m):.1f},{place_y(one.values[i]):.1f}" for m, i in zip(moments, run, strict=True)]
        parts.append(
            f'<polyline points="{" ".join(points)}" fill="none" stroke="{color}" stroke-width="1.6"/>'
        )
        parts += [
            f'<circle cx="{point.split(",")[0]}" cy="{point.split(",")[1]}" r="2.2" fill="{color}"/>'
            for point in points
        ]
    return parts


def _axis(low: float, high: float, *, floor: bool) -> tuple[float, float, list[float]]:
    """Return where an axis begins and ends, and the round values on it."""
    if floor and low >= 0:
        low = 0.0
    if high - low < 1e-9 * max(1.0, abs(high)):
        room = abs(high) * 0.1 or 1.0
        low, high = (0.0 if floor and low == 0 else low - room), high + room
    power = 10.0 ** math.floor(math.log10((high - low) / 3))
    size = next(power * step for step in (1, 2, 2.5, 5, 10) if power * step * 3 >= (high - low) * 0.999)
    first, last = math.floor(low / size + 1e-9), math.ceil(high / size - 1e-9)
    marks = [round(size * index, 12) for index in range(first, last + 1)]
    return marks[0], marks[-1], marks


def _runs(values: Sequence[float]) -> list[list[int]]:
    """Return the places of finite values, in runs without a break."""
    runs: list[list[int]] = [[]]
    for index, value in enumerate(values):
        if math.isfinite(value):
            runs[-1].append(index)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _grid(most: float, base: float, scale: float) -> str:
    lines = []
    size = next(one for one in STEPS if one * 4 >= most)
    for index in range(int(most / size) + 1):
        share = size * index
        y = base - share * scale
        lines.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>')
        lines.append(_text(LEFT - 4, y + 4, f"{100 * share:g}%", "end"))
    return "".join(lines)


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _svg(width: float, height: float, description: str, parts: Sequence[str]) -> str:
    return (
        f'<svg role="img" aria-label="{escape(description, quote=True)}" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" font-size="11" font-family="sans-serif" fill="#333">'
        f"{''.join(parts)}</svg>"
    )
