"""What is written to an embedded store at once is, row by row, what the toolkit writes; the unusual is left to it whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from penstock.base.store import connection as connection_module
from penstock.base.store import migrate
from penstock.base.store.database import Database, connect
from penstock.base.store.migrate import upgrade
from penstock.tracking import experiments, quick_runs, runs
from penstock.tracking.entities import NAME_TAG, MetricPoint, Run, StageRecord
from penstock.tracking.metrics import log_points
from penstock.tracking.quick_runs import Ending, begin_run, end_run, make_store
from penstock.tracking.values import log_params, set_tags

NOW_MS = 1_700_000_000_000
TAG = "penstock.process"
TABLES = ("runs", "run_tags", "run_params", "run_inputs", "run_metrics", "run_latest_metrics", "run_stages")
OLD = Run(id="old", experiment="e", name="o", status="RUNNING", start_ms=1, tags={TAG: "gone"})
RUN = Run(
    id="newer",
    experiment="e",
    name="näme",
    status="RUNNING",
    start_ms=2,
    commit="c",
    dirty_digest="d",
    user="u" * 300,
    tags={TAG: "here", "b": "ü", "a": ""},
    inputs={"z": "md5:1", "data/x": "md5:2"},
)
ENDING = Ending(
    status="FINISHED",
    params={"b": "1", "a": "x" * 6000},
    metrics={"m": 0.5, "nan": float("nan"), "inf": float("-inf"), "int": 3},
    stages=(StageRecord("b", "d1", "ran", 1.5), StageRecord("a", "", "up to date", 0.0)),
    lock_digest="l",
    tags={"penstock.error": "e"},
)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[Path, Database]]:
    """Make stores that have the experiment `e` and a run whose process is gone; time stands still."""
    for module in (quick_runs, runs, experiments, migrate):
        monkeypatch.setattr(module, "now_ms", lambda: NOW_MS)

    def make(name: str) -> tuple[Path, Database]:
        database = connect(f"sqlite:///{tmp_path}/{name}.db")
        upgrade(database)
        with database.write() as connection:
            runs.create_run(connection, OLD)
        return tmp_path / f"{name}.db", database

    return make


def rows_of(file: Path) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(file)) as connection:
        return {name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr) for name in TABLES}


def is_gone(process: str) -> bool:
    return process == "gone"


def test_both_ways_leave_the_same_rows_and_the_same_run(
    store: Callable[[str], tuple[Path, Database]],
) -> None:
    quick, read = store("quick")
    assert begin_run(quick, RUN, TAG, is_gone)
    found = end_run(quick, RUN, ENDING)
    slow, database = store("slow")
    with database.write() as connection:
        runs.finish_run(connection, "old", "KILLED")
        runs.create_run(connection, RUN)
        set_tags(connection, "newer", ENDING.tags)
        log_params(connection, "newer", ENDING.params)
        points = [MetricPoint(key, value, NOW_MS) for key, value in ENDING.metrics.items()]
        log_points(connection, runs.require_writable(connection, "newer"), points)
        runs.log_stages(connection, "newer", ENDING.stages)
        runs.finish_run(connection, "newer", "FINISHED", lock_digest="l")
    assert rows_of(quick) == rows_of(slow)
    assert [row[3] for row in rows_of(quick)["runs"]] == ["FINISHED", "KILLED"]
    for one in (read, database):
        with one.read() as connection:
            assert repr(runs.get_run(connection, "newer")) == repr(found).replace("u" * 300, "u" * 256)
        one.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE experiments SET deleted_ms = 1",
        "UPDATE alembic_version SET version_num = '9999'",
        "DROP TABLE run_inputs",
        "INSERT INTO runs (id, experiment_id, name, status, start_ms) SELECT 'newer', id, 'x', 'FINISHED', 1 FROM experiments WHERE name = 'e'",
    ],
)
def test_where_something_is_unusual_nothing_is_written(
    store: Callable[[str], tuple[Path, Database]], change: str
) -> None:
    file, database = store("s")
    database.close()
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(change)
        before = list(connection.iterdump())
        assert not begin_run(file, RUN, TAG, is_gone)
        assert list(connection.iterdump()) == before


def test_a_value_that_is_cut_or_refused_is_the_toolkits_to_write(
    store: Callable[[str], tuple[Path, Database]],
) -> None:
    file, database = store("s")
    before = rows_of(file)
    for tags in ({"t": "x" * 8001}, {"t": "a\0b"}, {NAME_TAG: "n"}):
        run = Run(id="newer", experiment="e", name="n", status="RUNNING", start_ms=2, tags=tags)
        assert not begin_run(file, run, TAG, is_gone)
    assert rows_of(file) == before
    assert begin_run(file, RUN, TAG, is_gone)
    before = rows_of(file)
    for ending in (
        Ending(status="FINISHED", params={"p": "x" * 6001}),
        Ending(status="FINISHED", metrics={"a": 1.0}, params={"p": "a\0"}),
    ):
        assert end_run(file, RUN, ending) is None
    with database.write() as connection:
        log_params(connection, "newer", {"p": "known"})
    assert end_run(file, RUN, Ending(status="FINISHED", params={"p": "another"})) is None
    with database.write() as connection:
        runs.delete_run(connection, "newer")
    assert end_run(file, RUN, ENDING) is None
    assert rows_of(file)["run_stages"] == before["run_stages"] == []
    database.close()


def test_a_store_that_is_locked_is_left_to_the_toolkit_before_long(
    store: Callable[[str], tuple[Path, Database]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 10 * quick_runs.BUSY_TIMEOUT_S <= connection_module.BUSY_TIMEOUT_S
    file, database = store("s")
    assert begin_run(file, RUN, TAG, is_gone)
    before = rows_of(file)
    waits: list[float] = []
    connect_file = sqlite3.connect

    def noted(*given: Any, timeout: float, **named: Any) -> sqlite3.Connection:
        waits.append(timeout)
        return connect_file(*given, timeout=timeout, **named)

    monkeypatch.setattr(quick_runs, "BUSY_TIMEOUT_S", 0.01)
    with database.write(), monkeypatch.context() as within:
        within.setattr(sqlite3, "connect", noted)
        other = Run(id="other", experiment="e", name="n", status="RUNNING", start_ms=3)
        assert not begin_run(file, other, TAG, is_gone)
        assert end_run(file, RUN, ENDING) is None
        make_store(tmp_path / "made.db")
    assert waits == [0.01] * 3
    assert rows_of(file) == before
    database.close()


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "odd.db").write_bytes(b"no database")
    for name in ("none.db", "odd.db", "none/none.db"):
        assert not begin_run(tmp_path / name, RUN, TAG, is_gone)
        assert end_run(tmp_path / name, RUN, ENDING) is None
    assert sorted(one.name for one in tmp_path.iterdir()) == ["odd.db"]


def test_a_store_is_made_as_the_toolkit_makes_it(
    store: Callable[[str], tuple[Path, Database]], tmp_path: Path
) -> None:
    made = tmp_path / "new" / "made.db"
    make_store(made)
    assert begin_run(made, OLD, TAG, is_gone)
    slow, database = store("slow")
    database.close()
    dumps = []
    for file in (made, slow):
        assert file.stat().st_mode & 0o777 == 0o600
        with closing(sqlite3.connect(file)) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            dumps.append(list(connection.iterdump()))
    assert dumps[0] == dumps[1]
    make_store(made)
    made.with_name("empty.db").touch()
    make_store(made.with_name("empty.db"))
    assert not begin_run(made.with_name("empty.db"), OLD, TAG, is_gone)  # it is filled by who opens it
