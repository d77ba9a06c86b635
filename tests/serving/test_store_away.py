"""A store that cannot be written costs no caller anything: what was seen waits, it is told, and nothing is lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from patience import PATIENCE_S
from penstock.base.store.database import Database, connect, metadata
from penstock.flows.models.folders import RegistrySource
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.http.inference.app import build_inference_app
from penstock.monitoring.windows import list_windows
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.serving.predictions.stored import list_predictions
from penstock.workspace import open_workspace
from servers.forwarder import forwarding
from servers.postgres import PostgresServer
from serving.clients import BODY
from serving.models import FolderSource, deploy, request_body
from stories.live import wait_until

pytestmark = pytest.mark.slow
WAITS = "monitoring data wait for the store: "


def serve_through(
    store: Database,
    models: FolderSource,
    log: pytest.LogCaptureFixture,
    change: tuple[Callable[[], None], Callable[[], None]],
) -> None:
    """Serve while the store goes away and comes back, and show that nobody notices and nothing is lost."""
    away, back = change
    log.set_level("INFO", "penstock")
    deploy(store, "delay", 1)
    options = ServeOptions(port=0, poll_s=0.05, flush_s=0.1, beat_s=0.1)
    process = ServeProcess(store, models, build_inference_app, options)
    process.start()
    ids: list[str] = []
    try:
        with httpx.Client(base_url=process.url, timeout=PATIENCE_S) as client:

            def ask() -> None:
                answer = client.post("/v2/models/delay/infer", json=request_body()).raise_for_status()
                ids.append(answer.json()["id"])

            ask()
            away()
            wait_until(lambda: ask() or WAITS in log.text)
            assert client.get("/v2/health/ready").status_code == 200
            back()
            deploy(store, "delay", 2)
            wait_until(lambda: "no longer, what waited is written" in log.text)
            wait_until(lambda: client.get("/v2/models/delay").json()["versions"] == ["2"])
            ask()
    finally:
        process.stop()
    with store.read() as connection:
        assert {one.id for one in list_predictions(connection, ids)} == set(ids)
        assert sum(one.request_count for one in list_windows(connection, "delay")) == len(ids)


def test_a_disk_without_room(
    database: Database, source: FolderSource, caplog: pytest.LogCaptureFixture
) -> None:
    def limit(pages: int) -> Callable[[], None]:
        def set_on_each() -> None:
            listeners.append(lambda raw, _record: raw.execute(f"PRAGMA max_page_count = {pages}"))
            sa.event.listen(database.engine, "connect", listeners[-1])
            database.engine.dispose()

        return set_on_each

    listeners: list[Callable[..., object]] = []
    serve_through(database, source, caplog, (limit(1), limit(1 << 30)))
    assert "failed: No space left on device" in caplog.text


def test_a_postgresql_that_is_stopped_and_started(
    source: FolderSource, postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres.new_schema()
    port = sa.engine.make_url(url).port
    with forwarding(port or 0) as between:
        store = connect(url.replace(f":{port}/", f":{between.port}/"))
        metadata.create_all(store.engine)
        serve_through(store, source, caplog, (between.cut, between.mend))
        store.close()


def test_the_copies_of_models_may_go_while_they_are_served(two_versions_root: Path, tmp_path: Path) -> None:
    """Also copies that somebody changed: what is loaded next is fetched and verified anew."""
    root = tmp_path / "project"
    shutil.copytree(two_versions_root, root, symlinks=True)
    project = open_workspace(root, {"USER": "ada"})
    options = ServeOptions(port=0, poll_s=0.05)
    process = ServeProcess(project.database, RegistrySource(project), build_inference_app, options)
    process.start()
    models = project.home / "models"
    try:
        with httpx.Client(base_url=f"{process.url}/v2/models/delay", timeout=PATIENCE_S) as client:

            def version() -> str:
                return client.post("/infer", json=BODY).raise_for_status().headers["penstock-model-version"]

            assert version() == "1"
            shutil.rmtree(models)
            assert version() == "1"
            plan = plan_deployment(project, "delay", "late/2")
            for file in models.rglob("*.skops"):
                file.chmod(0o600)
                file.write_bytes(b"changed")
            apply_deployment(project, plan)
            wait_until(lambda: version() == "2")
    finally:
        process.stop()
        project.close()
