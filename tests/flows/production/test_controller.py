"""The controller over a real store: what it does, what it writes, and that one endpoint's trouble is its own."""

from __future__ import annotations

import time
from collections import namedtuple
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import sqlalchemy as sa

from flows.production.endpoints import POLICY, World, scored
from penstock.base.clock import now_ms
from penstock.base.errors import Conflict, Unavailable
from penstock.base.settings import parse_settings
from penstock.flows.models.folders import RegistrySource
from penstock.flows.production.controlling import acting
from penstock.flows.production.controlling.responding import Controller
from penstock.flows.production.overview import overview
from penstock.flows.production.reading import Reading
from penstock.flows.production.unwritable import why_unwritable
from penstock.monitoring.findings import list_findings
from penstock.monitoring.profile import Profile
from penstock.monitoring.settings import EndpointSettings
from penstock.monitoring.variation import reference_profile
from penstock.monitoring.windows import windows
from penstock.processes.controller import ControllerLoop
from penstock.project.settings import ProjectSettings
from penstock.registry.aliases import list_alias_moves
from penstock.serving.deployments import Canary, get_revision
from penstock.serving.workers import WorkerRevision, register_worker, report_revision
from stories.live import wait_until

GUARDED = """\
model: m@champion
rollout: {steps: [20, 50, 100], min_requests: 60, hold_s: 0}
monitor: {window_s: 1, windows: 3}
guardrails:
  - quality: {metric: roc_auc, max_drop: 0.1, min_labels: 100}
on_breach: [rollback, alert]
"""


def test_a_failing_canary_is_taken_out_with_its_finding_event_and_state(world: World) -> None:
    world.policy()
    world.deploy(1)
    world.deploy(1, 2)
    world.traffic("stable", 400)
    world.traffic("canary", 100, 60)
    assert world.controller.tick() == 1
    now = world.current()
    assert (now.stable, now.canary, now.kind, now.actor) == (1, None, "rolled_back", "controller")
    (event,) = world.events("endpoint.rolled_back")
    with world.project.database.read() as connection:
        stored = {one.id: one.finding for one in list_findings(connection, "delay")}
    assert [stored[one].version for one in event.cause["finding_ids"]] == [2]
    assert [one.kind for one in world.events()][-3:] == ["guardrail.breached", "endpoint.rolled_back", "model.rolled_back"]  # fmt: skip
    world.controller.tick()
    assert len(world.events("endpoint.rolled_back")) == 1


def test_a_lost_profile_of_one_endpoint_leaves_the_other_its_rollback(world: World) -> None:
    world.version(4, profile=Profile.of({"a": np.array([1.0, 2.0])}))
    world.policy("model: m\nguardrails: [{drift: {psi_max: 0.2}}, {errors: {max_ratio: 0.1}}]\n", "broken")
    world.deploy(4, endpoint="broken")
    for path in (world.root / ".penstock" / "artifacts").rglob("*"):
        if path.is_file():
            path.unlink()
    world.policy()
    world.deploy(1)
    world.deploy(1, 2)
    world.traffic("stable", 400)
    world.traffic("canary", 100, 60)
    assert world.controller.tick() == 2
    assert world.current().kind == "rolled_back"
    assert "profile" in world.controller.problems["broken"]
    (event,) = world.events("endpoint.not_judged")
    assert event.subject == "endpoint:broken"
    shown = {one.name: one for one in overview(world.project)}
    assert "cannot be read" in shown["broken"].problem
    world.controller.tick()
    assert len(world.events("endpoint.not_judged")) == 1


def test_an_unreadable_row_is_told_and_the_other_endpoints_are_handled(world: World) -> None:
    for name in ("a-broken", "delay"):
        world.policy(endpoint=name)
        world.deploy(1, endpoint=name)
        world.deploy(1, 2, endpoint=name)
    world.traffic("canary", 10, endpoint="a-broken")
    with world.project.database.write() as connection:
        connection.execute(windows.update().values(features=b"junk"))
    world.traffic("canary", 100, 60)
    world.controller.tick()
    assert world.current().kind == "rolled_back"
    assert set(world.controller.problems) == {"a-broken"}
    assert overview(world.project)[0].health == "unjudged"
    assert "cannot be judged" in overview(world.project)[0].health_reason
    with world.project.database.write() as connection:
        connection.execute(windows.delete().where(windows.c.endpoint == "a-broken"))
    world.controller.tick()
    assert world.controller.problems == {}
    assert [one.kind for one in world.events() if "not_judged" in one.kind or "resolved" in one.kind] == ["endpoint.not_judged", "alert.resolved", "alert.resolved"]  # fmt: skip


