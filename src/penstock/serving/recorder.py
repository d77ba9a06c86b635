"""What the data plane tells of its work: the roles that watch it and that take labels.

The data plane knows no store and no statistics; `penstock.flows.production.live.recording` stands behind these roles.
Where predictions are traced, whose trace a request belongs to is carried beside it in a variable of the task that answers
it; what sends spans is `penstock.processes.tracing`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

import msgspec

from penstock.serving.loaders.model import Columns
from penstock.serving.predictions.ids import PredictionId, Route


class Exchange(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request that reached a model, and what came back.

    `version` is the model version that answered (a shadow's own, although the client never saw it), `id`
    the request's prediction id. `error` is None, or the kind of failure that is not the client's fault;
    then there are no outputs. `revision` is 0 on the route `direct`. `classes` are a classifier's, where
    the model tells them. `differences` say of a shadow how far each row's outputs are from what the client got:
    for numbers the distance, else 1 where they differ and 0.
    """

    endpoint: str
    revision: int
    version: int
    route: Route
    time_ms: int
    id: str
    counter: int
    inputs: Columns
    outputs: Columns
    row_count: int
    latency_s: float
    error: str | None = None
    classes: tuple[Any, ...] | None = None
    differences: Columns = {}


class RecorderState(msgspec.Struct, frozen=True, kw_only=True):
    """How full a recorder is, and of how many requests by endpoint it had no room for more than the counts.

    `written_count` requests are in the store; what came after them is lost when the process is killed.
    """

    used_bytes: int
    max_bytes: int
    dropped: Mapping[str, int]
    written_count: int = 0


class Recorder(Protocol):
    """Takes exchanges. Thread-safe, never blocks, never raises; about 1 us a call."""

    def record(self, exchange: Exchange) -> None:
        """Take one exchange; it may be lost when the process is killed within the flush interval."""
        ...

    @property
    def state(self) -> RecorderState:
        """How full it is, and what it had no room for."""
        ...


class Caller(NamedTuple):
    """The trace that a request belongs to, as W3C Trace Context writes it; empty without one."""

    traceparent: str = ""
    tracestate: str = ""


NOBODY = Caller()
caller: ContextVar[Caller] = ContextVar("penstock_caller", default=NOBODY)


class Tracer(Protocol):
    """Makes a span of an exchange. Thread-safe, never blocks, never raises."""

    def tell(self, exchange: Exchange, of: Caller) -> None:
        """Make the span of a prediction that just ended; it is sent in the background, or lost."""
        ...

    def count_lost(self, count: Callable[[int], None]) -> None:
        """Tell `count` how many spans are lost, as they are."""
        ...

    def close(self) -> None:
        """Send what waits, for a few seconds at most."""
        ...


class TracedRecorder:
    """A recorder that also tells a tracer."""

    def __init__(self, recorder: Recorder, tracer: Tracer) -> None:
        self._recorder, self._tracer = recorder, tracer

    def record(self, exchange: Exchange) -> None:
        """Take one exchange."""
        self._recorder.record(exchange)
        self._tracer.tell(exchange, caller.get())

    @property
    def state(self) -> RecorderState:
        """How full the recorder is."""
        return self._recorder.state


class Label(msgspec.Struct, frozen=True):
    """The truth about one prediction; `values` has one entry a row, None where not known; `by` sent it.

    `received_ms` is when it came, where that is not now: it waited for its prediction.
    """

    id: PredictionId
    text: str
    values: list[Any]
    by: str | None = None
    received_ms: int | None = None


class LabelCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of labels: joined, in the place of others, kept until their prediction is stored, of no known
    prediction, given before, or misfit.

    A label that corrects one row and is new for another is `corrected`.
    `reasons` says in words why the first misfits are, by prediction id.
    """

    accepted: int = 0
    corrected: int = 0
    waiting: int = 0
    unknown: int = 0
    duplicate: int = 0
    misfit: int = 0
    reasons: dict[str, str] = {}


class Labels(Protocol):
    """Takes labels. Thread-safe; may block on the store."""

    def add_labels(self, endpoint: str, labels: Sequence[Label]) -> LabelCounts:
        """Join labels to their predictions, durably when it returns.

        Idempotent: a repeated label changes nothing. Another value for a row replaces the one before,
        which stays as history. Rows that were unknown (None) may be told later. A label whose prediction is
        not stored yet is kept, and joined when it is.

        Raises:
            Unavailable: the store cannot be reached; nothing was taken.
        """
        ...
