"""How far features were from the reference over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flows.production.endpoints import World
from penstock.base.clock import now_ms
from penstock.flows.observing.drifting import WINDOWS, view_drift
from penstock.monitoring.profile import Profile
from penstock.monitoring.variation import reference_profile
from penstock.monitoring.windows import Partial, Window, WindowKey, add_partials


def test_an_earlier_span_is_told_however_many_windows_came_after_it(tmp_path: Path) -> None:
    rng, count = np.random.default_rng(0), WINDOWS + 60
    world = World(tmp_path)
    world.version(1, profile=reference_profile({"x": rng.normal(size=2000)}))
    world.deploy(1)
    begin_s = now_ms() // 1000 - count
    far, near = (Profile.of({"x": rng.normal(mean, 1, 60)}) for mean in (3.0, 0.0))
    told = [
        Window(
            key=WindowKey("delay", begin_s + at, 1, 1, "stable"), window_s=1, request_count=60, row_count=60,
            error_run_count=0, features=far if at < 60 else near,
        )
        for at in range(count)
    ]  # fmt: skip
    with world.project.database.write() as connection:
        add_partials(connection, [Partial(window=one, worker=1, sequence=at) for at, one in enumerate(told)])
    drift = view_drift(world.project, "delay", since_s=begin_s, until_s=begin_s + 60)
    assert (drift.spans[0][0], drift.spans[-1][1]) == (begin_s, begin_s + 60)
    assert all(value is not None and value > 1 for value in drift.features["x"])
    world.project.close()
