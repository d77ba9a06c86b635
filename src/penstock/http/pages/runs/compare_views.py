"""The page that compares runs: what differs first, and their curves over one another."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import Response

from penstock.base.numbers import counted, format_axis
from penstock.http.pages.drawing.axes import Tick, axis, labels_apart, step_ticks, ticks_apart
from penstock.http.pages.drawing.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Chart, Scales, Series
from penstock.http.pages.drawing.histories import MOST_BREAKS, stretches
from penstock.http.pages.queries import query_of, refusal
from penstock.http.pages.render import Renderer
from penstock.http.pages.runs.explore_views import EXPLORED, explore, named_runs
from penstock.http.pages.runs.tables import commit_of, duration, is_loss, runs_rolled_back
from penstock.http.pages.runs.views import curve_of
from penstock.http.pages.telling.comparing import Compared, numbers_row, texts_row
from penstock.http.pages.telling.formatting import natural, scalar, short
from penstock.project.project import Project
from penstock.tracking.entities import Run
from penstock.tracking.metrics import Stored
from penstock.tracking.thinning import Curve, list_thinned_curves

MOST = 8
"""So many runs stand beside each other."""
CURVES = 9
POINTS_OF_CHART, MOST_POINTS = 480, 160
"""So many points the curves of a chart have together, and one of them alone."""
Points = Sequence[tuple[int, float]]


SMOOTHINGS = ("", "0.6", "0.9")
"""Weights of what was before, of which the first leaves curves as they are."""
KEPT = ("chosen", "x", "y", "scale", "along", "smooth")
"""What an address asks for besides runs."""


@dataclass(frozen=True)
class Look:
    """How curves are drawn: on which scale, along steps or seconds since a run began, how much smoothed."""

    is_logarithmic: bool = False
    is_time: bool = False
    smooth: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Look:
        """Read the query of an address."""
        return cls(query["scale"] == "log", query["along"] == "time", query["smooth"])


class ComparePages:
    """Compares runs."""

    def __init__(self, project: Project, renderer: Renderer) -> None:
        self._project = project
        self._renderer = renderer

    def compare(self, request: Request) -> Response:
        """Runs beside each other: `?runs=a,b`; of many, `chosen=a,b` are beside each other, up to eight."""
        query = query_of(request)
        look = Look.of(query)
        with self._project.database.read() as connection:
            runs, left_out = named_runs(connection, query.every("runs"))
            chosen = _chosen(runs, query.every("chosen"))
            shown = chosen[:MOST]
            # A run keeps the colour that it has in the drawings.
            colours = [(runs if len(runs) <= MOST else shown).index(one) for one in shown]
            curves = dict(zip(colours, shown, strict=True))
            charts = _charts(connection, curves, look) if len(runs) > 1 else []
            rolled_back = runs_rolled_back(connection)
        rows = compare_runs(shown, rolled_back)
        return self._renderer.page(
            "compare.html",
            runs=shown,
            colours=colours,
            rolled_back=rolled_back,
            rows=[one for one in rows if one.differs],
            same=[one for one in rows if not one.differs],
            charts=charts[:CURVES],
            is_cut=len(charts) > CURVES,
            look=look,
            smoothings=SMOOTHINGS,
            every=runs,
            chosen=chosen,
            explored=explore(
                runs,
                query,
                [one.settings.name for one in self._project.readable_settings.gates if one.kind == "metric"],
            ),
            asked=Compare(query, runs),
            left_out=left_out,
            explored_most=EXPLORED,
            most=MOST,
        )


def _chosen(runs: Sequence[Run], texts: Sequence[str]) -> Sequence[Run]:
    """Return those runs that an address chooses, all where it chooses none."""
    picked = {one.strip() for text in texts for one in text.split(",") if one.strip()}
    known = {one.id for one in runs}
    if strange := sorted(picked - known):
        raise refusal("chosen", f"names none of these runs: {strange[0][:60]!r}")
    return [one for one in runs if one.id in picked] or runs


@dataclass(frozen=True)
class Compare:
    """What an address asks for, to link to the same with something changed."""

    query: Mapping[str, str]
    runs: Sequence[Run]

    def link(self, **changed: str) -> str:
        """Return the query of an address; what is empty is left out."""
        kept = {name: self.query[name] for name in KEPT}
        values = {"runs": ",".join(one.id for one in self.runs), **kept, **changed}
        return urlencode({name: value for name, value in values.items() if value}, safe=",")


def compare_runs(runs: Sequence[Run], never_best: Container[str] = ()) -> list[Compared]:
    """Return every parameter, metric, input and tag of runs as rows; some runs count as best of nothing."""
    rows = [
        texts_row("parameter", key, [one.params.get(key, "–") for one in runs])
        for key in _keys(runs, "params")
    ]
    shared = Counter(key for one in runs for key in one.metrics)
    for key in sorted(shared, key=lambda name: (-shared[name], natural(name))):
        values = [one.metrics.get(key) for one in runs]
        out = [one.id in never_best for one in runs]
        rows.append(numbers_row("metric", key, values, loss=is_loss(key), never_best=out))
    rows += [
        texts_row("data", key, [one.inputs.get(key, "–") for one in runs]) for key in _keys(runs, "inputs")
    ]
    rows.append(texts_row("code", "commit", [commit_of(one) for one in runs]))
    rows.append(texts_row("run", "state", [one.status.lower() for one in runs]))
    rows.append(texts_row("run", "took", [duration(one) for one in runs]))
    rows += [
        texts_row("tag", key, [scalar(one.tags.get(key)) for one in runs])
        for key in _keys(runs, "tags")
        if not key.startswith(("mlflow.", "penstock."))
    ]
    return rows


def _keys(runs: Sequence[Run], kind: str) -> list[str]:
    return sorted({key for one in runs for key in getattr(one, kind)}, key=natural)


def _charts(connection: sa.Connection, runs: Mapping[int, Run], look: Look) -> list[Chart]:
    """Return the curves of metrics by name, and at least one more than are drawn where there are more."""
    found: list[Chart] = []
    keys = _keys(list(runs.values()), "metrics")
    ids, count = [one.id for one in runs.values()], min(MOST_POINTS, POINTS_OF_CHART // len(runs))
    for start in range(0, len(keys), CURVES):
        part = keys[start : start + CURVES]
        stored = list_thinned_curves(connection, ids, part, count)
        drawn = (_chart(runs, key, stored, look) for key in part)
        found += [chart for chart in drawn if chart is not None]
        if len(found) > CURVES:
            break
    return found


def _chart(
    runs: Mapping[int, Run],
    key: str,
    stored: Mapping[Curve, Sequence[Stored]],
    look: Look,
) -> Chart | None:
    curves: dict[int, Points] = {}
    unit, units = "", set[str]()
    for place, run in runs.items():
        if key not in run.metrics:
            continue
        points = stored.get((run.id, key), [])
        if look.is_time:
            curves[place], unit = _over_time(run, points), "seconds since the run began"
        else:
            curves[place], told = curve_of(points)
            units.add(told)
    if (
        len(units) > 1
    ):  # some have steps: those that have none stand at the one step that was logged with them
        curves = {
            place: _by_step(stored.get((run.id, key), [])) for place, run in runs.items() if place in curves
        }
        units = {"by step"}
    unit = unit or next(iter(units), "by step")
    if look.smooth:
        curves = {place: smoothed(points, float(look.smooth)) for place, points in curves.items()}
        unit += f", smoothed by {look.smooth}"
    return overlay(key, curves, unit, is_logarithmic=look.is_logarithmic)


def _by_step(stored: Sequence[Stored]) -> Points:
    return [(step, math.nan if is_nan else value) for _key, value, _time_ms, step, is_nan in stored]


def _over_time(run: Run, stored: Sequence[Stored]) -> Points:
    """Return a metric's points by seconds since its run began, in the order of time."""
    return sorted(
        ((time_ms - run.start_ms) // 1000, math.nan if is_nan else value)
        for _key, value, time_ms, _step, is_nan in stored
    )


def smoothed(points: Points, weight: float) -> Points:
    """Return points as exponential means of what was before, with the weights of the beginning made whole.

    Example:
        >>> smoothed([(0, 1.0), (1, 0.0), (2, 0.0)], 0.5)
        [(0, 1.0), (1, 0.3333333333333333), (2, 0.14285714285714285)]
    """
    found: list[tuple[int, float]] = []
    total = share = 0.0
    for step, value in points:
        if not math.isfinite(value):
            found.append((step, value))
        else:
            total = weight * total + (1 - weight) * value
            share = weight * share + (1 - weight)
            found.append((step, total / share))
    return found


def overlay(
    title: str, curves: Mapping[int, Points], unit: str, *, is_logarithmic: bool = False
) -> Chart | None:
    """Return curves over one another, by the place of their run; None where none has two finite points.

    Args:
        is_logarithmic: whether the vertical axis is; then only what is above zero is drawn.
    """
    known = {place: stretches(points) for place, points in curves.items()}
    drawn = {place: [_drawn(part, is_logarithmic) for part in one.parts] for place, one in known.items()}
    told = {place: parts for place, parts in drawn.items() if sum(map(len, parts)) > 1}
    if not told:
        return None
    breaks = sorted({one for place in told for one in known[place].breaks})[:MOST_BREAKS]
    steps = [step for parts in told.values() for points in parts for step, _ in points]
    steps += [step for step, _ in breaks]
    values = [value for parts in told.values() for points in parts for _, value in points]
    first, last = min(steps), max(steps)
    low, high, y_values = axis(min(values), max(values))
    across = (WIDTH - LEFT - RIGHT) / max(1, last - first)
    up, bottom = (HEIGHT - TOP - BOTTOM) / (high - low), HEIGHT - BOTTOM
    lines = {  # written without a call for each of thousands of points
        place: tuple(
            " ".join(
                f"{LEFT + (step - first) * across:.1f},{bottom - (value - low) * up:.1f}"
                for step, value in points
            )
            for points in parts
            if len(points) > 1
        )
        for place, parts in told.items()
    }
    shown = [10**value for value in y_values] if is_logarithmic else y_values
    return Chart(
        title=title,
        unit=f"{unit}{', logarithmic' if is_logarithmic else ''}",
        series=tuple(Series(f"c{place}", lines=one) for place, one in lines.items()),
        x_ticks=ticks_apart(
            (Tick(LEFT + (step - first) * across, f"{step:,}") for step in step_ticks(first, last)), WIDTH
        ),
        y_ticks=tuple(
            Tick(round(HEIGHT - BOTTOM - (value - low) * up, 1), text)
            for value, text in zip(y_values, format_axis(shown, short), strict=True)
        ),
        marks=labels_apart(
            [Tick(round(LEFT + (step - first) * across, 1), word) for step, word in breaks], WIDTH - RIGHT
        ),
        summary=f"{title} of {counted(len(told), 'run')}",
        scales=Scales(first, max(last, first + 1), low, high, is_logarithmic=is_logarithmic),
    )


def _drawn(points: Points, is_logarithmic: bool) -> Points:
    """Return what can be drawn of finite points, as the vertical axis has it."""
    if is_logarithmic:
        return [(step, math.log10(value)) for step, value in points if value > 0]
    return points
