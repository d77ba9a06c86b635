"""What nothing-to-do costs: the run of a pipeline that stands is found without what recording one takes."""

from __future__ import annotations

import json
import subprocess
import sys

from penstock.flows.pipelines.execution import reproduce_and_record
from penstock.pipeline.lockfile import lock_digest
from penstock.tracking import runs
from penstock.tracking.known import find_known
from projects import Sample

LOADED = """
import sys
from penstock.cli.main import run
code = run(sys.argv[1:])
heavy = {"numpy", "sqlalchemy", "cryptography", "scipy", "alembic", "obstore"}
print("loaded:", sorted(heavy & set(sys.modules)), code)
"""


def test_a_pipeline_that_stands_loads_nothing_that_recording_a_run_takes(trained: Sample) -> None:
    digest = lock_digest(trained.project.data)
    assert digest is not None
    with trained.project.database.read() as connection:
        run = runs.find_run_of_lock(connection, digest)
    assert run is not None
    for words, told in ((["repro"], run.id), (["status"], "up to date"), (["-C", ".", "repro"], run.id)):
        command = [sys.executable, "-c", LOADED, *words]
        done = subprocess.run(command, cwd=trained.root, capture_output=True, text=True, check=True)
        assert told in done.stdout
        assert done.stdout.splitlines()[-1] == "loaded: [] 0", words


def test_a_run_is_recorded_in_an_embedded_store_without_the_toolkit(trained: Sample) -> None:
    words = ["--json", "exp", "run", "-S", "strength=0.5", "-n", "e"]
    command = [sys.executable, "-c", LOADED, *words]
    done = subprocess.run(command, cwd=trained.root, capture_output=True, text=True, check=True)
    told, loaded = done.stdout.rsplit("loaded:", 1)
    assert loaded.split()[-1] == "0"
    assert "sqlalchemy" not in loaded
    with trained.project.database.read() as connection:
        run = runs.get_run(connection, json.loads(told)["run"])
    assert (run.status, run.params["strength"], run.name) == ("FINISHED", "0.5", "e")
    assert run.tags["penstock.source"] == "experiment"
    assert run.metrics.keys() == {"roc_auc"}
    assert [stage.action for stage in run.stages] == ["up to date", "ran"]


def test_the_store_is_asked_alone_as_through_the_toolkit(trained: Sample) -> None:
    done = reproduce_and_record(trained.project)
    store, digest = trained.project.places.store_file, lock_digest(trained.project.data)
    assert done.run is not None
    assert store is not None
    assert digest is not None
    assert find_known(store, digest) == done.run.id
    assert find_known(store, "0" * 64) is None
    with trained.project.database.write() as connection:
        runs.delete_run(connection, done.run.id)
    with trained.project.database.read() as connection:
        assert runs.find_run_of_lock(connection, digest) is None
    assert find_known(store, digest) is None
    assert find_known(store.with_name("none.db"), digest) is None
    assert not store.with_name("none.db").exists()
    store.with_name("odd.db").write_bytes(b"no database")
    assert find_known(store.with_name("odd.db"), digest) is None
