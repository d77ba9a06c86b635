"""Experiments on MLflow's wire."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import sqlalchemy as sa

from penstock.http.caller import Caller
from penstock.http.mlflow.dispatch import Endpoint, Need
from penstock.http.mlflow.files.places import experiment_root, parse_location
from penstock.http.mlflow.paging import after_of, page_behind
from penstock.http.mlflow.wire import Int64, Request, given
from penstock.tracking import experiments
from penstock.tracking.entities import Experiment
from penstock.tracking.experiments import parse_experiment_id
from penstock.tracking.search import (
    MAX_RESULTS,
    ExperimentSearch,
    View,
    check_max_results,
    experiment_cursor,
    search_experiments,
)
from penstock.tracking.tables import experiments as experiment_rows


class Pair(msgspec.Struct):
    """A key with its value."""

    key: str = ""
    value: str = ""


class Create(Request, kw_only=True):
    """POST experiments/create."""

    name: str = ""
    artifact_location: str | None = None
    tags: list[Pair] = msgspec.field(default_factory=list)
    required: ClassVar[tuple[str, ...]] = ("name",)


class One(Request, kw_only=True):
    """A request about one experiment."""

    experiment_id: str = ""
    required: ClassVar[tuple[str, ...]] = ("experiment_id",)


class ByName(Request, kw_only=True):
    """GET experiments/get-by-name."""

    experiment_name: str = ""
    required: ClassVar[tuple[str, ...]] = ("experiment_name",)


class Rename(One, kw_only=True):
    """POST experiments/update."""

    new_name: str = ""
    required: ClassVar[tuple[str, ...]] = ("experiment_id", "new_name")


class SetTag(One, kw_only=True):
    """POST experiments/set-experiment-tag."""

    key: str = ""
    value: str = ""
    required: ClassVar[tuple[str, ...]] = ("experiment_id", "key")


class DeleteTag(One, kw_only=True):
    """POST experiments/delete-experiment-tag."""

    key: str = ""
    required: ClassVar[tuple[str, ...]] = ("experiment_id", "key")


class Search(Request, kw_only=True):
    """POST or GET experiments/search."""

    max_results: Int64 | None = None
    view_type: str = "ACTIVE_ONLY"
    filter: str = ""
    order_by: list[str] = msgspec.field(default_factory=list)
    page_token: str = ""


def show(experiment: Experiment) -> dict[str, Any]:
    """Return an experiment as the wire has it."""
    return given(
        experiment_id=str(experiment.id),
        name=experiment.name,
        artifact_location=experiment_root(experiment.id, experiment.artifact_uri),
        lifecycle_stage="active" if experiment.deleted_ms is None else "deleted",
        last_update_time=experiment.updated_ms,
        creation_time=experiment.created_ms,
        tags=[{"key": key, "value": value} for key, value in experiment.tags.items()],
        workspace="default",
    )


def create(connection: sa.Connection, request: Create, caller: Caller) -> dict[str, Any]:
    """Make an experiment."""
    tags = {tag.key: tag.value for tag in request.tags}
    location = parse_location(request.artifact_location)
    number = str(experiments.create_experiment(connection, request.name, location, tags))
    caller.own(connection, "experiment", number)
    return {"experiment_id": number}


def get(connection: sa.Connection, request: One, _caller: Caller) -> dict[str, Any]:
    """Show an experiment."""
    found = experiments.get_experiment(connection, parse_experiment_id(request.experiment_id))
    return {"experiment": show(found)}


def get_by_name(connection: sa.Connection, request: ByName, _caller: Caller) -> dict[str, Any]:
    """Show the experiment of a name."""
    return {"experiment": show(experiments.get_by_name(connection, request.experiment_name))}


def search(connection: sa.Connection, request: Search, caller: Caller) -> dict[str, Any]:
    """List experiments."""
    limit = check_max_results(request.max_results, MAX_RESULTS)
    wanted = ExperimentSearch(
        request.filter,
        request.order_by,
        View.parse(request.view_type),
        limit + 1,
        after_of(request.page_token, request.order_by),
        caller.visible(connection, "experiment", sa.cast(experiment_rows.c.id, sa.String)),
    )
    page = page_behind(
        "experiments",
        search_experiments(connection, wanted),
        limit,
        request.order_by,
        lambda one: experiment_cursor(connection, wanted, one.id),
    )
    if page:
        page["experiments"] = [show(one) for one in page["experiments"]]
    return page


def rename(connection: sa.Connection, request: Rename, _caller: Caller) -> dict[str, Any]:
    """Give another name."""
    experiments.rename_experiment(connection, parse_experiment_id(request.experiment_id), request.new_name)
    return {}


def delete(connection: sa.Connection, request: One, _caller: Caller) -> dict[str, Any]:
    """Take away."""
    experiments.delete_experiment(connection, parse_experiment_id(request.experiment_id))
    return {}


def restore(connection: sa.Connection, request: One, _caller: Caller) -> dict[str, Any]:
    """Bring back."""
    experiments.restore_experiment(connection, parse_experiment_id(request.experiment_id))
    return {}


def set_tag(connection: sa.Connection, request: SetTag, _caller: Caller) -> dict[str, Any]:
    """Set a tag."""
    number = parse_experiment_id(request.experiment_id)
    experiments.set_experiment_tag(connection, number, request.key, request.value)
    return {}


def delete_tag(connection: sa.Connection, request: DeleteTag, _caller: Caller) -> dict[str, Any]:
    """Take a tag away."""
    experiments.delete_experiment_tag(connection, parse_experiment_id(request.experiment_id), request.key)
    return {}


def _this(_connection: sa.Connection, request: One) -> list[str]:
    return [str(parse_experiment_id(request.experiment_id))]


def _named(connection: sa.Connection, request: ByName) -> list[str]:
    return [str(experiments.get_by_name(connection, request.experiment_name).id)]


_READ, _WRITE = Need("experiment", "reader", _this), Need("experiment", "writer", _this)
_LIST, _MAKE = Need("experiment", "reader"), Need("server", "writer")
_ADMIN = Need("experiment", "admin", _this)
ENDPOINTS = (
    Endpoint("POST", "experiments/create", Create, _MAKE, "writes", create),
    Endpoint("GET", "experiments/get", One, _READ, "reads", get),
    Endpoint(
        "GET", "experiments/get-by-name", ByName, Need("experiment", "reader", _named), "reads", get_by_name
    ),
    Endpoint("POST", "experiments/search", Search, _LIST, "reads", search),
    Endpoint("GET", "experiments/search", Search, _LIST, "reads", search),
    Endpoint("POST", "experiments/update", Rename, _WRITE, "writes", rename),
    Endpoint("POST", "experiments/delete", One, _ADMIN, "writes", delete),
    Endpoint("POST", "experiments/restore", One, _ADMIN, "writes", restore),
    Endpoint("POST", "experiments/set-experiment-tag", SetTag, _WRITE, "writes", set_tag),
    Endpoint("POST", "experiments/delete-experiment-tag", DeleteTag, _WRITE, "writes", delete_tag),
)
