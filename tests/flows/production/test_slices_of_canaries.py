"""A canary is not through before it was judged in every slice that the stable version is judged in."""

from __future__ import annotations

import numpy as np
from starlette.testclient import TestClient

from flows.production.endpoints import World
from flows.production.rows import ask
from penstock.cli.production.monitor import _render
from penstock.flows.chain.lineage import explain
from penstock.flows.production.overview import overview
from penstock.flows.production.watching import observe
from penstock.http.app import build_server_app
from penstock.processes.controller import ControllerLoop

POLICY = """\
model: m@champion
rollout: {steps: [20, 50, 100], min_requests: 60, hold_s: 0, unjudged: hold}
monitor: {window_s: 1, windows: 10, slices: [{feature: land, min_labels: 40}]}
guardrails:
  - slices: {metric: accuracy, max_drop: 0.15}
on_breach: [rollback, alert]
"""


def answered(world: World, route: str, **slices: tuple[int, float]) -> None:
    """Write labelled answers of a route: by slice how many, and the share of wrong ones."""
    land = np.array([name for name, (count, _) in slices.items() for _ in range(count)], dtype=object)
    wrong = np.array([row < count * ratio for count, ratio in slices.values() for row in range(count)])
    # in no order: labels of one request after the other
    order = np.random.default_rng(3).permutation(len(land))
    ask(
        world,
        {"land": land[order]},
        {"prediction": wrong[order].astype(int)},
        [0] * len(land),
        route=route,
        slices=("land",),
        ago_s=1,
    )


def world_with_a_canary(world: World, policy: str = POLICY) -> None:
    world.policy(policy)
    world.alias(1)
    world.deploy(1)
    world.deploy(1, canary=2)
    answered(world, "stable", big=(400, 0.1), small=(60, 0.1), rare=(5, 0.0))
    answered(world, "canary", big=(300, 0.1), small=(12, 1.0), new=(60, 0.5))
    world.traffic("canary", 400)
    world.traffic("stable", 400)


def test_a_canary_waits_for_a_slice_that_it_was_not_judged_in_and_says_for_which(world: World) -> None:
    world_with_a_canary(world)
    world.controller.tick()
    revision = world.current()
    assert revision.canary is not None and revision.canary.percent == 20, revision.reason
    found = [one for one in observe(world.project, "delay").findings if one.route == "canary"]
    told = {one.name: one.unjudged for one in found}
    assert told == {"land=big": None, "land=small": "too_few"}, (
        "no other slice is one of the stable version's"
    )
    (view,) = overview(world.project)
    text = _render(view)
    assert "slices land=small not judged yet (12 of 40 labels" in text, text
    page = TestClient(build_server_app(world.project, ControllerLoop(world.project))).get("/endpoints/delay")
    assert "land=small not judged yet (12 of 40 labels" in page.text
    answered(world, "canary", small=(60, 1.0))
    world.controller.tick()
    assert world.current().kind == "rolled_back" and "land=small" in world.current().reason


def test_a_slice_that_no_canary_row_is_of_is_waited_for_too(world: World) -> None:
    world.policy(POLICY)
    world.deploy(1)
    world.deploy(1, canary=2)
    answered(world, "stable", big=(400, 0.1), small=(60, 0.1))
    answered(world, "canary", big=(300, 0.1))
    world.traffic("canary", 400)
    world.controller.tick()
    assert world.current().canary is not None and world.current().canary.percent == 20
    assert "0 of 40 labels" in _render(overview(world.project)[0])
    answered(world, "canary", small=(60, 0.1))
    world.controller.tick()
    assert world.current().canary is not None and world.current().canary.percent == 50
    assert "kept every guardrail at 20 %" in world.current().reason
    assert "judged in 2 slices (land=big, land=small)" in world.current().reason


def test_what_was_not_judged_is_named_where_the_policy_lets_a_canary_go_on(world: World) -> None:
    world_with_a_canary(world, POLICY.replace("unjudged: hold", "unjudged: allow"))
    world.controller.tick()
    revision = world.current()
    assert revision.canary is not None and revision.canary.percent == 50
    assert "kept every guardrail" not in revision.reason
    assert "slices of land=small" in revision.reason, revision.reason
    told = explain(world.project, f"delay#{revision.number}")
    assert "slices of land=small" in str(told)
