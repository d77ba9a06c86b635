"""Runs on MLflow's wire: starting, ending, logging."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import Invalid
from penstock.http.caller import Caller
from penstock.http.mlflow.dispatch import Also, Endpoint, Need
from penstock.http.mlflow.needs import touch_models
from penstock.http.mlflow.tracking.experiments import Pair
from penstock.http.mlflow.tracking.view import show_info, show_runs
from penstock.http.mlflow.wire import Int64, Number, OfRun, Request, missing_field, number_of
from penstock.records.limits import check_key
from penstock.tracking import runs
from penstock.tracking.datasets import link_models, log_datasets
from penstock.tracking.entities import NAME_TAG, Dataset, DatasetInput, MetricPoint, ModelLink, Run
from penstock.tracking.experiments import parse_experiment_id
from penstock.tracking.metrics import check_point, log_points
from penstock.tracking.run_names import new_run_id, new_run_name
from penstock.tracking.values import delete_tag, fit_tag, log_params, set_tags

MAX_BATCH_CHARACTERS = 2_000_000
MAX_BATCH_BYTES = 6 * MAX_BATCH_CHARACTERS  # JSON may escape every character
MAX_BATCH = {"metrics": 1000, "params": 100, "tags": 100}


class Create(Request, kw_only=True):
    """POST runs/create."""

    experiment_id: str = "0"
    user_id: str = ""
    run_name: str = ""
    start_time: Int64 = 0
    tags: list[Pair] = msgspec.field(default_factory=list)


class Update(OfRun, kw_only=True):
    """POST runs/update."""

    status: str | int | None = None
    end_time: Int64 | None = None
    run_name: str | None = None


class LogMetric(OfRun, kw_only=True):
    """POST runs/log-metric."""

    key: str = ""
    value: Number | None = None
    timestamp: Int64 | None = None
    step: Int64 = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""
    required: ClassVar[tuple[str, ...]] = ("run_id", "key", "value", "timestamp")


class Metric(msgspec.Struct, kw_only=True):
    """One point in a batch."""

    key: str = ""
    value: Number | None = None
    timestamp: Int64 | None = None
    step: Int64 = 0
    run_id: str = ""
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class SetPair(OfRun, kw_only=True):
    """POST runs/log-parameter and runs/set-tag."""

    key: str = ""
    value: str = ""
    required: ClassVar[tuple[str, ...]] = ("run_id", "key")


class LogBatch(OfRun, kw_only=True):
    """POST runs/log-batch."""

    metrics: list[Metric] = msgspec.field(default_factory=list)
    params: list[Pair] = msgspec.field(default_factory=list)
    tags: list[Pair] = msgspec.field(default_factory=list)


class DatasetIn(msgspec.Struct, kw_only=True):
    """A data set as a client describes it."""

    name: str = ""
    digest: str = ""
    source_type: str = ""
    source: str = ""
    schema: str | None = None
    profile: str | None = None


class InputIn(msgspec.Struct, kw_only=True):
    """A data set with what it was used for."""

    dataset: DatasetIn
    tags: list[Pair] = msgspec.field(default_factory=list)


class ModelIn(msgspec.Struct, kw_only=True):
    """A logged model that a run read or made."""

    model_id: str = ""
    step: Int64 | None = None


class LogInputs(OfRun, kw_only=True):
    """POST runs/log-inputs."""

    datasets: list[InputIn] = msgspec.field(default_factory=list)
    models: list[ModelIn] = msgspec.field(default_factory=list)


class LogOutputs(OfRun, kw_only=True):
    """POST runs/outputs."""

    models: list[ModelIn] = msgspec.field(default_factory=list)
    required: ClassVar[tuple[str, ...]] = ("run_id", "models")


class LogModel(OfRun, kw_only=True):
    """POST runs/log-model, of clients before 3.0."""

    model_json: str = ""
    required: ClassVar[tuple[str, ...]] = ("run_id", "model_json")


_STATUS_NUMBERS = {"1": "RUNNING", "2": "SCHEDULED", "3": "FINISHED", "4": "FAILED", "5": "KILLED"}
_HISTORY_TAG = "mlflow.log-model.history"


def create(connection: sa.Connection, request: Create, _caller: Caller) -> dict[str, Any]:
    """Start a run; without a name it gets one."""
    tags = {tag.key: tag.value for tag in request.tags}
    for place, key in enumerate(tags):
        check_key(key, f"tags[{place}].key")
    tagged = tags.get(NAME_TAG, "")
    if request.run_name and tagged and request.run_name != tagged:
        raise Invalid(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
            f"(run_name='{request.run_name}', mlflow.runName='{tagged}').",
            code="request.invalid_value",
        )
    name = request.run_name or tagged or new_run_name()
    run = Run(
        id=new_run_id(),
        experiment="",
        name=fit_tag(name),
        status="RUNNING",
        start_ms=request.start_time or now_ms(),
        user=request.user_id,
        commit=tags.get("mlflow.source.git.commit", "")[:64] or None,
        dirty_digest=tags.get("penstock.dirty_digest", "")[:64] or None,
        lock_digest=tags.get("penstock.lock_digest", "")[:64] or None,
        tags={**tags, NAME_TAG: name},
    )
    runs.start_run(connection, run, parse_experiment_id(request.experiment_id))
    shown = show_runs(connection, [run.id])[0]
    del shown["outputs"]
    return {"run": shown}


def get(connection: sa.Connection, request: OfRun, _caller: Caller) -> dict[str, Any]:
    """Show a run with everything that was logged to it."""
    found = show_runs(connection, [request.run_id])
    if not found:
        raise runs.no_run(request.run_id)
    return {"run": found[0]}


def update(connection: sa.Connection, request: Update, _caller: Caller) -> dict[str, Any]:
    """Change state, end or name."""
    status = None if request.status is None else str(request.status)
    runs.update_run(
        connection,
        request.run_id,
        status=_STATUS_NUMBERS.get(status, status) if status else None,
        end_ms=request.end_time,
        name=request.run_name,
    )
    return {"run_info": show_info(runs.get_row(connection, request.run_id))}


def delete(connection: sa.Connection, request: OfRun, _caller: Caller) -> dict[str, Any]:
    """Take away."""
    runs.delete_run(connection, request.run_id)
    return {}


def restore(connection: sa.Connection, request: OfRun, _caller: Caller) -> dict[str, Any]:
    """Bring back."""
    runs.restore_run(connection, request.run_id)
    return {}


def log_metric(connection: sa.Connection, request: LogMetric, _caller: Caller) -> dict[str, Any]:
    """Append one point."""
    point = _point(request, "")
    log_points(connection, runs.require_writable(connection, request.run_id), [point])
    return {}


def log_param(connection: sa.Connection, request: SetPair, _caller: Caller) -> dict[str, Any]:
    """Keep one parameter."""
    check_key(request.key)
    runs.require_writable(connection, request.run_id)
    log_params(connection, request.run_id, {request.key: request.value})
    return {}


def set_tag(connection: sa.Connection, request: SetPair, _caller: Caller) -> dict[str, Any]:
    """Set one tag."""
    check_key(request.key)
    runs.require_writable(connection, request.run_id)
    set_tags(connection, request.run_id, {request.key: request.value})
    return {}


def remove_tag(connection: sa.Connection, request: SetPair, _caller: Caller) -> dict[str, Any]:
    """Take one tag away."""
    runs.require_writable(connection, request.run_id)
    delete_tag(connection, request.run_id, request.key)
    return {}


def log_batch(connection: sa.Connection, request: LogBatch, _caller: Caller) -> dict[str, Any]:
    """Append points, parameters and tags: all or none."""
    counts = {name: len(getattr(request, name)) for name in MAX_BATCH}
    for name, limit in MAX_BATCH.items():
        _check_batch(name, counts[name], limit)
    _check_batch("metrics, params, and tags", sum(counts.values()), 1000)
    if (
        sum(len(pair.key) + len(pair.value) for pair in (*request.params, *request.tags))
        > MAX_BATCH_CHARACTERS
    ):
        raise Invalid(
            f"A batch logging request can contain at most {MAX_BATCH_CHARACTERS} characters of params and tags",
            code="request.too_many",
            hint="log them in several requests",
        )
    points = [_point(metric, f"metrics[{place}].") for place, metric in enumerate(request.metrics)]
    params = _pairs(request.params, "params")
    doubled = sorted({pair.key for pair in request.params if len(request.params) != len(params)})
    if doubled:
        keys = [pair.key for pair in request.params]
        doubled = [key for key in doubled if keys.count(key) > 1]
        raise Invalid(
            f"Duplicate parameter keys have been submitted: {doubled}. Please ensure the request contains only "
            "one param value per param key.",
            code="request.invalid_value",
        )
    run = runs.require_writable(connection, request.run_id)
    log_params(connection, run.id, params)
    log_points(connection, run, points)
    set_tags(connection, run.id, _pairs(request.tags, "tags"))
    return {}


def log_inputs(connection: sa.Connection, request: LogInputs, _caller: Caller) -> dict[str, Any]:
    """Link a run to what it read."""
    run = runs.require_writable(connection, request.run_id)
    inputs = [
        DatasetInput(
            Dataset(**msgspec.structs.asdict(one.dataset)), tuple((tag.key, tag.value) for tag in one.tags)
        )
        for one in request.datasets
    ]
    log_datasets(connection, run, inputs)
    link_models(connection, run.id, [ModelLink(model.model_id, "input") for model in request.models])
    return {}


def log_outputs(connection: sa.Connection, request: LogOutputs, _caller: Caller) -> dict[str, Any]:
    """Link a run to the models it made."""
    run = runs.require_writable(connection, request.run_id)
    links = [ModelLink(model.model_id, "output", model.step or 0) for model in request.models]
    link_models(connection, run.id, links)
    return {}


def log_model(connection: sa.Connection, request: LogModel, _caller: Caller) -> dict[str, Any]:
    """Add a model to the run's history tag, as clients before 3.0 expect."""
    try:
        model = msgspec.json.decode(request.model_json, type=dict[str, Any])
    except msgspec.DecodeError:
        raise Invalid(
            f"Malformed model info. \n {request.model_json[:500]} \n is not valid JSON.",
            code="request.invalid_value",
        ) from None
    missing = {"artifact_path", "flavors", "utc_time_created", "run_id"} - set(model)
    if missing:
        raise Invalid(f"Model json is missing mandatory fields: {missing}", code="request.invalid_value")
    runs.require_writable(connection, request.run_id)
    row = show_runs(connection, [request.run_id])[0]
    tags = {tag["key"]: tag["value"] for tag in row["data"].get("tags", [])}
    try:
        history = msgspec.json.decode(tags.get(_HISTORY_TAG, "[]"), type=list[msgspec.Raw])
    except msgspec.DecodeError:
        history = []  # a client wrote something else there, or an older program cut it
    whole = [*history, msgspec.json.encode(model)]
    joined = b"[" + b",".join(bytes(entry) for entry in whole) + b"]"
    set_tags(connection, request.run_id, {_HISTORY_TAG: joined.decode()})
    return {}


