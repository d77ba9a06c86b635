"""Endpoints that never had a policy, as after an upgrade: they are named, and nothing of them moves by itself."""

from __future__ import annotations

import json

from click.testing import CliRunner

from flows.production.endpoints import World
from penstock.cli.main import cli
from penstock.flows.production.controlling.responding import Controller


def upgraded(world: World, *words: str) -> str:
    url = f"sqlite:///{world.root}/.penstock/penstock.db"
    done = CliRunner().invoke(cli, ["db", "upgrade", url, *words])
    assert done.exit_code == 0, done.output
    return done.output


def test_an_upgrade_names_endpoints_without_a_policy(world: World) -> None:
    world.deploy(1)
    world.deploy(1, endpoint="watched")
    world.policy(endpoint="watched")
    (line,) = [one for one in upgraded(world).splitlines() if "no policy" in one]
    assert line.startswith("endpoint delay has no policy")
    assert line.endswith("penstock endpoint apply delay")
    assert json.loads(upgraded(world, "--json"))["unguarded"] == ["delay"]
    world.policy()
    assert "no policy" not in upgraded(world)


def test_no_canary_of_an_endpoint_without_a_policy_advances_where_the_file_cannot_be_read(
    world: World,
) -> None:
    world.deploy(1)
    world.deploy(1, 2)
    world.traffic("stable", 400)
    world.traffic("canary", 400)
    (world.root / "penstock.yaml").write_text("endpoints: {delay: {model: [\n")
    before = world.current()
    for _ in range(2):
        assert world.controller.tick() == 0
    assert world.current() == before
    assert "penstock.yaml" in world.controller.problems
    assert Controller(world.project).tick() == 0, "another controller acts"
    world.policy()
    assert world.controller.tick() == 1
    assert world.current().number > before.number, "the policy of the store is what lets it advance"
