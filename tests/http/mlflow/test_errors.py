"""Causes as MLflow's clients read them."""

from __future__ import annotations

import json

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
from penstock.http.mlflow.errors import mlflow_error_response
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