def test_any_exception_in_one_endpoint_is_told_and_outlived(world: World) -> None:
    world.policy()
    world.deploy(1)
    with patch(
        "penstock.flows.production.controlling.responding.decide_servable",
        side_effect=ZeroDivisionError("by zero"),
    ):
        world.controller.tick()
    assert "ZeroDivisionError: by zero" in world.controller.problems["delay"]
    assert len(world.events("endpoint.not_judged")) == 1


def test_where_the_store_lies_is_told_by_the_log_alone(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "penstock")
    world.policy()
    world.deploy(1)
    address = "postgresql://u@db.internal/p"
    away = Unavailable(f"the store {address} cannot be reached", code="store.unavailable")
    part = "penstock.flows.production.controlling.responding.decide_servable"
    with patch(part, side_effect=away):
        world.controller.tick()
    assert world.controller.problems == {"delay": "the store is away"}
    assert all(address not in one.summary for one in world.events())
    with patch("penstock.flows.production.overview.latest_look", side_effect=away):
        [view] = overview(world.project)
    assert address not in repr(view) and "the store is away" in view.problem
    loop = ControllerLoop(world.project, interval_s=0.02)
    with patch.object(loop._controller, "tick", side_effect=away):
        loop.start()
        wait_until(lambda: loop.health.problem is not None)
        loop.stop()
    assert loop.health.problem == "the store is away"
    assert caplog.text.count(f"the controller's tick failed: the store {address} cannot be reached") == 1


@pytest.mark.parametrize("free_bytes", [0, None])
def test_a_store_that_cannot_be_written_is_told_without_its_place(
    world: World, free_bytes: int | None
) -> None:
    disk, access = "shutil.disk_usage", "os.access"
    usage = namedtuple("usage", "free")
    with (
        patch(disk, return_value=usage(1 << 30 if free_bytes is None else free_bytes)),
        patch(access, return_value=free_bytes is not None),
    ):
        words = why_unwritable(world.project)
    assert words.startswith("the store cannot be written")


def test_labels_of_a_canary_that_won_count_until_newer_ones_are_enough(world: World) -> None:
    settings = parse_settings(GUARDED, EndpointSettings, "policy")
    world.deploy(1)
    world.deploy(1, 2)
    world.traffic("canary", 60, ago_s=500, quality=scored(60, 1.0))
    world.deploy(2)

    def count() -> int:
        with world.project.database.read() as connection:
            now = get_revision(connection, "delay")
            reading = Reading(connection, now, settings, (now.number,), now.created_ms, now_ms())
            found = reading.stable().labelled
        return found.quality.label_count if found else 0

    counts = [count()]
    for ago_s in (400, 300, 200, 100):
        world.traffic("stable", 30, ago_s=ago_s, quality=scored(30, 1.0))
        counts.append(count())
    # with 100 labels asked for and 3 windows judged together: the canary's fall out once newer windows have enough
    assert counts == [60, 90, 120, 150, 120]


def test_a_tick_that_failed_is_told_and_so_is_that_it_is_over(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "penstock")
    loop = ControllerLoop(world.project, interval_s=0.02)
    busy = Unavailable("busy", code="store.unavailable")
    with patch.object(loop._controller, "tick", side_effect=[busy, busy, 0, *[0] * 10_000]):
        loop.start()
        deadline = time.monotonic() + 60
        while "tick failed: no longer" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)
        loop.stop()
    told = [one.message for one in caplog.records if "tick failed" in one.message]
    assert told == ["the controller's tick failed: busy", "the controller's tick failed: no longer"]
    assert loop.health.problem is None


def test_a_store_that_fails_once_loses_neither_the_breach_nor_the_rollback(world: World) -> None:
    """Evidence and action are one transaction: nothing is taken for told before it is stored."""
    world.policy()
    world.deploy(1)
    world.deploy(1, 2)
    world.traffic("stable", 400)
    world.traffic("canary", 100, 60)
    real = acting.write_deployment
    with patch.object(acting, "write_deployment", side_effect=Unavailable("busy", code="store.unavailable")):
        world.controller.tick()
    assert world.current().canary is not None
    assert not world.events("guardrail.breached")
    assert acting.write_deployment is real
    world.controller.tick()
    assert len(world.events("guardrail.breached")) == len(world.events("endpoint.rolled_back")) == 1


