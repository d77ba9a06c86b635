"""Causes as MLflow's clients read them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from penstock.base.errors import (
    Conflict,
    Corrupt,
    Denied,
    Invalid,
    NotFound,
    PenstockError,
    Refused,
    Unavailable,
)
from penstock.base.store.database import connect
from penstock.base.store.migrate import upgrade
from penstock.http.mlflow.errors import mlflow_error_response
from penstock.registry.models import create_model, get_model
from penstock.registry.versions import get_version
from penstock.tracking.experiments import get_by_name, get_experiment
from penstock.tracking.runs import get_run
from tables import table

CASES = [
    (NotFound, "tracking.no_run", "RESOURCE_DOES_NOT_EXIST", 404),
    (Invalid, "tracking.bad_name", "INVALID_PARAMETER_VALUE", 400),
    (Invalid, "http.body_too_large", "INVALID_PARAMETER_VALUE", 413),
    (Conflict, "tracking.changed", "RESOURCE_CONFLICT", 409),
    (Conflict, "registry.model.exists", "RESOURCE_ALREADY_EXISTS", 400),
    (Denied, "access.denied", "PERMISSION_DENIED", 403),
    (Denied, "auth.required", "UNAUTHENTICATED", 401),
    (Refused, "registry.gate", "PERMISSION_DENIED", 403),
    (Refused, "http.not_implemented", "NOT_IMPLEMENTED", 501),
    (Unavailable, "storage.io", "TEMPORARILY_UNAVAILABLE", 503),
    (Corrupt, "storage.artifact_corrupt", "DATA_LOSS", 500),
    (PenstockError, "x.y", "INTERNAL_ERROR", 500),
]


@table(("cause", "code", "name", "status"), CASES)
def test_a_cause_has_its_name_and_status(
    cause: type[PenstockError], code: str, name: str, status: int
) -> None:
    response = mlflow_error_response(cause("a sentence", code=code, hint="a step"))
    assert response.status_code == status
    assert json.loads(bytes(response.body)) == {
        "error_code": name,
        "message": "a sentence",
        "hint": "a step",
    }


def test_what_is_not_there_is_told_in_mlflow_s_words_and_elsewhere_in_ours(tmp_path: Path) -> None:
    store = connect(f"sqlite:///{tmp_path / 'store.db'}")
    upgrade(store)
    with store.write() as writer:
        create_model(writer, "m", "me")
    asked: list[tuple[Callable[[sa.Connection], object], str, str]] = [
        (
            lambda one: get_version(one, "m", 7),
            "no model version m/7",
            "Model Version (name=m, version=7) not found",
        ),
        (lambda one: get_model(one, "m{x}"), "no model m{x}", "Registered Model with name=m{x} not found"),
        (lambda one: get_run(one, "f" * 32), f"no run '{'f' * 32}'", f"Run with id={'f' * 32} not found"),
        (lambda one: get_experiment(one, 9), "no experiment 9", "No Experiment with id=9 exists"),
        (lambda one: get_by_name(one, "e"), "no experiment 'e'", "Could not find experiment with name 'e'"),
    ]
    for ask, ours, theirs in asked:
        with store.read() as reader, pytest.raises(NotFound) as caught:
            ask(reader)
        assert caught.value.message == f"there is {ours}"
        body = json.loads(bytes(mlflow_error_response(caught.value).body))
        assert (body["error_code"], body["message"]) == ("RESOURCE_DOES_NOT_EXIST", theirs)
    store.close()
