"""Looks that take longer than the controller's lease: what they decide is done, or told as lost."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from unittest.mock import patch

import pytest
import sqlalchemy as sa

from flows.production.endpoints import World
from penstock.base.clock import now_ms
from penstock.base.errors import Conflict
from penstock.flows.production.controlling import responding
from penstock.flows.production.controlling.responding import Controller
from penstock.flows.production.overview import overview
from penstock.flows.production.watching import observe_again
from penstock.monitoring.lease import leases
from penstock.processes.controller import ControllerLoop
from stories.live import wait_until

NO_TIME_S = 0.001
"""A lease that runs out during each look."""


def breached(world: World, endpoint: str = "delay") -> None:
    """Let the canary of an endpoint fail."""
    world.policy(endpoint=endpoint)
    world.deploy(1, endpoint=endpoint)
    world.deploy(1, 2, endpoint=endpoint)
    world.traffic("stable", 400, endpoint=endpoint)
    world.traffic("canary", 100, 60, endpoint=endpoint)


def hurried(controller: Controller) -> Controller:
    """Return a controller whose lease runs out during each look."""
    controller.lease = replace(controller.lease, ttl_s=NO_TIME_S)
    return controller


def expires_ms(world: World) -> int:
    """Return when the controller's lease runs out."""
    with world.project.database.read() as connection:
        return int(connection.execute(sa.select(leases.c.expires_ms)).scalar_one())


def test_what_nine_slow_looks_decide_is_done(world: World) -> None:
    names = [f"delay-{number}" for number in range(9)]
    for name in names:
        breached(world, name)
    assert hurried(world.controller).tick() == 9
    assert [world.current(name).kind for name in names] == ["rolled_back"] * 9


def test_a_decision_that_waited_for_the_store_until_the_lease_ran_out_is_carried_out(world: World) -> None:
    breached(world)
    controller = Controller(world.project)
    controller.lease = replace(controller.lease, ttl_s=1.0)
    assert controller.tick() == 1  # one look, so that the lease is held and fresh
    world.deploy(1, 3)
    world.traffic("stable", 400)
    world.traffic("canary", 100, 60)
    other = sqlite3.connect(world.root / ".penstock" / "penstock.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    looking = threading.Thread(target=controller.tick)
    looking.start()
    try:
        wait_until(lambda: expires_ms(world) < now_ms())
    finally:
        other.execute("ROLLBACK")
        other.close()
        looking.join()
    assert (world.current().canary, world.current().kind) == (None, "rolled_back")


def test_a_decision_that_another_controller_came_before_is_told_and_made_by_that_one(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    breached(world)
    controller, other = hurried(world.controller), Controller(world.project)

    def taken_meanwhile(*args: object) -> object:
        seen = observe_again(*args)  # type: ignore[arg-type]
        wait_until(lambda: expires_ms(world) < now_ms())
        with world.project.database.write() as connection:
            assert other.lease.acquire(connection)
        return seen

    with (
        patch.object(responding, "observe_again", taken_meanwhile),
        pytest.raises(Conflict, match="lost the lease"),
    ):
        controller.tick()
    assert (controller.is_leading, controller.lost_count, dict(controller.looks)) == (False, 1, {})
    assert world.current().canary is not None
    (event,) = world.events("controller.decision_lost")
    assert event.subject == "endpoint:delay"
    assert "was not done" in event.summary
    assert "was not done" in caplog.text
    (view,) = overview(world.project)
    assert "was not done" in " ".join(view.notes)
    assert other.tick() == 1
    assert world.current().kind == "rolled_back"


def test_a_loop_shows_that_it_lost_a_decision(world: World) -> None:
    breached(world)
    loop = ControllerLoop(world.project, interval_s=60.0)
    hurried(loop._controller)
    other = Controller(world.project)

    def taken_meanwhile(*args: object) -> object:
        seen = observe_again(*args)  # type: ignore[arg-type]
        wait_until(lambda: expires_ms(world) < now_ms())
        with world.project.database.write() as connection:
            assert other.lease.acquire(connection)
        return seen

    with patch.object(responding, "observe_again", taken_meanwhile):
        loop.start()
        try:
            wait_until(lambda: loop.health.problem is not None)
        finally:
            loop.stop()
    assert "lost the lease" in (loop.health.problem or "")
    assert (loop.health.is_leading, loop.health.lost_count) == (False, 1)


def test_the_lease_is_kept_while_a_look_goes_on(world: World) -> None:
    breached(world)
    controller = world.controller
    controller.lease = replace(controller.lease, ttl_s=0.1)
    before = []

    def longer_than_the_lease(*args: object) -> object:
        before.append(expires_ms(world))
        wait_until(lambda: before[0] < now_ms())
        controller.keep()
        assert expires_ms(world) > before[0]
        return observe_again(*args)  # type: ignore[arg-type]

    with patch.object(responding, "observe_again", longer_than_the_lease):
        assert controller.tick() == 1
    assert before
    kept = expires_ms(world)
    wait_until(lambda: kept < now_ms())
    controller.keep()
    assert expires_ms(world) == kept, "nothing is kept between looks"


def test_endpoints_that_fail_are_looked_at_before_those_that_take_long(world: World) -> None:
    for name in ("a-quiet", "b-quiet"):
        world.policy(endpoint=name)
        world.deploy(1, endpoint=name)
    breached(world, "z-failing")
    seen: list[str] = []

    def noted(project: object, name: str, *rest: object) -> object:
        seen.append(name)
        return observe_again(project, name, *rest)  # type: ignore[arg-type]

    with patch.object(responding, "observe_again", noted):
        world.controller.tick()
    assert seen[0] == "z-failing"


def test_what_moves_at_every_look_is_told(world: World) -> None:
    breached(world)
    moved = Conflict("the endpoint moved", code="serving.revision_moved")
    with patch.object(responding, "carry_out", side_effect=moved):
        world.controller.tick()
        assert dict(world.controller.problems) == {}
        for _ in range(2):
            world.controller.tick()
    assert "moved" in world.controller.problems["delay"]
    world.controller.tick()
    assert dict(world.controller.problems) == {}
    assert world.current().kind == "rolled_back"
