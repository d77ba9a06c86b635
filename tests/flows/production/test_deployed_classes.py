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
from penstock.monitoring.settings import MonitorSettings
from penstock.monitoring.windows import WindowKey, list_windows, merge_windows
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
