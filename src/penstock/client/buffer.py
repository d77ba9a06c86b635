"""Buffer: records wait in memory and go to a sink in batches, from a thread of its own.

Adding costs a microsecond and never waits for a server. What could not be delivered because its place cannot
be reached goes to a journal; any other failure is kept and raised by the next `flush`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from penstock.base.background import Background
from penstock.base.errors import PenstockError, Unavailable, described
from penstock.client.sink import Batch
from penstock.tracking.entities import MetricPoint

logger = logging.getLogger(__name__)
FLUSH_S = 1.0
FLUSH_COUNT = 1000


class Buffer:
    """Collects one run's records. Thread-safe.

    Args:
        deliver: sends a batch; raises `Unavailable` where the place cannot be reached.
        keep: takes a batch that could not be delivered.
    """

    def __init__(self, deliver: Callable[[Batch], None], keep: Callable[[Batch], None]) -> None:
        self._deliver, self._keep = deliver, keep
        self._batch = Batch()
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._problem: PenstockError | None = None
        self._background = Background("penstock-log", self._send, FLUSH_S, failing="records were not sent")
        self._background.start()

    def add(
        self,
        metrics: list[MetricPoint] | None = None,
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        """Add records; they are sent within `FLUSH_S`."""
        with self._lock:
            self._batch.metrics.extend(metrics or ())
            self._batch.params.update(params or {})
            self._batch.tags.update(tags or {})
            is_full = len(self._batch.metrics) >= FLUSH_COUNT
        if is_full:
            self._background.wake()

    def flush(self) -> None:
        """Send what waits, now.

        Raises:
            PenstockError: a record was refused, now or earlier in the background.
        """
        self._send()
        problem, self._problem = self._problem, None
        if problem is not None:
            raise problem

    def close(self) -> None:
        """Send what waits and end the thread.

        Raises:
            PenstockError: as `flush`.
        """
        self._background.stop()
        self.flush()

    def _send(self) -> None:
        with self._sending:
            with self._lock:
                batch, self._batch = self._batch, Batch()
            if not batch:
                return
            try:
                self._hand_over(batch)
            except PenstockError as error:
                self._problem = self._problem or error
            except Exception as error:  # noqa: BLE001 - told by the next flush, and no end is left out for it
                problem = PenstockError(
                    f"records were not kept: {described(error)}", code="client.not_recorded"
                )
                problem.__cause__ = error
                self._problem = self._problem or problem

    def _hand_over(self, batch: Batch) -> None:
        try:
            self._deliver(batch)
        except Unavailable as error:
            logger.warning("%s; kept here until `penstock run sync`", error.message)
            self._keep(batch)
