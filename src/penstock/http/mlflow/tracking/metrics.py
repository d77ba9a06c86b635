"""Histories of metrics on MLflow's wire."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import sqlalchemy as sa

from penstock.base.errors import Invalid
from penstock.http.caller import Caller
from penstock.http.mlflow.dispatch import Endpoint, Need
from penstock.http.mlflow.paging import decode_token, encode_token
from penstock.http.mlflow.tracking.runs import RUN_READ
from penstock.http.mlflow.wire import Int64, OfRun, Request, given, number_out
from penstock.records.limits import invalid_value
from penstock.tracking import runs
from penstock.tracking.metrics import Stored, list_at_steps, list_history, list_steps

MAX_POINTS = 25_000
MAX_RUNS = 100
MAX_INTERVAL_POINTS = 2500


class History(OfRun, kw_only=True):
    """GET metrics/get-history."""

    metric_key: str = ""
    max_results: Int64 | None = None
    page_token: str = ""
    required: ClassVar[tuple[str, ...]] = ("run_id", "metric_key")


class Bulk(Request, kw_only=True):
    """GET metrics/get-history-bulk."""

    run_id: list[str] = msgspec.field(default_factory=list)
    metric_key: str | None = None
    max_results: Int64 = MAX_POINTS


class Interval(Request, kw_only=True):
    """GET metrics/get-history-bulk-interval."""

    run_ids: list[str] = msgspec.field(default_factory=list)
    metric_key: str = ""
    start_step: Int64 | None = None
    end_step: Int64 | None = None
    max_results: Int64 = MAX_INTERVAL_POINTS
    required: ClassVar[tuple[str, ...]] = ("run_ids", "metric_key")


class Point(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One point of a history, as the wire has it."""

    key: str
    value: float | str
    timestamp: int
    step: int
    run_id: str = ""


def history(connection: sa.Connection, request: History, _caller: Caller) -> bytes:
    """Return a metric's points by time, step and value."""
    runs.get_row(connection, request.run_id)
    limit = request.max_results
    if limit is not None and limit <= 0:
        raise Invalid(
            f"Invalid value {limit} for parameter 'max_results' supplied. It must be a positive integer.",
            code="request.invalid_value",
        )
    after = decode_token(request.page_token, tuple[int, int, float]) if request.page_token else None
    rows = list_history(
        connection,
        request.run_id,
        request.metric_key,
        limit=None if limit is None else limit + 1,
        after=after,
    )
    answer: dict[str, Any] = given(metrics=[_point(row) for row in rows[:limit]])
    if limit is not None and len(rows) > limit:
        _, value, time_ms, step, _ = rows[limit - 1]
        answer["next_page_token"] = encode_token((time_ms, step, value))
    return msgspec.json.encode(answer)


def bulk(connection: sa.Connection, request: Bulk, _caller: Caller) -> dict[str, Any]:
    """Return one metric of several runs."""
    if not request.run_id:
        raise Invalid(
            "GetMetricHistoryBulk request must specify at least one run_id.", code="request.missing_value"
        )
    if len(request.run_id) > MAX_RUNS:
        raise Invalid(
            f"GetMetricHistoryBulk request cannot specify more than {MAX_RUNS} run_ids. "
            f"Received {len(request.run_id)} run_ids.",
            code="request.too_many",
        )
    if request.metric_key is None:
        raise Invalid("GetMetricHistoryBulk request must specify a metric_key.", code="request.missing_value")
    left = min(max(request.max_results, 0), MAX_POINTS)
    points: list[Point] = []
    for run_id in sorted(set(request.run_id)):
        rows = list_history(connection, run_id, request.metric_key, limit=left) if left else []
        left -= len(rows)
        points += [_point(row, run_id) for row in rows]
    return {"metrics": points}


def interval(connection: sa.Connection, request: Interval, _caller: Caller) -> dict[str, Any]:
    """Return one metric of several runs, thinned out to at most `max_results` steps each."""
    if len(request.run_ids) > MAX_RUNS:
        raise Invalid(
            f"GetMetricHistoryBulkInterval request must specify at most {MAX_RUNS} run_ids. "
            f"Received {len(request.run_ids)} run_ids.",
            code="request.too_many",
        )
    if not 0 < request.max_results <= MAX_INTERVAL_POINTS:
        raise invalid_value(
            "max_results", request.max_results, f"must be between 1 and {MAX_INTERVAL_POINTS}"
        )
    between = _between(request)
    steps = list_steps(connection, request.run_ids, request.metric_key, between)
    everything = sorted({step for own in steps.values() for step in own})
    wanted = thin_out(everything, request.max_results) | {own[-1] for own in steps.values()}
    points = [
        _point(row, run_id)
        for run_id, own in sorted(steps.items())
        for row in list_at_steps(connection, run_id, request.metric_key, wanted & set(own))
    ]
    return given(metrics=points)


def thin_out(steps: list[int], count: int) -> set[int]:
    """Return at most `count` steps spread evenly over ascending ones, the first and last among them.

    Example:
        >>> sorted(thin_out([0, 1, 2, 3, 100], 3))
        [0, 2, 100]
    """
    if len(steps) <= count:
        return set(steps)
    if count == 1:
        return {steps[-1]}
    places = {round(place * (len(steps) - 1) / (count - 1)) for place in range(count)}
    return {steps[place] for place in places}


def _between(request: Interval) -> tuple[int, int] | None:
    if (request.start_step is None) != (request.end_step is None):
        raise Invalid(
            "If either start step or end step are specified, both must be specified.",
            code="request.invalid_value",
        )
    if request.start_step is None or request.end_step is None:
        return None
    if request.start_step > request.end_step:
        raise Invalid(
            f"end_step must be greater than start_step. Found start_step={request.start_step} and "
            f"end_step={request.end_step}.",
            code="request.invalid_value",
        )
    return request.start_step, request.end_step


def _point(row: Stored, run_id: str = "") -> Point:
    key, value, time_ms, step, is_nan = row
    return Point(key=key, value=number_out(value, is_nan), timestamp=time_ms, step=step, run_id=run_id)


def _of_runs(connection: sa.Connection, request: Any) -> list[str]:
    ids = request.run_id if isinstance(request, Bulk) else request.run_ids
    return [str(row.experiment_id) for row in runs.list_rows(connection, ids)]


_MANY = Need("experiment", "reader", _of_runs)
ENDPOINTS = (Endpoint("GET", "metrics/get-history", History, RUN_READ, "reads", history),)
AJAX_ENDPOINTS = (
    Endpoint("GET", "metrics/get-history-bulk", Bulk, _MANY, "reads", bulk),
    Endpoint("GET", "metrics/get-history-bulk-interval", Interval, _MANY, "reads", interval),
)
