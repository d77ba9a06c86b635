"""MLflow's API in this process, over a new repository, for tests of single requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.testclient import TestClient

from penstock.data.verbs.creation import init_repository
from penstock.http.mlflow.routes import build_services, mlflow_routes
from penstock.workspace import open_workspace


class Api:
    """Requests by method and path below `/api/2.0/mlflow`; answers are statuses and JSON."""

    def __init__(self, root: Path, settings: str) -> None:
        init_repository(root, no_scm=True)
        if settings:
            (root / "penstock.yaml").write_text(settings)
        self.project = open_workspace(root, {"PENSTOCK_ACTOR": "person:ada"})
        self._services = build_services(self.project)
        self._client = TestClient(Starlette(routes=mlflow_routes(self._services)))

    def __call__(self, method: str, path: str, /, **fields: Any) -> tuple[int, Any]:
        kind = {"params": fields} if method == "GET" else {"json": fields}
        answer = self._client.request(method, f"/api/2.0/mlflow/{path}", **kind)
        return answer.status_code, answer.json()

    def post(self, path: str, /, **fields: Any) -> Any:
        """POST what must succeed."""
        status, answer = self("POST", path, **fields)
        assert status == 200, answer
        return answer

    def get(self, path: str, /, **fields: Any) -> Any:
        """GET what must succeed."""
        status, answer = self("GET", path, **fields)
        assert status == 200, answer
        return answer

    def upload(self, uri: str, data: bytes) -> None:
        """Put a file to an `mlflow-artifacts:/` place."""
        path = uri.removeprefix("mlflow-artifacts:/")
        done = self._client.put(f"/api/2.0/mlflow-artifacts/artifacts/{path}", content=data)
        assert done.status_code == 200, done.text

    def download(self, uri: str) -> tuple[int, bytes]:
        """Get a file from an `mlflow-artifacts:/` place."""
        path = uri.removeprefix("mlflow-artifacts:/")
        done = self._client.get(f"/api/2.0/mlflow-artifacts/artifacts/{path}")
        return done.status_code, done.content

    def run(self) -> dict[str, Any]:
        """Start a run and return its info."""
        info: dict[str, Any] = self.post("runs/create", experiment_id="0", start_time=1)["run"]["info"]
        return info

    def logged_model(self, run_id: str, files: dict[str, bytes], name: str = "model") -> dict[str, Any]:
        """Log a model of a run with its files and return its info."""
        made = self.post("logged-models", experiment_id="0", name=name, source_run_id=run_id)["model"]["info"]
        for path, data in files.items():
            self.upload(f"{made['artifact_uri']}/{path}", data)
        status, done = self(
            "PATCH",
            f"logged-models/{made['model_id']}",
            status="LOGGED_MODEL_READY",
            model_id=made["model_id"],
        )
        assert status == 200, json.dumps(done)
        info: dict[str, Any] = done["model"]["info"]
        return info

    def close(self) -> None:
        """Close what was opened."""
        self._services.artifacts.close()
        self.project.close()


@contextmanager
def run_api(root: Path, settings: str = "") -> Iterator[Api]:
    """Open the API over a new repository in `root`."""
    root.mkdir(parents=True, exist_ok=True)
    api = Api(root, settings)
    try:
        yield api
    finally:
        api.close()
