"""Calls that are stamped ahead of the store's clock: they hide nothing of what fails now."""

from __future__ import annotations

import logging
import time

import pytest
import sqlalchemy as sa

from flows.production.endpoints import World
from penstock.base.clock import now_ms
from penstock.flows.production.live.accumulating import Accumulating
from penstock.flows.production.live.ingesting import Ingest
from penstock.flows.production.overview import overview
from penstock.flows.production.watching import observe
from penstock.monitoring.windows import Window, list_windows, merge_windows
from penstock.serving.predictions.ids import parse_prediction_id
from penstock.serving.told.observations import MissedCalls, Observation, ObservationBatch

HOURS_MS = 2 * 3_600_000
SECONDS = 8
SILENCE = """\
model: m@champion
rollout: {steps: [20, 50, 100], min_requests: 60, hold_s: 0}
monitor: {window_s: 1, windows: 10}
guardrails:
  - freshness: {max_silence_s: 60}
"""


def calls(
    count: int, ahead_ms: int, *, error: str | None = None, name: str = "b", missed: int = 0
) -> ObservationBatch:
    """Return a batch of calls of the last seconds by a clock that is ahead."""
    time_ms = now_ms() + ahead_ms
    every = [
        Observation(
            time_ms=time_ms - 1000 * (place % SECONDS),
            latency_s=0.01,
            inputs={"hour": 7},
            outputs=0.5,
            error=error,
        )
        for place in range(count)
    ]
    told = [MissedCalls(time_ms=time_ms, request_count=missed)] if missed else []
    return ObservationBatch(batch=name, endpoint="delay", observations=every, missed=told)


def whole(world: World) -> Window:
    """Return all that is known of the endpoint in one window."""
    with world.project.database.read() as connection:
        return merge_windows(list_windows(connection, "delay"))


def breaches(world: World) -> set[str]:
    """Return the kinds of guardrails that are breached now."""
    return {one.kind for one in observe(world.project, "delay").breaches}


@pytest.mark.parametrize("tells", [True, False], ids=["tells-its-now", "tells-nothing"])
def test_calls_from_a_clock_that_is_ahead_hide_no_failures(world: World, tells: bool) -> None:
    world.policy()
    world.deploy(1)
    ingest = Ingest(world.project)
    ingest.take(calls(400, HOURS_MS, name="ahead"), now_ms() + HOURS_MS if tells else None)
    ingest.take(calls(400, 0, error="ValueError", name="failing"), now_ms() if tells else None)
    assert breaches(world) == {"errors"}


def test_windows_that_begin_after_now_are_none_of_the_newest(world: World) -> None:
    world.policy()
    world.deploy(1)
    world.deploy(1, 2)
    for ago_s in range(-7_200, -7_188):
        world.traffic("stable", 100, ago_s=ago_s)
        world.traffic("canary", 100, ago_s=ago_s)
    world.traffic("stable", 400)
    world.traffic("canary", 100, 60)
    seen = observe(world.project, "delay")
    assert {one.kind for one in seen.breaches} == {"errors"}
    assert seen.canary is not None
    assert seen.canary.recent is not None
    assert seen.canary.recent.request_count == 100
    assert seen.step["canary"].request_count == 100
    world.controller.tick()
    assert world.current().kind == "rolled_back"


def test_calls_of_the_future_are_no_sign_of_life(world: World) -> None:
    world.policy(SILENCE)
    world.deploy(1)
    with world.project.database.write() as connection:
        connection.execute(sa.text("UPDATE revisions SET created_ms = created_ms - 600000"))
    world.traffic("stable", 10, ago_s=300)
    assert breaches(world) == {"freshness"}
    world.traffic("stable", 10, ago_s=-7_200)
    assert breaches(world) == {"freshness"}


