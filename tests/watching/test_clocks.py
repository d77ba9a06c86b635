"""A watched service on a host whose clock is ahead of its server's."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import penstock
from flows.production.endpoints import World
from patience import PATIENCE_S
from penstock.base.clock import follow_clock, followed_ms
from penstock.base.errors import NotFound
from penstock.project.places import Places
from penstock.project.project import Project
from penstock.project.settings import ProjectSettings
from penstock.serving.told.observations import Observation, ObservationBatch
from penstock.watching.engine import Engine
from penstock.watching.keeping import encoder
from penstock.watching.places import StorePlace
from servers.forking import start_penstock
from servers.ports import reserve
from servers.postgres import PostgresServer
from watching.seen import wait_until, whole

HOURS_S = 2 * 3_600


def test_calls_of_a_host_whose_clock_is_ahead_are_recorded_when_they_were(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own_ns, port = time.time_ns, reserve()
    monkeypatch.setenv("PENSTOCK_URI", f"http://127.0.0.1:{port}")
    began_s = own_ns() // 10**9
    with (world.root / "server.log").open("wb") as log:
        command = ["-C", str(world.root), "server", "--port", str(port)]
        process = start_penstock(command, world.root, log.fileno())
    try:
        infer: Callable[..., Any] = penstock.watch(endpoint="delay", model="m/1")(lambda hour: 1)
        monkeypatch.setattr(time, "time_ns", lambda: own_ns() + HOURS_S * 10**9)
        infer(1)
        wait_until(lambda: engine.drain(PATIENCE_S))
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
    seen = whole(world)
    assert began_s - 1 <= seen.key.start_s <= own_ns() // 10**9
    assert "ahead of this server's" in caplog.text
    (event,) = world.events("endpoint.clock_differs")
    assert "ahead of this server's" in event.summary


@pytest.mark.slow
def test_a_service_goes_by_its_hosts_clock_again_once_that_was_set_right(
    tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places(tmp_path, tmp_path / ".penstock", postgres.new_schema(), str(tmp_path / "artifacts"))
    own_ns = time.time_ns
    batch = ObservationBatch(
        batch="b", endpoint="gone", observations=[Observation(time_ms=own_ns() // 10**6, latency_s=0.1)]
    )
    monkeypatch.setattr("penstock.watching.places.CLOCK_S", 0.0)
    with monkeypatch.context() as wrong:
        wrong.setattr(time, "time_ns", lambda: own_ns() + HOURS_S * 10**9)
        place = StorePlace(Project(places, ProjectSettings(project="world"), "service"))
    try:
        assert followed_ms() == pytest.approx(HOURS_S * 1000, abs=60_000)
        with pytest.raises(NotFound):
            place.send(encoder.encode(batch))
        assert followed_ms() == 0
    finally:
        follow_clock(0)
        place.close()
