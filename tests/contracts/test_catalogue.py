"""Models logged, registered, looked up and loaded: the same in a project, against Penstock and against MLflow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

import penstock
from penstock.base.errors import Corrupt, Invalid, NotFound, PenstockError, Refused
from penstock.data.verbs.creation import init_repository
from penstock.tracking.entities import Run
from penstock.workspace import open_workspace
from servers.tracking import Tracking, run_tracking

FRAME = pl.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [1.0, 0.0, 1.0, 0.0]})
PLACES = [
    "embedded",
    "server",
    pytest.param("mlflow", marks=pytest.mark.slow),
]


class Place:
    """Where the functions of `penstock` go; `server` is the one that is running, `root` the store's project."""

    def __init__(self, kind: str, root: Path, server: Tracking | None) -> None:
        self.kind, self.root, self.server = kind, root, server

    @property
    def has_manifests(self) -> bool:
        return self.kind != "mlflow"


@pytest.fixture(scope="module", params=PLACES)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("catalogue")
    if request.param == "embedded":
        root = home / "project"
        root.mkdir()
        init_repository(root, no_scm=True, subdir=False, force=False)
        yield Place("embedded", root, None)
        return
    if request.param == "mlflow":
        peer: Tracking = request.getfixturevalue("mlflow_server")
        yield Place("mlflow", peer.root, peer)
        return
    with run_tracking(home / "s") as server:
        yield Place("server", server.root, server)


@pytest.fixture
def place(running: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PENSTOCK_URI", "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", running.server.url if running.server else "")
    monkeypatch.chdir(tmp_path if running.server else running.root)
    yield running
    penstock.end_run()


class Strange(ClassifierMixin, BaseEstimator):
    """A model of a type that only its author knows."""

    def predict(self, rows: pl.DataFrame) -> np.ndarray:
        return np.full(len(rows), 7)


TYPE = f"{Strange.__module__}.{Strange.__qualname__}"


def fitted() -> LogisticRegression:
    return LogisticRegression().fit(FRAME, [0, 0, 1, 1])


def same(model: object) -> bool:
    return list(model.predict(FRAME)) == list(fitted().predict(FRAME))  # type: ignore[attr-defined]


def refused(work: Callable[[], object]) -> type[PenstockError]:
    with pytest.raises(PenstockError) as caught:
        work()
    return type(caught.value)


def test_a_model_that_was_logged_comes_back(place: Place) -> None:
    with penstock.start_run("train", system_metrics=False) as run:
        logged = penstock.log_model(fitted(), "clf", inputs=FRAME, params={"depth": 3})
    assert logged.run_id == run.id
    assert same(penstock.load_model(logged.uri))
    assert same(penstock.load_model(f"runs:/{run.id}/clf"))


def test_a_version_knows_its_run_and_content(place: Place) -> None:
    with penstock.start_run(system_metrics=False) as run:
        penstock.log_metric("auc", 0.75)
        logged = penstock.log_model(fitted(), "clf", inputs=FRAME)
        version = penstock.register_model(logged.uri, "known", tags={"t": "ü"}, description="first")
    client = penstock.Client()
    assert version == client.get_version("known/1") == client.get_version("known/latest")
    assert (version.run_id, version.model_id, version.number) == (run.id, logged.id, 1)
    assert (version.tags, version.description, version.source) == ({"t": "ü"}, "first", logged.uri)
    assert version.digest == (logged.digest if place.has_manifests else "")
    assert same(penstock.load_model("models:/known/1"))
    if place.has_manifests:
        project = open_workspace(place.root, {})
        with project.database.read() as connection:
            from penstock.registry.versions import get_version

            kept = get_version(connection, "known", 1)
        project.close()
        assert kept.metrics == {"auc": 0.75}
        assert kept.provenance.environment["scikit-learn"]
        assert kept.provenance.run_id == run.id
        assert "MLmodel" in {file.path for file in kept.manifest.files}


def test_versions_are_listed_and_called_by_aliases(place: Place) -> None:
    client = penstock.Client()
    with penstock.start_run(system_metrics=False) as run:
        logged = penstock.log_model(fitted(), inputs=FRAME, registered_model_name="listed")
        again = client.register_model(f"runs:/{run.id}/model", "listed")
    copy = client.register_model("models:/listed/1", "copied")
    client.set_alias("listed", "champion", 1)
    client.set_alias("listed", "challenger", 2)
    assert logged.version is not None
    assert (logged.version.number, again.number, copy.number) == (1, 2, 1)
    assert again.model_id == logged.id
    assert [(one.number, one.aliases) for one in client.list_versions("listed")] == [
        (2, ("challenger",)),
        (1, ("champion",)),
    ]
    assert client.get_version("listed").number == 1
    assert client.get_version("listed@challenger").number == 2
    assert same(penstock.load_model("models:/listed@champion"))
    assert same(penstock.load_model("models:/copied/1"))
    client.delete_alias("listed", "challenger")
    client.delete_alias("listed", "challenger")
    assert refused(lambda: client.get_version("listed@challenger")) is NotFound
    assert client.list_versions("nobody") == []


def test_what_an_alias_was_at_a_time(place: Place) -> None:
    client = penstock.Client()
    with penstock.start_run(system_metrics=False):
        penstock.log_model(fitted(), inputs=FRAME, registered_model_name="timed")
    client.set_alias("timed", "champion", 1)
    if not place.has_manifests:
        assert refused(lambda: client.get_version("timed@champion@2126-01-01")) is Refused
        return
    assert client.get_version("timed@champion@2126-01-01").number == 1
    assert same(penstock.load_model("models:/timed@champion@2126-01-01"))
    assert refused(lambda: client.get_version("timed@champion@1999-01-01")) is NotFound


def test_types_that_nobody_vouched_for_are_refused(place: Place) -> None:
    trees = HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=1).fit(FRAME, [0, 0, 1, 1])
    with penstock.start_run(system_metrics=False):
        plain = penstock.log_model(trees, "trees", inputs=FRAME)
        strange = penstock.log_model(Strange(), "strange", inputs=FRAME, registered_model_name="strange")
    assert len(penstock.load_model(plain.uri).predict(FRAME)) == 4
    assert refused(lambda: penstock.load_model(strange.uri)) is Refused
    assert list(penstock.load_model(strange.uri, trusted=[TYPE]).predict(FRAME)) == [7] * 4
    if place.has_manifests:
        assert list(penstock.load_model("models:/strange/1").predict(FRAME)) == [7] * 4


