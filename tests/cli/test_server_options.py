"""A start script for `mlflow server` starts `penstock server`, or is told what to change."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from patience import PATIENCE_S
from penstock.access.grants import own
from penstock.workspace import open_workspace
from servers.forking import run_penstock
from servers.tracking import run_tracking
from stories.live import get

from .conftest import Desk


def refused(folder: Path, *arguments: str, **variables: str) -> str:
    done = run_penstock(folder, *arguments, **variables)
    assert done.returncode not in {0, -9}, done.stdout
    return done.stderr


def test_mlflow_s_flags_are_taken(tmp_path: Path) -> None:
    flags = ["--workers", "4", "--serve-artifacts", "--uvicorn-opts", "--log-level debug", "-h", "127.0.0.1"]
    with run_tracking(tmp_path, arguments=[*flags, "--allowed-hosts", "*"]) as server:
        assert get(server.port, "/health")[0] == 200


def test_the_host_in_a_target_that_is_a_whole_url_is_what_it_is_called(tmp_path: Path) -> None:
    asked = b"GET %shealth HTTP/1.1\r\n%sConnection: close\r\n\r\n"
    ours, theirs = b"Host: 127.0.0.1\r\n", b"Host: evil.example\r\n"
    with run_tracking(tmp_path) as server:
        for target, headers, status in (
            (b"http://127.0.0.1/", ours, b"200"),
            (b"http://127.0.0.1/", theirs, b"200"),
            (b"http://evil.example/", ours, b"403"),
            (b"http://127.0.0.1/", b"", b"400"),
            (b"/", ours + theirs, b"400"),
        ):
            with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as connection:
                connection.sendall(asked % (target, headers))
                assert connection.recv(12) == b"HTTP/1.1 " + status, (target, headers)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--no-serve-artifacts"], "--artifacts-destination"),
        (["--registry-store-uri", "sqlite:///other.db"], "one store"),
        (["--app-name", "basic-auth"], "penstock user add"),
    ],
)
def test_what_is_not_the_same_is_said(tmp_path: Path, arguments: list[str], said: str) -> None:
    assert said in refused(tmp_path, "server", "--port", "0", *arguments)


def test_the_database_of_an_mlflow_server_is_not_opened_as_ones_own(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "m.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES ('dc11669786a5')")
    assert "penstock db import" in refused(
        tmp_path, "server", "--backend-store-uri", f"sqlite:///{tmp_path}/m.db"
    )
    assert "penstock db import" in refused(tmp_path, "db", "upgrade", f"sqlite:///{tmp_path}/m.db")


@pytest.mark.parametrize(
    "command",
    [("db", "import", "sqlite:///{}/nope.db"), ("db", "copy", "sqlite:///{}/nope.db", "sqlite:///{}/t.db")],
)
def test_a_source_that_is_not_there_is_not_made(tmp_path: Path, command: tuple[str, ...]) -> None:
    assert "nope.db" in refused(tmp_path, *(word.format(tmp_path) for word in command))
    assert not (tmp_path / "nope.db").exists()


def test_where_a_server_keeps_its_state_commands_work_without_a_repository(tmp_path: Path) -> None:
    for command in (("db", "upgrade"), ("run", "list"), ("log",), ("model", "list")):
        assert "penstock init" in refused(tmp_path, *command)
    store = f"sqlite:///{tmp_path}/.penstock/penstock.db"
    assert run_penstock(tmp_path, "db", "upgrade", store).returncode == 0
    for command in (
        ("db", "upgrade"),
        ("run", "list"),
        ("log",),
        ("model", "list"),
        ("db", "purge", "--dry-run"),
    ):
        done = run_penstock(tmp_path, *command)
        assert done.returncode == 0, (command, done.stderr)


def test_an_upgrade_says_that_it_made_a_store(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/typo.db"
    assert "a new store" in run_penstock(tmp_path, "db", "upgrade", store).stdout
    assert "has schema" in run_penstock(tmp_path, "db", "upgrade", store).stdout


def test_when_a_token_ends_is_given_as_a_span_or_a_date(desk: Desk) -> None:
    desk.run("user", "add", "ann", "--role", "writer")
    for given in ("90d", "2099-01-31", "2099-01-31T10:00+02:00"):
        made = desk.json("token", "create", "ann", "--expires", given)
        assert made["expires_ms"] > 0
    assert "2099-01-31" in desk.run("token", "list").stdout
    assert {one["used_ms"] for one in desk.json("token", "list", "ann")} == {None}
    for wrong, words in (
        ("soon", "neither in how long"),
        ("2020-01-01", "over already"),
        ("99999w", "hundred years"),
    ):
        assert words in desk.error("token", "create", "ann", "--expires", wrong, code=2)


def test_who_takes_the_name_of_a_removed_user_is_told_to_own_what_that_one_made(desk: Desk) -> None:
    desk.run("user", "add", "root", "--role", "admin")
    desk.run("user", "add", "bob", "--role", "writer")
    project = open_workspace(desk.root)
    with project.database.write() as connection:
        own(connection, "model", "late", "bob")
    desk.run("user", "remove", "bob")
    again = desk.run("user", "add", "bob", "--role", "writer")
    assert "bob owns model late, which an earlier bob made" in again.stderr
    assert "penstock user revoke bob --model late --ownership" in again.stderr
    with project.database.write() as connection:
        own(connection, "experiment", "0", "bob")
    project.close()
    assert "already" in desk.run("user", "grant", "bob", "admin", "--experiment", "0").stdout
    assert "bob owns experiment 0" in desk.error(
        "user", "grant", "bob", "reader", "--experiment", "0", code=4
    )
    assert "bob owns experiment 0" in desk.error("user", "revoke", "bob", "--experiment", "0", code=4)
    assert "every writer" in desk.run("user", "revoke", "bob", "--experiment", "0", "--ownership").stdout
    missing = desk.error("user", "grant", "bob", "none", "--experiment", "999")
    assert "there is no experiment 999" in missing and "by its name or id" in missing