def _point(metric: LogMetric | Metric, path: str) -> MetricPoint:
    if not metric.key or metric.value is None or metric.timestamp is None:
        lacks = [name for name in ("key", "value", "timestamp") if getattr(metric, name) in (None, "")]
        raise missing_field(f"{path}{lacks[0]}")
    check_key(metric.key, f"{path}name")
    point = MetricPoint(
        metric.key,
        number_of(metric.value, f"{path}value"),
        metric.timestamp,
        metric.step,
        metric.model_id or None,
        metric.dataset_name or None,
        metric.dataset_digest or None,
    )
    check_point(point, path)
    return point


def _pairs(pairs: list[Pair], what: str) -> dict[str, str]:
    for place, pair in enumerate(pairs):
        if not pair.key:
            raise missing_field(f"{what}[{place}].key")
    return {check_key(pair.key, f"{what}[{place}].key"): pair.value for place, pair in enumerate(pairs)}


def _check_batch(name: str, count: int, limit: int) -> None:
    if count > limit:
        raise Invalid(
            f"A batch logging request can contain at most {limit} {name}. Got {count} {name}. Please split up "
            f"{name} across multiple requests and try again.",
            code="request.too_many",
        )


def _of_run(connection: sa.Connection, request: OfRun) -> list[str]:
    return [str(runs.get_row(connection, request.run_id).experiment_id)]


