"""Where a version may come from: everything that leads out of what the request names is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.base.store.events import list_events
from penstock.flows.models.uploaded import manifest_of
from penstock.registry.versions import get_version
from servers.registry_api import Api, run_api
from tables import table

FILES = {"MLmodel": b"flavors: {}\n", "data/weights.bin": b"\0" * 100_000}
HOSTILE = [
    "file:///etc",
    "FILE:///etc/passwd",
    "file://localhost/etc",
    "file:",
    "//proc/self/root",
    "/etc/passwd",
    "etc/passwd",
    "C:\\windows",
    "C:/windows",
    "\\..\\..\\x",
    "runs:/{run}/../../x",
    "runs:/{run}",
    "runs:/{other}/model",
    "runs://host/{run}/model",
    "mlflow-artifacts:/0/{run}/artifacts/../../{other}/artifacts/model",
    "mlflow-artifacts:/0/{run}/artifacts/..%2f..%2f{other}/artifacts",
    "mlflow-artifacts:/0/{run}/artifacts/%252e%252e/%252e%252e/{other}",
    "mlflow-artifacts:/0/{run}/artifacts/model%00",
    "mlflow-artifacts:/0/{run}/artifacts/model?/../../x",
    "mlflow-artifacts:/0/{run}/artifacts/model#/../../x",
    "mlflow-artifacts:/0/{run}/artifacts;/../x",
    "mlflow-artifacts:/0/{run}/artifactsX/model",
    "mlflow-artifacts:/0/{other}/artifacts/model",
    "mlflow-artifacts://host:9000/0/{run}/artifacts/model",
    "mlflow-artifacts:/versions/" + "0" * 64,
    "http://host/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/model",
    "http://host/models/../../../x",
    "https://host/models/..%2f..%2fx",
    "ftp://host/a%3f/../../x",
    "s3a://bucket/x/../../..",
    "dbfs:/{run}/artifacts/a%3f/../../x",
    "s3://user:secret@bucket/x",
    "models:/m-00000000000000000000000000000000",
    "models://host/mine/1",
    "models:/nothing",
    "",
]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with run_api(tmp_path / "root") as opened:
        opened.post("registered-models/create", name="mine")
        yield opened


@table("tags", [[], [{"key": "mlflow.prompt.is_prompt", "value": "true"}]])
@table("source", HOSTILE)
def test_a_hostile_source_is_refused_whatever_its_tags(
    api: Api, source: str, tags: list[dict[str, str]]
) -> None:
    run, other = api.run()["run_id"], api.run()["run_id"]
    status, answer = api(
        "POST",
        "model-versions/create",
        name="mine",
        source=source.format(run=run, other=other),
        run_id=run,
        tags=tags,
    )
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), answer
    assert api.get("model-versions/search") == {}


def test_a_logged_model_becomes_content_with_its_origin(api: Api) -> None:
    run = api.run()
    api.post("runs/set-tag", run_id=run["run_id"], key="mlflow.source.git.commit", value="c" * 40)
    api.post("runs/log-metric", run_id=run["run_id"], key="auc", value=0.75, timestamp=1)
    model = api.logged_model(run["run_id"], FILES)
    source = f"models:/{model['model_id']}"
    made = api.post("model-versions/create", name="mine", source=source, model_id=model["model_id"])
    version = made["model_version"]
    assert (version["version"], version["run_id"], version["source"]) == ("1", run["run_id"], source)
    uri = api.get("model-versions/get-download-uri", name="mine", version="1")["artifact_uri"]
    api.upload(f"{model['artifact_uri']}/MLmodel", b"replaced")
    assert api.download(f"{uri}/MLmodel") == (200, FILES["MLmodel"])
    with api.project.database.read() as connection:
        kept = get_version(connection, "mine", 1)
        assert [event.kind for event in list_events(connection)][-1] == "model.registered"
    assert (kept.provenance.commit, kept.metrics) == ("c" * 40, {"auc": 0.75})
    assert uri.endswith(kept.digest)
    manifest = manifest_of(api.project, kept.digest)
    assert manifest is not None
    assert {path: size for path, (_, size) in manifest.items()} == {
        path: len(data) for path, data in FILES.items()
    }
    assert manifest_of(api.project, "0" * 64) is None
    assert manifest_of(api.project, "") is None


def test_the_same_content_registered_twice_is_two_versions_of_one_digest(api: Api) -> None:
    model = api.logged_model(api.run()["run_id"], FILES)
    for _ in range(2):
        source = f"models:/{model['model_id']}"
        api.post("model-versions/create", name="mine", source=source, model_id=model["model_id"])
    uris = {
        api.get("model-versions/get-download-uri", name="mine", version=number)["artifact_uri"]
        for number in ("1", "2")
    }
    assert len(uris) == 1


@pytest.mark.parametrize("way", ["runs:/{run}/folder", "mlflow-artifacts:/0/{run}/artifacts/folder"])
def test_a_folder_of_a_run_is_registered_by_either_name(api: Api, way: str) -> None:
    run = api.run()
    api.upload(f"{run['artifact_uri']}/folder/MLmodel", b"flavors: {}\n")
    source = way.format(run=run["run_id"])
    api.post("model-versions/create", name="mine", source=source, run_id=run["run_id"])
    uri = api.get("model-versions/get-download-uri", name="mine", version="1")["artifact_uri"]
    assert api.download(f"{uri}/MLmodel") == (200, b"flavors: {}\n")


def test_a_run_finds_the_model_it_logged_by_name(api: Api) -> None:
    run = api.run()["run_id"]
    api.logged_model(run, FILES, "clever")
    api.post("model-versions/create", name="mine", source=f"runs:/{run}/clever", run_id=run)
    uri = api.get("model-versions/get-download-uri", name="mine", version="1")["artifact_uri"]
    assert uri.startswith("mlflow-artifacts:/versions/")


def test_a_place_of_clients_is_recorded_and_has_no_content(api: Api) -> None:
    api.post("model-versions/create", name="mine", source="s3://bucket/model")
    assert api.get("model-versions/get-download-uri", name="mine", version="1") == {
        "artifact_uri": "s3://bucket/model"
    }
    with api.project.database.read() as connection:
        assert get_version(connection, "mine", 1).digest == ""


def test_a_copy_keeps_content_run_and_origin_and_refuses_another(api: Api) -> None:
    run = api.run()["run_id"]
    model = api.logged_model(run, FILES)
    source = f"models:/{model['model_id']}"
    api.post("model-versions/create", name="mine", source=source, model_id=model["model_id"])
    api.post("registered-models/create", name="other")
    copied = api.post("model-versions/create", name="other", source="models:/mine/latest")["model_version"]
    assert (copied["source"], copied["run_id"]) == ("models:/mine/1", run)
    assert api.get("model-versions/get-download-uri", name="other", version="1") == api.get(
        "model-versions/get-download-uri", name="mine", version="1"
    )
    status, answer = api(
        "POST", "model-versions/create", name="other", source="models:/mine/1", run_id="f" * 32
    )
    assert status == 400
    assert "must match the referenced model version" in answer["message"]


def test_a_model_whose_upload_is_not_finished_is_not_taken_for_whole(api: Api) -> None:
    made = api.post("logged-models", experiment_id="0", name="half")["model"]["info"]
    api.upload(f"{made['artifact_uri']}/MLmodel", b"x")
    source = f"models:/{made['model_id']}"
    status, answer = api(
        "POST", "model-versions/create", name="mine", source=source, model_id=made["model_id"]
    )
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "never finished" in answer["message"]
