"""Estimated errors of a regression in a look: held to the windows whose labels came, and not to other traffic."""

from __future__ import annotations

import numpy as np

from flows.production.endpoints import World
from monitoring.estimating.test_losses import fitted, flights, quality_of, seen
from penstock.base.clock import now_ms
from penstock.flows.production.overview import overview
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
