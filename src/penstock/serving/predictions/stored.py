"""Predictions and their labels in the store.

Every prediction keeps its outputs, so that a label that comes later finds them; features are kept for a
sample. A request that also went to shadow versions has one row for each version under the same id. Of a batch
job, a run of rows is one row of the store, and each of its rows is found by its own id (`prediction_runs`).
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from penstock.base.errors import Invalid
from penstock.base.store.database import insert_rows, metadata, upsert
from penstock.serving.loaders.model import Array
from penstock.serving.predictions.encoding import decode_columns, encode_columns
from penstock.serving.predictions.ids import PredictionId, parse_prediction_id
from penstock.serving.predictions.runs import cut, lowest_id, nth_id, place_in

predictions = sa.Table(
    "predictions",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("endpoint", sa.String(256), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("route", sa.String(16), nullable=False),
    sa.Column("window_start_s", sa.BigInteger, nullable=False),
    sa.Column("outputs", sa.LargeBinary, nullable=False),
    sa.Column("row_count", sa.Integer, nullable=False),
    sa.Column("features", sa.LargeBinary),
    sa.Column("is_run", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("slices", sa.LargeBinary),
    sa.Index("ix_predictions_endpoint_id", "endpoint", "id"),
)
labels = sa.Table(
    "labels",
    metadata,
    sa.Column("prediction_id", sa.String(40), primary_key=True),
    sa.Column("received_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("label_values", sa.LargeBinary, nullable=False),
    sa.Column("sent_by", sa.String(128)),
)
LOOKED_FACTOR = 10
BATCH_COUNT = 500
"""Ids in one query; SQLite allows 32,766 variables."""


class Prediction(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One version's answer to one request; `features` None when it was not sampled.

    `slices` are the features by which quality is told apart, which every answer keeps where they are named.
    `is_run` where it is many rows of a batch that have an id each, counted on from this one.
    """

    id: str
    version: int
    endpoint: str
    revision: int
    route: str
    window_start_s: int
    outputs: bytes
    row_count: int
    features: bytes | None = None
    is_run: bool = False
    slices: bytes | None = None


_FIELDS = tuple(one.name for one in msgspec.structs.fields(Prediction))
AnswerRow = tuple[str, bytes, int, bytes | None, bytes | None]
"""Id, outputs, row count, features and slices of one answer, as `Prediction` has them."""
_ROW = ("id", "outputs", "row_count", "features", "slices")


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """One version's answers to many requests of one window: what `Prediction` says of each, and once what all share."""

    version: int
    endpoint: str
    revision: int
    route: str
    window_start_s: int
    rows: list[AnswerRow]


class StoredLabel(msgspec.Struct, frozen=True, kw_only=True):
    """The truth about a prediction as it came at one time, one value a row; None where it said nothing new.

    A later value of a row corrects an earlier one, which stays as history. `sent_by` is who said to have
    sent it, None where nobody was named.
    """

    prediction_id: str
    received_ms: int
    values: list[Any]
    sent_by: str | None = None


def add_predictions(connection: sa.Connection, rows: Iterable[Prediction]) -> None:
    """Write predictions; one that is there already stays as it is."""
    values = [msgspec.structs.astuple(row) for row in rows]
    if values:
        insert_rows(connection, _insert_new(connection.dialect.name, predictions), _FIELDS, values)


def add_answers(connection: sa.Connection, many: Iterable[Answers]) -> None:
    """Write answers; one that is there already stays as it is. Two thirds of the cost of `add_predictions`."""
    insert = _insert_new(connection.dialect.name, predictions)
    for one in many:
        shared = {
            "version": one.version,
            "endpoint": one.endpoint,
            "revision": one.revision,
            "route": one.route,
            "window_start_s": one.window_start_s,
            "is_run": False,
        }
        insert_rows(connection, insert, _ROW, one.rows, shared)


def list_predictions(
    connection: sa.Connection, ids: Collection[str], *, lock: bool = False
) -> list[Prediction]:
    """Return the stored answers to the requests `ids`, shadows included; of a run, the single rows that are asked for.

    Args:
        lock: nobody else can lock the same rows until the transaction ends.
    """
    found: list[Prediction] = []
    for part in _batches(sorted(ids)):
        query = sa.select(predictions).where(predictions.c.id.in_(part)).order_by(predictions.c.id)
        if lock:
            query = query.with_for_update()
        found += [Prediction(**row) for row in connection.execute(query).mappings()]
    whole = [one for one in found if not one.is_run]
    missing = set(ids) - {one.id for one in whole}
    return whole + _rows_of_runs(connection, missing, lock=lock) if missing else whole


