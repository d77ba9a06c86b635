"""Runs as points and as lines over parallel axes: Vega-Lite specifications to look for what goes with what. Pure.

Names and values are data in them, never a part of an expression, so that nothing that somebody logged is run. A run
is its place (`id`) in the list that they are made of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.http.pages.telling.formatting import called, cut, natural, short, visible
from penstock.tracking.entities import Run

Spec = dict[str, Any]

MOST_AXES = 8
COLOURS = ("#1c7ed6", "#e8590c", "#2f9e44", "#ae3ec9", "#868e96", "#c2255c", "#1098ad", "#a67c00")
"""Those of the curves below, by the place of a run; the style sheet has the same."""
WIDTH, HEIGHT = 640, 300
_CHOSEN = "length(chosen) === 0 || indexof(chosen, datum.id) >= 0"


@dataclass(frozen=True)
class Dimension:
    """A parameter or metric of runs, named as `metrics.x` or `params.y`, with each run's value where it has one.

    Values are numbers where all are; else texts, which have places in their order.
    """

    name: str
    values: tuple[float | str | None, ...]

    @property
    def title(self) -> str:
        """The key as it is shown on an axis."""
        return cut(self.name.partition(".")[2], 24)

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers."""
        return not any(isinstance(one, str) for one in self.values)

    @property
    def varies(self) -> bool:
        """Whether two runs differ in it."""
        return len({one for one in self.values if one is not None}) > 1


def dimensions_of(runs: Sequence[Run]) -> list[Dimension]:
    """Return what runs can be drawn by: every parameter and metric in which two differ, parameters first."""
    params = sorted({key for run in runs for key in run.params}, key=natural)
    metrics = sorted({key for run in runs for key in run.metrics}, key=natural)
    found = [Dimension(f"params.{key}", _values([run.params.get(key) for run in runs])) for key in params]
    found += [
        Dimension(f"metrics.{key}", tuple(_finite(run.metrics.get(key)) for run in runs)) for key in metrics
    ]
    return [one for one in found if one.varies]


def scatter(runs: Sequence[Run], x: Dimension, y: Dimension) -> Spec:
    """Return runs as points by two dimensions, with a brush; runs without one of both are left out."""
    rows = [
        {"id": place, "run": _name(run), "x": _told(across), "y": _told(up)}
        for place, (run, across, up) in enumerate(zip(runs, x.values, y.values, strict=True))
        if across is not None and up is not None
    ]
    return {
        **_frame(f"{y.title} by {x.title}", rows),
        "params": [_chosen(), {"name": "brush", "select": {"type": "interval"}}],
        "mark": {"type": "point", "filled": True, "size": 90, "cursor": "crosshair"},
        "encoding": {
            "x": _axis("x", x),
            "y": _axis("y", y),
            "color": _colour(runs, rows, y.is_number, "y"),
            "opacity": {"condition": {"test": _CHOSEN, "value": 0.9}, "value": 0.15},
            "tooltip": [
                {"field": "run", "type": "nominal", "title": "run"},
                {"field": "x", "type": "nominal", "title": x.title},
                {"field": "y", "type": "nominal", "title": y.title},
            ],
        },
    }


