"""A server that asks for credentials, in this process, with one experiment and one model of `alice`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from starlette.testclient import TestClient

from penstock.access.roles import Role
from penstock.access.tokens import create_token
from penstock.access.users import add_user
from penstock.data.verbs.creation import init_repository
from penstock.http.app import build_server_app
from penstock.processes.controller import ControllerLoop
from penstock.project.project import Project
from penstock.workspace import open_workspace

API = "/api/2.0/mlflow/"
PASSWORD = "three blind mice run"
USERS: dict[str, Role] = {
    "root": "admin",
    "alice": "writer",
    "other": "writer",
    "reader": "reader",
    "outsider": "none",
}


@dataclass
class Guarded:
    """Requests by a caller's name; `nobody` sends no credentials."""

    project: Project
    client: TestClient
    tokens: dict[str, str]
    ids: dict[str, str] = field(default_factory=dict)

    def send(
        self, caller: str, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Send one request; `{name}` in path and body stands for one of `ids`."""
        sent = {"Content-Type": "application/json"}
        if caller in self.tokens:
            sent["Authorization"] = f"Bearer {self.tokens[caller]}"
        data = None if body is None else self.fill(json.dumps(body)).encode()
        answer: httpx.Response = self.client.request(
            method, self.fill(path), content=data, headers={**sent, **(headers or {})}, follow_redirects=False
        )
        return answer

    def made(self, caller: str, path: str, body: Any, method: str = "POST") -> Any:
        """Send what must succeed."""
        answer = self.send(caller, method, f"{API}{path}", body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def fill(self, text: str) -> str:
        """Put ids in place of their names."""
        for name, value in self.ids.items():
            text = text.replace("{" + name + "}", value)
        return text


@contextmanager
def run_guarded(root: Path) -> Iterator[Guarded]:
    """Open the application over a new repository in `root`, with the users of `USERS`."""
    root.mkdir(parents=True, exist_ok=True)
    init_repository(root, no_scm=True)
    project = open_workspace(root, {"PENSTOCK_ACTOR": "person:ada"})
    tokens = {}
    with project.database.write() as connection:
        for name, role in USERS.items():
            add_user(connection, name, role, PASSWORD, "test")
            tokens[name] = create_token(connection, name, "test")[1]
    app = build_server_app(project, ControllerLoop(project), asks_for_credentials=True)
    guarded = Guarded(project, TestClient(app, base_url="http://127.0.0.1"), tokens)
    try:
        _fill_store(guarded)
        yield guarded
    finally:
        project.close()


def _fill_store(guarded: Guarded) -> None:
    ids, made = guarded.ids, guarded.made
    ids["e"] = made("alice", "experiments/create", {"name": "alice's"})["experiment_id"]
    run = made("alice", "runs/create", {"experiment_id": "{e}", "start_time": 1})
    ids["r"] = run["run"]["info"]["run_id"]
    model = made("alice", "logged-models", {"experiment_id": "{e}", "name": "model", "source_run_id": "{r}"})
    ids["m"] = model["model"]["info"]["model_id"]
    for path in ("{e}/{r}/artifacts/file.txt", "{e}/models/{m}/artifacts/MLmodel"):
        put = guarded.send("alice", "PUT", f"/api/2.0/mlflow-artifacts/artifacts/{path}", "secret")
        assert put.status_code == 200, put.text
    made("alice", "logged-models/{m}", {"model_id": "{m}", "status": "LOGGED_MODEL_READY"}, "PATCH")
    made("alice", "registered-models/create", {"name": "alices"})
    created = made(
        "alice", "model-versions/create", {"name": "alices", "source": "models:/{m}", "model_id": "{m}"}
    )
    assert created["model_version"]["version"] == "1"
    made("alice", "registered-models/alias", {"name": "alices", "alias": "mine", "version": "1"})
    uri = guarded.send("alice", "GET", f"{API}model-versions/get-download-uri?name=alices&version=1").json()
    ids["files"] = uri["artifact_uri"].removeprefix("mlflow-artifacts:/")
    hook = {
        "name": "hook",
        "url": "https://93.184.216.34/x",
        "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}],
    }
    ids["w"] = made("root", "webhooks", hook)["webhook"]["webhook_id"]
