"""The fluent story of an MLflow client, run by the interpreter of one version of MLflow: a step a line of the table.

`MLFLOW_TRACKING_URI` names the server. The answer on standard output is a JSON object: what happened at each
step, `ok` or the error's first line. It uses nothing of Penstock and no more than every version since 2.9 has.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

warnings.filterwarnings("ignore")
RESULTS: dict[str, str] = {}
KEPT: dict[str, Any] = {}
STORY: dict[str, Callable[[], None]] = {}
CLIENT = MlflowClient()
NAME = f"clients-{mlflow.__version__}"
ROWS, LABELS = make_classification(120, 4, random_state=0)
PINNED = ["scikit-learn"]  # else the client loads each model once more to see what it imports
FRAME = pd.DataFrame(ROWS, columns=list("abcd"))


def step(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Make a function a step of the story."""

    def keep(work: Callable[[], None]) -> Callable[[], None]:
        STORY[name] = work
        return work

    return keep


@step("log")
def log() -> None:
    """Log everything that can be logged, and read it back."""
    mlflow.set_experiment(NAME)
    with mlflow.start_run(run_name="first", tags={"team": "ü"}) as run:
        KEPT["run"] = run.info.run_id
        mlflow.log_params({"depth": 3, "rate": 0.1})
        for number in range(5):
            mlflow.log_metric("loss", 1 / (number + 1), step=number)
        mlflow.log_metric("nan", float("nan"))
        mlflow.log_text("hello", "notes/a b.txt")
        mlflow.log_dict({"a": 1}, "d.json")
        mlflow.log_table({"x": [1, 2]}, "t.json")
        mlflow.log_input(mlflow.data.from_pandas(FRAME, source="x.csv", name="table"), context="training")
        with mlflow.start_run(run_name="inner", nested=True):
            mlflow.log_param("deep", 1)
    found = CLIENT.get_run(KEPT["run"])
    assert found.info.status == "FINISHED"
    assert found.data.params == {"depth": "3", "rate": "0.1"}
    assert found.data.metrics["loss"] == 0.2
    assert [point.step for point in CLIENT.get_metric_history(KEPT["run"], "loss")] == list(range(5))
    assert mlflow.artifacts.load_text(f"runs:/{KEPT['run']}/notes/a b.txt") == "hello"
    assert found.inputs.dataset_inputs[0].dataset.name == "table"


@step("autolog")
def log_by_itself() -> None:
    """Let scikit-learn's autolog record a fit."""
    mlflow.sklearn.autolog(log_datasets=False)
    with mlflow.start_run() as run:
        LogisticRegression(C=0.5).fit(FRAME, LABELS)
    mlflow.sklearn.autolog(disable=True)
    found = CLIENT.get_run(run.info.run_id)
    assert found.data.params["C"] == "0.5"
    assert "training_score" in found.data.metrics or "training_accuracy_score" in found.data.metrics
    mlflow.sklearn.load_model(f"runs:/{run.info.run_id}/model").predict(FRAME)


@step("log_model")
def log_models() -> None:
    """Log two models with their example."""
    model = LogisticRegression().fit(FRAME, LABELS)
    with mlflow.start_run() as run:
        for number in range(2):
            info = mlflow.sklearn.log_model(
                model, f"model{number}", input_example=FRAME.head(2), pip_requirements=PINNED
            )
    KEPT["uri"], KEPT["model"], KEPT["model run"] = info.model_uri, model, run.info.run_id
    assert info.signature is not None
    assert mlflow.pyfunc.load_model(info.model_uri).predict(FRAME).shape == (120,)


@step("register")
def register() -> None:
    """Register a logged model, and one while it is logged."""
    first = mlflow.register_model(KEPT["uri"], NAME)
    with mlflow.start_run():
        mlflow.sklearn.log_model(KEPT["model"], "model", registered_model_name=NAME, pip_requirements=PINNED)
    assert (str(first.version), first.status) == ("1", "READY")
    CLIENT.set_registered_model_tag(NAME, "owner", "ada")
    CLIENT.update_model_version(NAME, "1", description="the first")
    assert [
        str(one.version)
        for one in CLIENT.search_model_versions(f"name = '{NAME}'", order_by=["version_number ASC"])
    ] == ["1", "2"]


