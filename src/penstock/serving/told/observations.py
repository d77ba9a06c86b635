"""Observations: what a service that is not Penstock's own tells of its calls, and which batches of them were taken.

A batch has an id of its sender's making. It is taken once, in the transaction that writes what it says, however
often it is sent. The format is the one of files that wait on disk, of the ingest endpoint and of what the store is told directly.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import sqlalchemy as sa

from penstock.base.digest import digest_bytes
from penstock.base.errors import Invalid
from penstock.base.store.database import metadata, upsert
from penstock.serving.predictions.ids import UNKNOWN_ENDPOINT, PredictionId

observation_batches = sa.Table(
    "observation_batches",
    metadata,
    sa.Column("id", sa.String(128), primary_key=True),
    sa.Column("received_ms", sa.BigInteger, nullable=False),
    sa.Index("ix_observation_batches_received_ms", "received_ms"),
)
BATCH_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
KEPT_DAYS = 35
"""So long a batch is known as taken; who keeps batches to send them later gives up before."""
COUNT_MAX = 20_000
"""Observations in one batch."""
ARROW_STREAM = "application/vnd.apache.arrow.stream"
"""The content type of a batch that is a table (`told.arrow`)."""


class Observation(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One call: when it began, how long it took, what it was asked and what it answered.

    `id` is its prediction id, made where none is given. `version` is the model version that answered, by default
    the one that was wanted; `revision` the endpoint's revision then, by default the one now. `error` is the kind
    of failure, for one that was not the caller's fault. `rows` is how many rows it was, where that is known.
    """

    time_ms: int
    latency_s: float
    inputs: Any = None
    outputs: Any = None
    id: str | None = None
    version: int | None = None
    revision: int | None = None
    error: str | None = None
    rows: int | None = None


class MissedCalls(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Calls about a moment of which only the counts are known, because there was no room for more."""

    time_ms: int
    request_count: int
    error_count: int = 0
    version: int | None = None
    revision: int | None = None


class ObservationBatch(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Calls of one endpoint. `model` is the version (`NAME/3`, `NAME@alias`) of those that name none."""

    batch: str
    endpoint: str
    observations: list[Observation] = []
    missed: list[MissedCalls] = []
    model: str | None = None


class BatchHead(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch is about, and how many calls it tells of; it holds none of its bytes."""

    endpoint: str
    model: str | None
    call_count: int


class _Unread(msgspec.Struct):
    """A batch whose calls are not read."""

    endpoint: str
    model: str | None = None
    observations: list[msgspec.Raw] = []
    missed: list[MissedCalls] = []


def is_taken(connection: sa.Connection, batch_id: str) -> bool:
    """Return whether a batch was taken, as far back as that is known."""
    query = sa.select(observation_batches.c.id).where(observation_batches.c.id == batch_id)
    return connection.execute(query).first() is not None


def list_taken(connection: sa.Connection, prefix: str) -> list[str]:
    """Return the ids of the batches that were taken whose ids begin so, in their order."""
    found = observation_batches.c.id
    query = sa.select(found).where(found.startswith(prefix, autoescape=True)).order_by(found)
    return list(connection.execute(query).scalars())


def made_id(endpoint: str, batch_id: str, index: int, time_ms: int) -> PredictionId:
    """Return the prediction id of the call at a place of a batch whose sender gave none.

    It is made of nothing else, so that a batch that is sent again is answered with the ids of the first time; which
    endpoint, revision and route it was, the store knows.
    """
    bits = int(digest_bytes(f"{endpoint}/{batch_id}".encode())[:16], 16)
    worker, counter = (1 << 23) | bits & 0x7FFFFF, ((bits >> 23) + index) & 0xFFFFFFF
    return PredictionId(time_ms, UNKNOWN_ENDPOINT, 0, "direct", worker, counter)


def add_batch(connection: sa.Connection, batch_id: str, received_ms: int) -> bool:
    """Note that a batch is taken, in the caller's transaction; False when it was already."""
    insert = upsert(connection.dialect.name, observation_batches).on_conflict_do_nothing()
    taken = insert.values(id=batch_id, received_ms=received_ms).returning(observation_batches.c.id)
    return connection.execute(taken).first() is not None


def forget_batches(connection: sa.Connection, before_ms: int) -> None:
    """Forget batches that were taken before a time."""
    connection.execute(observation_batches.delete().where(observation_batches.c.received_ms < before_ms))


_unread = msgspec.msgpack.Decoder(_Unread)
_json = msgspec.json.Decoder(ObservationBatch)
_packed = msgspec.msgpack.Decoder(ObservationBatch)


def parse_batch(data: bytes, *, is_packed: bool = False) -> ObservationBatch:
    """Read a batch from JSON, or from MessagePack.

    Raises:
        Invalid: it is none (`observations.bad_batch`).
    """
    try:
        return (_packed if is_packed else _json).decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError, OverflowError) as error:
        raise bad_batch(f"not a batch of observations: {str(error).replace('`', '')}") from None


def read_head(data: bytes) -> BatchHead:
    """Read what a batch in MessagePack is about.

    Raises:
        DecodeError: it is none.
    """
    found = _unread.decode(data)
    count = len(found.observations) + sum(one.request_count for one in found.missed)
    return BatchHead(endpoint=found.endpoint, model=found.model, call_count=count)


def bad_batch(message: str) -> Invalid:
    """Make the error for a batch that cannot be taken."""
    return Invalid(
        message,
        code="observations.bad_batch",
        hint="docs/how-to/watch-your-own-service.md shows a batch",
    )
