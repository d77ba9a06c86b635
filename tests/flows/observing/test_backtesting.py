"""A policy over recorded windows: the alarms of the controller's own judgement, at their time, and nothing written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from flows.production.endpoints import World, scored
from penstock.base.clock import now_ms
from penstock.base.errors import Invalid, NotFound
from penstock.base.settings import parse_settings
from penstock.cli.main import cli
from penstock.flows.observing import backtesting
from penstock.flows.observing.backtesting import LOOKS_MAX, _spread, backtest
from penstock.flows.observing.backtests import Backtest
from penstock.flows.observing.policies import read_policy
from penstock.monitoring.policies import policies
from penstock.monitoring.profile import Profile
from penstock.monitoring.settings import EndpointSettings
from penstock.monitoring.variation import reference_profile
from penstock.monitoring.windows import Partial, Window, WindowKey, add_partials
from penstock.registry.tables import version_states
from penstock.serving.deployments import revisions

POLICY = """\
model: m@champion
rollout: {steps: [20, 100], min_requests: 1000000, hold_s: 0, deadline_s: 1000000}
monitor: {window_s: 60, windows: 5}
guardrails:
  - errors: {max_ratio: 0.02}
  - drift: {psi_max: 0.2}
on_breach: [rollback, alert]
"""
MINUTES = 40
FAILS_FROM = 26
DRIFTS_FROM, DRIFTS_TO = 10, 20


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An hour of a canary that fails from its half on, while `x` drifts for ten minutes on both routes."""
    made = World(tmp_path_factory.mktemp("backtesting"))
    rng = np.random.default_rng(0)
    profile = reference_profile({"x": rng.normal(size=20_000)})
    for number in (1, 2):
        made.version(number, profile=profile)
    made.policy(POLICY)
    made.deploy(1)
    made.deploy(1, 2)
    begin_s = now_ms() // 1000 - 60 * MINUTES
    with made.project.database.write() as connection:
        connection.execute(revisions.update().values(created_ms=1000 * (begin_s - 3600)))
        partials: list[Any] = []
        for minute in range(MINUTES):
            shift = 2.0 if DRIFTS_FROM <= minute < DRIFTS_TO else 0.0
            for route, version, requests in (("stable", 1, 400), ("canary", 2, 100)):
                errors = 40 if route == "canary" and minute >= FAILS_FROM else 0
                window = Window(
                    key=WindowKey("delay", begin_s + 60 * minute, 2, version, route),
                    window_s=60,
                    request_count=requests,
                    error_count=errors,
                    error_run_count=errors,
                    row_count=1000,
                    features=Profile.of({"x": rng.normal(shift, 1, 1000)}),
                    quality=scored(20, 1.0, seed=minute),
                )
                partials.append(Partial(window=window, worker=1, sequence=len(partials)))
        add_partials(connection, partials)
    yield made
    made.project.close()


@pytest.fixture(scope="module")
def found(world: World) -> Backtest:
    return backtest(world.project, "delay", now_ms() - 7_200_000)


def minute_of(found: Backtest, time_ms: int) -> float:
    return (time_ms - found.since_ms) / 60_000


def test_a_failing_canary_would_have_gone_within_minutes_and_spared_the_rest(found: Backtest) -> None:
    (act,) = found.acts
    assert (act.kind, act.version, act.revision) == ("rollback", 2, 2)
    assert FAILS_FROM <= minute_of(found, act.time_ms) <= FAILS_FROM + 5
    assert act.spared_errors >= 40 * (MINUTES - FAILS_FROM - 6)
    assert act.spared_requests > act.spared_errors
    assert act.ended_ms is None


def test_alarms_begin_and_end_when_what_they_tell_of_did(found: Backtest) -> None:
    drifts = [one for one in found.alarms if one.labels.get("kind") == "drift"]
    assert {one.labels["route"] for one in drifts} == {"stable", "canary"}
    assert len(drifts) == 2
    for one in drifts:
        assert DRIFTS_FROM <= minute_of(found, one.began_ms) <= DRIFTS_FROM + 5
    stable = next(one for one in drifts if one.labels["route"] == "stable")
    assert stable.ended_ms is not None
    assert minute_of(found, stable.ended_ms) >= DRIFTS_TO
    assert [one.labels["kind"] for one in found.alarms if one.labels.get("kind") == "errors"] == ["errors"]
    assert found.look_count == MINUTES
    assert "1 rollback, over 40 looks." in found.sentence
    assert "rollback: back to m/1: canary breached its errors guardrail" in found.render()


def test_another_policy_is_tried_and_the_store_is_not_touched(world: World, tmp_path: Path) -> None:
    calm = POLICY.replace("0.02", "0.9, against: limit").replace("psi_max: 0.2", "psi_max: 9, ks_max: 0.99")
    settings = parse_settings(calm, EndpointSettings, "calm")
    before = world.events()
    tried = backtest(world.project, "delay", now_ms() - 7_200_000, settings, "calm.yaml")
    assert (tried.alarms, tried.acts) == ((), ())
    assert tried.render().startswith("delay under calm.yaml: 0 alarms")
    assert world.events() == before
    assert world.open_alerts() == []
    with world.project.database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(version_states)) == 0


