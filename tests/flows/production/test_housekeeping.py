"""What keeps the store small goes on beside what it cannot read, and says so once."""

from __future__ import annotations

import numpy as np
import pytest
import sqlalchemy as sa

from flows.production.endpoints import World
from penstock.base.clock import now_ms
from penstock.base.errors import Corrupt, Invalid
from penstock.base.settings import parse_settings
from penstock.flows.production.live import housekeeping
from penstock.flows.production.live.housekeeping import NOT_MERGED, Housekeeping
from penstock.flows.production.payloads.sampling import PREFIX
from penstock.monitoring.policies import policies
from penstock.monitoring.profile import Profile
from penstock.monitoring.settings import EndpointSettings, PayloadSettings
from penstock.monitoring.windows import Partial, Window, WindowKey, add_partials, windows
from penstock.project.settings import RetentionSettings

DAY_S = 86_400


def hours_ago(world: World, endpoint: str, hour: int, *, is_damaged: bool = False) -> None:
    """Write twenty windows of an hour three days ago, which are to become one."""
    start_s = (now_ms() // 1000 - 3 * DAY_S) // 3600 * 3600 + 3600 * hour
    features = Profile.of({"x": np.arange(5.0)})
    parts = [
        Partial(
            window=Window(
                key=WindowKey(endpoint, start_s + 60 * minute, 1, 1, "stable"), window_s=60,
                request_count=5, row_count=5, features=features,
            ),
            worker=1, sequence=minute + 1,
        )
        for minute in range(20)
    ]  # fmt: skip
    with world.project.database.write() as connection:
        add_partials(connection, parts)
        if is_damaged:
            third = (windows.c.endpoint == endpoint) & (windows.c.start_s == start_s + 120)
            connection.execute(windows.update().where(third).values(features=b"\x01damaged"))


def count_rows(world: World) -> dict[str, int]:
    query = sa.select(windows.c.endpoint, sa.func.count()).group_by(windows.c.endpoint)
    with world.project.database.read() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "REST_S", 0.0)


def test_a_window_that_cannot_be_read_keeps_no_other_from_being_merged_and_is_told_once(world: World) -> None:
    world.deploy(1)
    world.deploy(1, endpoint="other")
    hours_ago(world, "delay", 0, is_damaged=True)
    hours_ago(world, "delay", 1)
    hours_ago(world, "other", 2)
    assert Housekeeping(world.project).clean() == 40
    assert count_rows(world) == {"delay": 21, "other": 1}
    assert Housekeeping(world.project).clean() == 0
    (event,) = world.events(NOT_MERGED)
    assert event.subject == "endpoint:delay"
    assert "stay as they are" in event.summary


def test_what_one_part_fails_of_is_raised_after_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.deploy(1)
    hours_ago(world, "delay", 0)
    keeping = Housekeeping(world.project)

    def broken(*_: object) -> None:
        raise Corrupt("a label cannot be read", code="monitoring.broken")

    tidied: list[object] = []
    monkeypatch.setattr(keeping._ingest, "join_late", broken)
    monkeypatch.setattr(housekeeping, "tidy", lambda *given: tidied.append(given))
    with pytest.raises(Corrupt, match="a label"):
        keeping.clean()
    assert (count_rows(world), len(tidied)) == ({"delay": 1}, 1)


def test_payloads_that_are_kept_longer_than_any_calendar_are_tidied_all_the_same(world: World) -> None:
    for name in ("delay", "other"):
        world.policy(endpoint=name)
        world.deploy(1, endpoint=name)
        world.project.artifacts.backend.put(f"{PREFIX}/{name}/2020-01-01/10-1.parquet", b"x")
    with world.project.database.write() as connection:
        body = connection.execute(
            sa.select(policies.c.body).where(policies.c.endpoint == "delay")
        ).scalar_one()
        body["endpoint"]["monitor"]["payloads"] = {"keep_days": 1e9}  # as policies could say before
        connection.execute(policies.update().where(policies.c.endpoint == "delay").values(body=body))
    Housekeeping(world.project).clean()
    left = {one.key for one in world.project.artifacts.backend.list(PREFIX)}
    assert left == {f"{PREFIX}/delay/2020-01-01/10-1.parquet"}
    with pytest.raises(Invalid, match="keep_days is at most 36500"):
        parse_settings("model: m\nmonitor: {payloads: {keep_days: 36501}}\n", EndpointSettings, "policy")
    with pytest.raises(ValueError, match="at most 1000000"):
        RetentionSettings(windows_days=1e15)
    assert PayloadSettings(keep_days=36_500).mistake() == ""
