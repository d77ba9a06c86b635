"""Buffer: records wait in memory and go to a sink in batches, from a thread of its own.

Adding costs a microsecond and never waits for a server. What could not be delivered because its place cannot
be reached goes to a journal. What is refused is sent again in parts, so that it takes nothing along that is not; what
is lost then, and why, is raised by the next `flush`.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator

from penstock.base.background import Background
from penstock.base.errors import Invalid, PenstockError, Unavailable, described
from penstock.base.numbers import counted
from penstock.client.sink import Batch
from penstock.tracking.entities import MetricPoint

logger = logging.getLogger(__name__)
FLUSH_S = 1.0
FLUSH_COUNT = 1000
MOST_NAMES = 8
"""Of what was lost, so much is named."""
Lost = Counter[tuple[str, str]]
"""How many records were lost, by kind and name."""


class Buffer:
    """Collects one run's records. Thread-safe.

    Args:
        deliver: sends a batch; raises `Unavailable` where the place cannot be reached.
        keep: takes a batch that could not be delivered.
    """

    def __init__(self, deliver: Callable[[Batch], None], keep: Callable[[Batch], None]) -> None:
        self._deliver, self._keep = deliver, keep
        self._batch, self._is_closed = Batch(), False
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._problem: Exception | None = None
        self._lost: Lost = Counter()
        self._background = Background("penstock-log", self._send, FLUSH_S, failing="records were not sent")
        self._background.start()

    def add(
        self,
        metrics: list[MetricPoint] | None = None,
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> bool:
        """Add records, which are sent within `FLUSH_S`; say whether they were taken, as before `close`."""
        with self._lock:
            if self._is_closed:
                return False
            self._batch.metrics.extend(metrics or ())
            self._batch.params.update(params or {})
            self._batch.tags.update(tags or {})
            is_full = len(self._batch.metrics) >= FLUSH_COUNT
        if is_full:
            self._background.wake()
        return True

    def flush(self) -> None:
        """Send what waits, now.

        Raises:
            PenstockError: a record was refused, now or earlier in the background.
        """
        self._send()
        with self._sending:
            problem, self._problem = self._problem, None
            lost, self._lost = self._lost, Counter()
        if problem is not None:
            raise _told(problem, lost) from problem

    def close(self) -> None:
        """Send what waits and end the thread.

        Raises:
            PenstockError: as `flush`.
        """
        self._background.stop()
        with self._lock:
            self._is_closed = True
        self.flush()

    def _send(self) -> None:
        with self._sending:
            with self._lock:
                batch, self._batch = self._batch, Batch()
            if not batch:
                return
            try:
                self._hand_over(batch)
            except BaseException:  # an interrupt; given again, a batch changes nothing
                self._put_back(batch)
                raise

    def _hand_over(self, batch: Batch) -> None:
        try:
            try:
                self._deliver(batch)
            except Unavailable as error:
                logger.warning("%s; kept here until `penstock run sync`", error.message)
                self._keep(batch)
        except Exception as error:  # noqa: BLE001 - told by the next flush, and no end is left out for it
            parts = list(_apart(batch)) if isinstance(error, Invalid) else []
            if len(parts) > 1:
                for part in parts:
                    self._hand_over(part)
                return
            self._problem = self._problem or error
            self._lost.update(_names(batch))

    def _put_back(self, batch: Batch) -> None:
        with self._lock:
            newer = self._batch
            self._batch = Batch(
                metrics=[*batch.metrics, *newer.metrics],
                params={**batch.params, **newer.params},
                tags={**batch.tags, **newer.tags},
            )


def _apart(batch: Batch) -> Iterator[Batch]:
    """Yield the kinds of a batch, and of one that holds a single kind each parameter or tag."""
    kinds = [Batch(metrics=batch.metrics), Batch(params=batch.params), Batch(tags=batch.tags)]
    kinds = [kind for kind in kinds if kind]
    if len(kinds) > 1 or batch.metrics:
        yield from kinds
    else:
        yield from (Batch(params={key: text}) for key, text in batch.params.items())
        yield from (Batch(tags={key: text}) for key, text in batch.tags.items())


def _names(batch: Batch) -> Lost:
    """Return what a batch holds, and of each metric how many points."""
    return Counter(
        [
            *(("parameter", key) for key in batch.params),
            *(("tag", key) for key in batch.tags),
            *(("metric", point.key) for point in batch.metrics),
        ]
    )


def _told(problem: Exception, lost: Lost) -> PenstockError:
    """Return the error that names what was lost, of the kind of the first that lost something."""
    names = [
        f"{counted(lost[kind, name], 'point')} of {name!r}" if kind == "metric" else f"{kind} {name!r}"
        for kind, name in lost
    ]
    more = [f"{len(names) - MOST_NAMES} more"] if len(names) > MOST_NAMES else []
    what = ", ".join([*names[:MOST_NAMES], *more])
    if isinstance(problem, PenstockError):
        kind, why, code = type(problem), problem.message, problem.code
        return kind(f"not kept: {what}: {why}", code=code, hint=problem.hint, **problem.fields)
    return PenstockError(f"not kept: {what}: {described(problem)}", code="client.not_recorded")
