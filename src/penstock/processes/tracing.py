"""Spans of predictions, sent to a collector of OpenTelemetry over OTLP/HTTP; the only module that knows its SDK.

Everything is said by the standard's own variables, so that a service is traced like its neighbours: where spans go, who
samples, what the service is called. Without them nothing is imported.

Source:
    OpenTelemetry specification, "OTLP Exporter Configuration" and "Environment Variable Specification"; W3C Trace
    Context, `traceparent` and `tracestate`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import penstock
from penstock.serving.recorder import Caller, Exchange, Tracer

logger = logging.getLogger(__name__)
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
HTTP = "http/protobuf"
CLOSE_MS = 5_000


def find_tracer(variables: Mapping[str, str]) -> tuple[Tracer | None, str]:
    """Return what the environment asks for: a tracer, or None; and in words what it asks for in vain."""
    if not any(variables.get(name) for name in ENDPOINTS):
        return None, ""
    wanted = variables.get("OTEL_TRACES_EXPORTER", "otlp").split(",")
    if variables.get("OTEL_SDK_DISABLED", "").lower() == "true" or "otlp" not in [
        one.strip() for one in wanted
    ]:
        return None, ""
    protocol = next((variables[name] for name in PROTOCOLS if variables.get(name)), HTTP)
    if protocol != HTTP:
        return None, f"predictions are not traced: {protocol} is not spoken; set {PROTOCOLS[0]}={HTTP}"
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter.otlp.proto.http") is None:
        return None, "predictions are not traced: pip install 'penstock[otel]'"
    return OtlpTracer(), ""


class _Sending:
    """An exporter of spans that says once that the collector is away, and once that it is there again."""

    def __init__(self, exporter: Any) -> None:
        self._exporter, self._is_away = exporter, False
        self.count: Callable[[int], None] = lambda _: None

    def export(self, spans: Sequence[Any]) -> Any:
        """Send spans; what is not taken is lost."""
        why = "it refused spans, or did not answer"
        try:
            result = self._exporter.export(spans)
            is_taken = result.name == "SUCCESS"
        except Exception as error:
            self._note_lost(len(spans), str(error))
            raise
        if is_taken:
            if self._is_away:
                logger.warning("the collector of spans takes them again")
            self._is_away = False
        else:
            self._note_lost(len(spans), why)
        return result

    def _note_lost(self, count: int, why: str) -> None:
        self.count(count)
        if not self._is_away:
            logger.warning(
                "the collector of spans is away (%s): spans are lost until it answers; "
                "penstock_spans_lost_total counts them",
                why,
            )
        self._is_away = True

    def shutdown(self) -> None:
        """End."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits."""
        return bool(self._exporter.force_flush(timeout_millis))


class OtlpTracer:
    """Makes spans, and sends them in batches from a thread of its own. Made after a fork, not before."""

    def __init__(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import SpanKind, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        resource = Resource.create()
        if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "penstock"}))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        # what it says at each of its tries is said here once; how many spans are lost is counted
        logging.getLogger(OTLPSpanExporter.__module__).disabled = True
        self._sending = _Sending(OTLPSpanExporter())
        exporter: Any = self._sending  # an exporter by its methods: its class is imported here only
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("penstock", penstock.__version__)
        self._context_of = TraceContextTextMapPropagator().extract
        self._server, self._internal, self._failed = SpanKind.SERVER, SpanKind.INTERNAL, StatusCode.ERROR

    def count_lost(self, count: Callable[[int], None]) -> None:
        """Tell `count` of spans that no collector took."""
        self._sending.count = count

    def tell(self, exchange: Exchange, of: Caller) -> None:
        """Make the span of a prediction that just ended."""
        try:
            self._tell(exchange, of)
        except Exception:
            logger.exception("a prediction could not be traced")

    def _tell(self, exchange: Exchange, of: Caller) -> None:
        end_ns = time.time_ns()
        attributes: dict[str, Any] = {
            "penstock.prediction_id": exchange.id,
            "penstock.endpoint": exchange.endpoint,
            "penstock.version": exchange.version,
            "penstock.revision": exchange.revision,
            "penstock.route": exchange.route,
            "penstock.rows": exchange.row_count,
        }
        if exchange.error is not None:
            attributes["error.type"] = exchange.error
        span = self._tracer.start_span(
            f"predict {exchange.endpoint}",
            context=self._context_of({"traceparent": of.traceparent, "tracestate": of.tracestate})
            if of.traceparent
            else None,
            kind=self._internal if exchange.route == "shadow" else self._server,
            attributes=attributes,
            start_time=end_ns - int(exchange.latency_s * 1e9),
        )
        if exchange.error is not None:
            span.set_status(self._failed, exchange.error)
        span.end(end_ns)

    def close(self) -> None:
        """Send what waits, for a few seconds at most."""
        self._provider.force_flush(CLOSE_MS)
        self._provider.shutdown()
