"""The names that a server may be called by."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from penstock.http.hosts import HostCheck


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("a.corp.example", 404),
        ("A.B.Corp.Example.:5000", 404),
        ("one.example", 404),
        ("corp.example", 403),
        ("evilcorp.example", 403),
        ("corp.example.evil.org", 403),
    ],
)
def test_an_ending_allows_what_is_below_it(host: str, status: int) -> None:
    allowed = ("*.corp.example", "one.example")
    app = Starlette(middleware=[Middleware(HostCheck, allowed=allowed)])
    assert TestClient(app).get("/", headers={"Host": host}).status_code == status


def test_a_refusal_below_mlflows_prefixes_has_its_form() -> None:
    app = Starlette(middleware=[Middleware(HostCheck)])
    answer = TestClient(app).get("/api/2.0/mlflow/runs/get", headers={"Host": "evil.example"})
    assert answer.status_code == 403
    assert answer.json()["error_code"] == "PERMISSION_DENIED"


def test_several_hosts_name_nobody() -> None:
    app = Starlette(middleware=[Middleware(HostCheck)])
    answer = TestClient(app).get("/", headers=[("Host", "localhost"), ("Host", "localhost")])
    assert (answer.status_code, answer.json()["code"]) == (400, "http.several_hosts")
