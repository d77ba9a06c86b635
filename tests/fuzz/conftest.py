from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import sharing
from penstock.base.store.database import connect, metadata
from penstock.processes.serve import ServeProcess
from serving.fixtures import train
from serving.models import FolderSource, deploy, files_of
from serving.rpc import make_process


@pytest.fixture(scope="session")
def requests_wanted() -> int:
    """How many requests each fuzzer sends: few in the suite, many by `make fuzz`."""
    return int(os.environ.get("PENSTOCK_FUZZ", "300"))


@pytest.fixture(scope="session")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """A serve process that answers over HTTP and gRPC; its endpoint `spare` may be unloaded."""
    folder = tmp_path_factory.mktemp("fuzz")
    database = connect(f"sqlite:///{folder}/penstock.db")
    metadata.create_all(database.engine)
    made: Path = sharing.made("serving-models", train)
    deploy(database, "delay", 1)
    deploy(database, "spare", 1)
    process = make_process(database, FolderSource(*(files_of(made, one, seed=one) for one in (1, 2))))
    process.start()
    yield process
    process.stop()
    database.close()