@step("alias")
def move_aliases() -> None:
    """Point aliases, take one away, use a stage."""
    CLIENT.set_registered_model_alias(NAME, "challenger", "1")
    assert str(CLIENT.get_model_version_by_alias(NAME, "challenger").version) == "1"
    CLIENT.set_registered_model_alias(NAME, "challenger", "2")
    CLIENT.set_registered_model_alias(NAME, "old", "1")
    CLIENT.delete_registered_model_alias(NAME, "old")
    assert {name: str(at) for name, at in CLIENT.get_registered_model(NAME).aliases.items()} == {
        "challenger": "2"
    }
    CLIENT.transition_model_version_stage(NAME, "1", "Staging")
    assert CLIENT.get_latest_versions(NAME, ["Staging"])[0].version in {"1", 1}


@step("load")
def load() -> None:
    """Load by number, alias, stage and `latest`."""
    wanted = KEPT["model"].predict(FRAME)
    for uri in (
        f"models:/{NAME}/1",
        f"models:/{NAME}@challenger",
        f"models:/{NAME}/latest",
        f"models:/{NAME}/Staging",
    ):
        assert np.array_equal(mlflow.pyfunc.load_model(uri).predict(FRAME), wanted), uri
    assert np.array_equal(mlflow.sklearn.load_model(f"models:/{NAME}@challenger").predict(FRAME), wanted)
    with tempfile.TemporaryDirectory() as folder:
        mlflow.artifacts.download_artifacts(f"models:/{NAME}/2", dst_path=folder)
        assert any("MLmodel" in files for _, _, files in os.walk(folder))


@step("evaluate")
def evaluate() -> None:
    """Evaluate a registered version."""
    data = FRAME.assign(label=LABELS)
    with mlflow.start_run() as run:
        done = mlflow.evaluate(
            f"models:/{NAME}/1",
            data,
            targets="label",
            model_type="classifier",
            evaluators=["default"],
            evaluator_config={"default": {"log_model_explainability": False}},
        )
    assert done.metrics["accuracy_score"] > 0.5
    assert CLIENT.get_run(run.info.run_id).data.metrics["accuracy_score"] == done.metrics["accuracy_score"]


@step("search")
def search() -> None:
    """Search runs, experiments and models; delete a run and bring it back."""
    found = mlflow.search_runs(
        experiment_names=[NAME],
        filter_string="metrics.loss < 0.5 and params.depth = '3' and tags.team = 'ü'",
    )
    assert found.run_id.tolist() == [KEPT["run"]]
    assert CLIENT.search_experiments(filter_string=f"name = '{NAME}'")[0].name == NAME
    ordered = mlflow.search_runs(experiment_names=[NAME], order_by=["metrics.loss DESC"], max_results=1)
    assert ordered.run_id.tolist() == [KEPT["run"]]
    assert [one.name for one in CLIENT.search_registered_models(f"name = '{NAME}'")] == [NAME]
    CLIENT.delete_run(KEPT["run"])
    assert mlflow.search_runs(experiment_names=[NAME], filter_string="params.depth = '3'").empty
    CLIENT.restore_run(KEPT["run"])


def main() -> None:
    """Run every step; a later one goes on where an earlier one failed."""
    for name, work in STORY.items():
        begun = time.monotonic()
        try:
            work()
            RESULTS[name] = "ok"
        except Exception as error:  # noqa: BLE001  the table says what happened
            RESULTS[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
            traceback.print_exc()
        print(f"{name}: {RESULTS[name]} ({time.monotonic() - begun:.1f} s)", file=sys.stderr)
    told = {"version": mlflow.__version__, "python": sys.version.split()[0], "steps": RESULTS}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
