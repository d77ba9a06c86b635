"""A store is copied whole, between both engines; an MLflow database is imported with its ids."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.base.store.database import Database, connect
from penstock.base.store.events import record_event
from penstock.base.store.migrate import upgrade
from penstock.data.verbs.creation import init_repository
from penstock.flows.store.copying import copy_store, tables_of
from penstock.flows.store.mlflow_import import import_mlflow
from penstock.project.project import Project
from penstock.registry.aliases import list_alias_moves
from penstock.registry.cards import get_card
from penstock.registry.models import take_number
from penstock.registry.versions import get_version
from penstock.tracking import runs
from penstock.tracking.datasets import list_datasets, log_datasets
from penstock.tracking.datasets import list_models as list_links
from penstock.tracking.entities import Dataset, DatasetInput, Run
from penstock.tracking.experiments import create_experiment, list_experiments
from penstock.tracking.logged_models import list_models
from penstock.tracking.metrics import list_history
from penstock.tracking.run_names import new_run_id
from penstock.workspace import open_workspace
from servers.forking import run_penstock
from servers.mlflow_server import run_mlflow
from servers.postgres import PostgresServer
from servers.tracking import Tracking


def filled(url: str) -> Database:
    database = connect(url)
    upgrade(database)
    with database.write() as connection:
        for number in range(3):
            run = Run(
                id=new_run_id(),
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
        record_event(connection, "a.b", "x", "me", "s", cause={"deep": [1, None, "ü", math.nan, -math.inf]})
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
    with pytest.raises(NotFound, match="no file"):
        copy_store(f"sqlite:///{tmp_path}/none.db", f"sqlite:///{tmp_path}/c.db")


@pytest.mark.slow
def test_the_row_that_cannot_be_kept_is_named(tmp_path: Path, postgres: PostgresServer) -> None:
    url, target = f"sqlite:///{tmp_path}/source.db", postgres.new_database()
    source = filled(url)
    with source.write() as connection:
        run_id = connection.exec_driver_sql("SELECT min(id) FROM runs").scalar()
        connection.exec_driver_sql(
            "UPDATE run_tags SET value = 'a' || char(0) || 'b' WHERE run_id = ?", (run_id,)
        )
    source.close()
    with pytest.raises(Invalid, match=r"run_tags \(run_id '[0-9a-f]{32}', key 't'\).*NUL") as told:
        copy_store(url, target)
    assert str(run_id) in told.value.message
    there = connect(target)
    with there.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM runs").scalar() == 0
    there.close()


@pytest.mark.slow
def test_data_sets_keep_their_order(tmp_path: Path, postgres: PostgresServer) -> None:
    url, there, back = f"sqlite:///{tmp_path}/a.db", postgres.new_database(), f"sqlite:///{tmp_path}/b.db"
    source = filled(url)
    names = [f"d{number}" for number in (3, 1, 2, 5, 4, 0)]
    with source.write() as connection:
        run_id = connection.exec_driver_sql("SELECT min(id) FROM runs").scalar()
        run = runs.require_writable(connection, str(run_id))
        for name in names:
            log_datasets(
                connection,
                run,
                [DatasetInput(Dataset(name=name, digest="1", source_type="local", source="{}"))],
            )
    source.close()
    copy_store(url, there)
    copy_store(there, back)
    for store in map(connect, (url, there, back)):
        with store.read() as connection:
            assert [one.dataset.name for one in list_datasets(connection, [run.id])[run.id]] == names
        store.close()


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
    mlflow.sklearn.log_model(LinearRegression().fit([[0], [1]], [0, 1]), name="line", pip_requirements=["scikit-learn"], registered_model_name="line")
client.set_registered_model_alias("line", "champion", 1)
deleted = client.create_run("0"); client.delete_run(deleted.info.run_id)
answer([run.info.run_id, run.info.experiment_id, deleted.info.run_id])
"""


