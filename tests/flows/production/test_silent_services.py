"""An endpoint that only services of one's own, or batch jobs, tell of: what is said when they are silent."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from flows.production.endpoints import World
from penstock.base.clock import now_ms
from penstock.cli.main import cli
from penstock.flows.production.live.ingesting import Ingest, WindowsOfBatch
from penstock.flows.production.overview import EndpointView, overview
from penstock.http.pages.telling.conditions import condition_of
from penstock.serving.deployments import get_revision
from penstock.serving.told.observations import Observation, ObservationBatch
from penstock.serving.workers import worker_revisions


def view(world: World) -> EndpointView:
    (found,) = overview(world.project)
    return found


def age(world: World) -> None:
    """Let what was told be a day old."""
    with world.project.database.write() as connection:
        connection.execute(sa.update(worker_revisions).values(time_ms=now_ms() - 86_400_000))


def test_a_store_without_room_is_told_and_not_that_processes_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.policy()
    world.deploy(1)
    assert view(world).health == "down"
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=4096))
    seen = view(world)
    assert seen.health == "unjudged" and "cannot be written: 4 KB are free on its disk" in seen.health_reason


def test_a_service_that_went_silent_is_named_and_not_a_serve_process(world: World) -> None:
    world.policy()
    world.deploy(1)
    assert view(world).health_reason == "no serve process is running, and no service tells of calls"
    one = Observation(time_ms=now_ms(), latency_s=0.1, inputs={"hour": 7}, outputs=0.5)
    Ingest(world.project).take(ObservationBatch(batch="b", endpoint="delay", observations=[one]))
    assert view(world).health != "down"
    age(world)
    silent = view(world)
    assert (silent.health, silent.is_silent) == ("down", True)
    assert silent.health_reason.startswith("the service that told of its calls is silent since ")
    assert "penstock serve" not in condition_of(silent, [], [], now_ms()).command


def test_a_batch_job_may_rest_between_its_runs(world: World) -> None:
    world.policy()
    world.deploy(1)
    with world.project.database.read() as connection:
        current = get_revision(connection, "delay")
    given = WindowsOfBatch(batch="b", current=current, windows=[], predictions=[], is_job=True)
    assert Ingest(world.project).take_windows(given)
    age(world)
    assert view(world).health != "down"


def test_an_endpoint_without_a_policy_is_told_where_to_write_one(world: World) -> None:
    world.deploy(1)
    one = Observation(time_ms=now_ms(), latency_s=0.1, outputs=0.5)
    Ingest(world.project).take(ObservationBatch(batch="b", endpoint="delay", observations=[one]))
    (world.root / "penstock.yaml").write_text("project: world\n")
    runner = CliRunner()
    status = runner.invoke(cli, ["--cd", str(world.root), "monitor", "status", "delay"])
    assert "write endpoints.delay into penstock.yaml, then penstock endpoint apply" in status.output
    applied = runner.invoke(cli, ["--cd", str(world.root), "endpoint", "apply"])
    assert "write it under `endpoints:` there" in applied.output
    for moment in ("2999-01-01", "2999-01-01T10:00+02:00"):
        ahead = runner.invoke(cli, ["--cd", str(world.root), "monitor", "report", "delay", "--since", moment])
        assert ahead.exit_code == 2
        assert "lies in the future" in ahead.output