def parallel(runs: Sequence[Run], dimensions: Sequence[Dimension], hue: Dimension) -> Spec:
    """Return runs as lines over an axis a dimension, each from its least to its greatest, with a brush on them."""
    titles = _titles(dimensions)
    places = [_places(one) for one in dimensions]
    hues = _places(hue)
    rows = [
        {"id": number, "run": _name(run), "axis": title, "at": at[number], "told": _text(one.values[number]),
         "hue": hues[number]}
        for number, run in enumerate(runs)
        for one, title, at in zip(dimensions, titles, places, strict=True)
        if at[number] is not None
    ]  # fmt: skip
    ends = [
        {"axis": title, "at": at, "text": text}
        for one, title in zip(dimensions, titles, strict=True)
        for at, text in zip((0, 1), _ends(one), strict=True)
    ]
    across = {"field": "axis", "type": "nominal", "sort": None, "scale": {"type": "point", "padding": 0.4},
              "axis": {"title": None, "orient": "top", "labelAngle": 0, "labelLimit": 120, "labelOverlap": "greedy",
                       "grid": True, "ticks": False, "domain": False}}  # fmt: skip
    up = {"field": "at", "type": "quantitative", "axis": None, "scale": {"domain": [-0.08, 1.08]}}
    colour = _colour(runs, rows, True, "hue")
    opacity = {"condition": {"test": _CHOSEN, "value": 0.8}, "value": 0.08}
    told = [
        {"field": "run", "type": "nominal"}, {"field": "axis", "type": "nominal"},
        {"field": "told", "type": "nominal", "title": "value"},
    ]  # fmt: skip
    return {
        **_frame("Parallel coordinates", rows),
        "params": [_chosen()],
        "layer": [
            {
                "mark": {"type": "line", "strokeWidth": 1.5},
                "encoding": {"x": across, "y": up, "color": colour, "opacity": opacity,
                             "detail": {"field": "id", "type": "nominal"}},
            },
            {
                "params": [{"name": "brush", "select": {"type": "interval"}}],
                "mark": {"type": "point", "filled": True, "size": 36, "cursor": "crosshair"},
                "encoding": {"x": across, "y": up, "color": colour, "opacity": opacity, "tooltip": told},
            },
            {
                "data": {"values": ends},
                "mark": {"type": "text", "dx": 6, "align": "left", "fontSize": 11},
                "encoding": {"x": across, "y": up, "text": {"field": "text", "type": "nominal"}},
            },
        ],
    }  # fmt: skip


def _frame(title: str, rows: Sequence[Mapping[str, Any]]) -> Spec:
    return {
        "description": f"{title} of {len({row['id'] for row in rows})} runs",
        "width": WIDTH,
        "height": HEIGHT,
        "data": {"values": list(rows)},
    }


def _chosen() -> Spec:
    return {"name": "chosen", "value": []}


def _axis(field: str, one: Dimension) -> Spec:
    look = {"title": one.title, "tickCount": 4, "labelLimit": 120}
    if not one.is_number:
        return {
            "field": field,
            "type": "nominal",
            "axis": {**look, "labelAngle": 0, "labelOverlap": "greedy"},
        }
    return {"field": field, "type": "quantitative", "scale": {"zero": False, "nice": True}, "axis": look}


def _colour(runs: Sequence[Run], rows: Sequence[Mapping[str, Any]], is_number: bool, field: str) -> Spec:
    """Return the colour of runs: their own where they are few, else by a value."""
    if len(runs) <= len(COLOURS):
        scale = {"domain": list(range(len(runs))), "range": list(COLOURS[: len(runs)])}
        return {"field": "id", "type": "nominal", "scale": scale, "legend": None}
    if not is_number or not rows:
        return {"value": COLOURS[0]}
    return {
        "field": field,
        "type": "quantitative",
        "scale": {"scheme": {"name": "viridis", "extent": [0.1, 0.85]}, "zero": False},
        "legend": None,
    }


def _values(texts: Sequence[str | None]) -> tuple[float | str | None, ...]:
    try:
        return tuple(None if text is None else _finite(float(text)) for text in texts)
    except ValueError:
        return tuple(texts)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) and abs(value) < 1e300 else None


def _places(one: Dimension) -> list[float | None]:
    """Return where on its axis each value is, 0 to 1."""
    order = _order(one)
    if one.is_number:
        low, high = float(order[0]), float(order[-1])
        return [
            None if value is None else round((float(value) - low) / (high - low), 6) for value in one.values
        ]
    places = {value: place / (len(order) - 1) for place, value in enumerate(order)}
    return [None if value is None else round(places[value], 6) for value in one.values]


def _order(one: Dimension) -> list[Any]:
    """Return the values of a dimension that varies, each once, the least first."""
    known: set[Any] = {value for value in one.values if value is not None}
    return sorted(known)


def _ends(one: Dimension) -> tuple[str, str]:
    order = _order(one)
    return _text(order[0]), _text(order[-1])


def _titles(dimensions: Sequence[Dimension]) -> list[str]:
    """Return the titles of axes; what would be called the same is numbered."""
    found: list[str] = []
    for one in dimensions:
        same = sum(title.partition(" (")[0] == one.title for title in found)
        found.append(one.title if not same else f"{one.title} ({same + 1})")
    return found


def _name(run: Run) -> str:
    return cut(called(run.name, run.id), 40)


def _told(value: float | str) -> float | str:
    return cut(value, 24) if isinstance(value, str) else value


def _text(value: float | str | None) -> str:
    return (
        "" if value is None else short(value) if not isinstance(value, str) else str(visible(cut(value, 16)))
    )
