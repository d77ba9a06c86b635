"""A store is copied whole, between both engines; an MLflow database is imported with its ids."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.database import Database, connect
from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.base.events import record_event
from penstock.base.migrate import upgrade
from penstock.data.creation import init_repository
from penstock.flows.mlflow_import import import_mlflow
from penstock.flows.store_copy import copy_store, tables_of
from penstock.tracking import runs
from penstock.tracking.entities import Run
from penstock.tracking.experiments import create_experiment
from penstock.workspace import open_workspace
from servers.mlflow_server import run_mlflow
from servers.postgres import PostgresServer


def filled(url: str) -> Database:
    database = connect(url)
    upgrade(database)
    with database.write() as connection:
        for number in range(3):
            run = Run(
                id=runs.new_run_id(),
                experiment=f"e{number}",
                name="ü",
                status="FINISHED",
                start_ms=now_ms(),
                params={"p": "1"},
                metrics={"m": 0.5, "nan": float("nan")},
                tags={"t": "😀"},
                inputs={"data": "md5:1"},
            )
            runs.create_run(connection, run)
        record_event(connection, "a.b", "x", "me", "s", cause={"deep": [1, None, "ü"]})
    return database


def content(database: Database) -> dict[str, list[tuple[object, ...]]]:
    with database.read() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(sa.select(table))), key=repr)
            for table in tables_of(connection)
        }


@pytest.mark.slow
def test_a_store_goes_to_postgresql_and_back(tmp_path: Path, postgres: PostgresServer) -> None:
    there, back = postgres.new_database(), f"sqlite:///{tmp_path}/back.db"
    source = filled(f"sqlite:///{tmp_path}/source.db")
    copied = copy_store(f"sqlite:///{tmp_path}/source.db", there)
    copy_store(there, back)
    target = connect(back)
    assert copied.rows["runs"] == 3
    assert content(source) == content(target)
    moved = connect(there)
    with moved.write() as connection:
        assert create_experiment(connection, "after the copy") == 4
    for database in (source, target, moved):
        database.close()


def test_nothing_is_written_over(tmp_path: Path) -> None:
    source, target = f"sqlite:///{tmp_path}/a.db", f"sqlite:///{tmp_path}/b.db"
    filled(source).close()
    filled(target).close()
    with pytest.raises(Conflict, match="not empty"):
        copy_store(source, target)
    with pytest.raises(Invalid, match="same"):
        copy_store(source, source)
    with pytest.raises(NotFound, match="no store"):
        copy_store(f"sqlite:///{tmp_path}/none.db", f"sqlite:///{tmp_path}/c.db")


SCRIPT = """
import pandas as pd
mlflow.set_experiment("moved")
with mlflow.start_run(run_name="whole") as run:
    mlflow.log_params({"a": 1})
    for step in range(3):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metric("nan", float("nan"))
    mlflow.log_text("hello", "notes/a.txt")
    mlflow.log_input(mlflow.data.from_pandas(pd.DataFrame({"x": [1]}), source="x.csv", name="d"), context="training")
    from sklearn.linear_model import LinearRegression
    mlflow.sklearn.log_model(LinearRegression().fit([[0], [1]], [0, 1]), name="line", registered_model_name="line")
client.set_registered_model_alias("line", "champion", 1)
deleted = client.create_run("0"); client.delete_run(deleted.info.run_id)
answer([run.info.run_id, run.info.experiment_id, deleted.info.run_id])
"""


@pytest.mark.slow
@pytest.mark.xdist_group("mlflow-server")
def test_what_an_mlflow_server_kept_comes_along(tmp_path: Path) -> None:
    with run_mlflow(tmp_path / "mlflow") as peer:
        run_id, experiment_id, deleted = peer.drive(SCRIPT)
    root = tmp_path / "project"
    root.mkdir()
    init_repository(root, no_scm=True, subdir=False, force=False)
    project = open_workspace(root, {})
    done = import_mlflow(project, peer.store, tmp_path / "mlflow" / "artifacts")
    again = import_mlflow(project, peer.store, tmp_path / "mlflow" / "artifacts")
    assert done["runs"] == 2
    assert sum(again.values()) == 0
    with project.database.read() as connection:
        run = runs.get_run(connection, run_id)
        rows = {row.id: row for row in runs.list_rows(connection, [run_id, deleted])}
        digest, alias = (
            connection.exec_driver_sql(query).scalar()
            for query in ("SELECT digest FROM model_versions", "SELECT name FROM model_aliases")
        )
    assert (run.name, run.params, run.metrics["loss"]) == ("whole", {"a": "1"}, 1 / 3)
    assert str(rows[run_id].experiment_id) == experiment_id
    assert rows[deleted].deleted_ms is not None
    assert project.artifacts.backend.get(f"files/{experiment_id}/{run_id}/artifacts/notes/a.txt") == b"hello"
    assert len(digest or "") == 64
    assert alias == "champion"
    project.close()
