"""What a supervisor of serve processes counts, in the folder where they add up what they count."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.multiprocess import mark_process_dead


class WorkerMetrics:
    """How many workers there are to be, and how often one was restarted."""

    def __init__(self, wanted: int, folder: str) -> None:
        registry = CollectorRegistry()
        self._folder = folder
        Gauge(
            "penstock_workers_wanted",
            "Serve processes that the supervisor keeps running.",
            registry=registry,
            multiprocess_mode="livesum",
        ).set(wanted)
        self._restarts = Counter(
            "penstock_worker_restarts",
            "Serve processes that ended unasked and were begun anew.",
            registry=registry,
        )

    def count_end(self, pid: int) -> None:
        """Count a worker that ended, and forget what it held at the time (its requests in flight, its queue)."""
        self._restarts.inc()
        mark_process_dead(pid, self._folder)  # type: ignore[no-untyped-call]