def test_runs_are_found_with_what_was_logged(place: Place) -> None:
    with penstock.start_run("one", experiment="found", system_metrics=False) as one:
        penstock.log_params({"a": 1})
        penstock.log_metric("m", 0.5)
        penstock.log_metric("nan", float("nan"))
    with penstock.start_run("two", experiment="found", system_metrics=False) as two:
        penstock.log_metric("m", 0.75)
    client = penstock.Client()
    ordered = client.search_runs(["found"], order_by=["metrics.m DESC"])
    assert [run.id for run in ordered] == [two.id, one.id]
    assert [run.id for run in client.search_runs(["found"], filter="params.a = '1'")] == [one.id]
    run = client.get_run(one.id)
    assert isinstance(run, Run)
    assert (run.name, run.experiment, run.status, run.params) == ("one", "found", "FINISHED", {"a": "1"})
    assert run.metrics["m"] == 0.5
    assert run.metrics["nan"] != run.metrics["nan"]
    assert refused(lambda: client.search_runs(["nowhere"])) is NotFound
    assert refused(lambda: client.search_runs(["found"], filter="nonsense")) is Invalid


def test_mistakes_are_told(place: Place, tmp_path: Path) -> None:
    client = penstock.Client()
    with penstock.start_run(system_metrics=False) as run:
        logged = penstock.log_model(fitted(), inputs=FRAME)
        assert refused(lambda: penstock.log_model(fitted())) is Invalid
        assert refused(lambda: penstock.log_model(fitted(), "a/b", inputs=FRAME)) is Invalid
        assert refused(lambda: penstock.log_model(tmp_path)) is NotFound
    assert refused(lambda: penstock.load_model("models:/nobody@champion")) is NotFound
    assert refused(lambda: penstock.load_model("models:/nobody/1")) is NotFound
    assert refused(lambda: penstock.load_model("models:/nobody/x")) is Invalid
    assert refused(lambda: penstock.load_model("models:/m-" + "0" * 32)) is NotFound
    assert refused(lambda: penstock.load_model(f"runs:/{run.id}/nothing")) is NotFound
    assert refused(lambda: penstock.load_model("runs:/" + "0" * 32 + "/model")) is NotFound
    assert refused(lambda: penstock.load_model(f"runs:/{run.id}/../x")) is Invalid
    assert refused(lambda: penstock.load_model("/etc/passwd")) is Invalid
    assert refused(lambda: client.register_model(logged.uri, "a/b")) is Invalid
    assert refused(lambda: client.register_model(f"runs:/{run.id}/nothing", "x")) is NotFound
    assert refused(lambda: client.set_alias("nobody", "champion", 1)) is NotFound
    assert refused(lambda: client.download_model(logged.uri, tmp_path)).__name__ == "Conflict"


def test_a_changed_byte_is_never_loaded(place: Place, tmp_path: Path) -> None:
    with penstock.start_run(system_metrics=False):
        logged = penstock.log_model(fitted(), inputs=FRAME, registered_model_name="damaged")
    damage(place.root)
    assert refused(lambda: penstock.load_model(logged.uri)) is Corrupt
    assert refused(lambda: penstock.load_model("models:/damaged/1")) is Corrupt
    assert refused(lambda: penstock.Client().download_model("models:/damaged/1", tmp_path / "m")) is Corrupt
    assert not (tmp_path / "m").exists()


def damage(root: Path) -> None:
    """Change one byte of every stored copy of the estimator of the newest model."""
    newest = max(root.rglob("artifacts/**/model.skops"), key=lambda path: path.stat().st_mtime_ns)
    whole = newest.read_bytes()
    for path in root.rglob("*"):
        if path.is_file() and path.stat().st_size == len(whole) and path.read_bytes() == whole:
            path.chmod(0o644)
            path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))


def test_a_damaged_copy_here_is_fetched_anew(place: Place) -> None:
    with penstock.start_run(system_metrics=False):
        line = LinearRegression().fit(FRAME, [1.0, 2.0, 3.0, 4.0])
        logged = penstock.log_model(line, inputs=FRAME, registered_model_name="again")
    penstock.load_model("models:/again/1")
    home = (place.root if place.kind == "embedded" else Path(os.environ["HOME"])) / ".penstock"
    copy = home / "models" / logged.digest / "model.skops"
    copy.chmod(0o644)
    copy.write_bytes(b"junk")
    assert penstock.load_model("models:/again/1").predict(FRAME).shape == (4,)
