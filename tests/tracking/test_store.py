"""Runs keep what they are told, on both engines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.base.clock import now_ms
from penstock.base.database import Database, connect
from penstock.base.errors import Invalid, NotFound
from penstock.base.migrate import upgrade
from penstock.tracking import store
from penstock.tracking.entities import Run, StageRecord


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        opened = connect(f"sqlite:///{tmp_path}/store.db")
    else:
        opened = connect(request.getfixturevalue("postgres").new_database())
    upgrade(opened)
    yield opened
    opened.close()


def new_run(**values: object) -> Run:
    return Run(id=store.new_run_id(), experiment="e", name="n", status="RUNNING", start_ms=now_ms(), **values)  # type: ignore[arg-type]


def test_a_run_comes_back_as_it_was_written(database: Database) -> None:
    run = new_run(params={"a": "1"}, metrics={"m": 0.5}, tags={"t": "ü"}, inputs={"data/x": "md5:1"})
    with database.write() as connection:
        store.create_run(connection, run)
        store.log_stages(connection, run.id, [StageRecord("train", "d", "ran", 1.5)])
        store.finish_run(connection, run.id, "FINISHED", lock_digest="l")
    with database.read() as connection:
        found = store.get_run(connection, run.id[:6])
        assert (found.params, found.metrics, found.tags, found.inputs) == (
            run.params,
            run.metrics,
            run.tags,
            run.inputs,
        )
        assert found.stages == (StageRecord("train", "d", "ran", 1.5),)
        assert store.find_run_of_lock(connection, "l") == found
        assert store.list_runs_of_input(connection, "md5:1") == [run.id]


def test_the_newest_point_of_a_metric_counts(database: Database) -> None:
    run = new_run()
    with database.write() as connection:
        store.create_run(connection, run)
        for step in (0, 2, 1):
            store.log_metrics(connection, run.id, {"m": float(step)}, step)
    with database.read() as connection:
        assert store.get_run(connection, run.id).metrics == {"m": 2.0}


def test_a_parameter_keeps_its_value(database: Database) -> None:
    run = new_run(params={"a": "1"})
    with database.write() as connection:
        store.create_run(connection, run)
        store.log_params(connection, run.id, {"a": "1", "b": "2"})
    with pytest.raises(Invalid, match="cannot become"), database.write() as connection:
        store.log_params(connection, run.id, {"a": "2"})


@pytest.mark.parametrize("run_id", ["", "abc", "nothex!", "%", "____", "0000"])
def test_an_unknown_run_is_named(database: Database, run_id: str) -> None:
    with pytest.raises(NotFound, match="no run"), database.read() as connection:
        store.get_run(connection, run_id)
