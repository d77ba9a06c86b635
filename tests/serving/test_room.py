"""A recorder's room is bounded in bytes; what it does not hold is counted, and windows stay a row a worker."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import Unavailable
from penstock.base.store.database import Database, metadata
from penstock.flows.production.live import recording, room
from penstock.flows.production.live.accumulating import Accumulating
from penstock.flows.production.live.recording import LiveRecorder
from penstock.flows.production.live.room import Room, size_of
from penstock.flows.production.live.summarising import summarise
from penstock.monitoring.compaction import find_bundles, merge_bundle
from penstock.monitoring.settings import MonitorSettings
from penstock.monitoring.windows import Window, WindowKey, list_windows, windows
from penstock.serving.predictions.stored import predictions
from serving.test_record import TIME_MS, observe
from stories.live import wait_until

FOR_EVER = {"delay": MonitorSettings(flush_s=600)}


def rows_of(database: Database, table: sa.Table) -> int:
    with database.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def only(database: Database) -> Window:
    with database.read() as connection:
        (found,) = list_windows(connection, "delay")
    return found


def test_what_a_full_recorder_cannot_hold_is_counted_and_its_failures_are_not_lost(
    database: Database,
) -> None:
    space = 10 * size_of(observe(1, [0.5]))
    made = LiveRecorder(database, 1, FOR_EVER, flush_s=600, max_bytes=space)
    made._lock.acquire()  # no flush comes between
    for counter in range(1, 41):
        made.record(observe(counter, [0.5]))
    for counter in range(41, 51):
        made.record(observe(counter, [0.5], outputs={}, error="model"))
    state = made.state
    assert state.dropped == {"delay": 40} and state.used_bytes <= state.max_bytes == space
    made._lock.release()
    made.flush()
    found = only(database)
    assert (found.request_count, found.error_count) == (50, 10)
    assert found.features.row_count == 10
    assert found.dropped_count == made.state.dropped["delay"] >= 40
    assert rows_of(database, predictions) == 50 - found.dropped_count
    assert made.state.used_bytes == 0, "what was written takes no room"
    before = made.state.dropped["delay"]
    made.record(observe(60, [0.5]))
    made.close()
    assert made.state.dropped["delay"] == before
    assert only(database).features.row_count == 11


def test_while_the_store_is_away_the_room_is_kept_and_windows_go_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = 12 * size_of(observe(1, [0.5]))
    made = LiveRecorder(database, 1, FOR_EVER, flush_s=600, max_bytes=space)
    metadata.tables["windows"].drop(database.engine)
    for counter in range(1, 201):
        made.record(observe(counter, [0.5]))
        if counter % 5 == 0:
            with pytest.raises(Unavailable):
                made.flush()
        assert made.state.used_bytes <= space
    metadata.create_all(database.engine)
    made.close()
    found = only(database)
    assert (found.request_count, found.features.row_count) == (200, 200), "sketches do not grow"
    assert found.dropped_count == made.state.dropped["delay"] > 100, "answers do"
    assert rows_of(database, predictions) == 200 - found.dropped_count


def test_of_too_many_windows_that_wait_the_oldest_keep_their_counts(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "UNWRITTEN_MAX", 3)
    made = LiveRecorder(database, 1, FOR_EVER, flush_s=600)
    metadata.tables["windows"].drop(database.engine)
    for minute in range(6):
        made.record(observe(minute + 1, [0.5], time_ms=TIME_MS + 60_000 * minute))
        with pytest.raises(Unavailable):
            made.flush()
    metadata.create_all(database.engine)
    made.close()
    with database.read() as connection:
        found = list_windows(connection, "delay")
    assert [(one.request_count, one.dropped_count, one.features.row_count) for one in found] == [
        *[(1, 1, 0)] * 3, *[(1, 0, 1)] * 3
    ]  # fmt: skip


def test_an_open_window_is_one_row_however_often_is_written(either_store: Database) -> None:
    workers = [LiveRecorder(either_store, number, FOR_EVER, flush_s=600) for number in (1, 2)]
    begun_ms = now_ms()
    for counter in range(1, 21):
        for number, one in enumerate(workers, start=1):
            failed: dict[str, Any] = {"outputs": {}, "error": "model"} if counter % 10 == 0 else {}
            one.record(observe(100 * number + counter, [0.5, 0.2], time_ms=begun_ms, **failed))
            one.flush()
    assert rows_of(either_store, windows) == 2
    found = only(either_store)
    assert (found.request_count, found.error_count, found.row_count, found.latency.count) == (40, 4, 80, 40)
    for one in workers:
        one.close()


def test_what_comes_after_a_window_was_merged_away_is_not_counted_twice(either_store: Database) -> None:
    workers = [LiveRecorder(either_store, number, FOR_EVER, flush_s=600) for number in (1, 2)]
    for number, one in enumerate(workers, start=1):
        one._windows.settle = lambda _now_s, own=one._windows: Accumulating.settle(own, 0)  # type: ignore[method-assign]
        one.record(observe(100 * number, [0.5]))
        one.flush()
    with either_store.write() as connection:
        (bundle,) = find_bundles(connection, TIME_MS // 1000 + 600)
        assert merge_bundle(connection, bundle) == 2
    for again in (1, 2):
        for number, one in enumerate(workers, start=1):
            one.record(observe(100 * number + again, [0.5]))
            one.flush()
    found = only(either_store)
    assert (found.request_count, found.features.row_count) == (6, 6)
    assert rows_of(either_store, windows) == 3
    for one in workers:
        one.close()


def test_large_requests_are_summarised_in_portions_and_before_the_flush(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is held beside the room is a portion's rows, however much there is room for."""
    one = observe(1, [0.5] * 1000)
    portions: list[int] = []

    def summarised(key: WindowKey, observations: Any, *more: Any) -> Window:
        portions.append(len(observations))
        return summarise(key, observations, *more)

    monkeypatch.setattr(room, "PORTION_BYTES", 10 * size_of(one))
    monkeypatch.setattr(room, "CONDENSED_BYTES", 24 * size_of(one))
    monkeypatch.setattr(recording, "summarise", summarised)
    made = LiveRecorder(database, 1, {"delay": MonitorSettings(flush_s=600, feature_ratio=0.0)}, flush_s=600)
    made._lock.acquire()  # nothing is summarised until all have come
    for counter in range(1, 26):
        made.record(observe(counter, [0.5] * 1000))
    made._lock.release()
    wait_until(lambda: len(portions) == 3)
    assert portions == [10, 10, 5]
    assert rows_of(database, windows) == 0, "it waits for the flush"
    made.close()
    found = only(database)
    assert (found.request_count, found.features.row_count) == (25, 25_000)
    assert made.state.used_bytes == 0


