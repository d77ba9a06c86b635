"""What the server tells Prometheus: the controller's last look at each endpoint, with bounded labels."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import sqlalchemy as sa
from starlette.testclient import TestClient

from flows.production.conftest import world
from flows.production.endpoints import World, scored
from penstock.flows.production.controlling.health import ControllerHealth
from penstock.flows.production.controlling.responding import Controller
from penstock.http.app import build_server_app
from penstock.http.prometheus.judgement import FEATURES_MAX
from penstock.monitoring.profile import Profile
from penstock.monitoring.variation import reference_profile
from penstock.monitoring.windows import windows
from servers.programs import missing

__all__ = ["world"]
POLICY = """\
model: m@champion
rollout: {steps: [20, 50, 100], min_requests: 60, hold_s: 0}
monitor: {window_s: 1, windows: 10}
guardrails:
  - errors: {max_ratio: 0.02}
  - drift: {psi_max: 0.2}
  - quality: {metric: roc_auc, max_drop: 0.1, min_labels: 100, against: stable}
  - latency: {p99_ms: 50}
on_breach: [rollback, alert]
"""


def look(world: World) -> list[str]:
    """Tick once, scrape, and return the lines of samples."""
    count = world.controller.tick()
    health = ControllerHealth(
        1_000_500, count, None, dict(world.controller.problems), dict(world.controller.looks),
        world.controller.is_leading,
    )  # fmt: skip
    client = TestClient(build_server_app(world.project, SimpleNamespace(health=health)))
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return answer.text.splitlines()


def drifted(count: int = 1) -> tuple[Profile, Profile]:
    """Return a reference of `count` numbers and a text, and traffic in which all are shifted."""
    rng = np.random.default_rng(0)
    names = [f"x{index}" for index in range(count)]
    texts = rng.choice(["a", "b"], 5000)
    before = reference_profile({**{name: rng.normal(size=5000) for name in names}, "c": texts})
    now = {name: rng.normal(2.0, size=1000) for name in names}
    return before, Profile.of({**now, "c": np.where(rng.random(1000) < 0.25, "new", "a")})


def values(lines: list[str], name: str) -> dict[str, float]:
    """Return what is told under a name, by labels."""
    found = [line.rpartition(" ") for line in lines if line.startswith((f"{name}{{", f"{name} "))]
    return {labels.removeprefix(name): float(value) for labels, _, value in found}


def test_a_scrape_tells_what_the_last_look_found(world: World) -> None:
    before, now = drifted()
    world.version(4, profile=before, roc_auc=0.7)
    world.policy(POLICY)
    world.deploy(4)
    world.deploy(4, 2)
    world.traffic("stable", 400, features=now, quality=scored(2000, 1.0))
    world.traffic("canary", 100)
    lines = look(world)
    stable = 'endpoint="delay",route="stable",version="4"'
    assert values(lines, "penstock_controller_leading") == {"": 1}
    assert values(lines, "penstock_controller_last_tick_timestamp_seconds") == {"": 1000.5}
    assert values(lines, "penstock_canary_share_ratio") == {'{endpoint="delay"}': 0.2}
    assert values(lines, "penstock_endpoint_revision") == {'{endpoint="delay"}': 2}
    assert list(values(lines, "penstock_revision_info")) == [
        '{canary="2",endpoint="delay",model="m",revision="2",stable="4"}'
    ]
    states = {one for one, number in values(lines, "penstock_guardrail_state").items() if number}
    assert (
        '{endpoint="delay",kind="drift",name="features",route="stable",state="breached",version="4"}'
        in states
    )
    assert (
        '{endpoint="delay",kind="errors",name="error_ratio",route="stable",state="held",version="4"}'
        in states
    )
    unjudged = values(lines, "penstock_guardrail_unjudged")
    assert (
        '{endpoint="delay",kind="drift",name="features",reason="no_reference",route="canary",version="2"}'
        in unjudged
    )
    psi = values(lines, "penstock_feature_drift_psi")
    assert psi['{endpoint="delay",feature="x0",route="stable",version="4"}'] > 1
    assert values(lines, "penstock_feature_drift_ks").keys() == {
        '{endpoint="delay",feature="x0",route="stable",version="4"}'
    }
    distances = values(lines, "penstock_feature_drift_distance")
    at = 'distance="{}",endpoint="delay",feature="x0",route="stable",version="4"'
    for name in ("wasserstein", "jensen_shannon", "chi_square"):
        assert distances[f"{{{at.format(name)}}}"] > 0.3, distances
    assert not any('"wasserstein"' in one and '"x0"' not in one for one in distances), "texts have none"
    (unseen,) = values(lines, "penstock_feature_unseen_ratio").values()
    assert 0.2 < unseen < 0.3
    assert values(lines, "penstock_drift_rows")[f"{{{stable}}}"] == 1000
    (auc,), (error,) = (values(lines, one).values() for one in ("penstock_quality", "penstock_quality_error"))
    assert auc > 0.7
    assert 0 < error < 0.05
    assert values(lines, "penstock_quality_labels")[f"{{{stable}}}"] == 2000
    assert len(values(lines, "penstock_window_end_timestamp_seconds")) == 2
    assert len(values(lines, "penstock_serve_processes")) == 6


def test_a_rollback_is_counted_from_zero_and_by_who_made_it(world: World) -> None:
    world.policy()
    world.deploy(1)
    world.deploy(1, 2)
    before = values(look(world), "penstock_rollbacks_total")
    world.traffic("stable", 400)
    world.traffic("canary", 100, 60)
    look(world)
    assert set(before.values()) == {0.0}
    assert values(look(world), "penstock_rollbacks_total") == {
        '{by="controller",endpoint="delay"}': 1.0,
        '{by="person",endpoint="delay"}': 0.0,
    }


def test_features_are_capped_and_the_rest_is_counted(world: World) -> None:
    before, now = drifted(FEATURES_MAX + 9)
    world.version(4, profile=before)
    world.policy(POLICY)
    world.deploy(4)
    world.traffic("stable", 400, features=now)
    lines = look(world)
    assert len(values(lines, "penstock_feature_drift_psi")) == FEATURES_MAX
    assert list(values(lines, "penstock_features_untold").values()) == [10.0]


def test_a_breach_that_is_not_over_is_told_while_nobody_judges_it(world: World) -> None:
    before, now = drifted(3)
    world.version(4, profile=before)
    world.policy(POLICY)
    world.deploy(4)
    world.traffic("stable", 400, features=now)
    look(world)
    stable = '{endpoint="delay",kind="drift",name="features",route="stable",version="4"}'
    found = values(look(world), "penstock_open_breaches")
    assert found == {stable: len(world.open_alerts())}
    assert found[stable] > 1
    world.deploy(4, 2)
    with world.project.database.write() as connection:
        connection.execute(windows.delete())
    lines = look(world)
    states = values(lines, "penstock_guardrail_state")
    assert states[stable.replace('"stable",', '"stable",state="breached",')] == 0
    assert values(lines, "penstock_open_breaches") == found
    with world.project.database.write() as connection:
        world.controller.lease.release(connection)
    world.controller = Controller(world.project)
    assert values(look(world), "penstock_open_breaches") == found, "a server that was just started"
    world.deploy(2)
    look(world)
    assert values(look(world), "penstock_open_breaches") == {}


def test_a_controller_that_waits_tells_nothing_of_endpoints(world: World) -> None:
    world.policy()
    world.deploy(1)
    look(world)
    with world.project.database.write() as connection:
        world.controller.lease.release(connection)
    other = world.controller.lease.__class__(
        "controller", "another-machine", 15.0
    )  # more than twice as long as ours would be of a clock that was set back
    with world.project.database.write() as connection:
        assert other.acquire(connection)
    lines = look(world)
    assert values(lines, "penstock_controller_leading") == {"": 0}
    assert values(lines, "penstock_endpoint_revision") == {}


def test_a_scrape_asks_the_store_nothing(world: World) -> None:
    world.policy()
    world.deploy(1)
    world.controller.tick()
    health = ControllerHealth(1, 1, None, {}, dict(world.controller.looks), True)
    client = TestClient(build_server_app(world.project, SimpleNamespace(health=health)))
    asked: list[Any] = []
    note: Callable[..., None] = lambda *arguments: asked.append(arguments[2])  # noqa: E731
    sa.event.listen(world.project.database.engine, "before_cursor_execute", note)
    assert client.get("/metrics").status_code == 200
    assert asked == []


def test_who_may_not_read_everything_is_given_no_metrics(world: World) -> None:
    health = SimpleNamespace(health=ControllerHealth(None, 0, None))
    client = TestClient(build_server_app(world.project, health, asks_for_credentials=True))
    assert client.get("/metrics").status_code == 401


def test_promtool_accepts_what_the_server_tells(world: World) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("promtool", "prometheus")
    before, now = drifted()
    world.version(4, profile=before, roc_auc=0.7)
    world.policy(POLICY)
    world.deploy(4)
    world.traffic("stable", 400, features=now, quality=scored(2000, 1.0))
    text = "\n".join([*look(world), ""])
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
