"""Errors in MLflow's form: `{"error_code": …, "message": …}`.

The status is the one of `penstock.http.errors`, except where MLflow's clients expect another.

Source: mlflow/mlflow, mlflow/exceptions.py, `ERROR_CODE_TO_HTTP_STATUS`.
"""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus

from starlette.responses import Response

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
from penstock.base.store.outside import told_outside
from penstock.http.errors import error_response, json_response, status_of, waiting_of

CAUSES: tuple[tuple[type[PenstockError], str], ...] = (
    (NotFound, "RESOURCE_DOES_NOT_EXIST"),
    (Invalid, "INVALID_PARAMETER_VALUE"),
    (Conflict, "RESOURCE_CONFLICT"),
    (Denied, "PERMISSION_DENIED"),
    (Refused, "PERMISSION_DENIED"),
    (Unavailable, "TEMPORARILY_UNAVAILABLE"),
    (Corrupt, "DATA_LOSS"),
)
CASES: dict[str, tuple[str, HTTPStatus]] = {
    "http.not_implemented": ("NOT_IMPLEMENTED", HTTPStatus.NOT_IMPLEMENTED),
    "http.no_endpoint": ("ENDPOINT_NOT_FOUND", HTTPStatus.NOT_FOUND),
    "http.wrong_method": ("ENDPOINT_NOT_FOUND", HTTPStatus.METHOD_NOT_ALLOWED),
    "http.defect": ("INTERNAL_ERROR", HTTPStatus.INTERNAL_SERVER_ERROR),
    "auth.required": ("UNAUTHENTICATED", HTTPStatus.UNAUTHORIZED),
    "auth.wrong": ("UNAUTHENTICATED", HTTPStatus.UNAUTHORIZED),
    "auth.expired": ("UNAUTHENTICATED", HTTPStatus.UNAUTHORIZED),
}
"""Cases that say more than their cause."""
WORDS = (
    ("registry.no_version", "Model Version (name={model}, version={version}) not found"),
    ("registry.no_model", "Registered Model with name={model} not found"),
    ("tracking.no_run", "Run with id={run} not found"),
    ("tracking.no_experiment", "No Experiment with id={experiment} exists"),
    ("tracking.no_experiment", "Could not find experiment with name '{name}'"),
)
"""What MLflow's server says, which its clients may look for, of errors by code that have the fields named."""
PATHS = ("/api/2.0", "/api/3.0", "/ajax-api/", "/v1/traces", "/graphql")
"""Where MLflow's clients call, who read nothing but `error_code` and `message` of an error."""


def response_for(path: str, error: PenstockError) -> Response:
    """Return the response that tells of an error at a path, in the form that its callers read."""
    return mlflow_error_response(error) if path.startswith(PATHS) else error_response(error)


def error_code_of(error: PenstockError) -> str:
    """Return MLflow's name of an error; what has no cause is the server's own fault.

    Example:
        >>> error_code_of(Conflict("it is there", code="tracking.experiment.exists"))
        'RESOURCE_ALREADY_EXISTS'
    """
    if error.code in CASES:
        return CASES[error.code][0]
    if error.code.endswith(".exists"):
        return "RESOURCE_ALREADY_EXISTS"
    return next((name for cause, name in CAUSES if isinstance(error, cause)), "INTERNAL_ERROR")


def mlflow_status_of(error: PenstockError) -> int:
    """Return the status that MLflow's clients expect with an error."""
    if error.code in CASES:
        return CASES[error.code][1]
    if error.code.endswith(".exists"):
        return HTTPStatus.BAD_REQUEST
    return status_of(error)


def _told_by_mlflow(error: PenstockError) -> str:
    for code, theirs in WORDS:
        with suppress(KeyError):
            if code == error.code:
                return theirs.format_map(error.fields)
    return error.message


def mlflow_error_response(error: PenstockError) -> Response:
    """Return the response that tells of an error; the hint is a field MLflow's clients do not read."""
    error = told_outside(error)
    body = {"error_code": error_code_of(error), "message": _told_by_mlflow(error)}
    if error.hint:
        body["hint"] = error.hint
    return json_response(body, mlflow_status_of(error), waiting_of(error))