@pytest.mark.slow
def test_what_an_mlflow_server_kept_comes_along(tmp_path: Path) -> None:
    with run_mlflow(tmp_path / "mlflow") as peer:
        run_id, experiment_id, deleted = peer.drive(SCRIPT)
    root = tmp_path / "project"
    root.mkdir()
    init_repository(root, no_scm=True, subdir=False, force=False)
    project = open_workspace(root, {})
    done = import_mlflow(project, peer.store, tmp_path / "mlflow" / "artifacts").added
    again = import_mlflow(project, peer.store, tmp_path / "mlflow" / "artifacts").added
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


FOLDER_SCRIPT = """
import pandas as pd
mlflow.set_experiment("moved")
with mlflow.start_run(run_name="whole") as run:
    mlflow.log_params({"a": 1, "deep/name": "two\\nlines", "code": "1e5"})
    for step in range(3):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metric("deep/nan", float("nan"))
    mlflow.log_metric("inf", float("-inf"))
    mlflow.set_tag("team/name", "ü")
    mlflow.log_text("hello", "notes/a.txt")
    data = mlflow.data.from_pandas(pd.DataFrame({"x": [1]}), source="x.csv", name="my data")
    mlflow.log_input(data, context="training")
    from sklearn.linear_model import LinearRegression
    info = mlflow.sklearn.log_model(LinearRegression().fit([[0], [1]], [0, 1]), name="line", pip_requirements=["scikit-learn"], registered_model_name="line")
    mlflow.log_metric("accuracy", 0.5, model_id=info.model_id)
client.set_registered_model_alias("line", "champion", 1)
client.set_registered_model_alias("line", "candidate", 1)
client.set_registered_model_tag("line", "k", "v")
client.set_model_version_tag("line", "1", "vk", "vv")
mlflow.register_model(info.model_uri, "line")
client.transition_model_version_stage("line", "2", "Production")
deleted = client.create_run("0"); client.delete_run(deleted.info.run_id)
gone = client.create_experiment("gone"); client.create_run(gone); client.delete_experiment(gone)
elsewhere = client.create_experiment("elsewhere", artifact_location="s3://bucket/x")
answer([run.info.run_id, run.info.experiment_id, deleted.info.run_id, gone, info.model_id, elsewhere])
"""