def test_each_guardrail_that_was_not_judged_is_told_with_the_reason(world: World) -> None:
    """Silence must not look like a policy that is held."""
    more = """\
  - multivariate: {auc_max: 0.7}
  - slices: {max_drop: 0.1, metric: accuracy}
  - latency: {p99_ms: 50}
  - outliers: {max_ratio: 0.1}
"""
    text = POLICY.replace("on_breach", more + "on_breach").replace(
        "windows: 5}", "windows: 5, slices: [{feature: x}]}"
    )
    settings = parse_settings(text, EndpointSettings, "p")
    found = backtest(world.project, "delay", now_ms() - 7_200_000, settings, "p")
    reasons = {one.kind: one.why for one in found.not_judged}
    assert {"multivariate", "slices", "outliers"} <= set(reasons), found.not_judged
    assert "no rows" in reasons["multivariate"] and "no rows" in reasons["slices"]
    assert not {"errors", "drift"} & set(reasons)
    assert "not judged." in found.sentence
    for one in found.not_judged:
        assert f"  not judged: {one.sentence}" in found.render().splitlines()


def test_nothing_before_the_beginning_is_told_and_no_windows_are_no_alarm(world: World) -> None:
    late = backtest(world.project, "delay", now_ms() - 60_000 * (MINUTES - FAILS_FROM - 10))
    assert all(one.labels.get("kind") != "drift" for one in late.alarms)
    none = backtest(world.project, "delay", now_ms() + 60_000)
    assert none.sentence == "No windows were recorded in this time."
    with pytest.raises(NotFound):
        backtest(world.project, "nosuch", 0)


def test_looks_are_spread_over_a_long_time_and_the_last_moment_is_among_them() -> None:
    moments = list(range(10_000))
    chosen = _spread(moments)
    assert (len(chosen), chosen[0], chosen[-1]) == (LOOKS_MAX, 0, 9_999)
    assert chosen == sorted(set(chosen))
    assert _spread(moments[:3]) == [0, 1, 2]


def test_a_policy_is_an_endpoint_alone_or_a_whole_file(tmp_path: Path) -> None:
    alone, whole = tmp_path / "alone.yaml", tmp_path / "penstock.yaml"
    alone.write_text(POLICY)
    whole.write_text(
        "project: p\nendpoints:\n  delay:\n" + "".join(f"    {line}\n" for line in POLICY.splitlines())
    )
    assert read_policy(alone, "delay") == read_policy(whole, "delay")
    with pytest.raises(Invalid, match="no endpoint 'other'"):
        read_policy(whole, "other")
    for text in ("guardrail: []\n", "[", "- 1\n"):
        alone.write_text(text)
        with pytest.raises(Invalid):
            read_policy(alone, "delay")


def test_the_command_prints_what_would_have_been(world: World) -> None:
    (world.root / "penstock.yaml").write_text("project: world\n")
    done = CliRunner().invoke(
        cli, ["-C", str(world.root), "monitor", "backtest", "delay", "--since", "10m", "--json"]
    )
    assert done.exit_code == 0, done.output
    document = json.loads(done.output)
    assert [one["kind"] for one in document["acts"]] == ["rollback"]
    assert 8 <= document["look_count"] <= 10


