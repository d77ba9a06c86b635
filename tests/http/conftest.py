from __future__ import annotations

from pathlib import Path

import pytest

from penstock.flows.models.aliases import apply_promotion, plan_promotion
from penstock.flows.models.judging import run_gate
from penstock.flows.models.registering import register_model
from penstock.flows.pipelines.execution import reproduce_and_record
from penstock.flows.production.deploying import apply_deployment, plan_deployment
from projects import Sample
from serving.fixtures import database, server, source

__all__ = ["database", "released_root", "server", "source"]


@pytest.fixture(scope="session")
def released_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a project with one model version that is served; copy it before you change anything."""
    sample = Sample.make(tmp_path_factory.mktemp("released") / "project")
    reproduce_and_record(sample.project)
    sample.commit("Train")
    run_gate(sample.project)
    register_model(sample.project)
    apply_promotion(sample.project, plan_promotion(sample.project, "late/1"))
    apply_deployment(sample.project, plan_deployment(sample.project, "delay", "late@champion"))
    sample.project.close()
    return sample.root