def _model_of_point(connection: sa.Connection, request: LogMetric) -> list[Also]:
    return touch_models(connection, [request.model_id], "writer")


def _models_of_points(connection: sa.Connection, request: LogBatch) -> list[Also]:
    return touch_models(connection, (metric.model_id for metric in request.metrics), "writer")


def _models_read(connection: sa.Connection, request: LogInputs) -> list[Also]:
    return touch_models(connection, (model.model_id for model in request.models), "reader")


def _models_made(connection: sa.Connection, request: LogOutputs) -> list[Also]:
    return touch_models(connection, (model.model_id for model in request.models), "writer")


def _of_experiment(_connection: sa.Connection, request: Create) -> list[str]:
    return [str(parse_experiment_id(request.experiment_id))]


_READ, _WRITE = Need("experiment", "reader", _of_run), Need("experiment", "writer", _of_run)
RUN_READ, RUN_WRITE = _READ, _WRITE
_POINT, _BATCH, _INPUTS, _OUTPUTS = (
    Need("experiment", "writer", _of_run, touched)
    for touched in (_model_of_point, _models_of_points, _models_read, _models_made)
)
ENDPOINTS = (
    Endpoint("POST", "runs/create", Create, Need("experiment", "writer", _of_experiment), "writes", create),
    Endpoint("GET", "runs/get", OfRun, _READ, "reads", get),
    Endpoint("POST", "runs/update", Update, _WRITE, "writes", update),
    Endpoint("POST", "runs/delete", OfRun, _WRITE, "writes", delete),
    Endpoint("POST", "runs/restore", OfRun, _WRITE, "writes", restore),
    Endpoint("POST", "runs/log-metric", LogMetric, _POINT, "writes", log_metric),
    Endpoint("POST", "runs/log-parameter", SetPair, _WRITE, "writes", log_param),
    Endpoint("POST", "runs/log-batch", LogBatch, _BATCH, "writes", log_batch, MAX_BATCH_BYTES),
    Endpoint("POST", "runs/set-tag", SetPair, _WRITE, "writes", set_tag),
    Endpoint("POST", "runs/delete-tag", SetPair, _WRITE, "writes", remove_tag),
    Endpoint("POST", "runs/log-inputs", LogInputs, _INPUTS, "writes", log_inputs),
    Endpoint("POST", "runs/outputs", LogOutputs, _OUTPUTS, "writes", log_outputs),
    Endpoint("POST", "runs/log-model", LogModel, _WRITE, "writes", log_model),
)
