"""Every kind of breach in every state of an endpoint: what is done, and what is told where nothing is done.

The decision is pure, so its whole table is one test; what the store adds (files, clocks, two controllers, a lock) is
tried on real rows with one kind of breach.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from unittest.mock import patch

import msgspec
import pytest

from flows.production.endpoints import World
from flows.production.test_deciding import BOTH, DAY_MS, NOW_MS, alert_about, finding, revision
from penstock.base.clock import now_ms
from penstock.base.errors import Unavailable
from penstock.cli.production.monitor import _render
from penstock.flows.production import watching
from penstock.flows.production.controlling import responding
from penstock.flows.production.controlling.deciding import (
    FAILED,
    NOT_ROLLED_BACK,
    History,
    Look,
    RollBack,
    decide,
)
from penstock.flows.production.controlling.responding import Controller
from penstock.flows.production.leading import NOBODY_ACTS, why_nobody_acts
from penstock.flows.production.overview import overview
from penstock.flows.production.progress import Tally
from penstock.monitoring.findings import OF_THE_DATA
from penstock.monitoring.lease import CONTROLLER, LEASE_S, acquire, ended_ms, leases
from penstock.registry.entities import FileDigest, Manifest
from penstock.registry.tables import versions
from penstock.serving.deployments import Revision

OF_THE_MODEL = ("errors", "latency", "quality", "outputs", "slices", "load")
FIRST = revision(1, 1, created_ms=NOW_MS - 30 * DAY_MS)
WON = revision(3, 2, kind="promoted")
CANARY = revision(2, 1, 2)


@dataclass(frozen=True)
class State:
    """Where an endpoint stands, and what is expected of a breach of the model's own kinds there.

    `to` is the version that is gone back to; else `reason` is why not. `of_data` is the same of the data's kinds.
    """

    name: str
    now: Revision
    before: tuple[Revision, ...]
    route: str
    version: int
    to: int | None = None
    reason: str = ""
    of_data: int | None = None
    rolled_back: frozenset[tuple[str, int]] = frozenset()
    later_ms: int = 0


STATES = (
    State("a canary runs", CANARY, (FIRST,), "canary", 2, to=1, of_data=1),
    State("stable beside a canary", CANARY, (FIRST,), "stable", 1, reason="canary_under_way"),
    State("a canary just won", WON, (CANARY, FIRST), "stable", 2, to=1),
    State("stable for six days", revision(2, 2, created_ms=NOW_MS - 6 * DAY_MS), (FIRST,), "stable", 2, to=1),
    State("stable for months", revision(2, 2, created_ms=NOW_MS - 90 * DAY_MS), (revision(1, 1),), "stable", 2, reason="long_stable"),
    State("a/b, the canary's fault", revision(2, 1, 2, steps=()), (FIRST,), "canary", 2, to=1, of_data=1),
    State("a/b, the stable version's fault", revision(2, 1, 2, steps=()), (FIRST,), "stable", 1, reason="people_decide"),
    State("beside a shadow", revision(2, 2, shadows=(3,)), (FIRST,), "stable", 2, to=1),
    State("an advanced canary is held", revision(3, 1, 2, kind="advanced"), (CANARY, FIRST), "canary", 2, to=1, of_data=1),
    State("after a rollback", revision(3, 1, kind="rolled_back"), (revision(2, 2), FIRST), "stable", 1, reason="came_by_rollback"),
    State("no earlier version", revision(1, 2), (), "stable", 2, reason="nothing_before"),
    State("the earlier one was bad", revision(2, 2), (FIRST,), "stable", 2, reason="all_rolled_back", rolled_back=frozenset({("m", 1)})),
    State("one before the bad one", revision(3, 3), (revision(2, 2), FIRST), "stable", 3, to=1, rolled_back=frozenset({("m", 2)})),
    State("the clock was set back a day", WON, (CANARY, FIRST), "stable", 2, to=1, later_ms=-DAY_MS),
    State("the clock was set on a month", WON, (CANARY, FIRST), "stable", 2, reason="long_stable", later_ms=30 * DAY_MS),
)  # fmt: skip


def test_every_kind_of_breach_in_every_state_is_acted_on_or_told_with_its_reason() -> None:
    for state in STATES:
        history = History((state.now, *state.before), state.rolled_back)
        for kind in (*OF_THE_MODEL, *sorted(OF_THE_DATA)):
            cell = f"{kind}, {state.name}"
            found = finding(state.route, state.version, kind, start_s=(NOW_MS - DAY_MS) // 1000)
            seen = Look(state.now, (found,), Tally(), NOW_MS + state.later_ms)
            decision = decide(seen, history, BOTH)
            to = state.to if kind in OF_THE_MODEL else state.of_data
            assert decision.news == (found,), cell
            if to is not None:
                assert isinstance(decision.action, RollBack), cell
                assert (decision.action.stable, decision.action.out) == (to, state.version), cell
                assert decision.action.findings == (found,), cell
                assert found.sentence in decision.action.reason, cell
                continue
            assert decision.action is None, cell
            told = [one for one in decision.openings if one.subject.name == NOT_ROLLED_BACK]
            assert len(told) == (kind in OF_THE_MODEL), cell
            for one in told:
                assert (one.event, one.cause["reason"]) == ("endpoint.not_rolled_back", state.reason), cell
                assert found.sentence in one.summary, cell
                known = replace(history, alerts=(alert_about(one.subject),))
                assert not decide(seen, known, BOTH).openings, f"{cell}: told twice"


def gone(world: World, number: int, files: tuple[FileDigest, ...] = ()) -> None:
    """Delete a version, or say that it has files which no store of artifacts has."""
    change = {"manifest": msgspec.to_builtins(Manifest(files))} if files else {"deleted_ms": 1}
    with world.project.database.write() as connection:
        connection.execute(versions.update().where(versions.c.number == number).values(change))


def failing(world: World, numbers: tuple[int, ...]) -> None:
    """Deploy versions one after the other and let the last fail."""
    world.policy()
    for number in numbers:
        world.deploy(number)
    world.traffic("stable", 400, 300)


def test_what_cannot_be_served_again_is_passed_over_and_told_where_nothing_else_is_left(world: World) -> None:
    failing(world, (1, 2, 3))
    gone(world, 2, (FileDigest("model.pkl", 5, "0" * 64),))
    world.controller.tick()
    now = world.current()
    assert (now.stable, now.kind) == (1, "rolled_back"), "the version before the one that is gone"


def test_with_nothing_to_go_back_to_the_reason_stands_in_status_and_show(world: World) -> None:
    failing(world, (1, 2))
    gone(world, 1)
    for _ in range(3):
        world.controller.tick()
    assert world.current().stable == 2
    (event,) = world.events("endpoint.not_rolled_back")
    (alert,) = [one for one in world.open_alerts() if one.name == FAILED]
    (view,) = overview(world.project)
    assert view.undone == (alert.summary,)
    assert event.summary in _render(view)
    assert f"undone  {alert.summary}" in _render(view)
    assert not view.nobody_acts
    with world.project.database.write() as connection:
        connection.execute(leases.update().values(expires_ms=now_ms() - 7_000))
    (view,) = overview(world.project)
    silent = re.match(r"the controller has not looked for (\d+) s and more", view.nobody_acts)
    assert silent is not None and int(silent[1]) >= 7, view.nobody_acts
    world.controller.close()
    (view,) = overview(world.project)
    assert f"acts    {NOBODY_ACTS}" in _render(view)


def test_an_alias_that_a_person_moved_meanwhile_stays_where_the_person_put_it(world: World) -> None:
    world.alias(3)
    failing(world, (1, 2))
    world.controller.tick()
    assert (world.current().stable, world.current().kind, world.champion()) == (1, "rolled_back", 3)


@pytest.mark.parametrize("jump_ms", [-DAY_MS, DAY_MS])
def test_a_clock_that_jumps_leaves_no_endpoint_unwatched(world: World, jump_ms: int) -> None:
    """What the controller remembers, its lease, and what pages show hold for seconds, however the clock goes."""
    world.policy()
    world.deploy(1)
    world.deploy(2)
    world.traffic("stable", 100)
    controller = Controller(world.project)
    controller.tick()
    remembered = dict(controller._memory)
    now = now_ms()
    for later_ms in (jump_ms, jump_ms + 5_000):
        shared_ms = now + later_ms
        with world.project.database.read() as connection:
            shared = watching.look_around(connection, shared_ms)
        assert not watching.is_steady("delay", shared, remembered, shared_ms)
    with world.project.database.write() as connection:
        taken = acquire(connection, "controller", "other elsewhere", 10.0, now + jump_ms)
        assert taken, "a lease of another time does not keep the next controller out"
        assert ended_ms(connection, CONTROLLER, LEASE_S, now + jump_ms) is None
        assert not acquire(connection, "controller", "third elsewhere", 10.0, now + jump_ms + 5_000)


def test_a_lease_of_a_clock_that_was_set_back_is_told_as_nobodys(world: World) -> None:
    """Whoever held it on another machine does not keep it any more, and a controller that begins gets it."""
    now = now_ms()
    row = {"name": CONTROLLER, "holder": "other elsewhere", "expires_ms": now + 6 * 3_600_000}
    with world.project.database.write() as connection:
        connection.execute(leases.insert().values(row))
        assert "no controller runs" in why_nobody_acts(connection, now)
        for later_ms in (0, 1_000, int(2_000 * LEASE_S)):
            connection.execute(leases.update().values(expires_ms=now + later_ms))
            told = why_nobody_acts(connection, now)
            assert bool(told) is acquire(connection, CONTROLLER, "third elsewhere", LEASE_S, now)
            connection.execute(leases.update().values(holder="other elsewhere"))


def test_of_two_controllers_one_acts_and_a_locked_store_delays_it_by_a_look(world: World) -> None:
    failing(world, (1, 2))
    second = Controller(world.project, remembers=False)
    with patch.object(
        responding, "carry_out", side_effect=Unavailable("database is locked", code="store.unavailable")
    ):
        assert world.controller.tick() == 1
        assert second.tick() == 0
    assert world.current().stable == 2
    assert "locked" in world.controller.problems["delay"]
    for _ in range(2):
        world.controller.tick()
        second.tick()
    assert (world.current().stable, world.current().kind) == (1, "rolled_back")
    assert len(world.events("endpoint.rolled_back")) == len(world.events("guardrail.breached")) == 1
    assert "delay" not in world.controller.problems
