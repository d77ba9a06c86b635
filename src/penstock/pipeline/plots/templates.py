"""Templates of plots: Vega-Lite specifications with anchors (`<DVC_METRIC_X>`) where a plot's own values go.

The names and the anchors are DVC's, so that a repository's own templates work here and there; the specifications are
Penstock's own.

Source: the documentation of DVC's `plots`, "Custom templates"; https://vega.github.io/vega-lite/docs (version 5).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from penstock.base.errors import Invalid

Spec = dict[str, Any]
DEFAULT = "linear"
SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"


def anchor(name: str) -> str:
    """Return the text that stands for a plot's value.

    Example:
        >>> anchor("x_label")
        '<DVC_METRIC_X_LABEL>'
    """
    return f"<DVC_METRIC_{name.upper()}>"


def _axis(name: str, kind: str, **more: Any) -> Spec:
    return {"field": anchor(name), "type": kind, "title": anchor(f"{name}_label"), **more}


def _chart(**parts: Any) -> Spec:
    return {
        "$schema": SCHEMA,
        "data": {"values": anchor("data")},
        "title": {"text": anchor("title"), "anchor": "middle"},
        **parts,
    }


_SIZE: Spec = {"width": anchor("plot_width"), "height": anchor("plot_height")}
_GRID: Spec = {"params": [anchor("zoom_and_pan")]}
_LINE_AXES: Spec = {
    "x": _axis("x", "quantitative", scale={"zero": False}),
    "y": _axis("y", "quantitative", scale={"zero": False}),
    "color": anchor("color"),
    "strokeDash": anchor("stroke_dash"),
}
_POINT_AXES: Spec = {
    "x": _axis("x", "quantitative", scale={"zero": False}),
    "y": _axis("y", "quantitative", scale={"zero": False}),
    "color": anchor("color"),
    "shape": anchor("shape"),
    "tooltip": anchor("tooltip"),
}
_DOTS: Spec = {
    "mark": {"type": "point", "filled": True, "size": 24},
    "encoding": {"tooltip": anchor("tooltip"), "strokeDash": {"value": [1, 0]}},
}


def _smooth(start: float) -> Spec:
    slider = {"input": "range", "min": 0.01, "max": 1, "step": 0.01}
    return _chart(
        **_SIZE,
        params=[{"name": "smooth", "value": start, "bind": slider}],
        encoding=_LINE_AXES,
        layer=[
            {
                **_GRID,
                "mark": "line",
                "transform": [
                    {
                        "loess": anchor("y"),
                        "on": anchor("x"),
                        "groupby": anchor("group_by"),
                        "bandwidth": {"signal": "smooth"},
                    }
                ],
            },
            {"mark": {"type": "line", "opacity": 0.25}},
        ],
    )


def _bars(**order: Any) -> Spec:
    return _chart(
        **_SIZE,
        **_GRID,
        mark="bar",
        encoding={
            "x": _axis("x", "quantitative"),
            "y": _axis("y", "nominal", **order),
            "yOffset": {"field": "rev", "sort": []},
            "color": anchor("color"),
            "column": anchor("column"),
        },
    )


def _matrix(share: bool) -> Spec:
    """Return a table of how often values of x and y come together; with `share`, of all of one y."""
    total = {
        "joinaggregate": [{"op": "sum", "field": "count", "as": "total"}],
        "groupby": anchor("group_by_y"),
    }
    shown = {"calculate": "datum.count / datum.total", "as": "shown"} if share else None
    counted = [
        {"aggregate": [{"op": "count", "as": "count"}], "groupby": anchor("group_by_xy")},
        total,
        shown or {"calculate": "datum.count", "as": "shown"},
        {"joinaggregate": [{"op": "max", "field": "shown", "as": "most"}], "groupby": []},
    ]
    cells = {"field": "shown", "type": "quantitative"}
    return _chart(
        facet={"column": {"field": "rev", "sort": []}, "row": anchor("row")},
        spec={
            **_SIZE,
            "transform": counted,
            "encoding": {"x": _axis("x", "nominal"), "y": _axis("y", "nominal")},
            "layer": [
                {"mark": "rect", "encoding": {"color": {**cells, "title": "", "scale": {"domainMin": 0}}}},
                {
                    "mark": "text",
                    "encoding": {
                        "text": {**cells, "format": ".2f" if share else "d"},
                        "color": {
                            "condition": {"test": "datum.shown > datum.most / 2", "value": "white"},
                            "value": "black",
                        },
                    },
                },
            ],
        },
    )


def _jittered() -> Spec:
    return _chart(
        **_SIZE,
        **_GRID,
        transform=[{"calculate": "random()", "as": "jitter"}],
        mark={"type": "point", "filled": True, "opacity": 0.6},
        encoding={
            **_POINT_AXES,
            "x": _axis("x", "nominal"),
            "xOffset": {"field": "jitter", "type": "quantitative"},
        },
    )


TEMPLATES: Mapping[str, Spec] = {
    "simple": _chart(**_SIZE, **_GRID, mark="line", encoding=_LINE_AXES),
    "linear": _chart(**_SIZE, encoding=_LINE_AXES, layer=[{**_GRID, "mark": "line"}, _DOTS]),
    "confusion": _matrix(share=False),
    "confusion_normalized": _matrix(share=True),
    "scatter": _chart(**_SIZE, **_GRID, mark={"type": "point", "filled": True}, encoding=_POINT_AXES),
    "scatter_jitter": _jittered(),
    "smooth": _smooth(0.3),
    "bar_horizontal_sorted": _bars(sort="-x"),
    "bar_horizontal": _bars(),
}


def parse_template(text: str, where: str) -> Spec:
    """Return a template of the repository's own.

    Raises:
        Invalid: it is not JSON, or has no place for data.
    """
    try:
        spec = json.loads(text)
    except ValueError as error:
        raise Invalid(f"{where}: not JSON: {error}", code="plots.bad_template", file=where) from None
    if not isinstance(spec, dict) or not has_anchor(spec, "data"):
        raise Invalid(
            f"{where}: there is no {anchor('data')!r} in it",
            code="plots.bad_template",
            hint="penstock plots templates linear prints one that works",
            file=where,
        )
    return spec


def has_anchor(spec: Any, name: str) -> bool:
    """Say whether a template has a place for a value."""
    if isinstance(spec, Mapping):
        return any(has_anchor(one, name) for one in spec.values())
    if isinstance(spec, list):
        return any(has_anchor(one, name) for one in spec)
    return isinstance(spec, str) and anchor(name) in spec


def fill(spec: Any, values: Mapping[str, Any]) -> Any:
    """Return a template with its anchors replaced; within a longer text, by text only."""
    anchors = {anchor(name): value for name, value in values.items()}
    return _fill(spec, anchors)


def _fill(spec: Any, anchors: Mapping[str, Any]) -> Any:
    if isinstance(spec, Mapping):
        return {key: _fill(one, anchors) for key, one in spec.items()}
    if isinstance(spec, list):
        return [_fill(one, anchors) for one in spec]
    if not isinstance(spec, str):
        return spec
    if spec in anchors:
        return anchors[spec]
    for text, value in anchors.items():
        if text in spec and isinstance(value, str):
            spec = spec.replace(text, value)
    return spec
