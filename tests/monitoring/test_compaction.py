"""Old windows become fewer rows and say the same."""

from __future__ import annotations

import numpy as np
import pytest

from penstock.base.store.database import Database
from penstock.monitoring.compaction import DAY_S, HOUR_S, delete_windows, find_bundles, merge_bundle
from penstock.monitoring.latency import LatencyHistogram
from penstock.monitoring.profile import Profile
from penstock.monitoring.quality.measures import Quality
from penstock.monitoring.windows import Partial, Window, WindowKey, add_partials, list_windows, windows

NOW_S = 100 * DAY_S


def write(database: Database, start_s: int, sequence: int, labels: int = 0, version: int = 1) -> None:
    latency = LatencyHistogram()
    latency.update([0.01] * 10)
    rng = np.random.default_rng(sequence)
    window = Window(
        key=WindowKey("delay", start_s, 1, version, "stable"),
        window_s=60,
        request_count=10,
        error_count=2,
        error_run_count=1,
        row_count=10,
        latency=latency,
        features=Profile.of({"a": rng.normal(size=10)}),
        quality=Quality.of(rng.random(labels), (rng.random(labels) < 0.5).astype(float))
        if labels
        else Quality(),
    )
    with database.write() as connection:
        add_partials(connection, [Partial(window=window, worker=1, sequence=sequence)])


def tidy(database: Database) -> int:
    merged = 0
    while True:
        with database.read() as connection:
            bundles = find_bundles(connection, NOW_S)
        if not bundles:
            return merged
        with database.write() as connection:
            merged += sum(merge_bundle(connection, one) for one in bundles)


def rows(database: Database) -> list[tuple[int, int, int, int]]:
    with database.read() as connection:
        found = connection.execute(windows.select().order_by(windows.c.version, windows.c.start_s))
        return [(row.start_s, row.window_s, row.request_count, row.label_count) for row in found]


def test_partial_rows_of_an_ended_window_become_one_and_say_the_same(database: Database) -> None:
    for sequence in range(1, 6):
        write(database, NOW_S - 600, sequence, labels=4)
    with database.read() as connection:
        (before,) = list_windows(connection, "delay")
    assert tidy(database) == 5
    assert rows(database) == [(NOW_S - 600, 60, 50, 20)]
    with database.read() as connection:
        (after,) = list_windows(connection, "delay")
    assert after.quality.metric("brier")[0] == pytest.approx(before.quality.metric("brier")[0])
    assert (after.error_count, after.error_run_count, after.latency.count, after.features.row_count) == (10, 5, 50, 50)  # fmt: skip
    assert tidy(database) == 0


def test_a_window_that_may_still_grow_is_left_and_a_late_label_is_merged_in(database: Database) -> None:
    for sequence in (1, 2):
        write(database, NOW_S - 90, sequence)
        write(database, NOW_S - 600, 10 + sequence)
    assert tidy(database) == 2
    assert len(rows(database)) == 3
    write(database, NOW_S - 600, 20, labels=3)
    tidy(database)
    assert rows(database)[0] == (NOW_S - 600, 60, 30, 3)


def test_windows_become_hours_and_hours_days_and_versions_stay_apart(database: Database) -> None:
    day = NOW_S - 5 * DAY_S
    for minute in range(0, 120, 10):
        write(database, day + 60 * minute, minute + 1)
    write(database, day, 999, version=2)
    old = NOW_S - 40 * DAY_S
    for hour in range(3):
        write(database, old + hour * HOUR_S, 2000 + hour)
    tidy(database)
    assert [(start_s - day, count) for start_s, _, count, _ in rows(database) if start_s >= day] == [(0, 60), (HOUR_S, 60), (0, 10)]  # fmt: skip
    assert [(start_s, count) for start_s, _, count, _ in rows(database) if start_s < day] == [(old, 30)]
    write(database, day + 600, 5000, labels=2)
    tidy(database)
    assert rows(database)[1][2:] == (70, 2)


def test_what_is_merged_already_stays_as_it_is(database: Database) -> None:
    for sequence in (1, 2):
        write(database, NOW_S - 600, sequence)
    with database.read() as connection:
        (bundle,) = find_bundles(connection, NOW_S)
    tidy(database)
    with database.write() as connection:
        assert merge_bundle(connection, bundle) == 0
    assert rows(database) == [(NOW_S - 600, 60, 20, 0)]


def test_windows_past_their_time_are_deleted(database: Database) -> None:
    write(database, NOW_S - 600, 1)
    write(database, NOW_S - 2 * DAY_S, 2)
    with database.write() as connection:
        assert delete_windows(connection, NOW_S - DAY_S) == 1
    assert len(rows(database)) == 1
