"""The classes of a classifier are known from its deployment on, whoever answers with it."""

from __future__ import annotations

from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.serving.classes import Served, list_classes
from projects import Sample


def test_a_deployment_writes_the_classes_that_its_version_knows(released: Sample) -> None:
    apply_deployment(released.project, plan_deployment(released.project, "delay", "late@champion"))
    with released.project.database.read() as connection:
        assert list_classes(connection, ["delay"]) == {Served("delay", 1, 1): (0, 1)}
