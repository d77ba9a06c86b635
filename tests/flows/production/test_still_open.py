"""A breach that was told and is not judged any more stays open, and is told as such wherever an endpoint is."""

from __future__ import annotations

import html
import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from flows.production.endpoints import Looking, World
from penstock.cli.main import cli
from penstock.http.app import build_server_app
from penstock.monitoring.profile import Profile
from penstock.monitoring.windows import windows

POLICY = """\
model: m
monitor: {window_s: 1, windows: 10}
guardrails: [{errors: {max_ratio: 0.5}}, {drift: {psi_max: 0.2}}]
"""
BEFORE = Profile.of({"temp": np.arange(1000.0)})
DRIFTED = Profile.of({"temp": np.arange(1000.0) + 5000})


@pytest.fixture(autouse=True)
def drifting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.version(4, profile=BEFORE)
    world.policy(POLICY)
    world.deploy(4)
    monkeypatch.chdir(world.project.root)


def told(*command: str) -> str:
    done = CliRunner().invoke(cli, [*command])
    assert done.exit_code == 0, done.output
    return done.output


def forget(world: World) -> None:
    """Let all traffic be of long ago."""
    with world.project.database.write() as connection:
        connection.execute(windows.delete())


def page(world: World) -> str:
    text = TestClient(build_server_app(world.project, Looking(world))).get("/endpoints/delay").text
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", text)).split())


@pytest.mark.parametrize("route", ["stable", "batch"])
def test_a_breach_whose_traffic_stopped_is_told_as_open_and_not_judged(world: World, route: str) -> None:
    world.traffic(route, 1000, features=DRIFTED)
    world.controller.tick()
    assert not any(one.startswith("open ") for one in told("monitor", "status", "delay").splitlines())
    forget(world)
    world.controller.tick()
    assert [one.labels["name"] for one in world.open_alerts()] == ["temp"]
    why = "no batch job has scored of late" if route == "batch" else "no traffic"
    for command in (("monitor", "status"), ("endpoint", "show")):
        (line,) = [one for one in told(*command, "delay").splitlines() if one.startswith("open ")]
        assert f"drift temp of version 4 on {route} since 20" in line
        assert f"not judged now, because {why}" in line
        assert "PSI of temp" in line
    documents = (
        json.loads(told("monitor", "status", "--json")),
        json.loads(told("endpoint", "show", "delay", "--json")),
    )
    for document in (documents[0][0], documents[1]):
        (breach,) = document["open_breaches"]
        assert breach["state"] == ("absent" if route == "batch" else "unjudged")
        assert (breach["kind"], breach["name"], breach["route"]) == ("drift", "temp", route)
        assert breach["since_ms"] == world.open_alerts()[0].starts_ms
    shown = page(world)
    assert f"Open: drift temp on {route} since" in shown
    assert f"not judged now, because {why}" in shown


def test_a_breach_that_holds_again_is_told_as_open_until_it_is_over(world: World) -> None:
    world.traffic("stable", 1000, features=DRIFTED)
    world.controller.tick()
    forget(world)
    world.traffic("stable", 1000, features=BEFORE)
    world.controller.tick()
    world.controller.tick()
    (line,) = [one for one in told("monitor", "status").splitlines() if one.startswith("open ")]
    assert "within its limit again since 20" in line
    (breach,) = json.loads(told("monitor", "status", "--json"))[0]["open_breaches"]
    assert breach["state"] == "held"


def test_an_endpoint_that_cannot_be_judged_tells_what_is_open(world: World) -> None:
    world.traffic("stable", 1000, features=DRIFTED)
    world.controller.tick()
    with world.project.database.write() as connection:
        connection.execute(windows.update().values(features=b"damaged"))
    (line,) = [one for one in told("monitor", "status").splitlines() if one.startswith("open ")]
    assert "not judged now, because it cannot be judged: " in line
