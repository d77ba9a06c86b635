"""The chart of a metric over the steps of a run, as coordinates. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.base.numbers import counted, format_axis
from penstock.http.pages.drawing.axes import (
    Tick,
    axis,
    clock,
    labels_apart,
    step_ticks,
    ticks_apart,
    time_ticks,
)
from penstock.http.pages.drawing.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Bar,
    Chart,
    Scales,
    Series,
)
from penstock.http.pages.telling.formatting import number, short

MAX_DOTS = 60
MOST_BREAKS = 5
"""So many places where a curve is no number are marked."""
LARGEST = 1e300
"""What is beyond stands for infinity."""


@dataclass(frozen=True)
class Stretches:
    """A curve in the parts that can be drawn. `breaks` are the steps from which it is no number, and what it is there."""

    parts: tuple[tuple[tuple[int, float], ...], ...]
    breaks: tuple[tuple[int, str], ...]
    is_ended: bool

    def sentence(self, where: Sequence[str]) -> str:
        """Say where it is no number, the last of it first where the curve ends so.

        Args:
            where: the breaks' steps in words.
        """
        told = [f"{word} at {at}" for (_, word), at in zip(self.breaks, where, strict=True)]
        if self.is_ended:
            told = [f"{self.breaks[-1][1]} since {where[-1]}", *told[:-1]]
        return ", ".join(told[:MOST_BREAKS]) + (
            f" and {len(told) - MOST_BREAKS} more times" if len(told) > MOST_BREAKS else ""
        )


def stretches(points: Sequence[tuple[int, float]]) -> Stretches:
    """Part a curve where it is NaN or infinite.

    Example:
        >>> stretches([(0, 1.0), (1, math.nan), (2, 3.0)]).breaks
        ((1, 'NaN'),)
    """
    parts: list[list[tuple[int, float]]] = []
    breaks: list[tuple[int, str]] = []
    before = ""
    for step, value in points:
        word = "" if math.isfinite(value) and abs(value) < LARGEST else number(value)
        if word and word != before:
            breaks.append((step, word))
        elif not word:
            if before or not parts:
                parts.append([])
            parts[-1].append((step, value))
        before = word
    return Stretches(tuple(tuple(one) for one in parts), tuple(breaks), bool(before))


def history_chart(
    title: str, points: Sequence[tuple[int, float]], unit: str = "by step", *, is_time: bool = False
) -> Chart | None:
    """Return a metric's curve; None with fewer than two finite points.

    Args:
        points: step and value, in order; where `is_time`, seconds and value.

    Example:
        >>> history_chart("loss", [(0, 1.0), (10, 0.5)]).summary
        'loss over 2 points; newest 0.5'
    """
    known = stretches(points)
    told = [one for part in known.parts for one in part]
    if len(told) < 2:
        return None
    first, last = points[0][0], points[-1][0]
    low, high, y_values = axis(min(value for _, value in told), max(value for _, value in told))
    across = (WIDTH - LEFT - RIGHT) / max(1, last - first)
    up = (HEIGHT - TOP - BOTTOM) / (high - low)

    def x_of(step: int) -> float:
        return round(LEFT + (step - first) * across, 1)

    def y_of(value: float) -> float:
        return round(HEIGHT - BOTTOM - (value - low) * up, 1)

    places = [(x_of(step), y_of(value)) for step, value in told]
    noun = "step" if unit == "by step" else "point"
    where = [clock(step, "MD") if is_time else f"{noun} {step:,}" for step, _ in known.breaks]
    broken = known.sentence(where)
    dots = (
        tuple(
            Bar(x, y, 0, 0, f"{clock(step, 'MD') if is_time else step}: {short(value)}")
            for (x, y), (step, value) in zip(places, told, strict=True)
        )
        if len(told) <= MAX_DOTS
        else ()
    )
    ticks = (
        [(moment, clock(moment, form), form) for moment, form in time_ticks(first, last)]
        if is_time
        else [(step, f"{step:,}", "") for step in step_ticks(first, last)]
    )
    scale = 1000 if is_time else 1
    return Chart(
        title=title,
        unit=unit,
        series=(
            Series(
                "stable",
                lines=tuple(
                    " ".join(f"{x_of(step)},{y_of(value)}" for step, value in part)
                    for part in known.parts
                    if len(part) > 1
                ),
                dots=dots,
            ),
        ),
        x_ticks=ticks_apart(
            (Tick(x_of(step), text, 1000 * step if is_time else None, form) for step, text, form in ticks),
            WIDTH,
        ),
        y_ticks=tuple(
            Tick(y_of(value), text)
            for value, text in zip(y_values, format_axis(y_values, short), strict=True)
        ),
        marks=labels_apart(
            [Tick(x_of(step), word) for step, word in known.breaks[:MOST_BREAKS]], WIDTH - RIGHT
        ),
        summary=f"{title} over {counted(len(told), 'point')}; newest {short(told[-1][1])}"
        + (f"; {broken}" if broken else ""),
        newest=(("stable", broken.partition(",")[0]),) if known.is_ended else (),
        scales=Scales(first * scale, max(last, first + 1) * scale, low, high, is_time=is_time),
    )