@pytest.fixture(scope="module")
def mlruns(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder that the real MLflow wrote, and the ids in it."""
    folder = tmp_path_factory.mktemp("store") / "mlruns"
    place = Tracking(folder.as_uri(), 0, folder, "", folder.parent / "client")
    return folder, place.drive(FOLDER_SCRIPT, MLFLOW_ALLOW_FILE_STORE="true")


def new_project(folder: Path, store: str = "") -> Project:
    folder.mkdir()
    init_repository(folder, no_scm=True, subdir=False, force=False)
    return open_workspace(folder, {"PENSTOCK_STORE": store})


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_folder_of_mlflow_comes_along(
    mlruns: tuple[Path, list[str]], tmp_path: Path, engine: str, request: pytest.FixtureRequest
) -> None:
    folder, (run_id, experiment, deleted, gone, model_id, elsewhere) = mlruns
    store = request.getfixturevalue("postgres").new_database() if engine == "postgresql" else ""
    project = new_project(tmp_path / "project", store)
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    done = import_mlflow(project, str(moved)).added
    before = content(project.database)
    again = import_mlflow(project, str(moved)).added
    assert (done["runs"], done["experiments"], done["model_versions"]) == (3, 3, 2)
    assert sum(again.values()) == 0
    assert content(project.database) == before
    with project.database.read() as connection:
        run = runs.get_run(connection, run_id)
        rows = {row.id: row for row in runs.list_rows(connection, [run_id, deleted])}
        kept = {
            one.id: one for one in list_experiments(connection, [int(experiment), int(gone), int(elsewhere)])
        }
        history = list_history(connection, run_id, "loss")
        data = list_datasets(connection, [run_id])[run_id]
        links = list_links(connection, [run_id])[run_id]
        model = list_models(connection, [model_id])[0]
        first, second = (get_card(connection, "line", number) for number in (1, 2))
        digest = get_version(connection, "line", 1).digest
    assert (run.name, run.status, run.experiment) == ("whole", "FINISHED", "moved")
    assert run.params == {"a": "1", "deep/name": "two\nlines", "code": "1e5"}
    assert run.tags["team/name"] == "ü"
    assert (run.metrics["loss"], run.metrics["accuracy"]) == (1 / 3, 0.5)
    assert run.metrics["deep/nan"] != run.metrics["deep/nan"]
    assert run.metrics["inf"] < -1e308
    assert [point[1] for point in history] == [1.0, 0.5, 1 / 3]
    assert [(one.dataset.name, dict(one.tags)["mlflow.data.context"]) for one in data] == [
        ("my data", "training")
    ]
    assert [(link.model_id, link.direction) for link in links] == [(model_id, "output")]
    assert (model.name, model.status, model.artifact_uri) == ("line", "LOGGED_MODEL_READY", None)
    assert rows[deleted].deleted_ms is not None
    assert kept[int(gone)].deleted_ms is not None
    assert (kept[int(experiment)].artifact_uri, kept[int(elsewhere)].artifact_uri) == (None, "s3://bucket/x")
    assert (set(first.aliases), first.tags, second.stage) == (
        {"candidate", "champion"},
        {"vk": "vv"},
        "Production",
    )
    assert len(digest) == 64
    assert project.artifacts.backend.get(f"files/{experiment}/{run_id}/artifacts/notes/a.txt") == b"hello"
    with project.database.write() as connection:
        assert take_number(connection, "line", 1) == 3
        assert create_experiment(connection, "after") > int(experiment)
    project.close()


@pytest.mark.slow
def test_a_folder_with_a_broken_record_changes_nothing(
    mlruns: tuple[Path, list[str]], tmp_path: Path
) -> None:
    folder, (run_id, experiment, *_) = mlruns
    project = new_project(tmp_path / "project")
    broken = tmp_path / "mlruns"
    shutil.copytree(folder, broken)
    (broken / experiment / run_id / "metrics" / "loss").write_text("not a number\n")
    with project.database.write() as connection:
        create_experiment(connection, "here before")
    before = content(project.database)
    with pytest.raises(Invalid, match="loss cannot be read"):
        import_mlflow(project, str(tmp_path))
    assert content(project.database) == before
    (broken / experiment / run_id / "metrics" / "loss").write_text("1 0.5 0\n")
    assert import_mlflow(project, broken.as_uri()).added["runs"] == 3
    project.close()


@pytest.mark.slow
def test_what_no_gate_has_judged_does_not_become_champion_by_an_import(
    mlruns: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """The folder says champion; here that name is protected by a gate."""
    folder, _ = mlruns
    root = tmp_path / "gated"
    new_project(root).close()
    (root / "penstock.yaml").write_text("project: p\ngates:\n  - metric: {name: auc, min: 0.5}\n")
    project = open_workspace(root, {})
    for _ in range(2):
        assert import_mlflow(project, str(folder)).withheld == ("line/1 as champion",)
    with project.database.read() as connection:
        assert get_card(connection, "line", 1).aliases == ("candidate",)
        assert list_alias_moves(connection, "line", "champion") == []
    project.close()
    shown = run_penstock(root, "db", "import", str(folder))
    assert "left out, since no gate has judged it: line/1 as champion" in shown.stdout


def test_what_is_no_folder_of_mlflow_is_told(tmp_path: Path) -> None:
    project = new_project(tmp_path / "project")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match="no folder of MLflow"):
        import_mlflow(project, str(tmp_path / "empty"))
    with pytest.raises(NotFound, match="does not exist"):
        import_mlflow(project, str(tmp_path / "nowhere"))
    project.close()
