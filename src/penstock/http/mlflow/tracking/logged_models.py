"""Logged models on MLflow's wire."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.http.caller import Caller
from penstock.http.mlflow.dispatch import Also, Endpoint, Need
from penstock.http.mlflow.files.places import model_root
from penstock.http.mlflow.needs import touch_runs
from penstock.http.mlflow.paging import after_of, page_behind
from penstock.http.mlflow.tracking.experiments import Pair
from penstock.http.mlflow.wire import Int64, Request, given, number_out
from penstock.records.limits import check_key
from penstock.records.search.grammar import parse_order_field
from penstock.tracking import logged_models as models
from penstock.tracking.entities import LoggedModel
from penstock.tracking.experiments import parse_experiment_id
from penstock.tracking.model_search import DatasetName, ModelOrder, ModelSearch, model_cursor, search_models
from penstock.tracking.search import check_max_results
from penstock.tracking.tables import logged_model_params, logged_model_tags
from penstock.tracking.values import list_pairs

MAX_RESULTS = 1000


class Create(Request, kw_only=True):
    """POST logged-models."""

    experiment_id: str = "0"
    name: str = ""
    model_type: str = ""
    source_run_id: str = ""
    params: list[Pair] = msgspec.field(default_factory=list)
    tags: list[Pair] = msgspec.field(default_factory=list)


class One(Request, kw_only=True):
    """A request about one logged model."""

    model_id: str = ""
    required: ClassVar[tuple[str, ...]] = ("model_id",)


class Finish(One, kw_only=True):
    """PATCH logged-models/{model_id}."""

    status: str | int | None = None


class SetTags(One, kw_only=True):
    """PATCH logged-models/{model_id}/tags."""

    tags: list[Pair] = msgspec.field(default_factory=list)


class DeleteTag(One, kw_only=True):
    """DELETE logged-models/{model_id}/tags/{tag_key}."""

    tag_key: str = ""


class LogParams(One, kw_only=True):
    """POST logged-models/{model_id}/params."""

    params: list[Pair] = msgspec.field(default_factory=list)


class DatasetIn(msgspec.Struct, kw_only=True):
    """A data set that narrows metrics."""

    dataset_name: str = ""
    dataset_digest: str | None = None


class OrderIn(msgspec.Struct, kw_only=True):
    """One key of the order."""

    field_name: str = ""
    ascending: bool = True
    dataset_name: str | None = None
    dataset_digest: str | None = None


class Search(Request, kw_only=True):
    """POST logged-models/search."""

    experiment_ids: list[str] = msgspec.field(default_factory=list)
    filter: str = ""
    datasets: list[DatasetIn] = msgspec.field(default_factory=list)
    max_results: Int64 = 50
    order_by: list[OrderIn] = msgspec.field(default_factory=list)
    page_token: str = ""


def show(connection: sa.Connection, found: list[LoggedModel]) -> list[dict[str, Any]]:
    """Return logged models as the wire has them."""
    ids = [model.id for model in found]
    params, tags = (list_pairs(connection, table, ids) for table in (logged_model_params, logged_model_tags))
    metrics = models.list_model_metrics(connection, ids)
    return [
        {
            "info": given(
                model_id=model.id,
                experiment_id=str(model.experiment_id),
                name=model.name,
                creation_timestamp_ms=model.created_ms,
                last_updated_timestamp_ms=model.updated_ms,
                artifact_uri=model_root(
                    model.experiment_id, model.experiment_artifact_uri, model.id, model.artifact_uri
                ),
                status=model.status,
                model_type=model.model_type,
                source_run_id=model.source_run_id,
                status_message=model.status_message,
                tags=_pairs(tags.get(model.id)),
            ),
            "data": given(
                params=_pairs(params.get(model.id)),
                metrics=[_metric(row) for row in metrics.get(model.id, ())],
            ),
        }
        for model in found
    ]


def create(connection: sa.Connection, request: Create, _caller: Caller) -> dict[str, Any]:
    """Announce a model whose files will follow."""
    model_id = models.new_model_id()
    time_ms = now_ms()
    models.create_model(
        connection,
        LoggedModel(
            id=model_id,
            experiment_id=parse_experiment_id(request.experiment_id),
            name=request.name or f"model-{model_id[2:10]}",
            status=models.PENDING,
            created_ms=time_ms,
            updated_ms=time_ms,
            model_type=request.model_type,
            source_run_id=request.source_run_id,
        ),
    )
    models.log_model_params(connection, model_id, {pair.key: pair.value for pair in request.params})
    models.set_model_tags(connection, model_id, {check_key(pair.key): pair.value for pair in request.tags})
    return _answer(connection, model_id)


def get(connection: sa.Connection, request: One, _caller: Caller) -> dict[str, Any]:
    """Show a model."""
    return _answer(connection, request.model_id)


def finish(connection: sa.Connection, request: Finish, _caller: Caller) -> dict[str, Any]:
    """Say that the files are there, or that they could not be uploaded."""
    models.finish_model(connection, request.model_id, request.status)
    return _answer(connection, request.model_id)


def delete(connection: sa.Connection, request: One, _caller: Caller) -> dict[str, Any]:
    """Take away."""
    models.delete_model(connection, request.model_id)
    return {}


def set_tags(connection: sa.Connection, request: SetTags, _caller: Caller) -> dict[str, Any]:
    """Set tags."""
    models.set_model_tags(
        connection, request.model_id, {check_key(pair.key): pair.value for pair in request.tags}
    )
    return {}


def delete_tag(connection: sa.Connection, request: DeleteTag, _caller: Caller) -> dict[str, Any]:
    """Take a tag away."""
    models.delete_model_tag(connection, request.model_id, request.tag_key)
    return {}


def log_params(connection: sa.Connection, request: LogParams, _caller: Caller) -> dict[str, Any]:
    """Add parameters."""
    models.log_model_params(connection, request.model_id, {pair.key: pair.value for pair in request.params})
    return {}


def search(connection: sa.Connection, request: Search, caller: Caller) -> dict[str, Any]:
    """Return models that match."""
    limit = check_max_results(request.max_results, MAX_RESULTS)
    after = after_of(request.page_token, request.order_by)
    numbers = [parse_experiment_id(text) for text in request.experiment_ids]
    numbers = [number for number in numbers if caller.may(connection, "experiment", str(number))]
    wanted = ModelSearch(
        numbers,
        request.filter,
        [DatasetName(one.dataset_name, one.dataset_digest) for one in request.datasets],
        [_order(one) for one in request.order_by],
        limit + 1,
        after,
    )
    page = page_behind(
        "models",
        search_models(connection, wanted),
        limit,
        request.order_by,
        lambda model: model_cursor(connection, wanted, model.id),
    )
    return {**page, "models": show(connection, page["models"])} if page else {}


def _order(one: OrderIn) -> ModelOrder:
    dataset = DatasetName(one.dataset_name, one.dataset_digest) if one.dataset_name else None
    return ModelOrder(parse_order_field(one.field_name, one.ascending), dataset)


def _answer(connection: sa.Connection, model_id: str) -> dict[str, Any]:
    return {"model": show(connection, [models.get_model(connection, model_id)])[0]}


def _metric(row: Any) -> dict[str, Any]:
    return given(
        key=row.key,
        value=number_out(row.value, row.is_nan),
        timestamp=row.time_ms,
        step=row.step,
        dataset_name=row.dataset_name or None,
        dataset_digest=row.dataset_digest or None,
        model_id=row.model_id,
        run_id=row.run_id,
    )


def _pairs(pairs: dict[str, str] | None) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in (pairs or {}).items()]


def _experiment(_connection: sa.Connection, request: Create) -> list[str]:
    return [str(parse_experiment_id(request.experiment_id))]


def _source_run(connection: sa.Connection, request: Create) -> list[Also]:
    """A model that says it comes from a run is later found by that run's name, so the run must be the caller's."""
    return touch_runs(connection, [request.source_run_id or ""], "writer")


def _this(connection: sa.Connection, request: One) -> list[str]:
    return [str(models.get_model(connection, request.model_id).experiment_id)]


_READ, _WRITE = Need("experiment", "reader", _this), Need("experiment", "writer", _this)
MODEL_READ, _MAKE = _READ, Need("experiment", "writer", _experiment, _source_run)
_ID = "logged-models/{model_id}"
ENDPOINTS = (
    Endpoint("POST", "logged-models", Create, _MAKE, "writes", create),
    Endpoint("POST", "logged-models/search", Search, Need("experiment", "reader"), "reads", search),
    Endpoint("GET", _ID, One, _READ, "reads", get),
    Endpoint("PATCH", _ID, Finish, _WRITE, "writes", finish),
    Endpoint("DELETE", _ID, One, _WRITE, "writes", delete),
    Endpoint("PATCH", f"{_ID}/tags", SetTags, _WRITE, "writes", set_tags),
    Endpoint("DELETE", f"{_ID}/tags/{{tag_key:path}}", DeleteTag, _WRITE, "writes", delete_tag),
    Endpoint("POST", f"{_ID}/params", LogParams, _WRITE, "writes", log_params),
)
