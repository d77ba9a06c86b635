"""Models of every library through the whole of it; several in one repository; folders and files from elsewhere."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import cloudpickle
import httpx
import mlflow
import numpy as np
import pandas as pd
import polars as pl
import pytest
from click.testing import CliRunner
from sklearn.linear_model import LinearRegression, LogisticRegression

import penstock
from patience import PATIENCE_S
from penstock.base.errors import Invalid, NotFound, Refused
from penstock.base.git import Git
from penstock.base.store.events import list_events
from penstock.cli.main import cli
from penstock.data.verbs.creation import init_repository
from penstock.flows.models.aliases import apply_promotion, plan_promotion
from penstock.flows.models.folders import RegistrySource, fetch_model, files_of_folder
from penstock.flows.models.judging import run_gate
from penstock.flows.models.registering import register_model, serving_note
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.http.inference.app import build_inference_app
from penstock.monitoring.estimating.losses import find_losses
from penstock.monitoring.profile import Profile
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.project.project import Project
from penstock.serving.loaders import load_model
from penstock.workspace import open_workspace
from serving.trained import CASES, PAIR, X


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository without penstock.yaml."""
    root = tmp_path / "repository"
    root.mkdir()
    git = Git(root)
    git.run("init", "--quiet", "--initial-branch", "main")
    git.run("config", "user.name", "Ada")
    git.run("config", "user.email", "ada@example.org")
    init_repository(root)
    return root


def opened(root: Path) -> Project:
    return open_workspace(root, {"USER": "ada"})


@pytest.fixture
def project(root: Path) -> Iterator[Project]:
    project = opened(root)
    yield project
    project.close()


@pytest.mark.slow
def test_models_of_every_library_are_judged_registered_deployed_and_served_as_they_answer(root: Path) -> None:
    """Each has a gate of its own in one penstock.yaml; a serve process that is started again serves the same."""
    cases = {name: train for name, train in CASES if find_spec(name.partition(" ")[0])}
    models, trained = [], {}
    for title, train in cases.items():
        name = title.replace(" ", "-")
        model, rows, expected = train()
        penstock.save_model(model, root / "models" / name, inputs=rows)
        (root / f"{name}.json").write_text('{"score": 0.9}')
        gates = [{"metric": {"name": "score", "min": 0.5}}]
        models.append({"name": name, "path": f"models/{name}", "metrics": f"{name}.json", "gates": gates})
        trained[name] = expected
    models[0]["gates"] = [{"metric": {"name": "score", "min": 0.95}}]
    (root / "penstock.yaml").write_text(json.dumps({"project": "zoo", "models": models}))
    project = opened(root)
    refused, *passing = trained
    assert not run_gate(project, name=refused).passed
    register_model(project, refused)
    with pytest.raises(Refused):
        plan_promotion(project, f"{refused}/1")
    for name in passing:
        assert run_gate(project, name=name).passed
        version, is_new = register_model(project, name)
        assert (version.ref, is_new, version.metrics) == (f"{name}/1", True, {"score": 0.9})
        apply_promotion(project, plan_promotion(project, f"{name}/1"))
        apply_deployment(project, plan_deployment(project, name, f"{name}@champion"))
    examples = {name: files_of_folder(root / "models" / name, name, 1, "d") for name in passing}
    for asked in (passing, passing[:1]):
        process = ServeProcess(
            project.database, RegistrySource(project), build_inference_app, ServeOptions(port=0)
        )
        process.start()
        try:
            for name in asked:
                files = examples[name]
                assert files.example is not None
                inputs = [
                    {
                        "name": column.name,
                        "datatype": column.datatype,
                        "shape": list(np.shape(files.example[column.name])),
                        "data": files.example[column.name],
                    }
                    for column in files.signature.inputs
                ]
                answer = httpx.post(
                    f"{process.url}/v2/models/{name}/infer", json={"inputs": inputs}, timeout=PATIENCE_S
                )
                assert answer.status_code == 200, answer.text
                outputs = {one["name"]: one for one in answer.json()["outputs"]}
                assert list(outputs) == list(trained[name])
                for key, library in trained[name].items():
                    given = np.array(outputs[key]["data"]).reshape(outputs[key]["shape"])
                    assert given.shape == np.shape(library)
                    if np.asarray(library).dtype.kind == "f":
                        assert np.allclose(given, library, rtol=1e-5)
                    else:
                        assert given.tolist() == np.asarray(library).tolist()
                described = httpx.get(f"{process.url}/v2/models/{name}").json()
                assert [one["shape"] for one in described["inputs"]] == [
                    list(column.shape) for column in files.signature.inputs
                ]
        finally:
            process.stop()
    project.close()


