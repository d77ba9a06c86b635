"""CloudEvents of payload loggers: the request and the answer of a call, which come apart and in any order.

What KServe and Seldon Core send: binary mode (attributes are `ce-…` headers), structured mode (one JSON object), and
batched mode (an array of such objects), in which brokers such as Knative's hand on many at once.
KServe gives both events of a call the same `id`; Seldon gives them the same `requestid`. A half is kept in the store
until the other one comes.

Source:
    CloudEvents 1.0, HTTP protocol binding; types and extension attributes as kserve/kserve `pkg/logger` and
    SeldonIO/seldon-core `executor/logger` send them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from penstock.base.errors import Invalid
from penstock.base.numbers import counted
from penstock.base.store.database import metadata, upsert

STRUCTURED, BATCHED = "application/cloudevents+json", "application/cloudevents-batch+json"
Side = Literal["request", "response"]
TYPES: dict[str, Side] = {
    "org.kubeflow.serving.inference.request": "request",
    "org.kubeflow.serving.inference.response": "response",
    "io.seldon.serving.inference.request": "request",
    "io.seldon.serving.inference.response": "response",
}
KEPT_MS = 86_400_000
"""So long a half waits for the other one."""
ID_MAX = 256
EVENTS_MAX = 1_000
"""Of one request in batched mode."""

halves = sa.Table(
    "observation_halves",
    metadata,
    sa.Column("endpoint", sa.String(256), primary_key=True),
    sa.Column("call_id", sa.String(ID_MAX), primary_key=True),
    sa.Column("side", sa.String(16), primary_key=True),
    sa.Column("time_ms", sa.BigInteger, nullable=False),
    sa.Column("received_ms", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("ix_observation_halves_received_ms", "received_ms"),
)


class Half(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a call: `values` are what was asked, or answered; `service` is who answered, where it is told."""

    call_id: str
    side: Side
    time_ms: int | None
    service: str | None
    payload: Any


def is_event(headers: Mapping[str, str]) -> bool:
    """Whether a request is a CloudEvent, in any mode."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return "ce-type" in headers or "ce-specversion" in headers or kind in {STRUCTURED, BATCHED}


def read_events(headers: Mapping[str, str], body: bytes) -> list[Half]:
    """Read the CloudEvents of a payload logger that a request holds: one, or in batched mode any number.

    Raises:
        Invalid: one is none, of another type, or says not which call it is about (`observations.bad_event`).
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == BATCHED:
        return _batched(body)
    if kind == STRUCTURED:
        return [_half(*_structured(_json(body, "it")))]
    attributes = {name[3:]: value for name, value in headers.items() if name.startswith("ce-")}
    return [_half(attributes, _json(body, "its data"))]


def _batched(body: bytes) -> list[Half]:
    documents = _json(body, "it")
    if not isinstance(documents, list) or not documents:
        raise _bad("a batch is an array of events, one at least")
    if len(documents) > EVENTS_MAX:
        raise _bad(
            f"it holds {counted(len(documents), 'event')}, and a request at most {EVENTS_MAX}",
            "send them in parts",
        )
    found = []
    for number, document in enumerate(documents, 1):
        try:
            found.append(_half(*_structured(document)))
        except Invalid as error:
            why = error.message.partition(": ")[2]
            raise _bad(f"event {number} of {len(documents)}: {why}", error.hint) from None
    return found


def _half(attributes: Mapping[str, Any], data: Any) -> Half:
    found = str(attributes.get("type", ""))
    side = TYPES.get(found)
    if side is None:
        raise _bad(
            f"events of the type {found[:100]!r} are not understood", f"known types: {', '.join(TYPES)}"
        )
    call_id = attributes.get("requestid") or attributes.get("id")
    if not isinstance(call_id, str) or not 0 < len(call_id) <= ID_MAX or "\0" in call_id:
        raise _bad(f"it has no id of 1 to {ID_MAX} characters")
    service = attributes.get("inferenceservicename")
    return Half(
        call_id=call_id,
        side=side,
        time_ms=_time(attributes.get("time")),
        service=service if isinstance(service, str) and service else None,
        payload=data,
    )


def _structured(document: Any) -> tuple[dict[str, Any], Any]:
    if not isinstance(document, dict):
        raise _bad("it is no JSON object")
    if "data_base64" in document:
        try:
            return document, _json(base64.b64decode(document["data_base64"], validate=True), "its data")
        except (binascii.Error, TypeError, ValueError):
            raise _bad("data_base64 is no base 64") from None
    if "data" not in document:
        raise _bad("it has no data")
    data = document["data"]
    return document, _json(data.encode(), "its data") if isinstance(data, str) else data


def _json(body: bytes, what: str) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise _bad(
            f"{what} is no JSON", "let the service be asked in JSON, not in binary or protobuf"
        ) from None


def _time(text: Any) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(str(text))
        return int(1000 * (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise _bad(f"its time {str(text)[:40]!r} is none of RFC 3339") from None


def keep_half(connection: sa.Connection, endpoint: str, half: Half, received_ms: int) -> None:
    """Keep a half until the other one comes; the same one again changes nothing."""
    insert = upsert(connection.dialect.name, halves).on_conflict_do_nothing()
    connection.execute(
        insert.values(
            endpoint=endpoint,
            call_id=half.call_id,
            side=half.side,
            time_ms=half.time_ms or received_ms,
            received_ms=received_ms,
            body=msgspec.msgpack.encode(half.payload),
        )
    )


def find_halves(connection: sa.Connection, endpoint: str, call_id: str) -> dict[str, tuple[int, Any]]:
    """Return the time and the payload of each side of a call that is kept."""
    query = sa.select(halves).where(halves.c.endpoint == endpoint, halves.c.call_id == call_id)
    return {row.side: (row.time_ms, msgspec.msgpack.decode(row.body)) for row in connection.execute(query)}


def drop_halves(connection: sa.Connection, endpoint: str, call_id: str) -> None:
    """Forget a call's sides."""
    connection.execute(halves.delete().where(halves.c.endpoint == endpoint, halves.c.call_id == call_id))


def forget_halves(connection: sa.Connection, before_ms: int) -> None:
    """Forget halves that came before a time and whose other side never did."""
    connection.execute(halves.delete().where(halves.c.received_ms < before_ms))


def _bad(why: str, hint: str | None = None) -> Invalid:
    return Invalid(
        f"not an event of a payload logger: {why}",
        code="observations.bad_event",
        hint=hint or "docs/how-to/watch-your-own-service.md shows what KServe and Seldon send",
    )
