"""Runs keep what they are told, on both engines."""

from __future__ import annotations

import pytest

from penstock.base.clock import now_ms
from penstock.base.errors import Invalid, NotFound
from penstock.base.store.database import Database
from penstock.tracking import runs as store
from penstock.tracking.entities import MetricPoint, Run, StageRecord
from penstock.tracking.metrics import log_points
from penstock.tracking.run_names import new_run_id
from penstock.tracking.values import log_params
from tables import table


def new_run(**values: object) -> Run:
    return Run(id=new_run_id(), experiment="e", name="n", status="RUNNING", start_ms=now_ms(), **values)  # type: ignore[arg-type]


def test_a_run_comes_back_as_it_was_written(either_store: Database) -> None:
    run = new_run(params={"a": "1"}, metrics={"m": 0.5}, tags={"t": "ü"}, inputs={"data/x": "md5:1"})
    with either_store.write() as connection:
        store.create_run(connection, run)
        store.log_stages(connection, run.id, [StageRecord("train", "d", "ran", 1.5)])
        store.finish_run(connection, run.id, "FINISHED", lock_digest="l")
    with either_store.read() as connection:
        found = store.get_run(connection, run.id[:6])
        assert (found.params, found.metrics, found.tags, found.inputs) == (
            run.params,
            run.metrics,
            run.tags,
            run.inputs,
        )
        assert found.stages == (StageRecord("train", "d", "ran", 1.5),)
        assert store.find_run_of_lock(connection, "l") == found


def test_the_newest_point_of_a_metric_counts(either_store: Database) -> None:
    run = new_run()
    with either_store.write() as connection:
        store.create_run(connection, run)
        for step in (0, 2, 1):
            reference = store.require_writable(connection, run.id)
            log_points(connection, reference, [MetricPoint("m", float(step), now_ms(), step)])
    with either_store.read() as connection:
        assert store.get_run(connection, run.id).metrics == {"m": 2.0}


def test_a_parameter_keeps_its_value(either_store: Database) -> None:
    run = new_run(params={"a": "1"})
    with either_store.write() as connection:
        store.create_run(connection, run)
        log_params(connection, run.id, {"a": "1", "b": "2"})
    with pytest.raises(Invalid, match="Changing param values"), either_store.write() as connection:
        log_params(connection, run.id, {"a": "2"})


@table("run_id", ["", "abc", "nothex!", "%", "____", "0000"])
def test_an_unknown_run_is_named(either_store: Database, run_id: str) -> None:
    with pytest.raises(NotFound, match="no run"), either_store.read() as connection:
        store.get_run(connection, run_id)
