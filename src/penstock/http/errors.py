"""The one table that turns causes into HTTP statuses, and the body every error has.

Bodies are `{"error": sentence, "code": stable name, "hint": next step}`; Open Inference clients read
`error` only.
"""

from __future__ import annotations

import logging
import re
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
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

logger = logging.getLogger(__name__)
STATUSES: tuple[tuple[type[PenstockError], HTTPStatus], ...] = (
    (NotFound, HTTPStatus.NOT_FOUND),
    (Invalid, HTTPStatus.BAD_REQUEST),
    (Conflict, HTTPStatus.CONFLICT),
    (Denied, HTTPStatus.FORBIDDEN),
    (Refused, HTTPStatus.FORBIDDEN),
    (Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (Corrupt, HTTPStatus.INTERNAL_SERVER_ERROR),
)
CODES: dict[str, HTTPStatus] = {
    "http.body_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "scoring.content_type": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "http.unknown_encoding": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "serving.overloaded": HTTPStatus.TOO_MANY_REQUESTS,
    "serving.rate_exceeded": HTTPStatus.TOO_MANY_REQUESTS,
    "serving.deadline": HTTPStatus.GATEWAY_TIMEOUT,
    "auth.required": HTTPStatus.UNAUTHORIZED,
    "auth.wrong": HTTPStatus.UNAUTHORIZED,
    "auth.expired": HTTPStatus.UNAUTHORIZED,
}
"""Cases whose status is more exact than their cause's."""


def status_of(error: PenstockError) -> HTTPStatus:
    """Return the status of an error; what has no cause is the server's own fault."""
    if error.code in CODES:
        return CODES[error.code]
    return next(
        (status for cause, status in STATUSES if isinstance(error, cause)), HTTPStatus.INTERNAL_SERVER_ERROR
    )


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a value as a JSON response."""
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def error_response(error: PenstockError) -> Response:
    """Return the response that tells of an error."""
    error = told_outside(error)
    body = {"error": error.message, "code": error.code}
    if error.hint:
        body["hint"] = error.hint
    return json_response(body, status_of(error), waiting_of(error))


def waiting_of(error: PenstockError) -> dict[str, str]:
    """Return the header that says when to ask again, where an error says so."""
    wait_s = error.fields.get("retry_after_s")
    return {} if wait_s is None else {"Retry-After": str(wait_s)}


def without_folders(message: str) -> str:
    """Return a message with files named without their folders: callers need not know where things lie here.

    Example:
        >>> without_folders("/srv/p/models/ab/MLmodel cannot be used, s3://b/k/f can")
        'MLmodel cannot be used, s3://b/k/f can'
    """
    return _FOLDERS.sub("", message)


async def answer_penstock_error(_request: Request, error: Exception) -> Response:
    """Answer an error of the tree."""
    if not isinstance(error, PenstockError):
        raise error
    return error_response(error)


async def answer_http_exception(_request: Request, error: Exception) -> Response:
    """Answer what the router refuses: an unknown path or a wrong method."""
    if not isinstance(error, HTTPException):
        raise error
    body = {"error": error.detail, "code": f"http.{error.status_code}"}
    return json_response(body, error.status_code, dict(error.headers or {}))


async def answer_defect(request: Request, error: Exception) -> Response:
    """Answer a defect of this program without telling its insides; the log has them."""
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return defect_response()


def defect_response() -> Response:
    """Return the response to who met a defect of this program."""
    return json_response(
        {"error": "the server failed on this request; its log says why", "code": "http.defect"}, 500
    )


_FOLDERS = re.compile(r"(?<![\w:/.])/(?:[^\s'\"/]+/)+")
EXCEPTION_HANDLERS: dict[Any, Any] = {
    PenstockError: answer_penstock_error,
    HTTPException: answer_http_exception,
    Exception: answer_defect,
}
