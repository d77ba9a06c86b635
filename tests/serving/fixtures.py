from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import penstock.monitoring.findings
import penstock.monitoring.lease
import penstock.serving.workers  # noqa: F401 - each declares its tables
import sharing
from penstock.base.store.database import Database, connect, metadata
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.http.inference.app import build_inference_app
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from projects import Sample
from serving.models import FolderSource, deploy, files_of, save_model
from serving.soaking import add_version


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    store = connect(f"sqlite:///{tmp_path}/penstock.db")
    metadata.create_all(store.engine)
    yield store
    store.close()


def train(folder: Path) -> None:
    for number in (1, 2):
        save_model(folder, number, seed=number)


@pytest.fixture
def source(tmp_path: Path) -> FolderSource:
    """Two versions of a small real model, which one process of the run has trained."""
    made = sharing.made("serving-models", train)
    shutil.copytree(made, tmp_path / "models")
    return FolderSource(*(files_of(tmp_path / "models", number, seed=number) for number in (1, 2)))


@pytest.fixture
def server(database: Database, source: FolderSource) -> Iterator[ServeProcess]:
    """A serving process on a free port with the endpoint `delay` at version 1."""
    deploy(database, "delay", 1)
    process = ServeProcess(
        database, source, build_inference_app, ServeOptions(port=0, poll_s=0.02, flush_s=0.1)
    )
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="session")
def released_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a project with one model version that is served; copy it before you change anything."""
    sample = Sample.make(tmp_path_factory.mktemp("released") / "project", "released")
    apply_deployment(sample.project, plan_deployment(sample.project, "delay", "late@champion"))
    sample.close()
    return sample.root


@pytest.fixture(scope="session")
def two_versions_root(released_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a second version of the model that may be deployed; copy it before you change anything."""
    sample = Sample.copy(released_root, tmp_path_factory.mktemp("two-versions") / "project")
    add_version(sample)
    return sample.root
