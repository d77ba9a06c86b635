"""What the data plane tells of its work: the roles that watch it and that take labels.

The data plane knows no store and no statistics; `penstock.flows.production.live.recording` stands behind these roles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from penstock.serving.loaders.model import Columns
from penstock.serving.prediction_id import PredictionId, Route


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
    """How full a recorder is, and of how many requests by endpoint it had no room for more than the counts."""

    used_bytes: int
    max_bytes: int
    dropped: Mapping[str, int]


class Recorder(Protocol):
    """Takes exchanges. Thread-safe, never blocks, never raises; about 1 us a call."""

    def record(self, exchange: Exchange) -> None:
        """Take one exchange; it may be lost when the process is killed within the flush interval."""
        ...

    @property
    def state(self) -> RecorderState:
        """How full it is, and what it had no room for."""
        ...


class Label(msgspec.Struct, frozen=True):
    """The truth about one prediction; `values` has one entry a row, None where not known; `by` sent it."""

    id: PredictionId
    text: str
    values: list[Any]
    by: str | None = None


class LabelCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of labels: joined, in the place of others, of no known prediction, given before, or misfit.

    A label that corrects one row and is new for another is `corrected`.
    `reasons` says in words why the first misfits are, by prediction id.
    """

    accepted: int = 0
    corrected: int = 0
    unknown: int = 0
    duplicate: int = 0
    misfit: int = 0
    reasons: dict[str, str] = {}


class Labels(Protocol):
    """Takes labels. Thread-safe; may block on the store."""

    def add_labels(self, endpoint: str, labels: Sequence[Label]) -> LabelCounts:
        """Join labels to their predictions, durably when it returns.

        Idempotent: a repeated label changes nothing. Another value for a row replaces the one before,
        which stays as history. Rows that were unknown (None) may be told later.

        Raises:
            Unavailable: the store cannot be reached; nothing was taken.
        """
        ...