def test_a_folder_is_registered_without_penstock_yaml_and_alone_is_told_what_is_missing(
    root: Path, project: Project
) -> None:
    penstock.save_model(LogisticRegression().fit(X, PAIR), root / "m", inputs=X)
    version, is_new = register_model(project, "late", "m")
    assert (version.ref, is_new, version.metrics, version.profile_digest) == ("late/1", True, {}, None)
    assert serving_note(project, version) is None
    described = (root / "m" / "MLmodel").read_text()
    (root / "m" / "MLmodel").write_text(
        described.replace("sklearn:", "spark:").replace("python_function:", "other:")
    )
    run = CliRunner().invoke(cli, ["-C", str(root), "model", "register", "late", "m"])
    assert run.exit_code == 0, run.output
    assert "late/2" in run.output
    assert "it has the flavours other, spark; none can be served" in run.output
    assert "a package that gives the flavour as an entry point of penstock.flavours serves it" in run.output
    with pytest.raises(NotFound, match="there is no model at"):
        register_model(project, "late", "nowhere")
    with pytest.raises(NotFound, match=r"penstock\.yaml"):
        register_model(project)


class _Listing(mlflow.pyfunc.PythonModel):
    """A function of MLflow's that answers each row with a mapping, or with what no answer has a word for."""

    def __init__(self, is_strange: bool) -> None:
        self._is_strange = is_strange

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        if self._is_strange:
            return [{1, 2} for _ in model_input["a"]]
        return [{"x": float(value), "label": f"{value:g}"} for value in model_input["a"]]


@pytest.mark.filterwarnings("ignore:Operation with range is deprecated")
def test_a_function_of_mlflow_that_lists_mappings_is_a_table_and_what_cannot_be_answered_is_told(
    root: Path, project: Project, request: pytest.FixtureRequest
) -> None:
    rows = pd.DataFrame({"a": [1.0, 2.0]})
    here = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(here)  # it is tried in a process of its own
    request.addfinalizer(lambda: cloudpickle.unregister_pickle_by_value(here))
    for name, is_strange in (("table", False), ("strange", True)):
        signature = mlflow.models.infer_signature(rows)
        mlflow.pyfunc.save_model(
            root / name, python_model=_Listing(is_strange), signature=signature, input_example=rows
        )
    version, _ = register_model(project, "table", "table")
    assert serving_note(project, version) is None
    predictor = load_model(files_of_folder(root / "table", "table", 1, version.digest))
    found = predictor.predict({"a": np.array([3.0])}, 1)
    assert {key: values.tolist() for key, values in found.items()} == {"x": [3.0], "label": ["3"]}
    run = CliRunner().invoke(cli, ["-C", str(root), "model", "register", "strange", "strange"])
    assert run.exit_code == 0, run.output
    assert "the model gave set for 'prediction', which has no counterpart on the wire" in run.output


