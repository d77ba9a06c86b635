"""What was seen of one route of an endpoint, as it is shown."""

from __future__ import annotations

import math

import msgspec

from penstock.flows.production.measuring import SliceMeasure
from penstock.flows.production.progress import Tally
from penstock.flows.production.watching import Observation
from penstock.monitoring.estimating.estimated import Estimated
from penstock.monitoring.guardrails.traffic import Traffic
from penstock.monitoring.rowwise.causes import Cause
from penstock.monitoring.windows import Window
from penstock.stats.metric_names import METRICS


class RouteView(msgspec.Struct, frozen=True, kw_only=True):
    """Recent traffic of one route; times in milliseconds, ratios in [0, 1], None where unknown.

    Of `dropped_count` requests only the counts are known. What begins with `total_` counts since the revision began, however long that is;
    labels are of predictions since `labels_since_s`.
    """

    route: str
    version: str
    percent: float
    start_s: int | None = None
    end_s: int | None = None
    request_count: int = 0
    error_ratio: float = 0.0
    nonfinite_row_count: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    label_count: int = 0
    quality: dict[str, float] = {}
    dropped_count: int = 0
    total_request_count: int = 0
    total_label_count: int = 0
    labels_since_s: int | None = None
    estimated: Estimated | None = None
    estimated_untold: str = ""
    slices: tuple[SliceMeasure, ...] = ()
    cause: Cause | None = None
    cause_untold: str = ""


def view_route(seen: Observation, version: int, percent: float, traffic: Traffic) -> RouteView:
    """Return what was seen of a route, which has so much of the traffic."""
    total = seen.step.get(traffic.key.route, Tally())
    measures = seen.measures.get(traffic.key.route)
    view = RouteView(
        route=traffic.key.route,
        version=f"{seen.revision.model}/{version}",
        percent=percent,
        estimated=None if measures is None else measures.estimated,
        estimated_untold="" if measures is None else measures.estimated_untold,
        slices=() if measures is None else measures.slices,
        cause=None if measures is None else measures.cause,
        cause_untold="" if measures is None else measures.cause_untold,
        total_request_count=total.request_count,
        total_label_count=total.label_count,
    )
    window, labels = traffic.recent, traffic.labelled
    if window is not None:
        view = msgspec.structs.replace(
            view,
            start_s=window.key.start_s,
            end_s=window.end_s,
            request_count=window.request_count,
            error_ratio=window.error_ratio,
            dropped_count=window.dropped_count,
            nonfinite_row_count=window.nonfinite_row_count,
            p50_ms=_milliseconds(window, 0.5),
            p99_ms=_milliseconds(window, 0.99),
        )
    if labels is not None:
        told = {name: labels.quality.value(name) for name in sorted(METRICS)}
        view = msgspec.structs.replace(
            view,
            label_count=labels.quality.label_count,
            labels_since_s=labels.key.start_s,
            quality={name: value for name, value in told.items() if math.isfinite(value)},
        )
    return view


def _milliseconds(window: Window, rank: float) -> float | None:
    return window.quantile_s(rank) * 1000 if window.latency.count else None
