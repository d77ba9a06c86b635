"""A plot's data points of several revisions put into a template: a Vega-Lite specification.

Where several files or fields are drawn, points say which one they are of (`filename`, `field`), and their value stands
in a field of its own. Source: dvc/render/converter/vega.py, dvc_render/vega.py (3.67, dvc-render 1.0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from penstock.base.errors import NotFound
from penstock.pipeline.plots.definitions import PlotDefinition
from penstock.pipeline.plots.points import Point
from penstock.pipeline.plots.templates import Spec, fill

REV, STEP = "rev", "step"
INFERRED_X, INFERRED_Y = "dvc_inferred_x_value", "dvc_inferred_y_value"
COLOURS = ("#945dd6", "#13adc7", "#f46837", "#48bb78", "#4299e1", "#ed8936", "#f56565")
DASHES = ([1, 0], [8, 8], [8, 4], [4, 4], [4, 2], [2, 1], [1, 1])
SHAPES = ("circle", "square", "triangle", "diamond")
TITLE_CHARACTERS = 50


@dataclass(frozen=True)
class Series:
    """The points of one file at one revision."""

    revision: str
    file: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Axes:
    """Which fields are drawn, what the axes are called, and what tells several sources apart (`""`: there is one)."""

    x: str
    y: str
    x_label: str
    y_label: str
    varied: str = ""


def render_plot(
    definition: PlotDefinition, series: Sequence[Series], template: Spec
) -> tuple[Spec, list[str]]:
    """Return the specification of a plot, and the revisions it shows.

    Raises:
        NotFound: a field that is to be drawn is in no point.
    """
    sources = _sources(definition, series)
    axes = _axes(definition, sources)
    points = [point for one in series for point in _points(definition, one, sources, axes)]
    revisions = list(dict.fromkeys(point[REV] for point in points))
    return fill(template, _values(definition, axes, points, revisions)), revisions


def _sources(definition: PlotDefinition, series: Sequence[Series]) -> list[tuple[str, str]]:
    """Return the files with the fields drawn; a field that nothing names is the last one of the first point."""
    known = {one.file: one.points for one in reversed(series) if one.points}
    found = []
    for file, field in definition.sources:
        points = known.get(file)
        if points is None:
            continue
        names = list(points[0])
        wanted = (field, definition.x_of(file))
        absent = [one for one in wanted if one is not None and not any(one in point for point in points)]
        if absent and not (absent == [STEP]):
            raise NotFound(
                f"{file} has no field {absent[0]!r}",
                code="plots.no_field",
                hint=f"it has {', '.join(map(repr, names))}",
                file=file,
                field=absent[0],
            )
        others = [name for name in names if name != definition.x_of(file)]
        found.append((file, field or (others or names)[-1]))
    return list(dict.fromkeys(found))


def _axes(definition: PlotDefinition, sources: Sequence[tuple[str, str]]) -> Axes:
    fields = list(dict.fromkeys(field for _, field in sources))
    files = list(dict.fromkeys(file for file, _ in sources))
    xs = list(dict.fromkeys(definition.x_of(file) or STEP for file in files))
    varied = [name for name, found in (("filename", files), ("field", fields)) if len(found) > 1]
    x = xs[0] if len(xs) == 1 else INFERRED_X
    y = fields[0] if len(fields) == 1 else INFERRED_Y
    look = definition.look
    return Axes(
        x or STEP,
        y or "",
        look.x_label or (xs[0] if len(xs) == 1 else "x"),
        look.y_label or (fields[0] if len(fields) == 1 else "y"),
        "::".join(varied),
    )


def _points(
    definition: PlotDefinition, one: Series, sources: Sequence[tuple[str, str]], axes: Axes
) -> list[Point]:
    found = []
    x = definition.x_of(one.file)
    for file, field in sources:
        if file != one.file:
            continue
        told = {"filename": file, "field": field}
        for at, point in enumerate(one.points):
            if field not in point:
                continue
            made = dict(point)
            if x is None or (x == STEP and STEP not in point):
                made[STEP] = at
            if axes.x == INFERRED_X:
                made[INFERRED_X] = made.get(x or STEP)
            if axes.y == INFERRED_Y:
                made[INFERRED_Y] = point[field]
            made[REV] = one.revision
            if axes.varied:
                made[axes.varied] = "::".join(told[name] for name in axes.varied.split("::"))
            found.append(made)
    return found


def _values(
    definition: PlotDefinition, axes: Axes, points: Sequence[Point], revisions: Sequence[str]
) -> Mapping[str, Any]:
    x, y = _escape(axes.x), _escape(axes.y)
    groups = [REV, *([axes.varied] if axes.varied else [])]
    kinds = sorted({str(point[axes.varied]) for point in points}) if axes.varied else []
    facet = {"field": axes.varied, "sort": []} if axes.varied else {}
    title = definition.look.title
    fallback = definition.id if definition.is_named else PurePosixPath(definition.id).as_posix()
    return {
        "data": list(points),
        "title": (fallback[-TITLE_CHARACTERS:] if title is None else title),
        "x": x,
        "y": y,
        "x_label": axes.x_label,
        "y_label": axes.y_label,
        "plot_width": 300,
        "plot_height": 300,
        "zoom_and_pan": {"name": "grid", "select": "interval", "bind": "scales"},
        "color": {"field": REV, "scale": _scale(revisions, COLOURS)},
        "stroke_dash": _told(axes.varied, kinds, DASHES),
        "shape": _told(axes.varied, kinds, SHAPES),
        "tooltip": [{"field": name} for name in (REV, x, y, *groups[1:])],
        "group_by": groups,
        "group_by_x": [*groups, axes.x],
        "group_by_y": [*groups, axes.y],
        "group_by_xy": [*groups, axes.x, axes.y],
        "pivot_field": " + '::' + ".join(f"datum[{name!r}]" for name in groups),
        "row": facet,
        "column": facet,
    }


def _told(field: str, kinds: Sequence[str], marks: Sequence[Any]) -> Spec:
    if not field:
        return {}
    legend = {"symbolFillColor": "transparent", "symbolStrokeColor": "grey"}
    return {"field": field, "scale": _scale(kinds, marks), "legend": legend}


def _scale(domain: Sequence[str], marks: Sequence[Any]) -> Spec:
    return {"domain": list(domain), "range": [marks[at % len(marks)] for at in range(len(domain))]}


def _escape(name: str) -> str:
    """Return a field's name as Vega-Lite takes it: dots and brackets are a part of it."""
    for mark in (".", "[", "]"):
        name = name.replace(mark, f"\\{mark}")
    return name