def test_several_breaches_of_a_look_are_told_apart(world: World) -> None:
    world.policy(POLICY.replace("[rollback, alert]", "[alert]").replace("0.02", "0.02, against: limit"))
    world.deploy(1)
    world.deploy(1, 2)
    world.traffic("stable", 200, 150)
    world.traffic("canary", 200, 150)
    world.controller.tick()
    (event,) = world.events("guardrail.breached")
    assert event.summary.partition("; and ")[2] == "errors of error_ratio (canary)"


def test_labels_that_turn_after_a_won_canary_roll_the_version_back(world: World) -> None:
    world.policy(GUARDED)
    world.alias(1)
    world.deploy(1)
    world.deploy(1, 3, percent=50.0)
    world.traffic("stable", 200, quality=scored(400, 1.5))
    world.traffic("canary", 200, quality=scored(400, 1.5, 1))
    world.controller.tick()
    assert (world.current().stable, world.current().kind, world.champion()) == (3, "promoted", 3)
    world.policy(GUARDED.replace("roc_auc, max_drop: 0.1", "roc_auc, against: offline, max_drop: 0.1"))
    with world.project.database.write() as connection:
        connection.execute(sa.text("UPDATE model_versions SET metrics = '{\"roc_auc\": 0.85}'"))
        connection.execute(sa.text("UPDATE windows SET start_s = start_s - 60"))
    for ago_s in (1, 2, 3):
        world.traffic("stable", 200, ago_s=ago_s, quality=scored(300, 1.5, ago_s, inverted=True))
    world.controller.tick()
    assert (world.current().stable, world.current().kind) == (1, "rolled_back")
    assert world.champion() == 1


def test_what_a_version_was_rolled_back_for_is_not_held_against_it_again(world: World) -> None:
    world.policy(GUARDED.replace("min_labels: 100", "min_labels: 100, against: offline"))
    world.version(4, roc_auc=0.9)
    world.deploy(1)
    world.deploy(4)
    world.traffic("stable", 200, ago_s=5, quality=scored(300, 1.5, inverted=True))
    world.controller.tick()
    assert (world.current().stable, world.current().kind) == (1, "rolled_back")
    again = world.deploy(4)
    for _ in range(3):
        world.controller.tick()
    assert world.current().number == again.number
    with world.project.database.write() as connection:  # the rollback was a while ago
        connection.execute(sa.text("UPDATE windows SET start_s = start_s - 60"))
        connection.execute(sa.text("UPDATE version_states SET time_ms = time_ms - 30000"))
    world.traffic("stable", 200, quality=scored(300, 1.5, 2, inverted=True))
    world.controller.tick()
    assert (world.current().stable, world.current().kind) == (1, "rolled_back")
    assert len(world.events("endpoint.rolled_back")) == 2


def test_late_labels_are_judged_however_much_traffic_came_since(world: World) -> None:
    """300 predictions, 10 s of other traffic, then 300 wrong labels about them."""
    world.policy(GUARDED.replace("min_labels: 100", "min_labels: 100, against: offline"))
    world.version(4, roc_auc=0.9)
    world.deploy(4)
    for ago_s in range(12, 0, -1):
        world.traffic("stable", 30, ago_s=ago_s)
    world.traffic("stable", ago_s=3000, quality=scored(300, 1.5, inverted=True))
    world.controller.tick()
    (event,) = world.events("guardrail.breached")
    assert event.cause["findings"][0]["count"] == 300
    assert overview(world.project)[0].routes[0].label_count == 300


def test_a_slow_canary_advances_on_what_came_since_its_step_began(world: World) -> None:
    """10 requests a second, 60 needed, windows of a second: the last windows alone never hold them."""
    world.policy()
    world.deploy(1)
    world.deploy(1, 2)
    for ago_s in range(5, 0, -1):
        world.traffic("stable", 40, ago_s=ago_s)
        world.traffic("canary", 10, ago_s=ago_s)
    world.controller.tick()
    assert world.current().canary is not None
    (view,) = overview(world.project)
    assert view.rollout is not None
    assert view.rollout.sentence == "waits: 50 of 60 requests; then it advances to 50 %"
    for ago_s in range(100, 99, -1):
        world.traffic("canary", 10, ago_s=ago_s)
    world.controller.tick()
    now = world.current()
    assert now.canary is not None
    assert (now.canary.percent, now.steps, now.kind) == (50, (100.0,), "advanced")


