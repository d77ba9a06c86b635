"""Prometheus metrics of the data plane, in a registry of their own.

Labels are bounded: endpoints and versions only as far as they are served, never what a client wrote into
a URL; anything else is `other`.
"""

from __future__ import annotations

import threading
import time
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from penstock.base.errors import PenstockError
from penstock.base.store.build import BUILD_LABELS, describe_build
from penstock.http.prometheus.certificates import CertificateMetrics
from penstock.serving.codecs import InferResponse
from penstock.serving.dataplane import DataPlane
from penstock.serving.deployments import Revision
from penstock.serving.predictions.feedback import FeedbackResult
from penstock.serving.recorder import Exchange

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DURATION_BUCKETS_S = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0
)  # fmt: skip
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
OUTCOMES = ("ok", "invalid", "error", "abandoned")
LABEL_OUTCOMES = ("accepted", "corrected", "waiting", "unknown", "duplicate", "misfit", "rejected")
ERROR_KINDS = ("model_failed", "deadline", "overloaded", "process_ended")
OTHER = "other"


class Collected(Collector):
    """Metrics as they were at one moment."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        """Return them."""
        return self._families

    def endpoints(self) -> set[str]:
        """Return the endpoints that they name."""
        samples = (sample for family in self._families for sample in family.samples)
        return {sample.labels["endpoint"] for sample in samples if "endpoint" in sample.labels} - {OTHER}

    def render(self, hidden: frozenset[str] = frozenset()) -> bytes:
        """Return them in the text format, without the series of hidden endpoints."""
        if hidden:
            for family in self._families:
                family.samples = [one for one in family.samples if one.labels.get("endpoint") not in hidden]
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)


class InferenceMetrics:
    """Counters of one serve process, or of all that add up in one folder. Thread-safe.

    Args:
        folder: where several processes add up what they count (see `processes/supervisor.py`).
    """

    def __init__(self, dataplane: DataPlane, version: str, folder: str | None = None) -> None:
        self._dataplane = dataplane
        self._primed: object = None
        self.registry = CollectorRegistry(auto_describe=True)
        self._exposed = self.registry if folder is None else CollectorRegistry()
        if folder is None:
            ProcessCollector(registry=self.registry)
        else:
            MultiProcessCollector(self._exposed, folder)  # type: ignore[no-untyped-call]
        self.certificates = CertificateMetrics(self.registry)
        dataplane.engine.on_batch = self.count_batch
        by_model = ("endpoint", "version", "route")
        self._requests = Counter(
            "penstock_requests",
            "Inference requests by outcome: ok, invalid (the client's mistake), error, abandoned (by its client).",
            ("endpoint", "outcome"),
            registry=self.registry,
        )
        self._errors = Counter(
            "penstock_prediction_errors",
            "Inference requests that a model version failed: model_failed, deadline, overloaded, process_ended.",
            (*by_model, "kind"),
            registry=self.registry,
        )
        self._batches = Histogram(
            "penstock_batch_rows",
            "Rows that a model version predicted at once.",
            ("endpoint", "version"),
            buckets=BATCH_BUCKETS,
            registry=self.registry,
        )
        self._queue = Gauge(
            "penstock_queue_length",
            "Inference requests that wait for a model.",
            ("endpoint",),
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self._predictions = Counter(
            "penstock_predictions",
            "Inference requests answered by a model version.",
            by_model,
            registry=self.registry,
        )
        self._rows = Counter(
            "penstock_prediction_rows", "Rows predicted by a model version.", by_model, registry=self.registry
        )
        self._duration = Histogram(
            "penstock_request_duration_seconds",
            "Time from the arrival of an inference request to its answer.",
            by_model,
            buckets=DURATION_BUCKETS_S,
            registry=self.registry,
        )
        self._labels = Counter(
            "penstock_labels",
            "Labels received by outcome: accepted, corrected, waiting, unknown, duplicate, misfit, rejected.",
            ("endpoint", "outcome"),
            registry=self.registry,
        )
        self._lost_spans = Counter(
            "penstock_spans_lost",
            "Spans of predictions that no collector of OpenTelemetry took.",
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "penstock_requests_in_flight",
            "Inference requests being answered now.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        info = Gauge(
            "penstock_build_info",
            "The running version.",
            BUILD_LABELS,
            registry=self.registry,
            multiprocess_mode="max",
        )
        info.labels(*describe_build(version)).set(1)
        self._exposed.register(_Deployments(dataplane))
        self._recording: _SharedRecording | None = None
        if folder is None:
            self._exposed.register(_Recording(dataplane))
        else:
            self._recording = _SharedRecording(dataplane, self.registry)

    def collect(self) -> Collected:
        """Return all metrics as they are now."""
        self._prime()
        for endpoint, count in self._dataplane.engine.waiting().items():
            self._queue.labels(endpoint).set(count)
        if self._recording is not None:
            self._recording.note()
        return Collected(list(self._exposed.collect()))

    def _prime(self) -> None:
        """Let the series of everything that is served begin at 0: a rate needs a value before the first."""
        served = self._dataplane.repository.served
        if served is self._primed:
            return
        self._primed = served
        for name in (*served, OTHER):
            for outcome in OUTCOMES:
                self._requests.labels(name, outcome)
            for outcome in LABEL_OUTCOMES:
                self._labels.labels(name, outcome)
        for name, one in served.items():
            self._queue.labels(name)
            for version, route in routes_of(one.revision):
                self._children(name, str(version), route)
                self._queues(name, version)
                for kind in ERROR_KINDS:
                    self._errors.labels(name, str(version), route, kind)

    def count_batch(self, endpoint: str, version: int, rows: int, waiting: int) -> None:
        """Note what was predicted at once, and how many requests wait still."""
        batches, queue = self._queues(endpoint, version)
        batches.observe(rows)
        queue.set(waiting)

    def count_answer(self, response: InferResponse, duration_s: float) -> None:
        """Count a request that was answered."""
        route = str(response.parameters["penstock-route"])
        predictions, rows, duration, requests = self._children(
            response.model_name, response.model_version, route
        )
        predictions.inc()
        rows.inc(len(response.tensors[0].values) if response.tensors else 0)
        duration.observe(duration_s)
        if self._recording is not None:
            self._recording.note_at_times()
        requests.inc()

    def count_refusal(self, endpoint: str, outcome: str, error: PenstockError | None = None) -> None:
        """Count a request that was not answered: `invalid`, `error` or `abandoned`; `error` says by whom."""
        bounded = self._bounded(endpoint)
        self._requests.labels(bounded, outcome).inc()
        if error is not None and "route" in error.fields:
            fields, kind = error.fields, error.code.rpartition(".")[2]
            self._errors.labels(bounded, str(fields["version"]), str(fields["route"]), kind).inc()

    def count_cut_off(self, exchange: Exchange) -> None:
        """Count a request that a process took along when it ended."""
        if exchange.route != "shadow":
            bounded = self._bounded(exchange.endpoint)
            self._requests.labels(bounded, "error").inc()
            self._errors.labels(bounded, str(exchange.version), exchange.route, str(exchange.error)).inc()

    def count_labels(self, endpoint: str, result: FeedbackResult) -> None:
        """Count the entries of a feedback request."""
        bounded = self._bounded(endpoint)
        counts = {
            "accepted": result.accepted,
            "corrected": result.corrected,
            "waiting": result.waiting,
            "unknown": result.unknown,
            "duplicate": result.duplicate,
            "misfit": result.misfit,
            "rejected": len(result.rejected),
        }
        for outcome, count in counts.items():
            if count:
                self._labels.labels(bounded, outcome).inc(count)

    def count_lost_spans(self, count: int) -> None:
        """Count spans that no collector took."""
        self._lost_spans.inc(count)

    def _bounded(self, endpoint: str) -> str:
        return endpoint if endpoint in self._dataplane.repository.served else OTHER

    @lru_cache(maxsize=1024)  # noqa: B019 - one instance a process; label lookups cost 3 times the increments
    def _children(
        self, endpoint: str, version: str, route: str
    ) -> tuple[Counter, Counter, Histogram, Counter]:
        labels = (endpoint, version, route)
        return (
            self._predictions.labels(*labels),
            self._rows.labels(*labels),
            self._duration.labels(*labels),
            self._requests.labels(endpoint, "ok"),
        )

    @lru_cache(maxsize=1024)  # noqa: B019 - as above
    def _queues(self, endpoint: str, version: int) -> tuple[Histogram, Gauge]:
        return self._batches.labels(endpoint, str(version)), self._queue.labels(endpoint)


def routes_of(revision: Revision) -> list[tuple[int, str]]:
    """Return the versions of a revision with the routes they answer."""
    canary = [(revision.canary.version, "canary")] if revision.canary else []
    return [(revision.stable, "stable"), *canary]


class _Deployments(Collector):
    """What each endpoint serves at the time of the scrape."""

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane

    def describe(self) -> list[GaugeMetricFamily]:
        """Name the metrics without their values."""
        return self._families()

    def collect(self) -> list[GaugeMetricFamily]:
        """Return the metrics."""
        revisions, shares, loads, unknown = self._families()
        for name, served in self._dataplane.repository.served.items():
            canary = served.revision.canary
            revisions.add_metric([name], served.revision.number)
            unknown.add_metric([name], float(name in self._dataplane.unknown))
            share = canary.percent / 100 if canary else 0.0
            shares.add_metric([name, str(served.revision.stable), "stable"], 1 - share)
            if canary:
                shares.add_metric([name, str(canary.version), "canary"], share)
            for version, model in served.models.items():
                loads.add_metric([name, str(version)], model.load_s)
        return [revisions, shares, loads, unknown]

    @staticmethod
    def _families() -> list[GaugeMetricFamily]:
        return [
            GaugeMetricFamily("penstock_revision", "The revision an endpoint serves.", labels=["endpoint"]),
            GaugeMetricFamily(
                "penstock_traffic_share_ratio",
                "Share of an endpoint's requests that a version gets.",
                labels=["endpoint", "version", "route"],
            ),
            GaugeMetricFamily(
                "penstock_model_load_seconds",
                "Time that loading and proving a model version took.",
                labels=["endpoint", "version"],
            ),
            GaugeMetricFamily(
                "penstock_unknown_to_store",
                "1 where an endpoint is served as before since the store is empty, another or an older one.",
                labels=["endpoint"],
            ),
        ]


RECORDER_BYTES = ("penstock_recorder_bytes", "Recorded requests that wait to be written.")
RECORDER_WRITTEN = (
    "penstock_recorder_written",
    "Requests that are in the store: a process that is killed takes none of them along.",
)
RECORDER_MAX = ("penstock_recorder_max_bytes", "What may wait to be written, at most.")
RECORDER_DROPPED = (
    "penstock_recorder_dropped",
    "Requests of which only the counts are kept: the recorder was full.",
)


class _SharedRecording:
    """The same of several processes: each adds its own to what all tell, about once a second."""

    def __init__(self, dataplane: DataPlane, registry: CollectorRegistry) -> None:
        self._dataplane = dataplane
        self._used = Gauge(*RECORDER_BYTES, registry=registry, multiprocess_mode="livesum")
        self._most = Gauge(*RECORDER_MAX, registry=registry, multiprocess_mode="livesum")
        self._dropped = Counter(*RECORDER_DROPPED, ("endpoint",), registry=registry)
        self._written = Counter(*RECORDER_WRITTEN, registry=registry)
        self._counted: dict[str, int] = {}
        self._written_count = 0
        self._lock = threading.Lock()
        self._due_s = 0.0

    def note_at_times(self) -> None:
        """Note it when a second has passed since it was noted."""
        if time.monotonic() > self._due_s:
            self.note()

    def note(self) -> None:
        """Note how full this process's recorder is, and what it had no room for since the last time."""
        self._due_s = time.monotonic() + 1.0
        state = self._dataplane.recorder_state
        self._used.set(state.used_bytes)
        self._most.set(state.max_bytes)
        with self._lock:
            self._written.inc(max(0, state.written_count - self._written_count))
            self._written_count = max(state.written_count, self._written_count)
            for endpoint in {*self._dataplane.repository.served, *state.dropped}:
                count = state.dropped.get(endpoint, 0)
                self._dropped.labels(endpoint).inc(max(0, count - self._counted.get(endpoint, 0)))
                self._counted[endpoint] = count


class _Recording(Collector):
    """How full the recorder is at the time of the scrape, and what it had no room for."""

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane

    def describe(self) -> list[Metric]:
        """Name the metrics without their values."""
        return list(self._families())

    def collect(self) -> list[Metric]:
        """Return the metrics."""
        state = self._dataplane.recorder_state
        used, most, dropped, written = self._families()
        written.add_metric([], state.written_count)
        used.add_metric([], state.used_bytes)
        most.add_metric([], state.max_bytes)
        for endpoint in {*self._dataplane.repository.served, *state.dropped}:
            dropped.add_metric([endpoint], state.dropped.get(endpoint, 0))
        return [used, most, dropped, written]

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily, CounterMetricFamily, CounterMetricFamily]:
        return (
            GaugeMetricFamily(*RECORDER_BYTES),
            GaugeMetricFamily(*RECORDER_MAX),
            CounterMetricFamily(*RECORDER_DROPPED, labels=["endpoint"]),
            CounterMetricFamily(*RECORDER_WRITTEN),
        )
