"""What every place that takes a run's records must do: the project's store, a server, a journal sent later."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.base.errors import Conflict, Invalid, NotFound, Unavailable
from penstock.client.embedded import StoreSink
from penstock.client.offline import JournalSink, send_journals
from penstock.client.rest import Rest
from penstock.client.server import Address, ServerSink
from penstock.client.sink import Batch, ModelDraft, RunDraft, Sink
from penstock.data.verbs.creation import init_repository
from penstock.project.project import Project
from penstock.tracking import runs
from penstock.tracking.datasets import list_models as list_links
from penstock.tracking.entities import MetricPoint, Run
from penstock.tracking.logged_models import get_model
from penstock.tracking.metrics import list_history
from penstock.tracking.tables import logged_model_params, logged_model_tags
from penstock.tracking.values import list_pairs
from penstock.workspace import open_workspace
from servers.tracking import run_tracking

DRAFT = RunDraft(
    client_id="a" * 32,
    experiment="contract",
    name="odd ü name",
    start_ms=1_700_000_000_000,
    user="ada",
    tags={"mlflow.source.git.commit": "c" * 40, "t": "v"},
    inputs={"data/tabelle ü.csv": "md5:" + "d" * 32},
)
NAMES = (
    "a b.txt",
    "a%20b.txt",
    "%41.txt",
    "A.txt",
    "t:1.txt",
    "12:30/1:2.txt",
    "100%",
    "a+b",
    "a?b",
    "é",
    "e\u0301",
)


class Place:
    """A sink with the project whose store shows what arrived."""

    def __init__(self, project: Project, sink: Sink, home: Path) -> None:
        self.project, self.sink, self._home, self._target = project, sink, home, sink
        self.journal: JournalSink | None = None

    def through_a_journal(self) -> Place:
        self.journal = JournalSink(self._home)
        self.sink = self.journal
        return self

    def run(self, run_id: str) -> Run:
        if self.journal is not None:
            (sent,) = [one for one in send_journals(self._home, self._target) if one.kept_as == run_id]
            if sent.problem is not None:
                raise sent.problem
            run_id = sent.run_id
        with self.project.database.read() as connection:
            return runs.get_run(connection, run_id)

    def artifact(self, run_id: str, path: str) -> bytes:
        with self.project.database.read() as connection:
            row = runs.list_rows(connection, [run_id])[0]
        return self.project.artifacts.backend.get(f"files/{row.experiment_id}/{run_id}/artifacts/{path}")


@pytest.fixture(params=["embedded", "server", "journal"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "embedded":
        root = tmp_path / "project"
        root.mkdir()
        init_repository(root, no_scm=True, subdir=False, force=False)
        project = open_workspace(root, {})
        yield Place(project, StoreSink(project), tmp_path)
        project.close()
        return
    with run_tracking(tmp_path) as server:
        project = open_workspace(server.root, {})
        made = Place(project, ServerSink(Address(server.url)), tmp_path / "home")
        yield made if request.param == "server" else made.through_a_journal()
        project.close()


def test_a_run_arrives_whole(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(b"\x00\xff" * 1000)
    run_id = place.sink.start(DRAFT)
    points = [MetricPoint("loss", 1 / (step + 1), step, step) for step in range(2500)]
    place.sink.log(
        run_id, Batch(metrics=points, params={f"p{i}": str(i) for i in range(250)}, tags={"k": "ü"})
    )
    place.sink.log(run_id, Batch(metrics=[MetricPoint("nan", math.nan, 1), MetricPoint("inf", math.inf, 1)]))
    place.sink.upload(run_id, file, "folder/no tes ü.bin")
    place.sink.finish(run_id, "FINISHED", 1_700_000_001_000)
    run = place.run(run_id)
    assert (run.status, run.end_ms, run.name, run.experiment) == (
        "FINISHED",
        1_700_000_001_000,
        "odd ü name",
        "contract",
    )
    assert run.metrics["loss"] == 1 / 2500
    assert math.isnan(run.metrics["nan"])
    assert run.metrics["inf"] > 1e308
    assert run.params == {f"p{i}": str(i) for i in range(250)}
    assert {"t": "v", "k": "ü"}.items() <= run.tags.items()
    assert run.commit == "c" * 40
    assert run.inputs == DRAFT.inputs
    assert place.artifact(run.id, "folder/no tes ü.bin") == b"\x00\xff" * 1000


def test_each_file_name_is_a_file_of_its_own(place: Place, tmp_path: Path) -> None:
    run_id = place.sink.start(DRAFT)
    for name in NAMES:
        file = tmp_path / "named"
        file.write_text(name)
        place.sink.upload(run_id, file, name)
    if place.journal is None:
        with pytest.raises(Invalid, match=r"a name cannot hold '#'"):
            place.sink.upload(run_id, file, "a#b")
    run = place.run(run_id)
    assert {name: place.artifact(run.id, name).decode() for name in NAMES} == {name: name for name in NAMES}


def test_a_model_folder_arrives_whole_and_once(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "dä ta").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}\n")
    (folder / "dä ta" / "weights.bin").write_bytes(b"\x00\xff" * 1000)
    draft = ModelDraft(client_id="b" * 32, name="net", params={"depth": "3"}, tags={"t": "ü"})
    run_id = place.sink.start(DRAFT)
    for _ in range(2):
        place.sink.log_model(run_id, draft, folder)
    run = place.run(run_id)
    with place.project.database.read() as connection:
        (link,) = list_links(connection, [run.id])[run.id]
        model = get_model(connection, link.model_id)
        params, tags = (
            list_pairs(connection, table, [model.id])[model.id]
            for table in (logged_model_params, logged_model_tags)
        )
    assert (model.name, model.status, model.source_run_id) == ("net", "LOGGED_MODEL_READY", run.id)
    assert params == {"depth": "3"}
    assert tags["t"] == "ü"
    files = f"files/{model.experiment_id}/models/{model.id}/artifacts"
    backend = place.project.artifacts.backend
    assert sorted(entry.key for entry in backend.list(files)) == [
        f"{files}/MLmodel",
        f"{files}/dä ta/weights.bin",
    ]
    assert backend.get(f"{files}/dä ta/weights.bin") == b"\x00\xff" * 1000


def test_what_is_sent_twice_changes_nothing(place: Place) -> None:
    batch = Batch(metrics=[MetricPoint("m", 0.5, 7, 3)], params={"a": "1"}, tags={"t": "2"})
    first = place.sink.start(DRAFT)
    second = place.sink.start(DRAFT)
    for _ in range(2):
        place.sink.log(second, batch)
    run = place.run(second)
    assert first == second
    with place.project.database.read() as connection:
        assert len(list_history(connection, run.id, "m")) == 1
        assert len(runs.list_runs(connection, experiment="contract")) == 1


@pytest.mark.parametrize("place", ["server"], indirect=True)
def test_a_start_that_was_cut_off_is_made_whole(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Rest.post

    def cut(self: Rest, path: str, body: dict[str, Any], method: str = "POST") -> Any:
        if path.endswith("runs/log-inputs"):
            raise Unavailable("it went away", code="client.unavailable")
        return original(self, path, body, method)

    with monkeypatch.context() as patch:
        patch.setattr(Rest, "post", cut)
        with pytest.raises(Unavailable):
            place.sink.start(DRAFT)
    run_id = place.sink.start(DRAFT)
    assert place.run(run_id).inputs == DRAFT.inputs
    with place.project.database.read() as connection:
        assert [run.id for run in runs.list_runs(connection, experiment="contract")] == [run_id]


@pytest.mark.parametrize("place", ["embedded", "server"], indirect=True)
def test_an_ended_run_goes_on(place: Place) -> None:
    run_id = place.sink.start(DRAFT)
    place.sink.log(run_id, Batch(metrics=[MetricPoint("loss", 1.0, 9, step) for step in (7, 3)]))
    place.sink.finish(run_id, "FINISHED", 5)
    assert place.sink.reopen(run_id) == {"loss": 7}
    assert place.run(run_id).end_ms is None
    assert place.run(run_id).name == DRAFT.name
    place.sink.finish(run_id, "FINISHED", 6)
    with pytest.raises(Conflict, match="is of the experiment 'contract', not of 'other'"):
        place.sink.reopen(run_id, experiment="other", name="no", tags={"no": "no"})
    assert place.run(run_id).status == "FINISHED"
    place.sink.reopen(run_id, experiment="contract", name="second", tags={"team": "x"})
    place.sink.log(run_id, Batch(tags={"again": "yes"}))
    run = place.run(run_id)
    assert (run.status, run.end_ms, run.name) == ("RUNNING", None, "second")
    assert {"team": "x", "again": "yes", "t": "v"}.items() <= run.tags.items()
    assert "no" not in run.tags
    with pytest.raises(NotFound):
        place.sink.reopen("f" * 32)


def test_a_changed_parameter_is_refused(place: Place) -> None:
    run_id = place.sink.start(DRAFT)
    place.sink.log(run_id, Batch(params={"a": "1"}))
    with pytest.raises(Invalid, match="Changing param values"):
        place.sink.log(run_id, Batch(params={"a": "2"}))
        place.run(run_id)