def test_a_canary_that_wins_becomes_stable_with_the_alias_in_one_transaction(world: World) -> None:
    world.policy()
    world.alias(1)
    world.deploy(1)
    world.deploy(1, 2, percent=50.0)
    world.traffic("stable", 100)
    world.traffic("canary", 100)
    world.controller.tick()
    assert (world.current().stable, world.champion()) == (2, 2)
    with world.project.database.read() as connection:
        last = list_alias_moves(connection, "m", "champion")[-1]
    assert last.cause is not None
    assert last.cause["revision"] == world.current().number


def test_a_canary_whose_gate_changed_is_held_with_the_reason(world: World) -> None:
    world.policy()
    world.deploy(1)
    world.deploy(1, 2)
    gated = "project: world\ngates: [{metric: {name: a, min: 1}}]\n"
    world.project.go_by(parse_settings(gated, ProjectSettings, "penstock.yaml"))
    world.traffic("stable", 400)
    world.traffic("canary", 100)
    for _ in range(3):
        world.controller.tick()
    assert world.current().number == 2
    (event,) = world.events("rollout.held")
    assert "no gate has judged exactly this model" in event.summary


def test_a_second_outage_is_an_event_and_an_alert_again(world: World) -> None:
    world.policy(POLICY.replace("on_breach: [rollback, alert]", "on_breach: [alert]"))
    world.deploy(1)
    world.traffic("stable", 200, 150)
    world.controller.tick()
    (first,) = world.open_alerts()
    with world.project.database.write() as connection:
        connection.execute(windows.delete())
    world.traffic("stable", 2000)
    world.controller.tick()
    assert world.open_alerts()[0].clean_ms is not None
    with world.project.database.write() as connection:
        connection.execute(sa.text("UPDATE alerts SET clean_ms = clean_ms - 60000"))
    world.controller.tick()
    assert world.open_alerts() == []
    assert len(world.events("alert.resolved")) == 1
    with world.project.database.write() as connection:
        connection.execute(windows.delete())
    world.traffic("stable", 200, 150)
    world.controller.tick()
    (second,) = world.open_alerts()
    assert second.id != first.id
    assert len(world.events("guardrail.breached")) == 2


def test_a_controller_that_lost_its_lease_writes_nothing(world: World) -> None:
    world.policy()
    world.deploy(1)
    world.deploy(1, 2)
    world.traffic("canary", 100, 60)
    other = Controller(world.project)
    assert world.controller.tick() == 1
    assert other.tick() == 0
    world.controller.close()
    assert other.tick() == 1
    world.deploy(1, 3)
    world.traffic("canary", 100, 60)
    with (
        patch("penstock.monitoring.lease.acquire", return_value=True),
        pytest.raises(Conflict, match="lost the lease"),
    ):
        world.controller.tick()
    assert world.current().canary is not None


def test_an_endpoint_without_traffic_is_idle_and_one_without_policy_is_not_healthy(world: World) -> None:
    world.deploy(1)
    with world.project.database.write() as connection:
        worker = register_worker(connection, host="h", pid=1, url="http://h", time_ms=now_ms())
        report = WorkerRevision(endpoint="delay", revision=1, state="ready", message="", time_ms=1)
        report_revision(connection, worker, report)
    assert overview(world.project)[0].health == "unjudged"
    world.policy()
    assert (overview(world.project)[0].health, overview(world.project)[0].health_reason) == ("idle", "no traffic yet")  # fmt: skip
    world.traffic("stable", 5)
    assert overview(world.project)[0].health == "watching"
    world.traffic("stable", 500)
    assert overview(world.project)[0].health == "healthy"
    world.policy(POLICY.replace("guardrails:\n", "guardrails:\n  - drift: {psi_max: 0.2}\n"))
    shown = overview(world.project)[0]
    assert (shown.health, shown.findings[0].unjudged) == ("unjudged", "no_reference")


