"""Traffic that comes slowly, or came to another version, is judged for what it is."""

from __future__ import annotations

import numpy as np

from flows.production.endpoints import World
from penstock.base.clock import now_ms
from penstock.flows.production.overview import overview
from penstock.flows.production.watching import observe
from penstock.monitoring.findings import Finding
from penstock.monitoring.policies import policies
from penstock.monitoring.profile import Profile
from penstock.monitoring.windows import Partial, Window, WindowKey, add_partials
from penstock.serving.deployments import revisions
from penstock.serving.workers import WorkerRevision, register_worker, report_revision

REFERENCE = Profile.of({"a": np.arange(1000.0)})
POLICY = """\
model: m
monitor: {window_s: 1, windows: 3, feature_ratio: 1.0}
guardrails:
  - errors: {max_ratio: 0.02}
  - drift: {psi_max: 0.25, min_rows: 100}
  - values: {min_rows: 100}
on_breach: [rollback, alert]
"""


def rows(count: int, shift: float = 0.0) -> Profile:
    return Profile.of({"a": np.linspace(0, 999, count) + shift})


def findings(world: World, kind: str) -> list[Finding]:
    return [one for one in observe(world.project, "delay").findings if one.kind == kind]


def test_rows_that_come_slowly_are_gathered_until_drift_and_values_can_be_judged(world: World) -> None:
    world.version(4, profile=REFERENCE)
    world.policy(POLICY)
    world.deploy(4)
    world.traffic("stable", 60, features=rows(60, 5000.0), ago_s=1)
    for kind in ("drift", "values"):
        assert [one.unjudged for one in findings(world, kind)] == ["too_few"]
    world.traffic("stable", 60, features=rows(60, 5000.0), ago_s=600)
    world.traffic("stable", 900, features=rows(900), ago_s=700)  # more than are needed
    for kind in ("drift", "values"):
        found = findings(world, kind)
        assert found[0].breached, found
        assert found[0].count == 120
    assert findings(world, "errors")[0].count == 60  # of now alone


def test_nothing_is_judged_by_old_windows_where_nothing_comes(world: World) -> None:
    world.version(4, profile=REFERENCE)
    world.policy(POLICY)
    world.deploy(4)
    world.traffic("stable", 500, features=rows(500, 5000.0), ago_s=600)
    assert [one.unjudged for one in findings(world, "drift")] == ["no_traffic"]


def test_what_was_wrong_before_a_revision_or_a_day_is_not_held_against_it(world: World) -> None:
    world.version(4, profile=REFERENCE)
    world.policy(POLICY)
    world.deploy(4)
    world.traffic("stable", 500, features=rows(500, 5000.0), ago_s=600)
    world.deploy(4)
    world.traffic("stable", 60, features=rows(60), ago_s=1)
    world.traffic("stable", 500, features=rows(500, 5000.0), ago_s=90_000)
    found = findings(world, "drift")
    assert [(one.unjudged, one.count) for one in found] == [("too_few", 60)]


def test_an_endpoint_that_another_version_answered_is_not_silent(world: World) -> None:
    """After a rollback the version that is back had no traffic for long; its callers were answered all the time."""
    world.version(4)
    world.version(5)
    world.policy(
        "model: m\nmonitor: {window_s: 1, windows: 3}\nguardrails: [{freshness: {max_silence_s: 60}}]\n"
    )
    world.deploy(4)
    world.traffic("stable", 10, ago_s=3000)
    world.deploy(5)
    world.traffic("stable", 10, ago_s=20)
    world.deploy(4)
    found = findings(world, "freshness")
    assert [one.breached for one in found] == [False], found
    assert found[0].observed < 60
    world.deploy(4, canary=5, percent=99.0)
    world.traffic("canary", 10, ago_s=5)
    assert findings(world, "freshness")[0].observed < 15


RULED = """\
model: m
monitor: {window_s: 1, windows: 3}
traffic: {rules: [{version: 5, header: x-tenant, equals: [a]}]}
guardrails: [{freshness: {max_silence_s: 60}}]
"""


