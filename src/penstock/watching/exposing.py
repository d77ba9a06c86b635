"""`penstock.start_metrics_server` and the applications of `/metrics`: watched functions beside the service's own metrics."""

from __future__ import annotations

import logging
import threading
from typing import Any

import penstock
from penstock.flows.production.live.spool import MAX_BYTES
from penstock.http.prometheus.watched import (
    Counted,
    MetricsServer,
    Registry,
    Watching,
    asgi_app,
    default_registry,
    join_registry,
    wsgi_app,
)
from penstock.watching.counting import DURATION_BUCKETS_S
from penstock.watching.engine import find_engine

logger = logging.getLogger(__name__)
_joined: list[Any] = []
_guard = threading.Lock()


def start_metrics_server(port: int, host: str = "0.0.0.0", registry: Registry | None = None) -> MetricsServer:
    """Answer `/metrics` on a port, in a thread: what is watched in this process and the service's own metrics.

    Args:
        port: 0 takes a free one; the answer's `port` says which.
        host: the address to listen on; by default every one, as Prometheus is mostly elsewhere.
        registry: prometheus_client's own default, where the service's metrics are unless it says otherwise.

    Raises:
        Conflict: the port is in use.
    """
    return MetricsServer(port, host, expose(registry))


def metrics_wsgi_app(registry: Registry | None = None) -> Any:
    """Return a WSGI application that answers with the metrics, to be mounted at `/metrics`, as in Flask."""
    return wsgi_app(expose(registry))


def metrics_asgi_app(registry: Registry | None = None) -> Any:
    """Return an ASGI application that answers with the metrics, to be mounted at `/metrics`, as in FastAPI."""
    return asgi_app(expose(registry))


def expose(registry: Registry | None = None) -> Registry:
    """Let a registry tell of what is watched, once, and return it."""
    chosen = registry or default_registry()
    with _guard:
        if all(one is not chosen for one in _joined):
            _joined.append(chosen)
            if not join_registry(Watching(_read, penstock.__version__), chosen):
                logger.warning("metrics of watched functions are not told: their names are taken")
    return chosen


def _read() -> Counted:
    engine = find_engine()
    if engine is None:
        return Counted({}, {}, {}, DURATION_BUCKETS_S, {}, {}, (), 0, MAX_BYTES)
    counts = engine.counts.copy()
    watched = list(engine.watched.values())
    for one in watched:
        counts.prime(one.endpoint, one.standing)
    return Counted(
        requests=counts.requests,
        errors=counts.errors,
        durations={series: (one.counts, one.total_s) for series, one in counts.durations.items()},
        buckets_s=DURATION_BUCKETS_S,
        dropped=counts.dropped,
        hook_failures=counts.hook_failures,
        current=[one.current for one in watched if one.current is not None],
        waiting_bytes=engine.waiting_bytes,
        max_bytes=MAX_BYTES,
    )
