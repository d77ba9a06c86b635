"""Requests of which only the counts are kept: the cause that is told is the true one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flows.production.endpoints import World
from penstock.base.clock import now_ms
from penstock.flows.production.live import recording
from penstock.flows.production.live.recording import LiveRecorder
from penstock.flows.production.live.room import size_of
from penstock.flows.production.watching import observe
from penstock.monitoring.settings import MonitorSettings
from penstock.serving.predictions.ids import PredictionId
from penstock.serving.recorder import Exchange


def asked(counter: int) -> Exchange:
    """Return a request that was answered now."""
    time_ms = now_ms()
    return Exchange(
        endpoint="delay", revision=1, version=1, route="stable", time_ms=time_ms,
        id=PredictionId(time_ms, 1, 1, "stable", 1, counter).encode(), counter=counter,
        inputs={"x": np.array([1.0])}, outputs={"y": np.array([0.5])}, row_count=1, latency_s=0.01,
    )  # fmt: skip


def recorded(world: World, **settings: Any) -> LiveRecorder:
    """Return a recorder that flushes when it is told to."""
    world.policy()
    world.deploy(1)
    return LiveRecorder(
        world.project.database,
        1,
        {"delay": MonitorSettings(window_s=1, flush_s=600)},
        flush_s=600,
        **settings,
    )


def test_a_failure_to_summarise_is_told_as_that(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise ZeroDivisionError("by zero")

    made = recorded(world)
    monkeypatch.setattr(recording, "summarise", fails)
    for _ in range(2):
        for counter in range(5):
            made.record(asked(counter))
        made.flush()
    made.close()
    (problem,) = observe(world.project, "delay").problems
    assert "ZeroDivisionError: by zero" in problem
    assert "max_bytes" not in problem
    (event,) = world.events("endpoint.not_summarised")
    assert event.summary == "of 5 requests of delay only the counts are kept: ZeroDivisionError: by zero"
    world.controller.tick()
    (judged,) = world.events("endpoint.not_judged")
    assert "ZeroDivisionError: by zero" in judged.summary


def test_a_lack_of_room_is_told_as_that(world: World) -> None:
    made = recorded(world, max_bytes=2 * size_of(asked(0)))
    made._lock.acquire()  # no flush comes between
    for counter in range(20):
        made.record(asked(counter))
    made._lock.release()
    made.flush()
    made.close()
    (problem,) = observe(world.project, "delay").problems
    assert "no room" in problem
    assert "max_bytes" in problem
    assert world.events("endpoint.not_summarised") == []