def list_sampled(
    connection: sa.Connection, endpoint: str, version: int, route: str, since_ms: int, limit: int
) -> list[Prediction]:
    """Return the newest answers of a version on a route whose features were kept, newest first.

    Cost: those without features are passed over in the index's order; with a tenth kept, ten are read for one.
    """
    query = sa.select(predictions).where(
        predictions.c.endpoint == endpoint,
        predictions.c.id >= _first_id(since_ms),
        predictions.c.version == version,
        predictions.c.route == route,
        predictions.c.features.is_not(None),
    )
    found = connection.execute(query.order_by(predictions.c.id.desc()).limit(limit))
    return [Prediction(**row) for row in found.mappings()]


def list_labelled(
    connection: sa.Connection,
    of: tuple[str, int, str],
    kept: str,
    since_ms: int,
    limit: int,
    *,
    oldest: bool = False,
) -> list[Prediction]:
    """Return answers of a version on a route that have labels, and whose features, or slices, were kept, in their order.

    Labels lead, which are fewer than answers; they are those of all endpoints, so a limit's tenfold of them is looked at.

    Args:
        of: the endpoint, the version and the route.
        kept: `features` or `slices`.
        oldest: the first since a time, and not the newest.
    """
    found: list[Prediction] = []
    last, since = None, _first_id(since_ms)
    order = labels.c.prediction_id if oldest else labels.c.prediction_id.desc()
    for _ in range(LOOKED_FACTOR * limit // BATCH_COUNT + 1):
        wanted = sa.select(labels.c.prediction_id).distinct().where(labels.c.prediction_id >= since)
        if last is not None:
            wanted = wanted.where(labels.c.prediction_id > last if oldest else labels.c.prediction_id < last)
        ids = list(connection.execute(wanted.order_by(order).limit(BATCH_COUNT)).scalars())
        if not ids:
            break
        last = ids[-1]
        query = sa.select(predictions).where(
            predictions.c.id.in_(ids),
            predictions.c.endpoint == of[0],
            predictions.c.version == of[1],
            predictions.c.route == of[2],
            predictions.c.is_run.is_(False),
            predictions.c[kept].is_not(None),
        )
        part = [Prediction(**row) for row in connection.execute(query).mappings()]
        found += sorted(part, key=lambda one: one.id, reverse=not oldest)
        if len(found) >= limit:
            break
    return found[:limit]


def _rows_of_runs(connection: sa.Connection, ids: Collection[str], *, lock: bool) -> list[Prediction]:
    """Return the rows of runs that have these ids; ids in a row cost one query a run."""
    found: list[Prediction] = []
    run: Prediction | None = None
    outputs: dict[str, Array] = {}
    features: dict[str, Array] = {}
    for text in sorted(ids):
        try:
            wanted = parse_prediction_id(text)
        except Invalid:
            continue
        place = -1 if run is None else place_in(run.id, wanted)
        if run is None or not 0 <= place < run.row_count:
            run = _find_run(connection, wanted, lock=lock)
            if run is None:
                continue
            place = place_in(run.id, wanted)
            if not 0 <= place < run.row_count:
                continue
            outputs = decode_columns(run.outputs)
            features = {} if run.features is None else decode_columns(run.features)
        found.append(
            msgspec.structs.replace(
                run,
                id=text,
                row_count=1,
                outputs=encode_columns(cut(outputs, place)),
                features=encode_columns(cut(features, place)) if features else None,
                is_run=False,
            )
        )
    return found


def _find_run(connection: sa.Connection, wanted: PredictionId, *, lock: bool) -> Prediction | None:
    """Return the newest run that begins at or before an id of the same batch job."""
    query = sa.select(predictions).where(
        predictions.c.id >= lowest_id(wanted),
        predictions.c.id <= wanted.encode(),
        predictions.c.is_run,
    )
    query = query.order_by(predictions.c.id.desc()).limit(1)
    row = connection.execute(query.with_for_update() if lock else query).mappings().first()
    return None if row is None else Prediction(**row)


def find_like(connection: sa.Connection, endpoint: str, like: PredictionId, since_ms: int) -> str | None:
    """Return the id of an endpoint's answer with the worker and counter of `like`, made between a time and that of `like`.

    Cost: the index of all answers between the two is looked through.
    """
    text = like.encode()
    query = sa.select(predictions.c.id).where(
        predictions.c.endpoint == endpoint,
        predictions.c.id >= _first_id(since_ms),
        predictions.c.id < _first_id(like.time_ms + 1),
        predictions.c.id.like(f"%{text[-11:-1]}_"),
    )
    for found in connection.execute(query.order_by(predictions.c.id.desc())).scalars():
        identity = parse_prediction_id(found)
        if (identity.worker, identity.counter) == (like.worker, like.counter):
            return str(found)
    return None


def add_labels(connection: sa.Connection, rows: Iterable[StoredLabel]) -> None:
    """Write labels."""
    values = [
        {
            "prediction_id": row.prediction_id,
            "received_ms": row.received_ms,
            "label_values": msgspec.json.encode(row.values),
            "sent_by": row.sent_by,
        }
        for row in rows
    ]
    if values:
        connection.execute(labels.insert(), values)


def list_labels(connection: sa.Connection, ids: Collection[str]) -> list[StoredLabel]:
    """Return the labels that were given for these predictions, oldest first."""
    found: list[StoredLabel] = []
    for part in _batches(ids):
        query = sa.select(labels).where(labels.c.prediction_id.in_(part)).order_by(labels.c.received_ms)
        found += [
            StoredLabel(
                prediction_id=row.prediction_id,
                received_ms=row.received_ms,
                values=msgspec.json.decode(row.label_values),
                sent_by=row.sent_by,
            )
            for row in connection.execute(query)
        ]
    return found


def current_label(before: list[Any] | None, later: Sequence[Any]) -> list[Any]:
    """Return the values that hold, one a row, once later ones came; None in those says nothing new."""
    if before is None:
        return list(later)
    return [old if new is None else new for old, new in zip(before, later, strict=True)]


class Deleted(NamedTuple):
    """What went at a time: rows of the store, the predictions that they were, and their labels."""

    rows: int
    predictions: int
    labels: int


def delete_predictions(connection: sa.Connection, before_ms: int, limit: int = 2000) -> Deleted:
    """Delete up to `limit` of the oldest rows of predictions made before a time, with their labels; return how many."""
    kept = (predictions.c.id, predictions.c.row_count, predictions.c.is_run)
    old = sa.select(*kept).where(predictions.c.id < _first_id(before_ms))
    rows = list(connection.execute(old.order_by(predictions.c.id).limit(limit)))
    ids = [row.id for row in rows]
    whose = [
        labels.c.prediction_id.between(row.id, nth_id(row.id, row.row_count - 1))
        for row in rows
        if row.is_run
    ]
    whose += [labels.c.prediction_id.in_(part) for part in _batches(ids)]
    label_count = sum(connection.execute(labels.delete().where(mine)).rowcount for mine in whose)
    for part in _batches(ids):
        connection.execute(predictions.delete().where(predictions.c.id.in_(part)))
    return Deleted(len(rows), sum(row.row_count if row.is_run else 1 for row in rows), label_count)


def forget_features(connection: sa.Connection, before_ms: int, limit: int = 2000) -> int:
    """Forget the features of up to `limit` of the oldest predictions made before a time; return how many."""
    old = sa.select(predictions.c.id).where(
        predictions.c.id < _first_id(before_ms), predictions.c.features.is_not(None)
    )
    ids = [row.id for row in connection.execute(old.order_by(predictions.c.id).limit(limit))]
    for part in _batches(ids):
        connection.execute(predictions.update().where(predictions.c.id.in_(part)).values(features=None))
    return len(ids)


def _first_id(time_ms: int) -> str:
    """Return what no id of that time or later is below."""
    return PredictionId(max(0, time_ms), 0, 0, "stable", 0, 0).encode()[:-1]


def _batches(ids: Collection[str]) -> Iterable[Sequence[str]]:
    ordered = list(dict.fromkeys(ids))
    return (ordered[start : start + BATCH_COUNT] for start in range(0, len(ordered), BATCH_COUNT))


@functools.cache
def _insert_new(dialect: str, table: sa.Table) -> Any:
    return upsert(dialect, table).on_conflict_do_nothing()
