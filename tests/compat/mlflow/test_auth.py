"""A server with `--auth`, by the real client with its own variables for credentials, and by Penstock's."""

from __future__ import annotations

import base64
import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from patience import PATIENCE_S
from servers.forking import penstock_server
from servers.tracking import Tracking, run_tracking

PASSWORD = "correct horse battery"
LOG = """
def work():
    mlflow.set_experiment(given)
    with mlflow.start_run() as run:
        mlflow.log_metric("m", 1)
        mlflow.log_text("hello", "hello.txt")
    return run.info.run_id
answer(refused(work))
"""


def penstock(root: Path, *arguments: str, given: str = "", **variables: str) -> str:
    done = penstock_server().run(arguments, cwd=root, env={**os.environ, **variables}, stdin=given)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracking]:
    def add_users(root: Path) -> None:
        penstock(root, "user", "add", "root", "--role", "admin", "--password", PASSWORD)
        penstock(root, "user", "add", "ann", "--role", "writer", "--password-stdin", given=PASSWORD + "\n")
        penstock(root, "user", "add", "rea", "--role", "reader")

    folder = tmp_path_factory.mktemp("auth")
    with run_tracking(folder, arguments=["--auth"], before=add_users) as running:
        yield running


def token(server: Tracking, name: str) -> str:
    return penstock(server.root, "token", "create", name).splitlines()[-1]


@pytest.mark.slow
def test_the_client_logs_with_user_and_password(server: Tracking) -> None:
    basic = {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    accepted, run = server.drive(LOG, "by password", **basic)
    assert accepted == "accepted", run
    wrong = server.drive(LOG, "by password", **{**basic, "MLFLOW_TRACKING_PASSWORD": PASSWORD + "x"})
    assert wrong[0] == "UNAUTHENTICATED"
    assert server.drive(LOG, "by nobody")[0] == "UNAUTHENTICATED"


@pytest.mark.slow
def test_the_client_reads_with_a_reader_s_token_and_writes_nothing(server: Tracking) -> None:
    writer = {"MLFLOW_TRACKING_TOKEN": token(server, "ann")}
    reader = {"MLFLOW_TRACKING_TOKEN": token(server, "rea")}
    assert server.drive(LOG, "by token", **writer)[0] == "accepted"
    read = """
run = mlflow.search_runs(experiment_names=["by token"], output_format="list")[0]
text = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/hello.txt")
answer([run.data.metrics["m"], text, refused(client.log_metric, run.info.run_id, "m", 2),
        refused(client.delete_experiment, run.info.experiment_id), refused(mlflow.create_experiment, "x")])
"""
    metric, text, *denials = server.drive(read, **reader)
    assert (metric, text) == (1, "hello")
    assert [denied[0] for denied in denials] == ["PERMISSION_DENIED"] * 3
    assert "needs the role writer" in denials[0][1]


@pytest.mark.slow
def test_a_revoked_token_and_a_removed_user_are_out_at_once(server: Tracking) -> None:
    penstock(server.root, "user", "add", "tim", "--role", "reader", "--password", PASSWORD)
    text = token(server, "tim")
    assert status(server, "/models", Authorization=f"Bearer {text}") == 200
    penstock(server.root, "token", "revoke", text)
    assert status(server, "/models", Authorization=f"Bearer {text}") == 401
    basic = {"Authorization": "Basic " + base64.b64encode(f"tim:{PASSWORD}".encode()).decode()}
    assert status(server, "/models", **basic) == 200
    assert status(server, "/models", **basic) == 200, "the second time from memory"
    penstock(server.root, "user", "modify", "tim", "--password", PASSWORD + " staple")
    assert status(server, "/models", **basic) == 401
    penstock(server.root, "user", "modify", "tim", "--password", PASSWORD)
    assert status(server, "/models", **basic) == 200
    penstock(server.root, "user", "remove", "tim")
    assert status(server, "/models", **basic) == 401


@pytest.mark.slow
def test_penstock_s_own_functions_log_with_a_token(server: Tracking) -> None:
    script = (
        "import penstock\nwith penstock.start_run('mine') as run: penstock.log_metric('m', 3)\nprint(run.id)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=server.root.parent,
        env={**os.environ, "PENSTOCK_URI": server.url, "PENSTOCK_TOKEN": token(server, "ann")},
    )
    assert done.returncode == 0, done.stderr
    shown: Any = server.drive(
        "answer(client.get_run(given).data.metrics)",
        done.stdout.strip(),
        MLFLOW_TRACKING_TOKEN=token(server, "rea"),
    )
    assert shown["m"] == 3


def test_a_server_that_nobody_could_use_does_not_start(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "penstock.cli", "server", "--auth", "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert done.returncode == 1
    assert "penstock user add" in done.stderr


def status(server: Tracking, path: str, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status
