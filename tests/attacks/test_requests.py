"""Hostile and broken requests to the tracking server: each is answered with a 4xx, and nothing is changed."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from patience import PATIENCE_S
from servers.tracking import Tracking, run_tracking
from tables import table

PREFIXES = ("/api/2.0/mlflow/", "/ajax-api/2.0/mlflow/")
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracking]:
    with run_tracking(tmp_path_factory.mktemp("attacked")) as running:
        yield running


@pytest.fixture(scope="module")
def run(server: Tracking) -> str:
    made = send(server, "POST", f"{PREFIXES[0]}runs/create", {"experiment_id": "0", "start_time": 1})
    return str(made[1]["run"]["info"]["run_id"])


def send(
    server: Tracking, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    connection.request(method, path, data, JSON if headers is None else headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text[:1] == b"{" else text


@table("prefix", PREFIXES)
@table(
    "body",
    [
        b'{"run_id": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"run_id": "R", "key": "m", "value": [1], "timestamp": 1}',
        b'{"run_id": "R", "key": "m", "value": {"a": 1}, "timestamp": 1}',
        b'{"run_id": "R", "key": "m", "value": true, "timestamp": 1}',
        b'{"run_id": "R", "key": "m", "value": 1, "timestamp": 1, "step": 1180591620717411303424}',
        b'{"run_id": "R", "key": "m", "value": 1, "timestamp": 1e30}',
        b'{"run_id": "R", "key": "m", "value": 1, "timestamp": "soon"}',
        b'{"run_id": "R", "run_id": 5, "key": ["m"], "value": 1, "timestamp": 1}',
        b'{"run_id": "R", "runId": "X", "key": "m", "value": 1, "timestamp": 1}',
        b'[{"run_id": "R"}]',
        b"5",
        b'"text"',
        b"\xff\xfe",
        b'{"run_id": "\xff"}',
        b'{"run_id": "R", "key": "\xc3", "value": 1, "timestamp": 1}',
        b'{"run_id": "\\ud800", "key": "m", "value": 1, "timestamp": 1}',
        b'{"run_id": "R\\u0000", "key": "m", "value": 1, "timestamp": 1}',
    ],
    ids=lambda body: body[:40].decode(errors="replace"),
)
def test_a_broken_metric_is_refused(server: Tracking, run: str, prefix: str, body: bytes) -> None:
    status, answer = send(server, "POST", f"{prefix}runs/log-metric", body.replace(b'"R', f'"{run}'.encode()))
    assert 400 <= status < 500, answer
    assert {"error_code", "message"} <= set(answer)
    _, shown = send(server, "GET", f"{prefix}runs/get?run_id={run}")
    assert "metrics" not in shown["run"]["data"]


@table("prefix", PREFIXES)
@table(
    ("method", "path", "body"),
    [
        ("POST", "experiments/create", {"name": "x" * 100_000}),
        ("POST", "experiments/create", {"name": "n", "artifact_location": "http:///#/../../../etc"}),
        ("POST", "experiments/create", {"name": "n", "artifact_location": "http:///?/../../../etc"}),
        ("POST", "experiments/create", {"name": "n", "artifact_location": "http://169.254.169.254/latest"}),
        ("POST", "experiments/create", {"name": "n", "artifact_location": "mlflow-artifacts:/x/../../.."}),
        ("POST", "experiments/create", {"name": "n", "artifact_location": "mlflow-artifacts:/%2e%2e/%2e%2e"}),
        ("POST", "experiments/create", {"name": "n", "artifact_location": "mlflow-artifacts:/x;/../.."}),
        ("POST", "experiments/create", {"name": "n", "artifact_location": "s3://b/%252e%252e/x"}),
        ("POST", "experiments/create", {"name": "n", "artifact_location": "C:\\x"}),
        ("POST", "experiments/create", {"name": "n", "artifact_location": "s3://b/" + "x" * 10_000}),
        ("POST", "experiments/search", {"max_results": 10, "page_token": "AAAA"}),
        ("POST", "experiments/search", {"max_results": 10, "page_token": "eyJvZmZzZXQiOiAtMX0="}),
        ("POST", "experiments/search", {"max_results": 10, "filter": "(" * 50_000}),
        ("POST", "experiments/search", {"max_results": 10**30}),
        ("POST", "runs/search", {"experiment_ids": ["0"], "max_results": 10**9}),
        ("POST", "runs/search", {"experiment_ids": ["0"], "filter": "name = 'a'; DROP TABLE runs"}),
        ("POST", "runs/search", {"experiment_ids": ["0"], "order_by": ["name; DROP TABLE runs"]}),
        ("POST", "runs/search", {"experiment_ids": [{"a": 1}]}),
        ("POST", "runs/search", {"experiment_ids": "0"}),
        ("POST", "runs/log-batch", {"run_id": "R", "tags": [{"key": "k", "value": "v" * 2_000_000}]}),
        ("GET", "runs/get?run_id=../../etc/passwd", None),
        ("GET", "runs/get", None),
        ("GET", "metrics/get-history?run_id=R&metric_key=m&max_results=x", None),
        ("GET", "metrics/get-history?run_id=R&metric_key=m&page_token=AAAA", None),
        ("GET", "artifacts/list?run_id=R&path=../../..", None),
        ("GET", "users/list", None),
        ("POST", "users/create", {"username": "eve", "password": "x"}),
        ("DELETE", "runs/delete", {"run_id": "R"}),
        ("PUT", "runs/delete", {"run_id": "R"}),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_hostile_request_is_refused(
    server: Tracking, run: str, prefix: str, method: str, path: str, body: Any
) -> None:
    data = None if body is None else json.dumps(body).replace('"R"', f'"{run}"').encode()
    status, answer = send(server, method, f"{prefix}{path.replace('=R', f'={run}')}", data)
    assert 400 <= status < 500, answer


@table("prefix", PREFIXES)
@table(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {},
        {**JSON, "Host": "evil.example"},
        {**JSON, "Host": "127.0.0.1.evil.example:5000"},
        {**JSON, "Origin": "http://evil.example"},
        {**JSON, "Origin": "null"},
        {**JSON, "Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
def test_a_request_from_a_foreign_page_changes_nothing(
    server: Tracking, run: str, prefix: str, headers: dict[str, str]
) -> None:
    body = {"run_id": run, "key": "foreign", "value": "x"}
    status, answer = send(server, "POST", f"{prefix}runs/set-tag", body, headers)
    assert status in {400, 403}, answer
    _, shown = send(server, "GET", f"{prefix}runs/get?run_id={run}")
    assert "foreign" not in {tag["key"] for tag in shown["run"]["data"]["tags"]}


def test_pages_of_the_server_itself_may_change_things(server: Tracking, run: str) -> None:
    body = {"run_id": run, "key": "own", "value": "x"}
    headers = {**JSON, "Origin": server.url}
    assert send(server, "POST", f"{PREFIXES[0]}runs/set-tag", body, headers)[0] == 200


def test_another_program_of_this_host_is_a_foreign_page(server: Tracking, run: str) -> None:
    body = {"run_id": run, "key": "foreign", "value": "x"}
    host = server.url.rpartition(":")[0]
    for headers in (
        {"Origin": f"{host}:9"},
        {"Origin": host},
        {"Origin": host.replace("http:", "https:")},
        {"Sec-Fetch-Site": "same-site"},
    ):
        status, answer = send(server, "POST", f"{PREFIXES[0]}runs/set-tag", body, {**JSON, **headers})
        assert status == 403, (headers, answer)


def test_others_are_not_let_in_by_accident(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "penstock.cli", "server", "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert done.returncode == 2
    assert "--insecure" in done.stderr
