from __future__ import annotations

import msgspec
import numpy as np
import pytest

from penstock.base.store.database import Database
from penstock.monitoring.guardrails.blocks import Block
from penstock.monitoring.latency import LatencyHistogram
from penstock.monitoring.lease import acquire, release, renew
from penstock.monitoring.profile import Profile
from penstock.monitoring.quality.measures import Quality
from penstock.monitoring.timings import list_timings
from penstock.monitoring.windows import (
    SUMMED,
    Partial,
    Window,
    WindowKey,
    add_partials,
    counts_of,
    list_windows,
    merge_windows,
    pack,
    windows,
)


def window(start_s: int = 0, *, revision: int = 1, version: int = 1, route: str = "stable") -> Window:
    latency = LatencyHistogram()
    latency.update([0.001] * 10)
    return Window(
        key=WindowKey("delay", start_s, revision, version, route),
        window_s=60,
        request_count=10,
        error_count=1,
        row_count=10,
        latency=latency,
        features=Profile.of({"a": np.arange(10.0)}),
        outputs=Profile.of({"p": np.arange(9.0)}),
        quality=Quality.of(np.array([0.1, 0.9]), np.array([0.0, 1.0])),
    )


def test_partial_rows_of_workers_merge_and_repeating_one_changes_nothing(database: Database) -> None:
    partials = [Partial(window=window(), worker=worker, sequence=seq) for worker in (1, 2) for seq in (1, 2)]
    for _ in range(3):
        with database.write() as connection:
            add_partials(connection, partials)
    with database.read() as connection:
        (found,) = list_windows(connection, "delay")
    assert (found.request_count, found.error_count, found.features.row_count) == (40, 4, 40)
    assert found.quality.label_count == 8
    assert found.latency.count == 40
    assert found.error_ratio == 0.1


def test_windows_are_listed_by_time_and_route_and_limited_by_start(database: Database) -> None:
    made = [window(start, route=route) for start in (0, 60, 120) for route in ("stable", "canary")]
    with database.write() as connection:
        add_partials(connection, [Partial(window=one, worker=1, sequence=n) for n, one in enumerate(made)])
        add_partials(connection, [Partial(window=window(180, revision=2), worker=1, sequence=99)])
    with database.read() as connection:
        assert [one.key.start_s for one in list_windows(connection, "delay")] == [0, 0, 60, 60, 120, 120, 180]
        assert len(list_windows(connection, "delay", revisions=[1], limit=2)) == 4
        assert len(list_windows(connection, "delay", since_s=120)) == 3
        assert list_windows(connection, "nope") == []


def test_merged_windows_span_all_of_them_and_carry_the_newest_identity() -> None:
    merged = merge_windows([window(120, revision=2, version=5), window(0)])
    assert (merged.key.start_s, merged.end_s, merged.key.version) == (0, 180, 5)
    assert merged.request_count == 20
    with pytest.raises(ValueError, match="no windows"):
        merge_windows([])


def test_a_lease_has_one_holder_until_it_expires(database: Database) -> None:
    with database.write() as connection:
        assert acquire(connection, "controller", "a", 10, 1000)
        assert acquire(connection, "controller", "a", 10, 2000)
        assert not acquire(connection, "controller", "b", 10, 3000)
        assert renew(connection, "controller", "a", 10, 4000)
        assert not renew(connection, "controller", "b", 10, 4000)
        assert acquire(connection, "controller", "b", 10, 14_000)
        assert not renew(connection, "controller", "a", 10, 14_001)
        release(connection, "controller", "a")
        assert not acquire(connection, "controller", "a", 10, 15_000)
        release(connection, "controller", "b")
        assert acquire(connection, "controller", "a", 10, 16_000)


def test_every_count_of_a_window_comes_through_the_store_and_into_each_look(database: Database) -> None:
    counted = {name: 3 + place for place, name in enumerate(SUMMED)}
    made = msgspec.structs.replace(window(), **counted, error_run_count=2)
    packed = pack(Partial(window=made, worker=1, sequence=1))
    assert packed.keys() == set(windows.c.keys()), "a column that nothing fills, or a count without a column"
    with database.write() as connection:
        add_partials(connection, [Partial(window=made, worker=worker, sequence=1) for worker in (1, 2)])
    twice = {name: 2 * value for name, value in counted.items()}
    with database.read() as connection:
        (whole,) = list_windows(connection, "delay")
        (quick,) = list_timings(connection, "delay", version=1, route="stable", now_s=10**9)
    for found in (whole, quick, merge_windows([made, made]), Block.of(quick)):
        assert counts_of(found) == twice, type(found)
    assert (whole.error_run_count, quick.error_run_count) == (4, 4)
