"""Drift of features over time as coordinates: a row a feature, a cell a span of time, darker the nearer to the limit. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from penstock.base.clock import format_ms
from penstock.base.numbers import counted
from penstock.flows.observing.drifting import DriftOverTime
from penstock.http.pages.drawing.axes import Tick, clock
from penstock.http.pages.telling.formatting import number

NAME_WIDTH, CELL_HEIGHT, WIDTH, FOOT = 190, 18, 1120, 24
MOST_TICKS, TICK_WIDTH = 6, 64
LEVELS = (0.25, 0.5, 1.0, 4.0)
"""Shares of the limit at which a cell gets its next shade; above the third it is over the limit."""


@dataclass(frozen=True)
class Cell:
    """One span of one feature."""

    x: float
    y: int
    level: int
    text: str


@dataclass(frozen=True)
class HeatMap:
    """Cells with the names of their rows and the times of their columns."""

    names: tuple[tuple[int, str], ...]
    cells: tuple[Cell, ...]
    ticks: tuple[Tick, ...]
    cell_width: float
    height: int
    left_out: int
    width: int = WIDTH
    cell_height: int = CELL_HEIGHT - 2


def heat_map(drift: DriftOverTime, limit: float) -> HeatMap | None:
    """Return the map of the features that drifted most; None where no traffic came."""
    if not drift.spans or not drift.features:
        return None
    width = min(48.0, (WIDTH - NAME_WIDTH) / len(drift.spans))
    cells = []
    for row, (name, values) in enumerate(drift.features.items()):
        for at, (value, (begin, _), count) in enumerate(zip(values, drift.spans, drift.rows, strict=True)):
            told = f"{name}, {format_ms(1000 * begin)}: "
            told += (
                f"PSI {number(value)} over {counted(count, 'row')}"
                if value is not None
                else f"{counted(count, 'row is', 'rows are')} too few"
            )
            cells.append(
                Cell(round(NAME_WIDTH + at * width, 1), row * CELL_HEIGHT, level_of(value, limit), told)
            )
    each = max(-(-len(drift.spans) // MOST_TICKS), math.ceil(TICK_WIDTH / width))
    length = drift.spans[-1][1] - drift.spans[0][0]
    form = "HMS" if length < 1200 else "HM" if length < 2 * 86_400 else "MD"
    ticks = tuple(
        Tick(round(NAME_WIDTH + at * width, 1), clock(begin, form), 1000 * begin, form)
        for at, (begin, _) in enumerate(drift.spans)
        if at % each == 0
    )
    names = tuple((row * CELL_HEIGHT + 13, name) for row, name in enumerate(drift.features))
    return HeatMap(
        names,
        tuple(cells),
        ticks,
        round(width - 1, 1),
        len(drift.features) * CELL_HEIGHT + FOOT,
        drift.feature_count - len(drift.features),
    )


def level_of(value: float | None, limit: float) -> int:
    """Return the shade of a value: 0 where nothing is known, 1 to 3 within the limit, 4 and 5 over it.

    Example:
        >>> [level_of(one, 0.2) for one in (None, 0.01, 0.09, 0.2, 0.21, 3.0)]
        [0, 1, 2, 3, 4, 5]
    """
    if value is None:
        return 0
    return 1 + sum(value > share * limit for share in LEVELS)
