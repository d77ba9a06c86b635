"""A run's details, experiments, models and endpoints, by `penstock.Client`: the same in a project and from a server."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

import penstock
from penstock.base.errors import Conflict, NotFound, PenstockError
from penstock.cli.main import cli
from penstock.client.embedded import StoreSink
from penstock.client.records.contract import Artifact
from penstock.client.sink import Batch, RunDraft
from penstock.data.verbs.creation import init_repository
from penstock.registry.models import create_model
from penstock.tracking.entities import MetricPoint
from penstock.workspace import open_workspace
from servers.tracking import run_tracking

FILES = {"notes.txt": b"hello", "deep/a b.txt": b"1", "deep/a%20b.txt": b"22", "deep/er/z": b""}


@pytest.fixture(scope="module", params=["embedded", "server"])
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, str, str]]:
    """A project with a run, a model and files: its root, a server's address or nothing, the run's id."""
    home = tmp_path_factory.mktemp("records")
    if request.param == "server":
        with run_tracking(home) as server:
            yield server.root, server.url, fill(server.root, home)
        return
    root = home / "project"
    root.mkdir()
    init_repository(root, no_scm=True, subdir=False, force=False)
    yield root, "", fill(root, home)


def fill(root: Path, scratch: Path) -> str:
    project = open_workspace(root, {})
    sink = StoreSink(project)
    draft = RunDraft(
        client_id="a" * 32,
        experiment="flights",
        name="first",
        start_ms=0,
        user="ada",
        inputs={"d.csv": "md5:" + "1" * 32},
    )
    run_id = sink.start(draft)
    points = [MetricPoint("loss", 1 / (step + 1), 10 + step, step) for step in range(3)]
    odd = [
        MetricPoint("odd", math.nan, 1, 0),
        MetricPoint("odd", math.inf, 2, 1),
        MetricPoint("odd", -math.inf, 3, 2),
    ]
    sink.log(run_id, Batch(metrics=[*points, *odd], params={"depth": "3"}, tags={"team": 'ü, "x"'}))
    for name, data in FILES.items():
        (scratch / "file").write_bytes(data)
        sink.upload(run_id, scratch / "file", name)
    sink.finish(run_id, "FINISHED", 5000)
    with project.database.write() as connection:
        create_model(connection, "late", "ada", tags={"k": "v"}, description="words")
    project.close()
    return run_id


@pytest.fixture
def client(made: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[penstock.Client]:
    monkeypatch.setenv("PENSTOCK_URI", made[1])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.chdir(made[0])
    with penstock.Client() as opened:
        yield opened


def test_what_a_run_has_is_told_the_same_everywhere(
    client: penstock.Client, made: tuple[Path, str, str]
) -> None:
    run_id = made[2]
    assert [one.name for one in client.list_experiments()] == ["flights", "Default"]
    run = client.get_run(run_id)
    assert (run.name, run.params, run.metrics["loss"]) == ("first", {"depth": "3"}, 1 / 3)
    assert [one.id for one in client.search_runs(["flights"], filter="params.depth = '3'")] == [run_id]
    assert client.get_metric_history(run_id, "loss") == [
        MetricPoint("loss", 1 / (step + 1), 10 + step, step) for step in range(3)
    ]
    assert math.isnan(client.get_metric_history(run_id, "odd")[0].value)
    assert client.get_metric_history(run_id, "none") == []
    assert client.list_artifacts(run_id) == [Artifact("deep"), Artifact("notes.txt", 5)]
    assert client.list_artifacts(run_id, "deep") == [
        Artifact("deep/a b.txt", 1),
        Artifact("deep/a%20b.txt", 2),
        Artifact("deep/er"),
    ]
    for unknown in (client.get_run, client.list_artifacts, client.delete_run, client.restore_run):
        with pytest.raises(NotFound):
            unknown("f" * 32)
    with pytest.raises(NotFound):
        client.get_metric_history("f" * 32, "loss")


def test_a_runs_files_are_downloaded_under_their_names(
    client: penstock.Client, made: tuple[Path, str, str], tmp_path: Path
) -> None:
    written = client.download_artifacts(made[2], tmp_path / "all")
    assert {str(path.relative_to(tmp_path / "all")): path.read_bytes() for path in written} == FILES
    assert [
        path.read_bytes() for path in client.download_artifacts(made[2], tmp_path / "one", "deep/a%20b.txt")
    ] == [b"22"]
    with pytest.raises(NotFound, match="nothing at"):
        client.download_artifacts(made[2], tmp_path / "two", "nothing")
    with pytest.raises(Conflict, match="exists"):
        client.download_artifacts(made[2], tmp_path / "all")


def test_tags_are_set_and_runs_deleted_and_brought_back(
    client: penstock.Client, made: tuple[Path, str, str]
) -> None:
    client.set_tags(made[2], {"seen": 1})
    assert client.get_run(made[2]).tags["seen"] == "1"
    client.delete_run(made[2])
    assert client.search_runs(["flights"]) == []
    with pytest.raises(PenstockError, match="deleted"):
        client.set_tags(made[2], {"seen": 2})
    client.restore_run(made[2])
    assert [one.id for one in client.search_runs(["flights"])] == [made[2]]


def test_models_and_endpoints_are_listed(client: penstock.Client) -> None:
    (model,) = client.list_models()
    assert (model.name, model.newest, model.description, model.tags, model.aliases) == (
        "late",
        0,
        "words",
        {"k": "v"},
        {},
    )
    assert client.list_endpoints() == []


def test_runs_are_exported_whole(made: tuple[Path, str, str], tmp_path: Path) -> None:
    root, url, run_id = made
    ask = ["--uri", url] if url else []

    def export(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(cli, ["-C", str(root), "run", "export", *words, *ask])
        assert done.exit_code == code, (words, done.output, done.exception)
        return done.output

    def no_constant(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    named = run_id if url else run_id[:8]
    (told,) = json.loads(export(named), parse_constant=no_constant)["runs"]
    assert (told["id"], told["params"], told["inputs"]) == (
        run_id,
        {"depth": "3"},
        {"d.csv": "md5:" + "1" * 32},
    )
    assert told["started"] == "1970-01-01T00:00:00+00:00"
    assert [point["value"] for point in told["history"]["odd"]] == ["NaN", "Infinity", "-Infinity"]
    assert told["history"]["loss"][2] == {"step": 2, "time_ms": 12, "value": 1 / 3}

    out = tmp_path / "runs.json"
    export("--experiment", "flights", "-o", str(out), "--artifacts", str(tmp_path / "files"))
    (told,) = json.loads(out.read_text())["runs"]
    assert [file["path"] for file in told["files"]] == sorted(FILES)
    assert {name: (tmp_path / "files" / run_id / name).read_bytes() for name in FILES} == FILES

    table = tmp_path / "runs.csv"
    export("--experiment", "flights", "--filter", "params.depth = '3'", "-o", str(table))
    (row,) = pl.read_csv(table).to_dicts()
    assert (row["run_id"], row["params.depth"], row["metrics.loss"]) == (run_id, 3, 1 / 3)
    assert row["tags.team"] == 'ü, "x"'

    points = tmp_path / "points.parquet"
    export(named, "--history", "-o", str(points))
    frame = pl.read_parquet(points)
    assert frame.filter(pl.col("key") == "loss")["step"].to_list() == [0, 1, 2]
    assert frame.filter(pl.col("key") == "odd")["value"].to_list()[1:] == [math.inf, -math.inf]

    assert "name runs" in export(code=2)
    assert "needs a file" in export(named, "--format", "parquet", code=2)
