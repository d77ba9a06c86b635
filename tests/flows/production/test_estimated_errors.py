"""Estimated errors of a regression in a look: held to the windows whose labels came, and not to other traffic."""

from __future__ import annotations

import numpy as np

from flows.production.endpoints import World
from monitoring.estimating.test_losses import fitted, flights, quality_of, seen
from penstock.base.clock import now_ms
from penstock.flows.production.overview import overview
from penstock.flows.production.watching import observe
from penstock.monitoring.quality.measures import Quality
from penstock.monitoring.windows import Partial, Window, WindowKey, add_partials

POLICY = "model: m@champion\nmonitor: {window_s: 1, windows: 5}\nguardrails: [{errors: {max_ratio: 0.1}}]\n"


def test_labels_of_calm_windows_do_not_make_the_estimate_of_a_rough_one_untrustworthy(world: World) -> None:
    rng = np.random.default_rng(12)
    reference = fitted(rng)
    world.version(4, profile=reference, mae=3.0)
    world.policy(POLICY)
    world.deploy(4)
    calm, rough = flights(rng, 3_000, 0.0), flights(rng, 3_000, 2.0)
    for number, ((columns, answers, truth), ago_s) in enumerate(((calm, 600), (rough, 2))):
        features, outputs = seen(reference, columns, answers)
        window = Window(
            key=WindowKey("delay", now_ms() // 1000 - ago_s, 1, 4, "stable"), window_s=1, request_count=3_000,
            row_count=3_000, features=features, outputs=outputs,
            quality=quality_of(answers, truth) if ago_s == 600 else Quality(),
        )  # fmt: skip
        with world.project.database.write() as connection:
            add_partials(connection, [Partial(window=window, worker=1, sequence=number)])
    (view,) = overview(world.project)
    found = view.routes[0].estimated
    assert found is not None and found.calibration == "good", found
    assert abs(found.gaps["mae"]) < 0.5 < found.metrics["mae"][0] - np.abs(calm[1] - calm[2]).mean()


def test_windows_before_the_newest_two_hundred_are_judged_and_hold_the_estimate(world: World) -> None:
    """Labels come later than 200 windows, and the policy judges more together."""
    rng, count = np.random.default_rng(13), 210
    reference = fitted(rng)
    world.version(4, profile=reference, mae=3.0)
    world.policy(POLICY.replace("windows: 5", f"windows: {count}"))
    world.deploy(4)
    columns, answers, truth = flights(rng, 30, 0.0)
    features, outputs = seen(reference, columns, answers)
    known, now_s = quality_of(answers, truth), now_ms() // 1000
    told = [
        Window(
            key=WindowKey("delay", now_s - count + at, 1, 4, "stable"), window_s=1, request_count=30, row_count=30,
            error_run_count=0, features=features, outputs=outputs, quality=known if at < 8 else Quality(),
        )
        for at in range(count)
    ]  # fmt: skip
    with world.project.database.write() as connection:
        add_partials(connection, [Partial(window=one, worker=1, sequence=at) for at, one in enumerate(told)])
    seen_now = observe(world.project, "delay")
    recent, found = seen_now.stable.recent, seen_now.measures["stable"]
    assert recent is not None and recent.features.row_count == recent.request_count > 6000
    assert found.label_count == 240
    assert found.estimated is not None and found.estimated.gaps, found.estimated