def test_canaries_that_ended_within_a_window_are_judged_and_one_that_no_look_was_at_is_told(
    tmp_path: Path,
) -> None:
    made = World(tmp_path)
    for number in (1, 2, 3, 4):
        made.version(number)
    made.policy(POLICY.replace("  - drift: {psi_max: 0.2}\n", ""))
    made.deploy(1)
    begin_s = (now_ms() // 1000 - 1200) // 60 * 60
    spans = {1: begin_s - 600}
    partials: list[Partial] = []

    def answered(revision: int, start_s: int, version: int, route: str, requests: int, errors: int) -> None:
        window = Window(
            key=WindowKey("delay", start_s, revision, version, route), window_s=60,
            request_count=requests, error_count=errors, error_run_count=errors, row_count=requests,
        )  # fmt: skip
        partials.append(Partial(window=window, worker=1, sequence=len(partials)))

    for index, version in enumerate((2, 3, 4)):
        canary, back = 2 + 2 * index, 3 + 2 * index
        made.deploy(1, version)
        made.deploy(1, kind="rolled_back", reason="canary breached its errors guardrail")
        spans[canary], spans[back] = begin_s + 120 * index + 10, begin_s + 120 * index + 30
        answered(back - 2, begin_s + 120 * index, 1, "stable", 200, 0)
        if version != 4:  # whose requests never came to be written
            answered(canary, begin_s + 120 * index, version, "canary", 60, 60)
            answered(canary, begin_s + 120 * index, 1, "stable", 200, 0)
        answered(back, begin_s + 120 * index, 1, "stable", 200, 0)
    with made.project.database.write() as connection:
        for number, began_s in spans.items():
            row = revisions.update().where(revisions.c.number == number)
            connection.execute(row.values(created_ms=1000 * began_s))
        add_partials(connection, partials)
    found = backtest(made.project, "delay", 1000 * (begin_s - 60))
    made.project.close()
    assert [(one.kind, one.version) for one in found.acts] == [("rollback", 2), ("rollback", 3)]
    (untold,) = [one for one in found.not_judged if one.kind == "canary"]
    assert untold.version == 4
    assert "canary m/4 of revision 6: it ended after 20.0 s, and no look was at it" in found.render()


def test_a_rollback_of_then_that_the_policy_does_not_make_is_told(world: World) -> None:
    calm = parse_settings(POLICY.replace("0.02", "0.9, against: limit"), EndpointSettings, "calm")
    made_at = now_ms()
    with world.project.database.write() as connection:
        row = dict(connection.execute(sa.select(revisions).where(revisions.c.number == 2)).mappings().one())
        row |= {"number": 3, "canary_version": None, "kind": "rolled_back", "created_ms": made_at - 60_000 * 5,
                "reason": "canary could not be loaded"}  # fmt: skip
        connection.execute(revisions.insert(), [row])
    try:
        found = backtest(world.project, "delay", made_at - 7_200_000, calm, "calm")
    finally:
        with world.project.database.write() as connection:
            connection.execute(revisions.delete().where(revisions.c.number == 3))
    (told,) = [one for one in found.not_judged if one.kind == "rollback"]
    assert "then it was: canary could not be loaded" in told.sentence


def quiet(world: World, *spans: tuple[int, int], minutes_ago: int = 300) -> int:
    """Write traffic of the minutes of some spans, counted from minutes ago; return when that was."""
    world.policy(
        "model: m@champion\nmonitor: {window_s: 60, windows: 5}\n"
        "guardrails: [{freshness: {max_silence_s: 900}}, {errors: {max_ratio: 0.02}}]\n"
    )
    world.deploy(1)
    begin_s = now_ms() // 1000 - 60 * minutes_ago
    minutes = [minute for first, end in spans for minute in range(first, end)]
    with world.project.database.write() as connection:
        connection.execute(revisions.update().values(created_ms=1000 * (begin_s - 3600)))
        made = [
            Partial(
                window=Window(
                    key=WindowKey("delay", begin_s + 60 * minute, 1, 1, "stable"),
                    window_s=60, request_count=50, row_count=50,
                ),
                worker=1, sequence=minute + 1,
            )
            for minute in minutes
        ]  # fmt: skip
        add_partials(connection, made)
    return begin_s


def test_a_silence_between_windows_is_an_alarm_from_when_it_was_too_long(tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    world.version(1)
    begin_s = quiet(world, (0, 10), (50, 55), (65, 70), (299, 300))
    found = backtest(world.project, "delay", now_ms() - 6 * 3_600_000)
    began = [(one.began_ms // 1000 - begin_s) // 60 for one in found.alarms]
    assert began == [25, 85]
    assert [one.labels["kind"] for one in found.alarms] == ["freshness", "freshness"]
    assert found.alarms[0].ended_ms is not None
    assert not found.not_judged
    world.project.close()


def test_a_silence_that_lasts_is_an_alarm_and_is_looked_at_among_many_moments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backtesting, "LOOKS_MAX", 12)
    world = World(tmp_path / "world")
    world.version(1)
    begin_s = quiet(world, (0, 20), (40, 60), minutes_ago=90)
    found = backtest(world.project, "delay", now_ms() - 2 * 3_600_000)
    assert found.look_count == 12
    assert [(one.began_ms // 1000 - begin_s) // 60 for one in found.alarms] == [35, 75]
    assert found.alarms[-1].ended_ms is None
    world.project.close()


def test_callers_that_rules_of_the_time_sent_elsewhere_are_no_silence(tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    for number in (1, 2):
        world.version(number)
    begin_s = quiet(world, (0, 20), (100, 120), (299, 300))
    rules = "traffic: {rules: [{version: 2, header: x-tenant, equals: [a]}]}\n"
    world.policy("model: m@champion\nmonitor: {window_s: 60}\n" + rules)
    with world.project.database.write() as connection:
        since = policies.c.number == 2
        connection.execute(policies.update().where(since).values(created_ms=1000 * begin_s))
        key = WindowKey("delay", begin_s + 1200, 0, 2, "direct")
        window = Window(key=key, window_s=3600, request_count=50, row_count=50)
        add_partials(connection, [Partial(window=window, worker=1, sequence=1)])
    tried = parse_settings(
        "model: m@champion\nmonitor: {window_s: 60}\nguardrails: [{freshness: {max_silence_s: 900}}]\n",
        EndpointSettings,
        "tried",
    )
    found = backtest(world.project, "delay", now_ms() - 6 * 3_600_000, tried)
    assert [(one.began_ms // 1000 - begin_s) // 60 for one in found.alarms] == [95, 135]
    world.project.close()
