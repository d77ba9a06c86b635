"""The classes of a classifier are known from its deployment on, whoever answers with it."""

from __future__ import annotations

import numpy as np
import pytest

from flows.production.endpoints import World
from flows.production.rows import ask
from penstock.base.clock import now_ms
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.live.ingesting import Ingest
from penstock.flows.production.revising import apply_deployment
from penstock.flows.production.rows.labelled import read_labelled
from penstock.flows.production.watching import observe
from penstock.monitoring.quality.labels import score
from penstock.monitoring.settings import MonitorSettings
from penstock.monitoring.windows import Partial, Window, WindowKey, add_partials, list_windows, merge_windows
from penstock.serving.classes import Served, add_classes, list_classes
from penstock.serving.told.observations import Observation, ObservationBatch
from projects import Sample


def test_a_deployment_writes_the_classes_that_its_version_knows(released: Sample) -> None:
    apply_deployment(released.project, plan_deployment(released.project, "delay", "late@champion"))
    with released.project.database.read() as connection:
        assert list_classes(connection, ["delay"]) == {Served("delay", 1, 1): (0, 1)}


@pytest.mark.parametrize(("model", "odd_count"), [("m", 2), ("n", 0)])
def test_classes_of_another_revision_count_for_the_same_model_alone(
    world: World, model: str, odd_count: int
) -> None:
    world.version(1, model="n")
    world.policy()
    first = world.deploy(1)
    with world.project.database.write() as connection:
        add_classes(connection, {Served("delay", first.number, 1): ("late", "on time")})
    second = world.deploy(1, model=model)
    told = [
        Observation(time_ms=now_ms(), latency_s=0.01, inputs={"hour": 7}, outputs={"prediction": one})
        for one in ("gold", "silver")
    ]
    Ingest(world.project).take(ObservationBatch(batch="one", endpoint="delay", observations=told, missed=[]))
    ask(
        world,
        {"hour": np.array([7.0])},
        {"prediction": np.array(["gold"], dtype=object)},
        ["gold"],
        slices=("hour",),
    )
    key = WindowKey("delay", 0, second.number, 1, "stable")
    with world.project.database.read() as connection:
        window = merge_windows(list_windows(connection, "delay"))
        rows = read_labelled(connection, key, "slices", 0, 10, MonitorSettings())
    assert (window.request_count, window.nonfinite_count) == (2, odd_count)
    assert rows.row_count == 1
    assert rows.classes == (("late", "on time") if model == "m" else None)


def test_labels_from_before_the_policy_named_a_positive_class_are_told_of_it(world: World) -> None:
    world.deploy(1)
    truth = np.array(["no", "yes"], dtype=object).repeat(50)
    guess = np.where(np.arange(100) % 5 == 0, "yes", truth).astype(object)
    quality = score({"prediction": guess}, truth.tolist(), classes=("no", "yes"))
    key = WindowKey("delay", now_ms() // 1000 - 30, 1, 1, "stable")
    window = Window(
        key=key, window_s=10, request_count=100, row_count=100, error_run_count=0, quality=quality
    )
    with world.project.database.write() as connection:
        add_partials(connection, [Partial(window=window, worker=1, sequence=1)])

    def recall() -> float:
        labelled = observe(world.project, "delay").stable.labelled
        assert labelled is not None
        return labelled.quality.value("recall")

    assert recall() == 1.0
    world.policy("model: m@champion\nmonitor: {window_s: 10, classes: ['no', 'yes'], positive: 'no'}\n")
    assert recall() == 0.8
