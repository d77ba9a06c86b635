from __future__ import annotations

from pathlib import Path

import pytest

from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from projects import Sample
from serving.fixtures import database, server, source

__all__ = ["database", "released_root", "server", "source"]


@pytest.fixture(scope="session")
def released_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a project with one model version that is served; copy it before you change anything."""
    sample = Sample.make(tmp_path_factory.mktemp("released") / "project", "released")
    apply_deployment(sample.project, plan_deployment(sample.project, "delay", "late@champion"))
    sample.close()
    return sample.root
