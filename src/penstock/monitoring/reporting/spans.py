"""What an endpoint did over a span of time, as values: for a report."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from penstock.base.numbers import counted
from penstock.monitoring.reporting.changes import TableReport
from penstock.stats.metric_names import range_of


class Estimate(msgspec.Struct, frozen=True):
    """A metric with its 95 % interval; the interval is None while too few labels are there to tell it."""

    value: float
    low: float | None = None
    high: float | None = None

    @staticmethod
    def of(metric: str, pair: tuple[float, float]) -> Estimate:
        """Return the estimate of a metric from its value and standard error, within what the metric can be."""
        value, error = pair
        if not math.isfinite(error):
            return Estimate(value)
        low, high = range_of(metric)
        return Estimate(value, max(low, value - 1.96 * error), min(high, value + 1.96 * error))


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Traffic of one version on one route over a part of the time; None where nobody knows.

    `drift` has the population stability index of features against training.
    """

    start_s: int
    end_s: int
    route: str
    version: int
    request_count: int
    error_ratio: float
    p50_ms: float | None
    p99_ms: float | None
    label_count: int
    quality: Mapping[str, Estimate]
    drift: Mapping[str, float]


class Happened(msgspec.Struct, frozen=True):
    """One event in the report's time."""

    time_ms: int
    kind: str
    summary: str


class VersionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One version on one route over all of the time."""

    route: str
    version: int
    request_count: int
    error_ratio: float
    p50_ms: float | None
    p99_ms: float | None
    label_count: int
    quality: Mapping[str, Estimate]


class SliceLine(msgspec.Struct, frozen=True, kw_only=True):
    """The stable version's rows that have one value of a feature."""

    feature: str
    value: str
    label_count: int
    quality: Mapping[str, Estimate]


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """How a guardrail stands when the report is made, in words."""

    state: str
    kind: str
    route: str
    sentence: str


class EndpointReport(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint from `since_ms` to `until_ms`. `features` compares what came with training.

    `features_note` says why that is not told, or of what it is. `slices` are of the newest labelled rows in this time,
    `judged` is how the guardrails stand at its end.
    """

    endpoint: str
    model: str
    revision: int
    stable: int
    canary: int | None
    since_ms: int
    until_ms: int
    versions: tuple[VersionLine, ...]
    spans: tuple[Span, ...]
    events: tuple[Happened, ...]
    features: TableReport | None
    features_note: str
    slices: tuple[SliceLine, ...] = ()
    judged: tuple[Judged, ...] = ()

    @property
    def sentence(self) -> str:
        """Say in one sentence what there was."""
        requests = sum(one.request_count for one in self.versions)
        failed = sum(one.request_count * one.error_ratio for one in self.versions)
        labels = sum(one.label_count for one in self.versions)
        breached = [f"{one.kind} on {one.route}" for one in self.judged if one.state == "breached"]
        over = f" Breached: {', '.join(dict.fromkeys(breached))}." if breached else ""
        if not requests:
            return f"No requests in this time.{over}"
        told = f"{counted(requests, 'request')}, {failed / requests:.2%} of them failed; {counted(labels, 'label')}."
        changed = f" {self.features.sentence}" if self.features is not None else ""
        return f"{told}{changed}{over}"
