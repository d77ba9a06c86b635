"""Calls of one watched function on their way out of the service's threads: appended, bounded, never waited for."""

from __future__ import annotations

import itertools
import secrets
import threading
from contextvars import ContextVar
from typing import Any, NamedTuple

import msgspec

from penstock.serving.predictions.ids import PredictionId, Route
from penstock.serving.told.current import Current

MAX_BYTES = 128 * 1024 * 1024
"""What calls may take that wait for the next write, half a second, about."""
ONE_MAX_BYTES = 32 * 1024 * 1024
"""Of one call that takes more, only that it came is kept."""
MISSED_MAX = 1_000_000


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What a service answers with now: version, route, and the revision of the endpoint that it belongs to.

    `version` is None where the service did not say and the store was not reached yet. `endpoint_id` 0: the same.
    """

    endpoint_id: int = 0
    revision: int = 0
    version: int | None = None
    route: Route = "direct"

    @staticmethod
    def of(current: Current | None, version: int | None) -> Standing:
        """Return where a version stands in an endpoint's revision; without a version it is the stable one."""
        if current is None:
            return Standing(version=version)
        chosen = current.version if version is None else version
        route: Route = "direct"
        if chosen == current.version:
            route = "stable"
        elif chosen == current.canary:
            route = "canary"
        return Standing(
            endpoint_id=current.endpoint_id, revision=current.revision, version=chosen, route=route
        )


class Mark(NamedTuple):
    """Which call: what its prediction id is made of."""

    standing: Standing
    time_ms: int
    counter: int

    @property
    def id(self) -> str:
        """The prediction id."""
        standing = self.standing
        number = standing.revision if standing.route != "direct" else standing.version or 0
        return PredictionId(
            self.time_ms, standing.endpoint_id, number, standing.route, numbers.worker, self.counter
        ).encode()


class Call(NamedTuple):
    """One call; `error` is the kind of failure, `outcome` what Prometheus counts."""

    mark: Mark
    latency_s: float
    inputs: Any
    outputs: Any
    error: str | None
    outcome: str


class Numbers:
    """What makes prediction ids of this process unique: a number of its own, and a running one.

    Serve processes have numbers from the store, from 1 on. These are chosen at random in the upper half of what an
    id has room for, since they are needed before the store answers.
    """

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Take another number, in a child process."""
        self.worker = (1 << 23) | secrets.randbits(23)
        self.counter = itertools.count(1)


numbers = Numbers()
last: ContextVar[Mark | None] = ContextVar("penstock_last_prediction", default=None)
"""The newest call of this thread or task."""


class _Buffer:
    __slots__ = ("calls", "missed", "used_bytes")

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.missed: list[tuple[Mark, str]] = []
        self.used_bytes = 0


class Calls:
    """Takes calls from any thread without a lock; one thread takes them out.

    Who adds may hold a buffer that was just taken out. So what was taken out is looked at once more the next time.
    """

    def __init__(self) -> None:
        self._buffer = _Buffer()
        self._before: tuple[_Buffer, int, int] = (_Buffer(), 0, 0)
        self._taking = threading.Lock()

    def add(self, call: Call, size_bytes: int) -> None:
        """Take a call, or where there is no room only that it came. Never waits; 0.3 us."""
        buffer = self._buffer
        if size_bytes <= ONE_MAX_BYTES and buffer.used_bytes + size_bytes <= MAX_BYTES:
            buffer.used_bytes += size_bytes
            buffer.calls.append(call)
        elif len(buffer.missed) < MISSED_MAX:
            buffer.missed.append((call.mark, call.outcome))

    def take(self) -> tuple[list[Call], list[tuple[Mark, str]]]:
        """Return what came since the last time."""
        with self._taking:
            late, calls_seen, missed_seen = self._before
            full, self._buffer = self._buffer, _Buffer()
            calls, missed = late.calls[calls_seen:], late.missed[missed_seen:]
            count, missed_count = len(full.calls), len(full.missed)
            calls += full.calls[:count]
            missed += full.missed[:missed_count]
            self._before = (full, count, missed_count)
        return calls, missed
