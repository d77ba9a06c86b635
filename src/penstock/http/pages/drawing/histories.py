"""The chart of a metric over the steps of a run, as coordinates. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from penstock.base.numbers import counted, format_axis
from penstock.http.pages.drawing.axes import Tick, axis, clock, step_ticks, ticks_apart, time_ticks
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
from penstock.http.pages.telling.formatting import short

MAX_DOTS = 60


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
    told = [(step, value) for step, value in points if math.isfinite(value) and abs(value) < 1e300]
    if len(told) < 2:
        return None
    first, last = told[0][0], told[-1][0]
    low, high, y_values = axis(min(value for _, value in told), max(value for _, value in told))
    across = (WIDTH - LEFT - RIGHT) / max(1, last - first)
    up = (HEIGHT - TOP - BOTTOM) / (high - low)
    places = [
        (round(LEFT + (step - first) * across, 1), round(HEIGHT - BOTTOM - (value - low) * up, 1))
        for step, value in told
    ]
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
        series=(Series("stable", lines=(" ".join(f"{x},{y}" for x, y in places),), dots=dots),),
        x_ticks=ticks_apart(
            (
                Tick(LEFT + (step - first) * across, text, 1000 * step if is_time else None, form)
                for step, text, form in ticks
            ),
            WIDTH,
        ),
        y_ticks=tuple(
            Tick(round(HEIGHT - BOTTOM - (value - low) * up, 1), text)
            for value, text in zip(y_values, format_axis(y_values, short), strict=True)
        ),
        marks=(),
        summary=f"{title} over {counted(len(told), 'point')}; newest {short(told[-1][1])}",
        scales=Scales(first * scale, max(last, first + 1) * scale, low, high, is_time=is_time),
    )
