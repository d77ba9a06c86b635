"""A policy that this program cannot read, damaged or of a newer Penstock, is its own endpoint's trouble."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from flows.production.endpoints import POLICY, World
from penstock.base.clock import now_ms
from penstock.base.errors import Corrupt
from penstock.flows.production.controlling.deciding import NOT_JUDGED
from penstock.flows.production.controlling.untold import list_untold
from penstock.flows.production.live.housekeeping import Housekeeping
from penstock.flows.production.overview import overview
from penstock.flows.production.payloads.sampling import PREFIX
from penstock.flows.production.policing import FileFollower
from penstock.flows.production.revising import apply_deployment, preview_changes
from penstock.flows.production.traffic.rolling_back import plan_rollback
from penstock.monitoring.policies import UNREADABLE, find_policy, list_policies, list_policy_steps
from penstock.monitoring.settings import MonitorSettings, Webhook
from penstock.processes.traffic import followed_policies

HOOK = Webhook(url="http://127.0.0.1:9/hook")
NEWER = {"endpoint": {"model": "m@champion", "guardrails": [{"fairness": {"max_gap": 0.1}}]}}


def spoil(world: World, body: dict[str, Any] | str = NEWER) -> None:
    """Let the newest policy of `other` be what a newer program writes, or no JSON at all."""
    if isinstance(body, dict):
        body = json.dumps({**body, "alerts": {"webhooks": [{"url": HOOK.url, "format": HOOK.format}]}})
    newest = "SELECT max(number) FROM policies WHERE endpoint = 'other'"
    query = f"UPDATE policies SET body = :body WHERE endpoint = 'other' AND number = ({newest})"
    with world.project.database.write() as connection:
        connection.execute(sa.text(query), {"body": body})


@pytest.fixture
def two(world: World) -> World:
    """Two guarded endpoints: `delay`, whose canary fails, and `other`."""
    world.policy()
    world.policy(endpoint="other", webhooks=(HOOK,))
    world.deploy(1, endpoint="other")
    world.deploy(1)
    world.deploy(1, 2)
    world.traffic("stable", 400)
    world.traffic("canary", 100, 60)
    return world


@pytest.mark.parametrize("body", [NEWER, {"endpoint": 1}, "{no json"])
def test_the_others_are_handled_and_it_is_told_where_its_alerts_go(two: World, body: Any) -> None:
    spoil(two, body)
    assert two.controller.tick() == 2
    assert two.current().kind == "rolled_back"
    (alert,) = [one for one in two.open_alerts() if one.endpoint == "other"]
    assert alert.name == NOT_JUDGED
    assert "policy 1 of other cannot be read" in two.controller.problems["other"]
    seen = {one.name: one.problem for one in overview(two.project)}
    assert seen["delay"] == ""
    assert "policy 1 of other cannot be read" in seen["other"]
    with two.project.database.read() as connection:
        sent = connection.execute(sa.text("SELECT url FROM alert_deliveries WHERE alert_id = :id"), {"id": alert.id})  # fmt: skip
        assert list(sent.scalars()) == ([] if isinstance(body, str) else [HOOK.url])
        assert list_untold(connection) == {}


@pytest.mark.parametrize("body", [NEWER, "{no json"])
def test_a_serve_process_goes_on_by_the_policy_it_had_and_follows_the_others(two: World, body: Any) -> None:
    with two.project.database.read() as connection:
        before = followed_policies(connection, {})
    two.policy(POLICY.replace("0.02", "0.03"), endpoint="other")
    two.policy(POLICY.replace("0.02", "0.04"))
    spoil(two, body)
    if isinstance(body, str):
        before = {}  # as of a process that has just begun
    with two.project.database.read() as connection:
        found = followed_policies(connection, before)
    assert (found["delay"].number, found["other"].number) == (2, 1)


LONG = {**NEWER["endpoint"], "monitor": {"payloads": {"keep_days": 90, "redact": ["ssn"]}}}
DAY_S = 86_400


@pytest.mark.parametrize(
    ("body", "left"),
    [({"endpoint": LONG}, [60]), ({"endpoint": {"monitor": 3}}, [100, 60]), ("{no json", [100, 60])],
)
def test_its_payloads_stay_as_long_as_it_can_be_read_to_say(two: World, body: Any, left: list[int]) -> None:
    now_s = now_ms() // 1000
    days = {age: f"{datetime.fromtimestamp(now_s - age * DAY_S, UTC):%Y-%m-%d}" for age in (100, 60)}
    for day in days.values():
        two.project.artifacts.backend.put(f"{PREFIX}/other/{day}/10-1.parquet", b"x")
    spoil(two, body)
    Housekeeping(two.project).clean()
    found = {one.key.split("/")[-2] for one in two.project.artifacts.backend.list(f"{PREFIX}/other")}
    assert found == {days[age] for age in left}


def test_a_serve_process_that_begins_keeps_no_value_that_it_may_redact(two: World) -> None:
    def monitor(body: dict[str, Any] | str) -> MonitorSettings:
        spoil(two, body)
        with two.project.database.read() as connection:
            return followed_policies(connection, {})["other"].settings.monitor

    assert monitor({"endpoint": LONG}).redacted == ("ssn",)
    for body in ({"endpoint": {"monitor": 3}}, {"endpoint": 1}, "{no json"):
        found = monitor(body)
        assert found.feature_ratio == 0
        assert found.payloads is not None
        assert found.payloads.sample == 0


def test_the_file_is_followed_and_mends_it(two: World) -> None:
    spoil(two)
    (two.root / "penstock.yaml").write_text(
        "project: world\nendpoints:\n"
        + "".join(
            f"  {name}:\n    model: m@champion\n    guardrails: [{{errors: {{max_ratio: 0.5}}}}]\n"
            for name in ("delay", "other")
        )
    )
    FileFollower(two.project).follow()
    with two.project.database.read() as connection:
        held = list_policies(connection)
    assert (held.readable["delay"].number, held.readable["other"].number) == (2, 2)
    assert "it replaces 1, which could not be read" in two.events("policy.applied")[-1].summary
    with two.project.database.read() as connection:
        steps = list_policy_steps(connection, "other")
    assert [(one.number, one.changes) for one in steps] == [(2, ()), (1, (UNREADABLE,))]


def test_who_asks_for_it_is_told_what_to_do(two: World) -> None:
    spoil(two)
    with (
        two.project.database.read() as connection,
        pytest.raises(Corrupt, match="newer Penstock wrote it") as told,
    ):
        find_policy(connection, "other")
    assert told.value.code == "monitoring.policy_unreadable"
    assert "penstock endpoint apply other" in str(told.value.hint)


def test_a_person_can_roll_it_back(two: World) -> None:
    two.deploy(2, endpoint="other")
    spoil(two)
    plan = plan_rollback(two.project, "other", reason="it is worse")
    with two.project.database.read() as connection:
        assert preview_changes(connection, plan)
    assert apply_deployment(two.project, plan).stable == 1
    with two.project.database.read() as connection:
        sent = connection.execute(sa.text("SELECT url FROM alert_deliveries"))
        assert HOOK.url in set(sent.scalars())
