"""What is told of a canary that is ready: when it goes on, and what that still waits for."""

from __future__ import annotations

import dataclasses

from flows.production.endpoints import POLICY, World
from penstock.flows.production.overview import overview


def sentence(world: World) -> str:
    (view,) = overview(world.project)
    assert view.rollout is not None
    return view.rollout.sentence


def ready(world: World) -> None:
    world.policy()
    world.alias(1)
    world.deploy(1)
    world.deploy(1, 2, percent=50.0)
    world.traffic("stable", 400)
    world.traffic("canary", 400)


def test_a_canary_that_is_ready_becomes_stable_at_the_next_look_of_a_controller_that_acts(
    world: World,
) -> None:
    world.policy()
    world.deploy(1)
    world.controller.tick()  # takes the lease
    ready(world)
    assert sentence(world) == "becomes stable at the controller's next whole look, within 0.5 s"
    world.controller.tick()
    assert world.current().kind == "promoted"


def test_a_canary_that_is_ready_is_not_told_to_go_on_now_where_no_controller_acts(world: World) -> None:
    ready(world)
    told = sentence(world)
    assert told.startswith("is ready, and becomes stable when a controller can look: no controller runs"), (
        told
    )


def test_a_canary_that_is_ready_waits_for_an_endpoint_that_cannot_be_judged(world: World) -> None:
    world.policy()
    world.deploy(1)
    world.controller.tick()
    world.version(4, profile=b"no profile")
    world.version(5, profile=b"no profile either")
    world.policy(
        POLICY.replace("hold_s: 0", "hold_s: 0, unjudged: allow").replace(
            "on_breach", "  - drift: {features: any, psi_max: 0.25, action: alert}\non_breach"
        )
    )
    world.alias(4)
    world.deploy(4)
    world.deploy(4, 5, percent=50.0)
    world.traffic("stable", 400)
    world.traffic("canary", 400)
    places = dataclasses.replace(world.project.places, artifacts_url="nosuch://nowhere")
    world.project = type(world.project)(places, world.project.settings, "reader")
    told = sentence(world)
    assert "now" not in told.split(":")[0]
    assert told.startswith(
        "is ready, and becomes stable when a controller can look: the reference profile of m/4"
    ), told
