"""MLflow's own client against the artifact proxy; PENSTOCK_MLFLOW_PYTHON names an interpreter that has it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.artifact_server import ROOT, Proxy, run_proxy
from penstock.storage.resolve import open_backend
from servers.tracking import QUIET, mlflow_client, run_tracking

pytestmark = pytest.mark.slow
OPTIONS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
FILES = {
    "MLmodel": b"flavors: {}\n",
    "empty": b"",
    "data/weights.bin": os.urandom(3 << 20),
    "data/deep/a b.txt": b"blank",
    "data/deep/\u00fc.csv": b"1,2\n",
    "100%.txt": b"percent",
    "a+b&c=d": b"signs",
}
PREAMBLE = """
import os, sys
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository
uri, work = sys.argv[1:]
repo = MlflowArtifactsRepository(uri)
def listed(path=None):
    return [(f.path, f.is_dir, f.file_size) for f in repo.list_artifacts(path)]
def refused(action):
    try:
        action()
    except (MlflowException, OSError) as error:
        return str(error)
    raise AssertionError("accepted")
"""


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with run_proxy(open_backend(str(tmp_path / "store"))) as running:
        yield running


@pytest.fixture
def work(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        path = tmp_path / "work" / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "work"


def drive(proxy: Proxy, work: Path, script: str, root: str = ROOT) -> None:
    """Run statements in a process that has the client; `repo` is the artifact root."""
    done = mlflow_client().run(
        (f"mlflow-artifacts:/{root}", str(work)),
        program=PREAMBLE + script,
        cwd=Path.cwd(),
        env={**os.environ, **QUIET, **OPTIONS, "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{proxy.port}"},
    )
    assert done.returncode == 0, done.stderr


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_goes_up_is_listed_comes_down_and_goes_away(proxy: Proxy, work: Path) -> None:
    drive(
        proxy,
        work,
        """
repo.log_artifacts(work + "/source", "model")
repo.log_artifact(work + "/source/MLmodel")
assert listed() == [("MLmodel", False, 12), ("model", True, None)], listed()
assert [name for name, *_ in listed("model")] == [
    "model/100%.txt", "model/MLmodel", "model/a+b&c=d", "model/data", "model/empty"], listed("model")
assert listed("model/MLmodel") == listed("nothing") == []
os.mkdir(work + "/target")
repo.download_artifacts("model", work + "/target")
repo.download_artifacts("MLmodel", work + "/target")
repo.delete_artifacts("model/data")
assert "model/data" not in [name for name, *_ in listed("model")]
assert "404" in refused(lambda: repo.download_artifacts("model/data/weights.bin"))
repo.delete_artifacts()
assert listed() == []
""",
    )
    expected = {f"model/{name}": data for name, data in FILES.items()} | {"MLmodel": FILES["MLmodel"]}
    assert files_below(work / "target") == expected


def test_a_version_comes_down_and_cannot_be_changed(proxy: Proxy, work: Path) -> None:
    drive(
        proxy,
        work,
        """
os.mkdir(work + "/target")
repo.download_artifacts("", work + "/target")
assert "fixed" in refused(lambda: repo.log_artifact(work + "/source/MLmodel"))
assert "fixed" in refused(lambda: repo.delete_artifacts("MLmodel"))
""",
        f"versions/{proxy.register(FILES)}",
    )
    assert files_below(work / "target") == FILES


def test_a_version_that_rotted_is_a_failed_download(proxy: Proxy, work: Path, tmp_path: Path) -> None:
    large = os.urandom(12 << 20)
    digest = proxy.register({"w.bin": large})
    sha256, _ = proxy.manifests[digest]["w.bin"]
    blob = tmp_path / "store" / "objects" / sha256[:2] / sha256[2:]
    blob.unlink()
    blob.write_bytes(large[:-1] + bytes([large[-1] ^ 1]))
    drive(
        proxy,
        work,
        'refused(lambda: repo.download_artifacts("w.bin"))',
        f"versions/{digest}",
    )


def test_what_the_guard_denies_is_told_to_the_client(proxy: Proxy, work: Path) -> None:
    proxy.is_closed = True
    drive(
        proxy,
        work,
        """
assert "not yours" in refused(lambda: repo.log_artifact(work + "/source/MLmodel"))
assert "not yours" in refused(lambda: repo.list_artifacts())
""",
    )


PARTS = """
repo.log_artifact(work + "/source/data/weights.bin", "model")
assert listed("model") == [("model/weights.bin", False, 3 << 20)], listed("model")
os.mkdir(work + "/target")
repo.download_artifacts("model", work + "/target")
"""


def test_a_large_file_goes_up_in_parts(proxy: Proxy, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", str(1 << 20))
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", str(700_001))
    drive(proxy, work, PARTS)
    assert files_below(work / "target") == {"model/weights.bin": FILES["data/weights.bin"]}
    (record,) = (entry.key for entry in proxy.backend.list("uploads"))
    assert record.endswith("/upload.json")


@pytest.mark.parametrize(
    ("wanted", "parts"), [({"MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true"}, 3), ({}, 0)]
)
def test_parts_are_sent_where_the_client_is_told_to(
    tmp_path: Path, work: Path, wanted: dict[str, str], parts: int
) -> None:
    with run_tracking(tmp_path / "s") as server:
        found = server.drive(
            """
            import mlflow.store.artifact.http_artifact_repo as used
            sent = []
            original = used.HttpArtifactRepository._upload_part
            def counted(**named):
                sent.append(named["size"])
                return original(**named)
            used.HttpArtifactRepository._upload_part = staticmethod(counted)
            with mlflow.start_run() as run:
                mlflow.log_artifact(given, "model")
            path = mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/model/weights.bin")
            answer([len(sent), open(path, "rb").read() == open(given, "rb").read()])
            """,
            str(work / "source" / "data" / "weights.bin"),
            MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE=str(1 << 20),
            MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE=str(1 << 20),
            **wanted,
        )
    assert found == [parts, True]
