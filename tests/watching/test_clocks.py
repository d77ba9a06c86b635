"""A watched service on a host whose clock is ahead of its server's."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

import penstock
from flows.production.endpoints import World
from patience import PATIENCE_S
from penstock.watching.engine import Engine
from servers.forking import start_penstock
from servers.ports import reserve
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
