"""The unmodified MLflow client's own way of working: fluent API, autolog, evaluate, command line."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from penstock.base.git import Git
from penstock.flows.chain.lineage import explain
from penstock.registry.documents.origins import unknowns
from penstock.registry.versions import get_version
from penstock.workspace import open_workspace
from servers.tracking import QUIET, Tracking, mlflow_client, mlflow_python

pytestmark = pytest.mark.slow


def test_nobody_knows_whether_the_tree_of_a_run_was_clean(tracking: Tracking, tmp_path: Path) -> None:
    """MLflow's client names the commit alone, whatever differs from it."""
    git = Git(tmp_path)
    git.run("init", "--quiet", "--initial-branch", "main")
    for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
        git.run("config", key, value)
    script = tmp_path / "train.py"
    script.write_text("import mlflow\n")
    git.run("add", "--all")
    git.run("commit", "--quiet", "--message", "one")
    script.write_text(
        "import mlflow, numpy\n"
        "from sklearn.linear_model import LinearRegression\n"
        "with mlflow.start_run():\n"
        "    model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])\n"
        "    mlflow.sklearn.log_model(model, name='line', pip_requirements=[], registered_model_name='dirty')\n"
    )
    environment = {**os.environ, **QUIET, "MLFLOW_TRACKING_URI": tracking.url}
    subprocess.run(
        [mlflow_python(), str(script)], cwd=tmp_path, env=environment, check=True, capture_output=True
    )
    project = open_workspace(tracking.root, {"USER": "ada", "PENSTOCK_STORE": tracking.store})
    with project.database.read() as connection:
        version = get_version(connection, "dirty", 1)
    assert (version.provenance.commit, version.provenance.tree) == (git.head(), "unknown")
    missing = unknowns(version)
    assert missing["clean tree"] == "whether the tree was clean is not known"
    texts = [one.text for one in explain(project, "dirty/1").links if one.kind in {"commit", "unknown"}]
    told = "whether the tree was clean is not known; no git repository is here that could have it"
    assert f"{(git.head() or '')[:10]}, {told}" in texts
    assert "stage: a client uploaded it" in " ".join(texts)
    project.close()


def test_a_run_with_everything_comes_back(tracking: Tracking) -> None:
    found = tracking.drive(
        """
        import numpy as np, pandas as pd
        mlflow.set_experiment("everything")
        with mlflow.start_run(run_name="outer", description="a note", tags={"team": "ü"}) as outer:
            mlflow.log_params({"lr": 0.1, "layers": [1, 2]})
            for step in range(5):
                mlflow.log_metrics({"loss": 1 / (step + 1)}, step=step)
            mlflow.log_metric("nan", float("nan"))
            mlflow.log_text("hello", "folder/a b.txt")
            mlflow.log_dict({"a": [1]}, "d.json")
            mlflow.log_table({"x": [1, 2]}, "t.json")
            mlflow.log_image(np.zeros((4, 4, 3), dtype=np.uint8), key="picture", step=1)
            data = mlflow.data.from_pandas(pd.DataFrame({"x": [1.0]}), source="x.csv", name="table")
            mlflow.log_input(data, context="training")
            with mlflow.start_run(run_name="inner", nested=True) as inner:
                mlflow.log_param("deep", 1)
        try:
            with mlflow.start_run(run_name="failing") as failing:
                raise ValueError
        except ValueError:
            pass
        mlflow.log_metric("later", 7.0, run_id=outer.info.run_id)
        got = client.get_run(outer.info.run_id)
        children = mlflow.search_runs(filter_string=f"tags.mlflow.parentRunId = '{outer.info.run_id}'")
        answer({
            "status": got.info.status, "name": got.info.run_name, "params": got.data.params,
            "loss": got.data.metrics["loss"], "later": got.data.metrics["later"], "nan": repr(got.data.metrics["nan"]),
            "note": got.data.tags["mlflow.note.content"],
            "history": [point.value for point in client.get_metric_history(outer.info.run_id, "loss")],
            "text": mlflow.artifacts.load_text(f"runs:/{outer.info.run_id}/folder/a b.txt"),
            "top": [item.path for item in client.list_artifacts(outer.info.run_id)],
            "inputs": [item.dataset.name for item in got.inputs.dataset_inputs],
            "children": children.run_id.tolist() == [inner.info.run_id],
            "failed": client.get_run(failing.info.run_id).info.status,
        })
        """
    )
    assert found == {
        "status": "FINISHED",
        "name": "outer",
        "params": {"lr": "0.1", "layers": "[1, 2]"},
        "loss": 0.2,
        "later": 7.0,
        "nan": "nan",
        "note": "a note",
        "history": [1.0, 0.5, 1 / 3, 0.25, 0.2],
        "text": "hello",
        "top": ["d.json", "folder", "images", "t.json"],
        "inputs": ["table"],
        "children": True,
        "failed": "FAILED",
    }


