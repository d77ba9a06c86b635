"""An alias that somebody pointed elsewhere while a canary ran: whose decision counts, and that all of it is told."""

from __future__ import annotations

import pytest

from flows.production.endpoints import POLICY, World
from patience import wait_until
from penstock.base.clock import now_ms
from penstock.flows.production.overview import view_endpoint
from penstock.flows.production.revising import apply_deployment, preview_changes
from penstock.flows.production.traffic.promoting import plan_promotion_of_canary
from penstock.flows.production.traffic.straying import canaries_beside
from servers.forking import run_penstock


def test_a_win_leaves_an_alias_where_somebody_pointed_it_since_the_canary_began(world: World) -> None:
    world.policy()
    world.alias(1)
    world.deploy(1)
    world.deploy(1, 2, percent=20.0)
    wait_until(lambda: now_ms() > world.current().created_ms)
    world.deploy(1, 2, percent=50.0, kind="advanced")
    with world.project.database.read() as connection:
        (told,) = canaries_beside(connection, ("m", "champion"), 3)
    world.alias(3)
    (strays, note) = view_endpoint(world.project, "delay").notes
    assert told == f"endpoint delay: {note}"
    assert "its canary m/2 goes on: if it wins, delay serves m/2, and m@champion stays at m/3" in note
    world.traffic("stable", 100)
    world.traffic("canary", 100)
    world.controller.tick()
    assert (world.current().stable, world.current().kind, world.champion()) == (2, "promoted", 3)
    event = world.events("endpoint.deployed")[-1]
    assert "m@champion stays at m/3, where ci pointed it since the canary began" in event.summary
    (strays,) = view_endpoint(world.project, "delay").notes
    assert strays.startswith("it is declared with m@champion, which is m/3, and serves m/2: ")


@pytest.mark.parametrize("command", [("alias", "set", "m@champion", "{}"), ("promote", "m/{}")])
def test_an_alias_set_by_hand_beside_a_canary_says_what_becomes_of_the_canary(
    world: World, command: tuple[str, ...]
) -> None:
    def point(number: int) -> str:
        done = run_penstock(world.root, *(one.format(number) for one in command))
        assert done.returncode == 0, done.stderr
        return done.stdout

    world.policy()
    world.alias(1)
    world.deploy(1)
    world.deploy(1, 2)
    wait_until(lambda: now_ms() > world.current().created_ms)
    told = point(3)
    assert "endpoint delay: it is declared with m@champion, which is m/3, and serves m/1" in told
    assert (
        "endpoint delay: its canary m/2 goes on: if it wins, delay serves m/2, and m@champion stays" in told
    )
    told = point(2)
    assert "endpoint delay: its canary m/2 goes on with 20 %: if it wins, delay serves m/2 alone" in told
    assert "if it is rolled back, m@champion goes along to m/1" in told
    world.policy(POLICY.replace("hold_s: 0", "hold_s: 0, alias: stay"))
    assert "if it is rolled back, m@champion stays at m/2" in point(2)
    assert "and m@champion stays at m/1" in point(1)


def test_an_alias_set_by_hand_says_of_a_canary_that_nothing_advances_that_it_stays(world: World) -> None:
    world.policy()
    world.alias(1)
    world.deploy(1)
    world.deploy(1, 2, steps=())
    for number in ("3", "2"):
        told = run_penstock(world.root, "alias", "set", "m@champion", number).stdout
        assert "its canary m/2 keeps 20 % until somebody changes it" in told, told


def test_an_alias_that_no_endpoint_follows_says_that_it_changes_nothing_for_a_canary(world: World) -> None:
    world.policy()
    world.alias(1)
    world.deploy(1)
    world.deploy(1, 2)
    told = run_penstock(world.root, "alias", "set", "m@challenger", "3").stdout
    assert "endpoint delay: its canary m/2 goes on as before: it does not follow m@challenger" in told
    world.deploy(1)
    told = run_penstock(world.root, "alias", "set", "m@challenger", "2").stdout
    assert told == "m/2 is now challenger.\n"


def test_a_person_that_promotes_a_canary_moves_the_alias_as_the_preview_says(world: World) -> None:
    world.policy()
    world.alias(1)
    world.deploy(1)
    world.deploy(1, 2, percent=20.0)
    wait_until(lambda: now_ms() > world.current().created_ms)
    world.alias(3)
    plan = plan_promotion_of_canary(world.project, "delay")
    with world.project.database.read() as connection:
        assert "m@champion, m/3 now, becomes m/2" in preview_changes(connection, plan)
    apply_deployment(world.project, plan)
    assert world.champion() == 2
