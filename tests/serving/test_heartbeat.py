"""A serve process is seen to be alive while it loads a model, however long that takes."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from patience import PATIENCE_S
from penstock.base.errors import NotFound
from penstock.base.store.database import Database
from penstock.base.threads import begin
from penstock.http.inference.app import build_inference_app
from penstock.processes import serve
from penstock.processes.loading import attempts
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.serving.loaders import ModelFiles
from penstock.serving.workers import list_workers
from serving.models import FolderSource, deploy, save_model
from stories.live import wait_until


class OneHeld(FolderSource):
    """Gives one version only when it is let go."""

    def __init__(self, *files: ModelFiles) -> None:
        super().__init__(*files)
        self.go = threading.Event()

    def edges(self, model: str, version: int) -> dict[str, Any]:
        return {}

    def fetch(self, model: str, version: int) -> ModelFiles:
        if version == 2:
            self.go.wait(PATIENCE_S)
        return super().fetch(model, version)


class HeldSource(FolderSource):
    """Gives a model only when it is let go."""

    def __init__(self, *files: ModelFiles) -> None:
        super().__init__(*files)
        self.go = threading.Event()

    def edges(self, model: str, version: int) -> dict[str, Any]:
        return {}

    def fetch(self, model: str, version: int) -> ModelFiles:
        self.go.wait(PATIENCE_S)
        return super().fetch(model, version)


def test_a_process_beats_and_lets_callers_wait_while_its_first_model_loads(
    database: Database, tmp_path: Path
) -> None:
    source = HeldSource(save_model(tmp_path / "models", 1, seed=1))
    deploy(database, "delay", 1)
    process = ServeProcess(
        database, source, build_inference_app, ServeOptions(port=0, beat_s=0.02, poll_s=0.02)
    )

    def seen_ms() -> int:
        with database.read() as connection:
            return list_workers(connection, 0)[0].seen_ms

    registered_ms = seen_ms()
    running = begin("serving", process.run)
    try:
        deadline = time.monotonic() + 60
        while seen_ms() <= registered_ms:
            assert time.monotonic() < deadline, "it was not seen to be alive"
            time.sleep(0.01)
        early = begin("early", lambda: httpx.get(f"{process.url}/v2/health/ready", timeout=PATIENCE_S))
        source.go.set()
        assert early.result().status_code == 200, "who asks while it loads waits, and is not refused"
    finally:
        source.go.set()
        while not process._server.started:
            time.sleep(0.01)
        process.stop()
        running.result()
    with database.read() as connection:
        assert list_workers(connection, 1) == []


def test_a_model_that_never_ends_to_load_keeps_neither_the_port_nor_others_from_serving(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "START_WAIT_S", 0.05)
    models = [save_model(tmp_path / str(number), number, seed=number) for number in (1, 2)]
    source = OneHeld(*models)
    deploy(database, "a-stuck", 2)
    deploy(database, "delay", 1)
    process = ServeProcess(database, source, build_inference_app, ServeOptions(port=0, poll_s=0.02))
    process.start()
    try:
        assert httpx.get(f"{process.url}/v2/health/live").status_code == 200
        wait_until(lambda: httpx.get(f"{process.url}/v2/models/delay/ready").status_code == 200)
        assert httpx.get(f"{process.url}/v2/health/ready").status_code == 503
        with database.read() as connection:
            (worker,) = list_workers(connection, 0)
        state = worker.state_of("a-stuck", 1)
        assert state is not None
        assert state.state == "waiting"
        assert "loading for more than" in state.message
        source.go.set()
        wait_until(lambda: httpx.get(f"{process.url}/v2/health/ready").status_code == 200)

        def is_told() -> bool:
            with database.read() as connection:
                (worker,) = list_workers(connection, 0)
            state = worker.state_of("a-stuck", 1)
            return state is not None and state.state == "ready"

        wait_until(is_told)
    finally:
        source.go.set()
        process.stop()


def test_a_revision_that_hangs_does_not_keep_its_rollback_away_and_is_not_served_late(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "LOAD_WAIT_S", 0.05)
    models = [save_model(tmp_path / str(number), number, seed=number) for number in (1, 2)]
    source = OneHeld(*models)
    deploy(database, "delay", 1)
    process = ServeProcess(database, source, build_inference_app, ServeOptions(port=0, poll_s=0.02))
    process.start()

    def is_ready(revision: int) -> bool:
        with database.read() as connection:
            (worker,) = list_workers(connection, 0)
        state = worker.state_of("delay", revision)
        return state is not None and state.state == "ready"

    def loads() -> list[threading.Thread]:
        return [one for one in threading.enumerate() if one.name == "penstock-load"]

    try:
        wait_until(lambda: is_ready(1))
        deploy(database, "delay", 2)
        wait_until(lambda: 2 in [number for number, _ in process._loading.values()])
        deploy(database, "delay", 1)
        wait_until(lambda: is_ready(3))
        wait_until(lambda: len(loads()) == 1)
        (hung,) = loads()
        source.go.set()
        hung.join(PATIENCE_S)
        assert process.dataplane.repository.served["delay"].revision.number == 3
        assert is_ready(3)
    finally:
        source.go.set()
        process.stop()


class LostSource(FolderSource):
    """Has no files until they are brought back."""

    def __init__(self, *files: ModelFiles) -> None:
        super().__init__(*files)
        self.asked, self.is_back = 0, False

    def edges(self, model: str, version: int) -> dict[str, Any]:
        return {}

    def fetch(self, model: str, version: int) -> ModelFiles:
        self.asked += 1
        if not self.is_back:
            raise NotFound("artifact 1234 is not in file:///store", code="storage.no_artifact")
        return super().fetch(model, version)


def test_a_model_whose_files_come_back_is_served_without_a_new_start(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(attempts, "RETRY_S", 0.02)
    monkeypatch.setattr(attempts, "RETRY_MAX_S", 0.04)
    source = LostSource(save_model(tmp_path / "models", 1, seed=1))
    deploy(database, "delay", 1)
    process = ServeProcess(database, source, build_inference_app, ServeOptions(port=0, poll_s=0.02))
    process.start()
    try:
        wait_until(lambda: source.asked > 3)
        assert httpx.get(f"{process.url}/v2/health/ready").status_code == 503
        source.is_back = True
        wait_until(lambda: httpx.get(f"{process.url}/v2/models/delay/ready").status_code == 200)
    finally:
        process.stop()
    told = [one.message for one in caplog.records if "is not served" in one.message]
    assert len(told) == 1, "the same failure is told once"
