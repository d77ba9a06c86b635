"""An alias that somebody pointed elsewhere while a canary ran: whose decision counts, and that all of it is told."""

from __future__ import annotations

from flows.production.endpoints import World
from patience import wait_until
from penstock.base.clock import now_ms
from penstock.flows.production.overview import view_endpoint
from penstock.flows.production.revising import apply_deployment, preview_changes
from penstock.flows.production.traffic.promoting import plan_promotion_of_canary
from penstock.flows.production.traffic.straying import canaries_beside


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