def test_a_path_on_the_command_line_is_meant_from_where_one_is(
    root: Path, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = root / "below"
    below.mkdir()
    (root / "model.pkl").write_bytes(pickle.dumps(LogisticRegression().fit(X, PAIR)))
    run = CliRunner().invoke(cli, ["-C", str(below), "model", "register", "late", "model.pkl"])
    assert f"there is no model at {below / 'model.pkl'}" in str(run.exception)
    (root / "linked").symlink_to(below)
    monkeypatch.chdir(below)
    for directory, path in (
        (below, "../model.pkl"),
        (root, "model.pkl"),
        (root / "linked", str(root / "model.pkl")),
        (Path(), "../model.pkl"),
    ):
        run = CliRunner().invoke(cli, ["-C", str(directory), "--json", "model", "register", "late", path])
        assert run.exit_code == 0, run.output
        assert json.loads(run.stdout)["path"] == "model.pkl", (directory, path)


def test_a_folder_beside_the_model_that_has_a_reference_is_told_to_have_none(root: Path) -> None:
    settings = {
        "project": "p",
        "model": {"name": "late", "path": "models/late", "reference": "data/train.csv"},
    }
    (root / "penstock.yaml").write_text(json.dumps(settings))
    penstock.save_model(LogisticRegression().fit(X, PAIR), root / "m", inputs=X)
    run = CliRunner().invoke(cli, ["-C", str(root), "model", "register", "late", "m"])
    assert run.exit_code == 0, run.output
    assert "late/1 was registered without a reference profile" in run.output
    assert "is of the model late at models/late" in run.output
    settings["models"] = [{"name": "netz", "path": "m"}]
    (root / "penstock.yaml").write_text(json.dumps(settings))
    run = CliRunner().invoke(cli, ["-C", str(root), "model", "register", "netz"])
    assert run.exit_code == 0, run.output
    assert "the model netz in penstock.yaml has no `reference:`" in run.output


def test_a_path_that_is_no_folder_is_named_outside_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PENSTOCK_URI", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NotFound, match="there is no folder nowhere"):
        penstock.load_model("nowhere")


def test_what_a_retraining_registers_names_it_also_from_a_tree_of_its_own(root: Path) -> None:
    (root / "model.pkl").write_bytes(pickle.dumps(LogisticRegression().fit(X, PAIR)))
    project = open_workspace(root, {"USER": "ada", "PENSTOCK_RETRAINING": "/srv/1.log"})
    tree = project.at(root, project.settings, "ci")
    register_model(tree, "late", "model.pkl")
    tree.close()
    with project.database.read() as connection:
        (registered,) = list_events(connection, kind="model.registered")
    assert registered.cause["retraining"] == "/srv/1.log"
    project.close()


def test_a_file_of_a_model_is_registered_and_served(root: Path, project: Project) -> None:
    model = LogisticRegression().fit(X, PAIR)
    (root / "model.pkl").write_bytes(pickle.dumps(model))
    version, _ = register_model(project, "late", "model.pkl")
    again, is_new = register_model(project, "late", "model.pkl")
    assert (again.ref, is_new, version.path) == ("late/1", False, "model.pkl")
    files = files_of_folder(fetch_model(project, version), "late", 1, version.digest)
    predictor = load_model(files)
    assert predictor.signature.inputs[0].shape == (-1, 4)
    outputs = predictor.predict({"input-0": X[:3]}, 3)
    assert outputs["prediction"].tolist() == model.predict(X[:3]).tolist()
    assert np.allclose(outputs["probability"], model.predict_proba(X[:3])[:, 1])
    for name, content, reason in (
        ("notes.doc", b"x", "names no library"),
        ("broken.pkl", b"nothing", "cannot be used as a model of sklearn"),
        ("dict.pkl", pickle.dumps({"a": 1}), "cannot be used as a model of sklearn"),
    ):
        (root / name).write_bytes(content)
        with pytest.raises(Invalid, match=reason):
            register_model(project, "late", name)


def test_what_is_no_model_is_refused_in_one_line_when_it_is_registered(root: Path, project: Project) -> None:
    pytest.importorskip("xgboost")
    for name, content in (("bad.json", b"[]"), ("bad.ubj", b"{nothing")):
        (root / name).write_bytes(content)
        with pytest.raises(Invalid, match="cannot be used as a model of xgboost") as caught:
            register_model(project, "late", name)
        assert "\n" not in caught.value.message and "Stack trace" not in caught.value.message
    for number, content in enumerate((b": [", b"[]", b"flavors: {}", b"\xff")):
        folder = root / f"broken{number}"
        folder.mkdir()
        (folder / "MLmodel").write_bytes(content)
        with pytest.raises(Invalid) as caught:
            register_model(project, "late", folder.name)
        assert caught.value.code == "registry.bad_model", content


def test_a_booster_in_a_file_remembers_whether_it_was_a_classifier(root: Path, project: Project) -> None:
    xgboost = pytest.importorskip("xgboost")
    model = xgboost.XGBClassifier(n_estimators=3).fit(X, PAIR)
    model.save_model(root / "model.ubj")
    version, _ = register_model(project, "late", "model.ubj")
    files = files_of_folder(fetch_model(project, version), "late", 1, version.digest)
    outputs = load_model(files).predict({"input-0": X[:3]}, 3)
    assert outputs["prediction"].tolist() == model.predict(X[:3]).tolist()
    assert np.allclose(outputs["probability"], model.predict_proba(X[:3])[:, 1])


def test_every_model_of_penstock_yaml_is_meant_when_none_is_named(root: Path) -> None:
    for name in ("early", "late"):
        penstock.save_model(LogisticRegression().fit(X, PAIR), root / name, inputs=X)
    (root / "m.json").write_text('{"score": 0.9}')
    text = (
        "project: two\nmodel: {name: late, path: late, metrics: m.json}\n"
        "models:\n- {name: early, path: early, gates: []}\n"
        "gates:\n- metric: {name: score, min: 0.95}\n"
    )
    (root / "penstock.yaml").write_text(text)
    runner = CliRunner()
    gate = runner.invoke(cli, ["-C", str(root), "gate", "run", "--json"])
    assert gate.exit_code == 1
    assert [(one["model"], one["passed"]) for one in json.loads(gate.stdout)] == [
        ("late", False),
        ("early", True),
    ]
    assert runner.invoke(cli, ["-C", str(root), "gate", "run", "early"]).exit_code == 0
    done = runner.invoke(cli, ["-C", str(root), "model", "register"])
    assert done.exit_code == 0, done.output
    assert "late/1" in done.output
    assert "early/1" in done.output
    (root / "penstock.yaml").write_text(text.replace("name: early", "name: late"))
    twice = runner.invoke(cli, ["-C", str(root), "gate", "run"])
    assert twice.exit_code != 0
    assert "two models are called 'late'" in str(twice.exception)


def test_a_name_that_penstock_yaml_does_not_have_is_refused_with_those_that_it_has(root: Path) -> None:
    penstock.save_model(LogisticRegression().fit(X, PAIR), root / "late", inputs=X)
    model = "project: two\nmodel: {name: late, path: late}\n"
    for text, names in (
        (model, "late"),
        (f"{model}models:\n- {{name: early, path: early}}\n", "late, early"),
    ):
        (root / "penstock.yaml").write_text(text)
        for command in (("model", "register"), ("gate", "run")):
            run = CliRunner().invoke(cli, ["-C", str(root), *command, "nosuch"])
            assert isinstance(run.exception, NotFound)
            assert run.exception.message == f"penstock.yaml has no model nosuch; it has {names}"
    run = CliRunner().invoke(cli, ["-C", str(root), "model", "register", "nosuch", str(root / "late")])
    assert run.exit_code == 0, run.output
    assert "nosuch/1" in run.output


def test_a_folder_is_loaded_by_its_path(tmp_path: Path) -> None:
    model = LogisticRegression().fit(X, PAIR)
    penstock.save_model(model, tmp_path / "m", inputs=X)
    for path in (tmp_path / "m", str(tmp_path / "m")):
        assert penstock.load_model(path).predict(X[:3]).tolist() == model.predict(X[:3]).tolist()


def test_a_regression_is_registered_with_what_its_held_out_errors_depend_on(root: Path) -> None:
    rng = np.random.default_rng(5)

    def write(name: str, rows: int) -> pl.DataFrame:
        hour = rng.integers(0, 24, rows)
        delay = 3.0 * hour + rng.normal(0, 1, rows) * np.where(hour < 6, 10, 1)
        frame = pl.DataFrame({"hour": hour.astype(float), "delay": delay})
        frame.write_csv(root / f"{name}.csv")
        return frame

    train, _ = write("train", 2_000), write("test", 1_000)
    model = LinearRegression().fit(train.select("hour").to_numpy(), train["delay"].to_numpy())
    penstock.save_model(model, root / "models" / "delay", inputs=train.select("hour"))
    settings = {"name": "delay", "path": "models/delay", "reference": "train.csv"}
    for number, more in enumerate(
        ({}, {"test": "test.csv", "label": "delay"}, {"test": "test.csv", "label": "none"}), 1
    ):
        document = {"project": "p", "model": settings | more | {"name": f"delay{number}"}}
        (root / "penstock.yaml").write_text(json.dumps(document))
        project = opened(root)
        version, _ = register_model(project)
        assert version.profile_digest is not None
        losses = find_losses(project.artifacts.load(version.profile_digest, Profile.from_bytes))
        project.close()
        assert (losses is not None) == (number == 2)
        if losses is not None:
            assert (losses.features, losses.row_count) == (("hour",), 1_000)
            assert losses.absolute.explained_ratio > 0.3
            assert np.argmax(losses.absolute.steps[1]) < 6, "by night it is further off"
