"""What is told of a shadow that nothing is known of, beside traffic and without any."""

from __future__ import annotations

import numpy as np

from flows.production.endpoints import World
from penstock.base.clock import now_ms
from penstock.flows.production.shadows import COMPARED, list_shadows
from penstock.monitoring.profile import Profile
from penstock.monitoring.windows import Partial, Window, WindowKey, add_partials
from penstock.serving.call import DIFFERENCE


def test_a_shadow_that_answers_nothing_beside_traffic_is_not_without_traffic(world: World) -> None:
    revision = world.deploy(1, shadows=(2,))

    def sentence() -> str:
        with world.project.database.read() as connection:
            [shadow] = list_shadows(connection, revision)
        return shadow.sentence

    assert sentence() == "no traffic yet"
    world.traffic("stable", 30, 2)
    assert "nothing is told of it yet, beside 28 requests that clients were answered: it hangs" in sentence()


def test_what_a_shadow_did_before_its_newest_windows_is_told_too(world: World) -> None:
    revision = world.deploy(1, shadows=(2,))
    now_s, count = now_ms() // 1000, COMPARED + 50
    told = []
    for at in range(count):
        differed = Profile.of({f"prediction{DIFFERENCE}": np.full(10, 9.0 if at < 50 else 0.25)})
        for version, route, failed in ((1, "stable", 0), (2, "shadow", 10 if at < 50 else 0)):
            key = WindowKey("delay", now_s - count + at, revision.number, version, route)
            window = Window(
                key=key, window_s=1, request_count=10, error_count=failed, error_run_count=failed and 1, row_count=10,
                outputs=differed if route == "shadow" else Profile(),
            )  # fmt: skip
            told.append(Partial(window=window, worker=version, sequence=at))
    with world.project.database.write() as connection:
        add_partials(connection, told)
        [shadow] = list_shadows(connection, revision)
    assert (shadow.request_count, shadow.error_count, shadow.answered_count) == (2500, 500, 2500)
    assert shadow.is_cut and shadow.row_count == 10 * COMPARED
    assert shadow.sentence == (
        "2,500 requests, 500 failed; prediction differs by 0.25 on average over the newest 2,000 rows"
    )
