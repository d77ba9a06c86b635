from __future__ import annotations

import pytest

from penstock.base import errors
from penstock.http.errors import STATUSES, status_of


def test_every_cause_has_a_status() -> None:
    causes = [
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.PenstockError) and one is not errors.PenstockError
    ]
    table = tuple(cause for cause, _ in STATUSES)
    assert all(issubclass(cause, table) for cause in causes)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.NotFound("x", code="a.b"), 404),
        (errors.Invalid("x", code="a.b"), 400),
        (errors.Conflict("x", code="a.b"), 409),
        (errors.Refused("x", code="a.b"), 403),
        (errors.Unavailable("x", code="a.b"), 503),
        (errors.Corrupt("x", code="a.b"), 500),
        (errors.PenstockError("x", code="a.b"), 500),
        (errors.Invalid("x", code="http.body_too_large"), 413),
    ],
)
def test_a_cause_decides_the_status(error: errors.PenstockError, status: int) -> None:
    assert status_of(error) == status
