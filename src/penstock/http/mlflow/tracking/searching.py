"""The search for runs on MLflow's wire, and for the data sets that they used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import msgspec
import sqlalchemy as sa

from penstock.http.caller import Caller
from penstock.http.mlflow.dispatch import Endpoint, Need
from penstock.http.mlflow.paging import after_of, page_behind
from penstock.http.mlflow.tracking.view import show_runs
from penstock.http.mlflow.wire import Int64, Request, given
from penstock.records.limits import invalid_value
from penstock.tracking.datasets import list_dataset_names
from penstock.tracking.experiments import parse_experiment_id
from penstock.tracking.search import MAX_RESULTS, RunSearch, View, check_max_results, run_cursor, search_runs


class Search(Request, kw_only=True):
    """POST runs/search."""

    experiment_ids: list[str] = msgspec.field(default_factory=list)
    filter: str = ""
    run_view_type: str | int = "ACTIVE_ONLY"
    max_results: Int64 = 1000
    order_by: list[str] = msgspec.field(default_factory=list)
    page_token: str = ""


class Datasets(Request, kw_only=True):
    """POST experiments/search-datasets."""

    experiment_ids: list[str] = msgspec.field(default_factory=list)
    required: ClassVar[tuple[str, ...]] = ("experiment_ids",)


def search(connection: sa.Connection, request: Search, caller: Caller) -> dict[str, Any]:
    """Return runs that match."""
    if request.max_results > MAX_RESULTS:
        raise invalid_value("max_results", request.max_results, f"must be at most {MAX_RESULTS}")
    limit = check_max_results(request.max_results, MAX_RESULTS)
    numbers = [parse_experiment_id(text) for text in request.experiment_ids]
    numbers = [number for number in numbers if caller.may(connection, "experiment", str(number))]
    wanted = RunSearch(
        sorted(set(numbers)),
        request.filter,
        request.order_by,
        View.parse(str(request.run_view_type)),
        limit + 1,
    )
    order = [*request.order_by, wanted.metric is not None]
    wanted = replace(wanted, after=after_of(request.page_token, order))
    found = search_runs(connection, wanted)
    answer = page_behind("runs", found, limit, order, lambda run_id: run_cursor(connection, wanted, run_id))
    return {**answer, "runs": show_runs(connection, answer["runs"])} if found else {}


def dataset_names(connection: sa.Connection, request: Datasets, caller: Caller) -> dict[str, Any]:
    """Return which data sets the runs of experiments used."""
    numbers = [parse_experiment_id(text) for text in request.experiment_ids]
    numbers = [number for number in numbers if caller.may(connection, "experiment", str(number))]
    return given(
        dataset_summaries=[
            given(
                experiment_id=str(row["experiment_id"]),
                name=row["name"],
                digest=row["digest"],
                context=row["context"],
            )
            for row in list_dataset_names(connection, numbers)
        ]
    )


_LIST = Need("experiment", "reader")
ENDPOINTS = (
    Endpoint("POST", "runs/search", Search, _LIST, "reads", search),
    Endpoint("POST", "experiments/search-datasets", Datasets, _LIST, "reads", dataset_names),
)
