"""Each guardrail is judged on the labels, and rows, of its own span, whatever stands beside it."""

from __future__ import annotations

import numpy as np
import pytest

from flows.production.endpoints import World, scored
from flows.production.rows import ask, learned, table
from penstock.base.clock import now_ms
from penstock.flows.production.watching import observe
from penstock.monitoring.windows import Partial, Window, WindowKey, add_partials
from penstock.serving.deployments import revisions

HOUR = "  - quality: {metric: accuracy, min: 0.7, horizon_s: 3600, min_labels: 50}\n"
WEEK = "  - quality: {metric: roc_auc, min: 0.4, min_labels: 100}\n"
MANY = "  - quality: {metric: brier, max: 0.5, horizon_s: 3600, min_labels: 5000}\n"
HEAD = "model: m@champion\nmonitor: {window_s: 60, windows: 5, feature_ratio: 0.1}\nguardrails:\n"
DAY_S = 86_400


@pytest.mark.parametrize("route", ["stable", "canary"])
@pytest.mark.parametrize("beside", ["", WEEK, MANY, WEEK + MANY])
def test_a_horizon_and_the_labels_needed_are_those_of_the_guardrail(
    world: World, beside: str, route: str
) -> None:
    world.policy(HEAD + HOUR + beside)
    world.deploy(1)
    if route == "canary":
        world.deploy(1, 2)
    now_s, number = now_ms() // 1000, world.current().number
    version = 2 if route == "canary" else 1
    wrong = [(now_s - 3 * DAY_S + 60 * step, 200, scored(200, 4, step, inverted=True)) for step in range(6)]
    with world.project.database.write() as connection:
        connection.execute(revisions.update().values(created_ms=1000 * (now_s - 20 * DAY_S)))
        add_partials(
            connection,
            [
                Partial(
                    window=Window(
                        key=WindowKey("delay", start_s, number, version, route), window_s=60,
                        request_count=count, row_count=count, quality=quality,
                    ),
                    worker=1, sequence=sequence,
                )
                for sequence, (start_s, count, quality) in enumerate(
                    [*wrong, (now_s - 120, 60, scored(60, 6, 99))], start=1
                )
            ],
        )  # fmt: skip
    found = {one.name: one for one in observe(world.project, "delay").findings if one.route == route}
    assert (found["accuracy_min"].state, found["accuracy_min"].count) == ("held", 60)
    if WEEK in beside:
        assert found["roc_auc_min"].count == (1260 if route == "canary" else 860)
    if MANY in beside:
        assert "60 of 5,000 labels" in found["brier_max"].sentence


def test_rows_are_of_the_span_of_the_guardrail(world: World) -> None:
    rng = np.random.default_rng(1)
    world.version(4, profile=learned(table(rng, 2000)))
    world.policy(
        HEAD
        + "  - multivariate: {auc_max: 0.7, min_rows: 60, span_s: 600}\n"
        + "  - multivariate: {auc_max: 0.7, min_rows: 60, max_rows: 70, span_s: 7200}\n"
    )
    world.deploy(4)
    ask(world, table(rng, 50), ago_s=4000)
    ask(world, table(rng, 55))
    short, long = observe(world.project, "delay").findings
    assert "55 of 60 rows" in short.sentence
    assert (long.state, long.count) == ("held", 70)
