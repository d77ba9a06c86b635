"""What `/health` of the server says of a controller whose rounds fail."""

from __future__ import annotations

from pathlib import Path

from starlette.testclient import TestClient

from penstock.flows.production.controlling.health import ControllerHealth
from penstock.http.app import build_server_app
from penstock.processes.controller import ControllerLoop
from servers.guarded import run_guarded


def test_it_says_that_the_controller_fails_and_of_what_only_where_nobody_is_asked(tmp_path: Path) -> None:
    with run_guarded(tmp_path) as guarded:
        controller = ControllerLoop(guarded.project)
        controller.health = ControllerHealth(1, 0, "the disk is full")
        for asks in (True, False):
            app = build_server_app(guarded.project, controller, asks_for_credentials=asks)
            told = TestClient(app, base_url="http://127.0.0.1").get("/health")
            assert (told.status_code, told.json()["status"]) == (200, "failing")
            assert ("the disk is full" in told.text) != asks
