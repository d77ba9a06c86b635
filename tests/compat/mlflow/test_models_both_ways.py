"""A model that Penstock's functions logged is loaded by the real MLflow, and one that MLflow logged by Penstock's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

import penstock
from penstock.base.errors import Corrupt, Refused
from penstock.flows.models.folders import files_of_folder
from penstock.serving.loaders import load_model
from penstock.serving.loaders.fed import example_columns
from penstock.serving.repository import LoadedModel, prove
from servers.tracking import Tracking

pytestmark = pytest.mark.slow
FRAME = pl.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [1.0, 0.0, 1.0, 0.0]})


@pytest.fixture
def to(tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracking:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking.url)
    monkeypatch.chdir(tmp_path)
    return tracking


def test_mlflow_loads_what_penstock_logged(to: Tracking) -> None:
    model = LogisticRegression().fit(FRAME, [0, 0, 1, 1])
    with penstock.start_run(system_metrics=False) as run:
        logged = penstock.log_model(model, inputs=FRAME, registered_model_name="both")
    penstock.Client().set_alias("both", "champion", 1)
    found = to.drive(
        """
        import pandas as pd
        rows = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [1.0, 0.0, 1.0, 0.0]})
        uris = [given["uri"], f"runs:/{given['run']}/model", "models:/both/1", "models:/both@champion"]
        whole = mlflow.pyfunc.load_model("models:/both@champion")
        listed = mlflow.search_logged_models(filter_string=f"source_run_id = '{given['run']}'", output_format="list")
        answer({
            "pyfunc": [mlflow.pyfunc.load_model(uri).predict(rows).tolist() for uri in uris],
            "native": mlflow.sklearn.load_model("models:/both/1").predict_proba(rows)[:, 1].tolist(),
            "inputs": whole.metadata.get_input_schema().input_names(),
            "listed": [[one.model_id, one.name, str(one.status)] for one in listed],
            "of run": [one.model_id for one in client.get_run(given["run"]).outputs.model_outputs],
        })
        """,
        {"uri": logged.uri, "run": run.id},
    )
    assert found["pyfunc"] == [model.predict(FRAME).tolist()] * 4
    assert np.allclose(found["native"], model.predict_proba(FRAME)[:, 1])
    assert found["inputs"] == ["a", "b"]
    assert found["listed"] == [[logged.id, "model", "READY"]]
    assert found["of run"] == [logged.id]


def test_penstock_loads_what_mlflow_logged(to: Tracking, tmp_path: Path) -> None:
    made = to.drive(
        """
        from sklearn.linear_model import LinearRegression
        model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
        with mlflow.start_run() as run:
            info = mlflow.sklearn.log_model(model, name="line", registered_model_name="theirs")
            pickled = mlflow.sklearn.log_model(model, name="pickled", pip_requirements=["scikit-learn"], serialization_format="cloudpickle",
                                               registered_model_name="pickled")
            class Twice(mlflow.pyfunc.PythonModel):
                def predict(self, context, model_input, params=None):
                    return model_input
            mlflow.pyfunc.log_model(name="own", python_model=Twice(), pip_requirements=[], registered_model_name="own")
        client.set_registered_model_alias("theirs", "champion", 1)
        answer([run.info.run_id, info.model_uri])
        """
    )
    run_id, uri = made
    for place in (uri, f"runs:/{run_id}/line", "models:/theirs/1", "models:/theirs@champion"):
        assert penstock.load_model(place).predict([[0.5]]) == pytest.approx([0.5])
    with pytest.raises(Refused, match="pickle"):
        penstock.load_model("models:/pickled/1")
    loaded = penstock.load_model("models:/pickled/1", allow_pickle=True)
    assert loaded.predict([[2.0]]) == pytest.approx([2.0])
    with pytest.raises(Refused, match="runs code of its own"):
        penstock.load_model("models:/own/1")
    own = penstock.load_model("models:/own/1", allow_pickle=True)
    assert own.predict(np.ones((2, 1))).tolist() == [[1.0], [1.0]]
    folder = penstock.Client().download_model("models:/own/1", tmp_path / "own")
    assert (folder / "MLmodel").is_file()


def test_penstock_serves_what_mlflow_logged_of_any_library_with_an_example(
    to: Tracking, tmp_path: Path
) -> None:
    """An ordinary `log_model(…, input_example=X)`: its signature has no names, and no probabilities."""
    expected = to.drive(
        """
        import lightgbm, numpy as np, pandas as pd, xgboost
        from sklearn.linear_model import LogisticRegression
        X = np.random.default_rng(0).normal(size=(50, 4))
        y = (X[:, 0] > 0).astype(int)
        frame = pd.DataFrame(X, columns=list("abcd"))
        class Sums(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input, params=None):
                return np.asarray(model_input).sum(axis=1)
        models = {
            "sklearn": (mlflow.sklearn, LogisticRegression().fit(X, y), X),
            "pandas": (mlflow.sklearn, LogisticRegression().fit(frame, y), frame),
            "xgboost": (mlflow.xgboost, xgboost.XGBClassifier(n_estimators=3).fit(X, y), X),
            "lightgbm": (mlflow.lightgbm, lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(X, y), X),
        }
        found = {}
        for name, (flavour, model, rows) in models.items():
            with mlflow.start_run():
                flavour.log_model(model, name=name, input_example=rows[:5], pip_requirements=[], registered_model_name=name)
            found[name] = {"prediction": model.predict(rows[:5]).tolist(), "probability": model.predict_proba(rows[:5])[:, 1].tolist()}
        with mlflow.start_run():
            mlflow.pyfunc.log_model(name="sums", python_model=Sums(), input_example=X[:5], pip_requirements=[], registered_model_name="sums")
        found["sums"] = {"prediction": X[:5].sum(axis=1).tolist()}
        answer(found)
        """
    )
    for name, outputs in expected.items():
        folder = penstock.Client().download_model(f"models:/{name}/1", tmp_path / name)
        files = files_of_folder(folder, name, 1, "d")
        predictor = load_model(files)
        prove(LoadedModel(files, predictor), files)
        columns = example_columns(predictor.signature, files.example)
        assert columns is not None
        answers = predictor.predict(columns, 5)
        assert list(answers) == list(outputs)
        assert all(np.allclose(answers[key], values) for key, values in outputs.items()), name


def test_what_someone_changed_in_the_server_s_store_is_refused(to: Tracking) -> None:
    model = LogisticRegression().fit(FRAME, [0, 0, 1, 1])
    with penstock.start_run(system_metrics=False):
        logged = penstock.log_model(model, inputs=FRAME)
    newest = max(to.root.rglob(f"{logged.id}/artifacts/MLmodel"), key=lambda path: path.stat().st_mtime_ns)
    newest.chmod(0o644)
    newest.write_text(newest.read_text() + "# an innocent remark\n")
    with pytest.raises(Corrupt):
        penstock.load_model(logged.uri)