def asked_directly(world: World, ago_s: int, version: int) -> None:
    """Write a window of requests that a version was named for, by their sender or by a rule."""
    world.sequence += 1
    key = WindowKey("delay", now_ms() // 1000 - ago_s, 0, version, "direct")
    window = Window(key=key, window_s=1, request_count=10, row_count=10)
    with world.project.database.write() as connection:
        add_partials(connection, [Partial(window=window, worker=1, sequence=world.sequence)])


def test_an_endpoint_whose_callers_rules_send_elsewhere_is_not_silent(world: World) -> None:
    for number in (4, 5):
        world.version(number)
    world.policy(RULED)
    revision = world.deploy(4)
    with world.project.database.write() as connection:
        connection.execute(revisions.update().values(created_ms=revisions.c.created_ms - 7_200_000))
        worker = register_worker(connection, host="h", pid=1, url="http://h", time_ms=now_ms())
        ready = WorkerRevision(endpoint="delay", revision=revision.number, state="ready", message="", time_ms=1)  # fmt: skip
        report_revision(connection, worker, ready)
    world.traffic("stable", 10, ago_s=3000)
    asked_directly(world, 10, 4)  # who names a version himself is no caller that was sent there
    assert [one.breached for one in findings(world, "freshness")] == [True]
    asked_directly(world, 2, 5)
    (found,) = findings(world, "freshness")
    assert (found.breached, found.observed < 60) == (False, True)
    assert overview(world.project)[0].health == "healthy"
    world.policy(RULED.replace("traffic:", "# traffic:"))  # the rules went now: nothing came since
    assert [one.breached for one in findings(world, "freshness")] == [False]
    with world.project.database.write() as connection:
        connection.execute(policies.update().values(created_ms=policies.c.created_ms - 600_000))
    assert [one.breached for one in findings(world, "freshness")] == [True]


def test_a_version_that_has_just_come_is_not_silent_for_what_was_before_it(world: World) -> None:
    world.version(4)
    world.version(5)
    world.policy(
        "model: m\nmonitor: {window_s: 1, windows: 3}\n"
        "guardrails: [{freshness: {max_silence_s: 3600, action: rollback}}]\n"
    )
    world.deploy(4)
    world.traffic("stable", 10, ago_s=3 * 86_400)
    world.deploy(5)
    assert [one.breached for one in findings(world, "freshness")] == [False]
    with world.project.database.write() as connection:
        connection.execute(revisions.update().values(created_ms=revisions.c.created_ms - 7_200_000))
    assert [one.breached for one in findings(world, "freshness")] == [True]


def test_a_guardrail_that_needs_many_rows_dilutes_no_drift_that_few_show(world: World) -> None:
    world.version(4, profile=REFERENCE)
    world.policy(POLICY.replace("values: {min_rows: 100}", "values: {min_rows: 5000}"))
    world.deploy(4)
    world.traffic("stable", 300, features=rows(300, 5000.0), ago_s=1)
    world.traffic("stable", 6000, features=rows(6000), ago_s=600)
    (drift,) = findings(world, "drift")
    assert drift.breached and drift.count == 300, drift
    assert findings(world, "values")[0].count == 6300


def test_older_windows_are_read_a_page_at_a_time_until_there_are_enough(world: World) -> None:
    world.version(4, profile=REFERENCE)
    world.policy(POLICY)
    world.deploy(4)
    world.traffic("stable", 1, features=rows(1, 5000.0), ago_s=1)
    for ago_s in range(100, 160):
        world.traffic("stable", 2, features=rows(2, 5000.0), ago_s=ago_s)
    (drift,) = findings(world, "drift")
    assert drift.breached and drift.count in (100, 101), drift


def test_what_can_never_be_judged_by_the_clock_says_what_to_set(world: World) -> None:
    world.version(4)
    world.policy("model: m\nmonitor: {window_s: 1, windows: 3}\nguardrails: [{errors: {max_ratio: 0.02}}]\n")
    world.deploy(4)
    world.traffic("stable", 4, ago_s=1)
    assert "never" not in findings(world, "errors")[0].sentence  # it began just now
    with world.project.database.write() as connection:
        connection.execute(revisions.update().values(created_ms=revisions.c.created_ms - 3_600_000))
    (found,) = findings(world, "errors")
    assert (
        "4 of 20 requests yet; where traffic stays so it never is: 5 times as many monitor.windows"
        in found.sentence
    )
