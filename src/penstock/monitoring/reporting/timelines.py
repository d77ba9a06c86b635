"""What a report draws of an endpoint over time: traffic, failures, latency, quality, drift; each a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec

from penstock.base.clock import format_ms
from penstock.monitoring.reporting.changes import short
from penstock.monitoring.reporting.pictures import Line, draw_lines
from penstock.monitoring.reporting.spans import Span

DRIFT_LINES = 4


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """One picture as SVG, with its title; `names` are its lines' where they are not the routes."""

    title: str
    picture: str
    names: tuple[str, ...] = ()


def timelines(spans: Sequence[Span]) -> list[Timeline]:
    """Return the pictures of spans of time, without those that nothing is known for."""
    if not spans:
        return []
    ticks = _ticks(spans)
    found = [
        _timeline("Requests", _by_route(spans, lambda one: float(one.request_count)), ticks),
        _timeline(
            "Share of failed requests", _by_route(spans, lambda one: one.error_ratio), ticks, unit=_share
        ),
        _timeline("Latency, p99 in ms", _by_route(spans, lambda one: one.p99_ms), ticks),
    ]
    for name in sorted({name for one in spans for name in one.quality}):
        lines = [_with_interval(spans, route, name) for route in ("stable", "canary", "batch")]
        told = [line for line in lines if any(math.isfinite(value) for value in line.values)]
        found.append(_timeline(f"{name}, with its 95 % interval", told, ticks, floor=False))
    features = _most_drifted(spans)
    stable = [one for one in spans if one.route == "stable"]
    drifts = [
        Line(
            name=name,
            moments=[_middle(one) for one in stable],
            values=[one.drift.get(name, math.nan) for one in stable],
        )
        for name in features
    ]
    if drifts:
        title = "Population stability index of the features that drifted most"
        drawn = _timeline(title, drifts, ticks)
        found.append(msgspec.structs.replace(drawn, names=tuple(features)))
    return [one for one in found if one.picture]


def _most_drifted(spans: Sequence[Span]) -> list[str]:
    most: dict[str, float] = {}
    for one in spans:
        for name, value in one.drift.items():
            most[name] = max(most.get(name, 0.0), value)
    return sorted(most, key=lambda name: (-most[name], name))[:DRIFT_LINES]


def _by_route(spans: Sequence[Span], value: Callable[[Span], float | None]) -> list[Line]:
    found = []
    for route in ("stable", "canary", "batch"):
        own = [one for one in spans if one.route == route]
        if own:
            numbers = [math.nan if (got := value(one)) is None else got for one in own]
            found.append(Line(name=route, moments=[_middle(one) for one in own], values=numbers))
    return found


def _with_interval(spans: Sequence[Span], route: str, metric: str) -> Line:
    own = [one for one in spans if one.route == route]
    found = [one.quality.get(metric) for one in own]

    def numbers(name: str) -> list[float]:
        got = [getattr(one, name) if one is not None else None for one in found]
        return [math.nan if one is None else float(one) for one in got]

    moments = [_middle(one) for one in own]
    return Line(
        name=route, moments=moments, values=numbers("value"), low=numbers("low"), high=numbers("high")
    )


def _middle(one: Span) -> float:
    return (one.start_s + one.end_s) / 2


def _ticks(spans: Sequence[Span]) -> list[tuple[float, str]]:
    first, last = _middle(spans[0]), max(_middle(one) for one in spans)
    places = [first] if first == last else [first + (last - first) * share for share in (0.08, 0.5, 0.92)]
    moments = [format_ms(int(1000 * place)).removesuffix("Z") for place in places]
    for length in (16, 19):  # with seconds where minutes would repeat
        told = {
            moment[:length]: place for moment, place in zip(reversed(moments), reversed(places), strict=True)
        }
        if len(told) == len(places):
            break
    return sorted((place, words) for words, place in told.items())


def _timeline(
    title: str,
    lines: Sequence[Line],
    ticks: Sequence[tuple[float, str]],
    *,
    floor: bool = True,
    unit: Callable[[float], str] | None = None,
) -> Timeline:
    told = "; ".join(f"{one.name} last {short(_last(one.values))}" for one in lines)
    picture = draw_lines(lines, f"{title} over time; {told}", ticks, floor=floor, unit=unit)
    return Timeline(title=title, picture=picture)


def _share(ratio: float) -> str:
    return f"{100 * ratio:.3g} %"


def _last(values: Sequence[float]) -> float:
    return next((one for one in reversed(values) if math.isfinite(one)), math.nan)