def test_what_no_process_can_load_is_taken_back_at_the_first_evidence(world: World) -> None:
    world.policy()
    world.deploy(1)
    revision = world.deploy(1, 2)

    def report(state: str) -> None:
        with world.project.database.write() as connection:
            worker = register_worker(connection, host="h", pid=1, url="http://h", time_ms=now_ms())
            said = WorkerRevision(
                endpoint="delay",
                revision=revision.number,
                state=state,
                message="no module named x",
                time_ms=1,
            )
            report_revision(connection, worker, said)

    report("waiting")
    world.controller.tick()
    assert world.current().canary is not None
    with world.project.database.write() as connection:
        connection.execute(sa.text("DELETE FROM worker_revisions"))
    report("failed")
    world.controller.tick()
    assert (world.current().canary, world.current().kind) == (None, "rolled_back")
    assert "cannot be loaded: no module named x" in world.current().reason


def test_a_canary_whose_answers_are_no_numbers_is_taken_out_after_three_and_stable_follows_the_policy(
    world: World,
) -> None:
    world.policy(POLICY.replace("[20, 50, 100]", "[100]"))
    world.deploy(1)
    world.deploy(1, 2)
    world.traffic("stable", 40, nonfinite=1)
    world.traffic("canary", 2, nonfinite=2)
    world.controller.tick()
    assert world.current().canary is not None
    world.traffic("canary", 8, nonfinite=8)
    world.controller.tick()
    (event,) = world.events("endpoint.rolled_back")
    assert (world.current().canary, event.cause["findings"][0]["kind"]) == (None, "outputs")
    assert "10 of 10 answers are useless (NaN, infinite" in world.current().reason
    world.deploy(3)
    world.traffic("stable", 60, nonfinite=60)
    shown = next(one for one in overview(world.project) if one.name == "delay")
    assert (shown.routes[0].nonfinite_row_count, shown.health) == (60, "down")
    world.controller.tick()
    assert (world.current().stable, world.current().kind) == (1, "rolled_back")
    world.controller.tick()
    assert not world.open_alerts()


def test_requests_that_a_recorder_had_no_room_for_are_told_of(world: World) -> None:
    world.policy()
    world.deploy(1)
    world.traffic("stable", 100, 0)
    with world.project.database.write() as connection:
        connection.execute(windows.update().values(dropped_count=40))
    world.controller.tick()
    (event,) = world.events("endpoint.not_judged")
    assert "of 40 of the last 100 requests on stable only the counts are known" in event.summary
    assert "recording.max_bytes" in world.controller.problems["delay"]
    with world.project.database.write() as connection:
        connection.execute(windows.update().values(dropped_count=0))
    world.controller.tick()
    assert not world.controller.problems


def test_a_serve_process_gets_the_edges_of_a_versions_reference(world: World) -> None:
    rng = np.random.default_rng(1)
    world.version(4, profile=reference_profile({"a": rng.normal(size=500)}))
    source = RegistrySource(world.project)
    assert source.edges("m", 1) == {}
    assert list(source.edges("m", 4)["a"]) == sorted(source.edges("m", 4)["a"])


def statements(world: World) -> int:
    """Return how many statements a tick takes."""
    found = 0

    def count(*_arguments: Any) -> None:
        nonlocal found
        found += 1

    engine = world.project.database.engine
    sa.event.listen(engine, "before_cursor_execute", count)
    try:
        world.controller.tick()
    finally:
        sa.event.remove(engine, "before_cursor_execute", count)
    return found


LONG = POLICY.replace("window_s: 1", "window_s: 3600")


def test_what_does_not_change_is_not_asked_for_again_and_a_failure_is_judged_at_once(world: World) -> None:
    for name in ("a", "b", "c"):
        world.policy(LONG, name)
        world.deploy(1, endpoint=name)
        world.deploy(2, endpoint=name)
        world.traffic("stable", 200, 0, endpoint=name)
    world.controller = Controller(world.project)
    whole = statements(world)
    quiet = statements(world)
    assert quiet < 10 < whole, "nothing is asked about an endpoint that is steady"
    world.traffic("stable", 60, 60, endpoint="b")
    busy = statements(world)
    assert busy > quiet
    assert (
        world.current("b").kind == "rolled_back"
        and world.current("a").kind == world.current("c").kind == "deployed"
    )


def test_between_two_whole_looks_traffic_still_moves_a_canary_on(world: World) -> None:
    world.policy(LONG)
    world.deploy(1, canary=2)
    world.traffic("stable", 100, 0)
    world.controller = Controller(world.project)
    world.controller.tick()
    world.traffic("canary", 100, 0)
    memory = world.controller._memory["delay"]
    world.controller._memory["delay"] = replace(memory, next_ms=0)
    world.controller.tick()
    assert world.current().kind == "advanced" and world.current().canary == Canary(2, 50.0)