@pytest.mark.parametrize("library", ["sklearn", "xgboost", "lightgbm"])
def test_autolog_records_a_training(tracking: Tracking, library: str) -> None:
    found = tracking.drive(
        """
        from sklearn.datasets import load_iris
        X, y = load_iris(return_X_y=True, as_frame=True)
        mlflow.set_experiment("autolog " + given)
        getattr(mlflow, given).autolog()
        with mlflow.start_run() as run:
            if given == "sklearn":
                from sklearn.linear_model import LogisticRegression
                LogisticRegression(max_iter=200).fit(X, y)
            elif given == "xgboost":
                import xgboost
                xgboost.train({"num_class": 3, "objective": "multi:softprob"}, xgboost.DMatrix(X, y), 3,
                              evals=[(xgboost.DMatrix(X, y), "train")], verbose_eval=False)
            else:
                import lightgbm
                lightgbm.train({"num_class": 3, "objective": "multiclass", "verbose": -1},
                               lightgbm.Dataset(X, y), 3, valid_sets=[lightgbm.Dataset(X, y)])
        got = client.get_run(run.info.run_id)
        models = mlflow.search_logged_models(experiment_ids=[run.info.experiment_id], output_format="list")
        loaded = mlflow.pyfunc.load_model(models[0].model_uri)
        answer({"params": len(got.data.params), "metrics": len(got.data.metrics), "rows": len(loaded.predict(X)),
                "status": models[0].status.value, "outputs": len(got.outputs.model_outputs)})
        """,
        given=library,
    )
    assert found["params"] > 2
    assert found["metrics"] > 0
    assert (found["rows"], found["status"], found["outputs"]) == (150, "READY", 1)


def test_evaluate_measures_a_logged_model(tracking: Tracking) -> None:
    found = tracking.drive(
        """
        from sklearn.datasets import load_iris
        from sklearn.linear_model import LogisticRegression
        X, y = load_iris(return_X_y=True, as_frame=True)
        mlflow.set_experiment("evaluate")
        with mlflow.start_run() as run:
            info = mlflow.sklearn.log_model(LogisticRegression(max_iter=200).fit(X, y), name="model", pip_requirements=["scikit-learn"], input_example=X[:2])
        with mlflow.start_run() as judged:
            result = mlflow.models.evaluate(info.model_uri, X.assign(target=y), targets="target",
                                            model_type="classifier", evaluator_config={"log_explainer": False})
        found = mlflow.search_logged_models(experiment_ids=[run.info.experiment_id],
                                            filter_string="metrics.accuracy_score > 0.5", output_format="list")
        by_run = mlflow.sklearn.load_model(f"runs:/{run.info.run_id}/model")
        answer({"accuracy": result.metrics["accuracy_score"], "found": [one.model_id for one in found] == [info.model_id],
                "artifacts": sorted(item.path for item in client.list_artifacts(judged.info.run_id))[:1],
                "same": bool((by_run.predict(X) == mlflow.pyfunc.load_model(info.model_uri).predict(X)).all())})
        """
    )
    assert found["accuracy"] > 0.9
    assert found["found"]
    assert found["same"]
    assert found["artifacts"]


def test_pages_and_asynchronous_logging_lose_nothing(tracking: Tracking) -> None:
    found = tracking.drive(
        """
        experiment = client.create_experiment("pages")
        for number in range(25):
            client.create_run(experiment, run_name=f"r{number:02}")
        seen, token = [], None
        while True:
            page = client.search_runs([experiment], max_results=10, page_token=token, order_by=["run_name ASC"])
            seen += [run.info.run_name for run in page]
            token = page.token
            if not token:
                break
        run = client.create_run(experiment).info.run_id
        waiting = [client.log_metric(run, "m", step, step=step, synchronous=False) for step in range(200)]
        for one in waiting:
            one.wait()
        history, token = client.get_metric_history(run, "m"), None
        answer([seen == [f"r{number:02}" for number in range(25)], len(history)])
        """
    )
    assert found == [True, 200]


# It takes the same requests as the client.
@pytest.mark.parametrize("tracking", ["sqlite"], indirect=True, scope="module")
def test_the_command_line_works(tracking: Tracking, tmp_path: Path) -> None:
    environment = {**os.environ, **QUIET, "MLFLOW_TRACKING_URI": tracking.url}

    def mlflow(*arguments: str) -> str:
        done = mlflow_client().run(arguments, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    experiment = mlflow("experiments", "create", "-n", "line").split()[-1]
    run = tracking.drive(
        "answer(client.create_run(given, run_name='line run').info.run_id)", given=experiment
    )
    (tmp_path / "file.txt").write_text("content")
    mlflow("artifacts", "log-artifact", "--local-file", "file.txt", "--run-id", run)
    assert "file.txt" in mlflow("artifacts", "list", "--run-id", run)
    assert "line run" in mlflow("runs", "list", "--experiment-id", experiment)
    assert run in mlflow("runs", "describe", "--run-id", run)
    mlflow("runs", "delete", "--run-id", run)
    assert "line run" not in mlflow("runs", "list", "--experiment-id", experiment)
    mlflow("runs", "restore", "--run-id", run)
    mlflow("experiments", "rename", "--experiment-id", experiment, "--new-name", "renamed line")
    assert "renamed line" in mlflow("experiments", "search")
    assert run in mlflow("experiments", "csv", "-x", experiment)
    mlflow("experiments", "delete", "--experiment-id", experiment)
    mlflow("experiments", "restore", "--experiment-id", experiment)
