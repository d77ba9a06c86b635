"""Several endpoints of one model: what a rollback of one moves and marks, who serves the version still, and who strays from an alias."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from flows.production.endpoints import World
from penstock.cli.main import cli
from penstock.flows.production.overview import view_endpoint
from penstock.flows.production.revising import apply_deployment
from penstock.flows.production.traffic.rolling_back import plan_rollback
from penstock.registry.aliases import find_alias
from projects import Sample
from serving.fixtures import add_version

TWO = """\
endpoints:
  delay: {model: late@champion, guardrails: [{errors: {max_ratio: 0.1}}]}
  delay-eu: {model: late@champion, guardrails: [{errors: {max_ratio: 0.1}}]}
ci:
"""


@pytest.fixture
def sample(released: Sample) -> Sample:
    """`late/1` and `late/2` were served on two endpoints, `late/2` is on both and champion."""
    add_version(released)
    text = (released.root / "penstock.yaml").read_text()
    released.write("penstock.yaml", text[: text.index("endpoints:")] + TWO + text.partition("ci:\n")[2])
    for ref in ("late/1", "late/2"):
        for name in ("delay", "delay-eu"):
            penstock(released, "deploy", name, "--model", ref)
    penstock(released, "promote", "late/2")
    return released


def penstock(sample: Sample, *words: str) -> str:
    ran = CliRunner().invoke(cli, ["-C", str(sample.root), *words])
    assert ran.exit_code == 0, (ran.output, ran.exception)
    return ran.output


def test_a_person_that_rolls_one_endpoint_back_moves_no_alias_that_another_serves_and_is_told_all(
    sample: Sample,
) -> None:
    stays = "late@champion stays at late/2, since delay serves late/2"
    would = penstock(sample, "rollback", "delay-eu", "--reason", "its feature store", "--dry-run")
    done = penstock(sample, "rollback", "delay-eu", "--reason", "its feature store")
    for told in (would, done):
        assert stays in told
        assert "late/2 counts as rolled back" in told
        assert "late/2 stays on delay, which nothing rolls back" in told
    (event,) = json.loads(penstock(sample, "log", "--kind", "endpoint.rolled_back", "--json"))
    assert stays in event["summary"]
    assert "late/2 counts as rolled back, and stays on delay" in event["summary"]
    note = "late/2, which it serves, was rolled back on delay-eu by "
    assert note in penstock(sample, "monitor", "status", "delay")
    assert note in penstock(sample, "endpoint", "show", "delay")
    with sample.project.database.read() as connection:
        champion = find_alias(connection, "late", "champion")
    assert champion is not None
    assert champion.version == 2


def test_a_breach_of_the_version_moves_the_alias_though_another_endpoint_serves_it(world: World) -> None:
    world.alias(2)
    for name in ("delay", "delay-eu"):
        world.policy(endpoint=name)
        world.deploy(1, endpoint=name)
        world.deploy(2, endpoint=name, kind="promoted")
    world.traffic("stable", 200, 150, endpoint="delay-eu")
    world.controller.tick()
    assert (world.current("delay-eu").stable, world.current("delay").stable, world.champion()) == (1, 2, 1)
    summary = world.events("endpoint.rolled_back")[0].summary
    assert "m@champion goes along to m/1, though delay serves m/2" in summary
    (rolled, strays) = sorted(view_endpoint(world.project, "delay").notes, key=lambda one: "declared" in one)
    assert rolled.startswith("m/2, which it serves, was rolled back on delay-eu by controller: ")
    assert strays.endswith("and serves m/2: penstock deploy delay --model m@champion")
    apply_deployment(world.project, plan_rollback(world.project, "delay"))
    assert view_endpoint(world.project, "delay").notes == ()


def test_an_endpoint_that_strays_from_its_alias_is_told_everywhere(sample: Sample) -> None:
    strays = (
        "it is declared with late@champion, which is late/1, and serves late/2: "
        "penstock deploy {} --model late@champion"
    )
    for words in (("promote", "late/1", "--dry-run"), ("promote", "late/1")):
        told = penstock(sample, *words)
        for name in ("delay", "delay-eu"):
            assert f"endpoint {name}: {strays.format(name)}" in told
    assert strays.format("delay") in penstock(sample, "endpoint", "list")
    assert strays.format("delay") in penstock(sample, "endpoint", "show", "delay")
    assert strays.format("delay") in penstock(sample, "monitor", "status", "delay")
    shown: dict[str, Any] = json.loads(penstock(sample, "endpoint", "show", "delay", "--json"))
    assert shown["notes"] == [strays.format("delay")]
    penstock(sample, "deploy", "delay", "--model", "late@champion")
    assert "declared with" not in penstock(sample, "endpoint", "show", "delay")
    penstock(sample, "deploy", "delay", "--model", "late/2")
    assert strays.format("delay") in penstock(sample, "endpoint", "list")
