"""A model that Penstock's functions logged is loaded by the real MLflow, and one that MLflow logged by Penstock's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

import penstock
from penstock.base.errors import Corrupt, Invalid, Refused
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
    with pytest.raises(Invalid, match="python_function"):
        penstock.load_model("models:/own/1")
    folder = penstock.Client().download_model("models:/own/1", tmp_path / "own")
    assert (folder / "MLmodel").is_file()


def test_what_someone_changed_in_the_server_s_store_is_refused(to: Tracking) -> None:
    model = LogisticRegression().fit(FRAME, [0, 0, 1, 1])
    with penstock.start_run(system_metrics=False):
        logged = penstock.log_model(model, inputs=FRAME)
    newest = max(to.root.rglob(f"{logged.id}/artifacts/MLmodel"), key=lambda path: path.stat().st_mtime_ns)
    newest.chmod(0o644)
    newest.write_text(newest.read_text() + "# an innocent remark\n")
    with pytest.raises(Corrupt):
        penstock.load_model(logged.uri)