def test_room_is_taken_given_back_and_missed_by_window() -> None:
    made, key = Room(100), WindowKey("delay", 0, 1, 1, "stable")
    assert made.take(60) and not made.take(41) and made.take(40)
    made.give_back(60)
    made.miss(key, has_failed=True)
    made.miss(key, is_counted=True)
    missed = made.missed()[key]
    assert (missed.request_count, missed.error_count, missed.dropped_count) == (1, 1, 2)
    assert made.missed() == {} and made.state.dropped == {"delay": 2} and made.state.used_bytes == 40


def test_texts_count_with_their_length() -> None:
    short, long = (
        observe(1, [0.5] * 1000, inputs={"t": np.array(["x" * n] * 1000, dtype=object)}) for n in (1, 500)
    )
    assert size_of(long) - size_of(short) == 499_000


def test_what_cannot_be_summarised_is_counted_and_keeps_nothing_else_from_the_store(
    database: Database,
) -> None:
    made = LiveRecorder(database, 1, FOR_EVER, flush_s=600)
    made._lock.acquire()  # no flush comes between
    made.record(observe(1, [0.5]))
    made.record(observe(2, [0.5], outputs={}, error="model", row_count=None))
    made.record(observe(3, [0.5], endpoint="other"))
    made._lock.release()
    made.flush()
    found = only(database)
    assert (found.request_count, found.error_count, found.dropped_count) == (2, 1, 2)
    with database.read() as connection:
        (other,) = list_windows(connection, "other")
    assert (other.request_count, other.dropped_count, made.state.used_bytes) == (1, 0, 0)
    made.close()


def test_an_answer_that_cannot_be_packed_is_counted_and_takes_no_other_along(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    made = LiveRecorder(database, 1, FOR_EVER, flush_s=600)
    for counter in range(1, 8):
        made.record(observe(counter, [0.5]))
    for counter in (8, 9):
        odd = np.array([np.int64(3)], dtype=object)
        made.record(observe(counter, [0.5], outputs={"prediction": odd}))
    made.record(observe(10, [0.5]))
    made.record(observe(11, [0.5], version=2))
    made.close()
    with database.read() as connection:
        found = {one.key.version: one for one in list_windows(connection, "delay")}
    assert (found[3].request_count, found[3].dropped_count, found[2].request_count) == (10, 2, 1)
    assert rows_of(database, predictions) == 9
    assert caplog.text.count("cannot be kept, and labels not be joined to them") == 1
