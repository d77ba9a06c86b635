"""Requests that were refused: counted by the minute in the store, and told where an endpoint is looked at."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from flows.production.endpoints import World
from penstock.base.store.database import Database, connect
from penstock.base.store.migrate import upgrade
from penstock.cli.main import cli
from penstock.cli.production.monitor import _render
from penstock.flows.production.live.recording import REFUSALS_MAX, LiveRecorder
from penstock.flows.production.overview import overview
from penstock.http.app import build_server_app
from penstock.monitoring.refusals import (
    Refusal,
    add_refusals,
    forget_refusals,
    list_refused,
    refused_sentence,
)
from penstock.processes.controller import ControllerLoop
from servers.postgres import PostgresServer
from serving.fronts import serve_both
from serving.models import request_body
from watching.seen import wait_until


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/penstock.db"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.new_schema()
    made = connect(url)
    upgrade(made)
    yield made
    made.close()


def test_counts_add_up_whoever_writes_them_and_are_forgotten_by_time(store: Database) -> None:
    old, new = (Refusal.at("delay", 1000 * at, "serving.bad_request") for at in (600, 6_000))
    with store.write() as connection:
        for _ in range(2):  # as two processes would
            add_refusals(connection, {old: 3, new: 4, Refusal.at("delay", 6_000_000, "x" * 99): 1})
        add_refusals(connection, {})
        found = list_refused(connection, 0)["delay"]
        assert [(one.code[:8], one.count) for one in found] == [("serving.", 14), ("xxxxxxxx", 2)]
        assert refused_sentence(found).startswith(
            "16 requests were refused in the last hour: 14 × serving.bad_r"
        )
        forget_refusals(connection, 5_000)
        assert [one.count for one in list_refused(connection, 0)["delay"]] == [8, 2]
        assert list_refused(connection, 6_001) == {}
    assert refused_sentence(()) == ""


def test_what_waits_is_bounded_and_is_written_once_when_the_store_is_back(world: World) -> None:
    recorder = LiveRecorder(world.project.database, 1, flush_s=60)
    try:
        for number in range(REFUSALS_MAX + 5):
            recorder.refuse("delay", f"code.{number}")
        recorder.refuse("delay", "code.0")
        for _ in range(2):
            recorder.flush()
        with world.project.database.read() as connection:
            found = {one.code: one.count for one in list_refused(connection, 0)["delay"]}
        assert (len(found), found["code.0"]) == (REFUSALS_MAX, 2)
    finally:
        recorder.close()


def test_a_wrong_request_over_http_is_counted_by_its_code_and_what_it_held_is_not_kept(
    tmp_path: Path,
) -> None:
    with contextlib.contextmanager(serve_both)(tmp_path) as process:
        url = f"{process.url}/v2/models/delay/infer"
        bodies = ["{", '{"inputs": []}']
        for body in bodies:
            assert httpx.post(url, content=body).status_code == 400
        assert httpx.post(url, json=request_body(2)).status_code == 200
        assert httpx.post(f"{process.url}/v2/models/nobody/infer", json=request_body(2)).status_code == 404

        def counted() -> int:
            with process._database.read() as connection:
                found = list_refused(connection, 0)
            assert set(found) <= {"delay"}, "names that clients make up are not kept"
            return sum(one.count for one in found.get("delay", ()))

        wait_until(lambda: counted() >= len(bodies))
        assert counted() == len(bodies)


def test_it_is_told_by_show_status_and_the_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.version(1)
    world.deploy(1)
    recorder = LiveRecorder(world.project.database, 1, flush_s=60)
    recorder.refuse("delay", "serving.missing_input")
    recorder.close()
    words = "1 request was refused in the last hour: 1 × serving.missing_input"
    (view,) = overview(world.project)
    assert words in _render(view)
    page = TestClient(build_server_app(world.project, ControllerLoop(world.project))).get("/endpoints/delay")
    assert words in page.text
    monkeypatch.chdir(world.project.root)
    shown = CliRunner().invoke(cli, ["endpoint", "show", "delay"])
    assert f"refused   {words}" in shown.output, shown.output
