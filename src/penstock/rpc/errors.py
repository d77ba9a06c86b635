"""The one table that turns causes into gRPC's status codes. What is the case stands in the trailing metadata."""

from __future__ import annotations

import logging
from typing import Any

import grpc

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
Code = grpc.StatusCode
STATUSES: tuple[tuple[type[PenstockError], Any], ...] = (
    (NotFound, Code.NOT_FOUND),
    (Invalid, Code.INVALID_ARGUMENT),
    (Conflict, Code.ABORTED),
    (Denied, Code.PERMISSION_DENIED),
    (Refused, Code.FAILED_PRECONDITION),
    (Unavailable, Code.UNAVAILABLE),
    (Corrupt, Code.DATA_LOSS),
)
CODES: dict[str, Any] = {
    "serving.overloaded": Code.RESOURCE_EXHAUSTED,
    "serving.rate_exceeded": Code.RESOURCE_EXHAUSTED,
    "serving.deadline": Code.DEADLINE_EXCEEDED,
    "auth.required": Code.UNAUTHENTICATED,
    "auth.wrong": Code.UNAUTHENTICATED,
    "auth.expired": Code.UNAUTHENTICATED,
}
"""Cases whose status is more exact than their cause's."""
CODE_KEY, HINT_KEY = "penstock-error-code", "penstock-error-hint-bin"
SENTENCE_CHARACTERS = 2000
"""Longer ones do not pass: a status travels in a header."""


def status_of(error: PenstockError) -> Any:
    """Return the status of an error; what has no cause is the server's own fault."""
    if error.code in CODES:
        return CODES[error.code]
    return next((status for cause, status in STATUSES if isinstance(error, cause)), Code.INTERNAL)


def metadata_of(error: PenstockError) -> tuple[tuple[str, str | bytes], ...]:
    """Return the trailing metadata of an error: its code, and what to try next."""
    found: list[tuple[str, str | bytes]] = [(CODE_KEY, error.code)]
    if error.hint:
        found.append((HINT_KEY, error.hint[:SENTENCE_CHARACTERS].encode()))
    return tuple(found)


def as_error(problem: Exception, method: str) -> PenstockError:
    """Return a problem as an error of the tree; a defect of this program is logged, and its insides not told.

    Nor is where the store lies.
    """
    if isinstance(problem, PenstockError):
        return told_outside(problem)
    logger.error("%s failed", method, exc_info=problem)
    return PenstockError("the server failed on this request; its log says why", code="grpc.defect")
