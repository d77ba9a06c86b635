"""The unmodified client on the model registry, and the same requests to a real MLflow server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compat.mlflow.beside import Step, ask, difference, post, read
from facts import fact, plain
from servers.tracking import Tracking, run_tracking

pytestmark = pytest.mark.slow
GATED = """\
project: gated
gates:
  - metric: {name: accuracy, min: 0.9}
"""


def test_a_model_goes_from_training_to_loading_by_alias(tracking: Tracking) -> None:
    found = tracking.drive(
        """
        from sklearn.linear_model import LinearRegression
        model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
        with mlflow.start_run() as run:
            info = mlflow.sklearn.log_model(model, name="model", pip_requirements=["scikit-learn"], registered_model_name="line")
        second = mlflow.register_model(f"runs:/{run.info.run_id}/model", "line")
        client.set_registered_model_alias("line", "champion", second.version)
        client.set_registered_model_tag("line", "team", "ü")
        client.set_model_version_tag("line", "1", "checked", "yes")
        client.update_registered_model("line", "a straight line")
        client.update_model_version("line", "1", "the first")
        client.transition_model_version_stage("line", "1", "Production", archive_existing_versions=True)
        copied = client.copy_model_version("models:/line@champion", "production")
        by_alias = client.get_model_version_by_alias("line", "champion")
        found = {
            "champion": [by_alias.version, by_alias.run_id == run.info.run_id],
            "loaded": float(mlflow.sklearn.load_model("models:/line@champion").predict([[0.5]])[0]),
            "copy": [copied.name, copied.version, float(mlflow.pyfunc.load_model("models:/production/1").predict([[2.0]])[0])],
            "stages": sorted((one.version, one.current_stage) for one in client.get_latest_versions("line")),
            "models": [one.name for one in client.search_registered_models("tags.team = 'ü'")],
            "versions": [one.version for one in client.search_model_versions("name = 'line'", order_by=["version_number DESC"])],
            "noted": mlflow.get_logged_model(info.model_id).tags["mlflow.modelVersions"][:34],
            "download": client.get_model_version_download_uri("line", "1").split("/")[0],
        }
        client.delete_registered_model_alias("line", "champion")
        client.delete_model_version("line", "2")
        found["next"] = mlflow.register_model(info.model_uri, "line").version
        client.rename_registered_model("line", "renamed")
        found["renamed"] = [client.get_registered_model("renamed").description, client.get_registered_model("renamed").tags]
        client.delete_registered_model("renamed")
        found["gone"] = refused(client.get_registered_model, "renamed")
        answer(found)
        """
    )
    assert found == {
        "champion": ["2", True],
        "loaded": pytest.approx(0.5),
        "copy": ["production", "1", pytest.approx(2.0)],
        "stages": [["1", "Production"], ["2", "None"]],
        "models": ["line"],
        "versions": ["2", "1"],
        "noted": '[{"name": "line", "version": 1}, {',
        "download": "mlflow-artifacts:",
        "next": "3",
        "renamed": ["a straight line", {"team": "ü"}],
        "gone": [
            "RESOURCE_DOES_NOT_EXIST",
            "RESOURCE_DOES_NOT_EXIST: Registered Model with name=renamed not found",
        ],
    }


def test_a_protected_alias_needs_a_verdict_through_mlflow_too(tmp_path: Path) -> None:
    with run_tracking(tmp_path, settings=GATED) as server:
        found = server.drive(
            """
            from sklearn.linear_model import LinearRegression
            with mlflow.start_run():
                mlflow.sklearn.log_model(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), name="m", pip_requirements=["scikit-learn"],
                                         registered_model_name="line")
            client.set_registered_model_alias("line", "candidate", "1")
            answer([refused(client.set_registered_model_alias, "line", "champion", "1"),
                    client.get_registered_model("line").aliases])
            """
        )
    assert found[0][0] == "PERMISSION_DENIED"
    assert "no gate has judged" in found[0][1]
    assert found[1] == {"candidate": "1"}


def test_a_version_whose_files_were_changed_is_not_loaded(tmp_path: Path) -> None:
    with run_tracking(tmp_path) as server:
        server.drive(
            """
            from sklearn.linear_model import LinearRegression
            with mlflow.start_run():
                mlflow.sklearn.log_model(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), name="m", pip_requirements=["scikit-learn"],
                                         registered_model_name="line")
            """
        )
        objects = server.root / ".penstock" / "artifacts" / "objects"
        for path in objects.rglob("*"):
            if path.is_file() and b"LinearRegression" in path.read_bytes():
                path.chmod(0o644)
                path.write_bytes(path.read_bytes().replace(b"LinearRegression", b"LinearRegressioM"))
        found = server.drive(
            """
            try:
                mlflow.sklearn.load_model("models:/line/1")
                answer("loaded")
            except Exception as error:
                answer("refused")
            """
        )
    assert found == "refused"


MODELS = [
    post("registered-models/create", {"name": "m", "description": "d", "tags": [{"key": "a", "value": "b"}]}),
    post(
        "registered-models/create",
        {"name": "m"},
        differs="MLflow's message ends with the database's own words",
    ),
    post("registered-models/create", {"name": "a/b"}),
    post("registered-models/create", {"name": " "}),
    post("registered-models/create", {}),
    read("registered-models/get", name="m"),
    read("registered-models/get", name="none"),
    Step("PATCH", "registered-models/update", {"name": "m", "description": "e"}),
    post("registered-models/set-tag", {"name": "m", "key": "k", "value": "v"}),
    post("registered-models/set-tag", {"name": "none", "key": "k", "value": "v"}),
    Step("DELETE", "registered-models/delete-tag", {"name": "m", "key": "k"}),
    read("registered-models/search", filter="name = 'm'"),
    read("registered-models/search", filter="name LIKE 'M'"),
    read("registered-models/search", filter="tags.a = 'b'"),
    read(
        "registered-models/search",
        filter="tag.`mlflow.prompt.is_prompt` != 'true' and name = 'm'",
        max_results=10,
    ),
    post("model-versions/create", {"name": "m", "source": "s3://bucket/one", "description": "x"}),
    post("model-versions/create", {"name": "none", "source": "s3://bucket/one"}),
    post("model-versions/create", {"name": "m"}),
    read("model-versions/get", name="m", version="1"),
    read("model-versions/get", name="m", version="9"),
    read("model-versions/get", name="m", version="x"),
    Step("PATCH", "model-versions/update", {"name": "m", "version": "1", "description": "y"}),
    post("model-versions/set-tag", {"name": "m", "version": "1", "key": "k", "value": "v"}),
    Step("DELETE", "model-versions/delete-tag", {"name": "m", "version": "1", "key": "k"}),
    read("model-versions/get-download-uri", name="m", version="1"),
    read("model-versions/search", filter="name = 'm'"),
    read("model-versions/search", filter="run_id = 'none'"),
    post(
        "model-versions/transition-stage",
        {"name": "m", "version": "1", "stage": "staging", "archive_existing_versions": False},
    ),
    post("registered-models/get-latest-versions", {"name": "m"}),
    post("registered-models/get-latest-versions", {"name": "m", "stages": ["Staging"]}),
    post("registered-models/alias", {"name": "m", "alias": "best", "version": "1"}),
    post("registered-models/alias", {"name": "m", "alias": "best", "version": "7"}),
    post("registered-models/alias", {"name": "m", "alias": "latest", "version": "1"}),
    post("registered-models/alias", {"name": "m", "alias": "v1", "version": "1"}),
    post("registered-models/alias", {"name": "m", "alias": "no good", "version": "1"}),
    read("registered-models/alias", name="m", alias="best"),
    read("registered-models/alias", name="m", alias="worst"),
    read("registered-models/get", "MLflow forgets the aliases of the latest versions", name="m"),
    Step("DELETE", "registered-models/alias", {"name": "m", "alias": "best"}),
    Step("DELETE", "model-versions/delete", {"name": "m", "version": "1"}),
    post("model-versions/create", {"name": "m", "source": "s3://bucket/two"}),
    post("registered-models/rename", {"name": "m", "new_name": "n"}),
    read("registered-models/get", name="n"),
    post("registered-models/rename", {"name": "m", "new_name": "n"}),
    Step("DELETE", "registered-models/delete", {"name": "n"}),
    read("registered-models/get", name="n"),
]


def answers_of_mlflow(server: Tracking) -> list[tuple[int, Any]]:
    return ask(server.port, MODELS)


def test_the_registry_answers_as_mlflow_does(tracking: Tracking, own_mlflow: Callable[[], Tracking]) -> None:
    ours = plain(answers_of_mlflow(tracking))
    peers = fact(answers_of_mlflow, lambda: answers_of_mlflow(own_mlflow()), program="mlflow")
    wrong = [
        f"{step}\n  {difference(mine, peer)}"
        for step, mine, peer in zip(MODELS, ours, peers, strict=True)
        if mine != peer and not step.differs
    ]
    assert not wrong, "\n".join(wrong)
