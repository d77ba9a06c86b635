"""`/metrics` of a service of the user's own: what is counted of its watched functions, beside its own metrics.

The names and labels are those of a serve process (`http/prometheus/traffic.py`), so that one rule and one panel serve both. The
collector joins the registry that the service has already; nothing is counted here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, make_asgi_app, make_wsgi_app, start_http_server
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from penstock.base.errors import Conflict
from penstock.base.store.build import BUILD_LABELS, describe_build
from penstock.serving.told.current import Current

Registry = CollectorRegistry
"""What metrics are collected in, for who does not know the library."""
BY_MODEL = ("endpoint", "version", "route")


@dataclass(frozen=True)
class Counted:
    """What is counted of the watched functions of a process, at one moment.

    `durations` has by endpoint, version and route how many answers took up to each of `buckets_s`, and longer, and
    their seconds.
    """

    requests: Mapping[tuple[str, str], int]
    errors: Mapping[tuple[str, str, str, str], int]
    durations: Mapping[tuple[str, str, str], tuple[Sequence[int], float]]
    buckets_s: Sequence[float]
    dropped: Mapping[str, int]
    hook_failures: Mapping[str, int]
    current: Sequence[Current]
    waiting_bytes: int
    max_bytes: int


class Watching(Collector):
    """The metrics of watched functions, read when they are asked for."""

    def __init__(self, read: Callable[[], Counted], version: str) -> None:
        self._read, self._version = read, version

    def describe(self) -> Iterable[Metric]:
        """Name the metrics without their values."""
        return _families(Counted({}, {}, {}, (), {}, {}, (), 0, 0), self._version)

    def collect(self) -> Iterable[Metric]:
        """Return the metrics."""
        return _families(self._read(), self._version)


def _families(seen: Counted, version: str) -> list[Metric]:
    requests = CounterMetricFamily(
        "penstock_requests",
        "Inference requests by outcome: ok, invalid (the client's mistake), error, abandoned (by its client).",
        labels=("endpoint", "outcome"),
    )
    for by_outcome, count in seen.requests.items():
        requests.add_metric(by_outcome, count)
    errors = CounterMetricFamily(
        "penstock_prediction_errors",
        "Inference requests that a model version failed: model_failed, deadline, overloaded.",
        labels=(*BY_MODEL, "kind"),
    )
    for by_kind, count in seen.errors.items():
        errors.add_metric(by_kind, count)
    predictions = CounterMetricFamily(
        "penstock_predictions", "Inference requests answered by a model version.", labels=BY_MODEL
    )
    durations = HistogramMetricFamily(
        "penstock_request_duration_seconds",
        "Time from the arrival of an inference request to its answer.",
        labels=BY_MODEL,
    )
    limits = [*(str(limit) for limit in seen.buckets_s), "+Inf"]
    for series, (counts, total_s) in seen.durations.items():
        predictions.add_metric(series, sum(counts))
        cumulative = zip(limits, accumulate(counts), strict=True)
        durations.add_metric(series, list(cumulative), total_s)
    return [requests, errors, predictions, durations, *_standing(seen), *_waiting(seen), _build(version)]


def _standing(seen: Counted) -> list[Metric]:
    revisions = GaugeMetricFamily(
        "penstock_revision", "The revision an endpoint serves.", labels=("endpoint",)
    )
    shares = GaugeMetricFamily(
        "penstock_traffic_share_ratio",
        "Share of an endpoint's requests that a version gets.",
        labels=BY_MODEL,
    )
    for one in {one.endpoint: one for one in seen.current}.values():
        revisions.add_metric((one.endpoint,), one.revision)
        shares.add_metric((one.endpoint, str(one.version), "stable"), 1 - one.canary_percent / 100)
        if one.canary is not None:
            shares.add_metric((one.endpoint, str(one.canary), "canary"), one.canary_percent / 100)
    failures = CounterMetricFamily(
        "penstock_watch_hook_failures",
        "Calls of on_revision that failed: the service stayed with the version it had.",
        labels=("endpoint",),
    )
    for endpoint in {one.endpoint for one in seen.current} | set(seen.hook_failures):
        failures.add_metric((endpoint,), seen.hook_failures.get(endpoint, 0))
    return [revisions, shares, failures]


def _waiting(seen: Counted) -> list[Metric]:
    used = GaugeMetricFamily("penstock_recorder_bytes", "Recorded requests that wait to be written.")
    used.add_metric((), seen.waiting_bytes)
    most = GaugeMetricFamily("penstock_recorder_max_bytes", "What may wait to be written, at most.")
    most.add_metric((), seen.max_bytes)
    dropped = CounterMetricFamily(
        "penstock_recorder_dropped",
        "Requests of which only the counts are kept: the recorder was full.",
        labels=("endpoint",),
    )
    for endpoint in {one.endpoint for one in seen.current} | set(seen.dropped):
        dropped.add_metric((endpoint,), seen.dropped.get(endpoint, 0))
    return [used, most, dropped]


_describe_build = cache(describe_build)
"""What runs is what it was when it was asked first, whatever is checked out later."""


def _build(version: str) -> Metric:
    build = GaugeMetricFamily("penstock_build_info", "The running version.", labels=BUILD_LABELS)
    build.add_metric(_describe_build(version), 1)
    return build


class MetricsServer:
    """A server of `/metrics` in a thread; `port` is the one it took."""

    def __init__(self, port: int, host: str, registry: CollectorRegistry) -> None:
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            raise Conflict(
                f"port {port} of {host} cannot be taken: {error.strerror or error}",
                code="http.port_in_use",
                hint="choose another port, or 0 for a free one",
            ) from None
        self.port = int(self._server.server_port)

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def join_registry(collector: Watching, registry: CollectorRegistry) -> bool:
    """Add the metrics to a registry; False when something of their name is there already."""
    try:
        registry.register(collector)
    except ValueError:
        return False
    return True


def default_registry() -> CollectorRegistry:
    """Return the registry that services use when they name none."""
    return REGISTRY


def wsgi_app(registry: CollectorRegistry) -> Any:
    """Return a WSGI application that answers with the metrics of a registry."""
    return make_wsgi_app(registry)


def asgi_app(registry: CollectorRegistry) -> Any:
    """Return an ASGI application that answers with the metrics of a registry."""
    return make_asgi_app(registry)
