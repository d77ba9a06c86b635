"""What the controller does where no process can load what is deployed, by what the store knows of the version."""

from __future__ import annotations

import pytest

from flows.production.endpoints import World
from penstock.base.clock import now_ms
from penstock.serving.workers import State, WorkerRevision, register_worker, report_revision


def say(world: World, revision: int, state: State, message: str = "", *, ended: bool = False) -> None:
    """Let a process say what it does about a revision."""
    with world.project.database.write() as connection:
        time_ms = 1 if ended else now_ms()
        worker = register_worker(connection, host="h", pid=1, url="http://h", time_ms=time_ms)
        said = WorkerRevision(
            endpoint="delay", revision=revision, state=state, message=message, time_ms=time_ms
        )
        report_revision(connection, worker, said)


@pytest.mark.parametrize("known_by", ["a process", "its answers"])
def test_what_another_process_loaded_before_is_not_taken_back(world: World, known_by: str) -> None:
    world.policy()
    world.deploy(1)
    number = world.deploy(1, 2).number
    if known_by == "a process":
        say(world, number, "ready", ended=True)
    else:
        world.traffic("canary", 5)
    say(world, number, "failed", "no such attribute")
    world.controller.tick()
    world.controller.tick()
    assert world.current().number == number
    assert "load" in {one.labels.get("kind") for one in world.open_alerts()}
    assert "version 2 was loaded before" in world.events("guardrail.breached")[0].summary


def test_a_canary_that_nobody_can_load_any_more_advances_no_further(world: World) -> None:
    world.policy()
    world.deploy(1)
    number = world.deploy(1, 2).number
    world.traffic("stable", 400)
    world.traffic("canary", 100)
    say(world, number, "hindered", "Too many open files")
    world.controller.tick()
    assert world.current().number == number
    say(world, number, "ready")
    world.controller.tick()
    assert world.current().canary is not None and world.current().number == number + 1
    assert not world.open_alerts()


def test_a_canary_that_ends_processes_is_taken_out_however_often_it_was_loaded(world: World) -> None:
    world.policy()
    world.deploy(1)
    number = world.deploy(1, 2).number
    say(world, number, "ready", ended=True)
    world.traffic("canary", 5)
    say(world, number, "fatal", "2 processes ended")
    world.controller.tick()
    assert world.current().number == number + 1 and world.current().canary is None
    assert "canary version 2 ends its processes: 2 processes ended" in world.current().reason