def test_the_times_of_a_sender_are_set_right_by_what_its_clock_says(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.policy()
    world.deploy(1)
    ingest, now = Ingest(world.project), now_ms()
    batch = calls(3, HOURS_MS - 30_000, missed=2)
    with caplog.at_level(logging.WARNING):
        taken = ingest.take(batch, now + HOURS_MS)
        ingest.take(calls(1, HOURS_MS, name="c"), now + HOURS_MS)
    assert taken.sender_ahead_ms == pytest.approx(HOURS_MS, abs=60_000)
    assert taken.moved_to_now == 0
    assert whole(world).key.start_s == pytest.approx(now // 1000 - 30, abs=60)
    assert whole(world).end_s <= now_ms() // 1000 + 1
    (event,) = world.events("endpoint.clock_differs")
    assert "7200 s ahead of this server's" in event.summary or "7199 s" in event.summary
    assert caplog.text.count("ahead of this server's") == 1
    again = ingest.take(batch, now + HOURS_MS + 1)
    assert (again.is_new, again.prediction_ids) == (False, taken.prediction_ids)
    assert parse_prediction_id(taken.prediction_ids[0]).time_ms == batch.observations[0].time_ms


def test_times_of_a_sender_that_is_behind_are_set_right_too(world: World) -> None:
    world.policy()
    world.deploy(1)
    taken = Ingest(world.project).take(calls(3, -HOURS_MS), now_ms() - HOURS_MS)
    assert taken.sender_ahead_ms == pytest.approx(-HOURS_MS, abs=60_000)
    assert whole(world).key.start_s == pytest.approx(now_ms() // 1000, abs=60)


def test_what_lies_ahead_and_says_nothing_of_its_clock_became_now_and_is_counted(world: World) -> None:
    world.policy()
    world.deploy(1)
    taken = Ingest(world.project).take(calls(3, HOURS_MS, missed=4))
    assert (taken.sender_ahead_ms, taken.moved_to_now) == (0, 7)
    assert whole(world).end_s <= now_ms() // 1000 + 1
    (event,) = world.events("endpoint.clock_differs")
    assert "from the future (7 calls)" in event.summary
    (view,) = overview(world.project)
    assert "from the future (7 calls)" in " ".join(view.notes)


def test_a_clock_in_step_is_not_told(world: World) -> None:
    world.policy()
    world.deploy(1)
    taken = Ingest(world.project).take(calls(3, 1_000), now_ms() + 1_000)
    assert (taken.sender_ahead_ms, taken.moved_to_now) == (0, 0)
    assert world.events("endpoint.clock_differs") == []


def test_what_was_recorded_before_a_clock_went_wrong_stays_where_it_was(world: World) -> None:
    world.policy()
    world.deploy(1)
    taken = Ingest(world.project).take(calls(3, -600_000), now_ms() + HOURS_MS)
    assert (taken.sender_ahead_ms, taken.moved_to_now) == (0, 0)
    assert whole(world).key.start_s == pytest.approx(now_ms() // 1000 - 600, abs=60)


@pytest.mark.parametrize("shown_ms", [0, 1_000, 10**14], ids=["none", "1970", "far-ahead"])
def test_a_clock_that_shows_no_time_says_nothing_and_loses_no_call(world: World, shown_ms: int) -> None:
    world.policy()
    world.deploy(1)
    taken = Ingest(world.project).take(calls(3, -30_000), shown_ms)
    assert (taken.is_new, taken.observation_count, taken.sender_ahead_ms) == (True, 3, 0)
    assert whole(world).key.start_s == pytest.approx(now_ms() // 1000 - 30, abs=60)


def test_a_batch_that_waited_for_others_came_from_no_clock_that_is_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.policy()
    world.deploy(1)
    ingest, own_ns = Ingest(world.project), time.time_ns
    begin = ingest._begin

    def begin_late() -> Accumulating:
        monkeypatch.setattr(time, "time_ns", lambda: own_ns() + HOURS_MS * 10**6)
        return begin()

    monkeypatch.setattr(ingest, "_begin", begin_late)
    assert ingest.take(calls(3, 0), now_ms()).sender_ahead_ms == 0
