"""The services of the how-to page, in FastAPI, in Flask and in Celery, as they stand there."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flows.production.endpoints import World
from pages import steps_of
from patience import PATIENCE_S
from penstock.watching.engine import Engine
from watching.seen import count, kept, wait_until, whole

PAGE = Path(__file__).parents[2] / "docs/how-to/watch-your-own-service.md"
FLIGHT = {"hour": 7, "wind": 10.0, "carrier": "AA"}


def written(name: str, folder: Path) -> ModuleType:
    """Return a service of the page as a module, of the model that the test has."""
    (text,) = [step.text for step in steps_of(PAGE.read_text(encoding="utf-8")) if step.path == name]
    path = folder / name
    path.write_text(text.replace("late/1", "m/1"))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(world: World, engine: Engine, answers: list[Any], metrics: str) -> None:
    assert engine.drain(PATIENCE_S)
    assert [one["probability"] for one in answers] == [0.5, 0.5]
    assert kept(world, answers[1]["id"]) == (
        {"hour": [7], "wind": [10.0], "carrier": ["AA"]},
        {"probability": [0.5]},
    )
    assert whole(world).request_count == 2
    assert 'penstock_requests_total{endpoint="delay",outcome="ok"}' in metrics


def test_fastapi_as_on_the_page(world: World, engine: Engine, tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    from fastapi.testclient import TestClient

    client = TestClient(written("fast.py", tmp_path).app)
    wait_until(lambda: all(one.standing.endpoint_id for one in engine.watched.values()))
    answers = [client.post("/infer", json=FLIGHT).json() for _ in range(2)]
    engine.drain(PATIENCE_S)
    check(world, engine, answers, client.get("/metrics/").text)


def test_flask_as_on_the_page(world: World, engine: Engine, tmp_path: Path) -> None:
    pytest.importorskip("flask")
    client = written("web.py", tmp_path).app.test_client()
    wait_until(lambda: all(one.standing.endpoint_id for one in engine.watched.values()))
    answers = [client.post("/infer", json=FLIGHT).get_json() for _ in range(2)]
    engine.drain(PATIENCE_S)
    check(world, engine, answers, client.get("/metrics").text)


def test_celery_as_on_the_page(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with a pool of a forked process, and Celery's own broker of files between it and here."""
    pytest.importorskip("celery")
    monkeypatch.setenv("BROKER", "filesystem://")
    monkeypatch.setenv("RESULTS", f"file://{world.root}/results")
    for name in ("results", "queue", "control"):
        (world.root / name).mkdir()
    folders = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"}
    app = written("tasks.py", world.root).app
    app.conf.broker_transport_options = {name: str(world.root / folder) for name, folder in folders.items()}
    (world.root / "worker.py").write_text(
        f"from tasks import app\napp.conf.broker_transport_options = {app.conf.broker_transport_options!r}\n"
    )
    command = [sys.executable, "-m", "celery", "-A", "worker", "worker", "--pool", "prefork", "-c", "1"]
    options = ["--without-mingle", "--without-gossip", "--without-heartbeat", "--loglevel", "ERROR"]
    with (tmp_path / "worker.log").open("w") as log:
        worker = subprocess.Popen([*command, *options], cwd=world.root, stdout=log, stderr=log)
    try:
        sent = [app.tasks["tasks.infer"].delay(FLIGHT) for _ in range(2)]
        answers = [one.get(timeout=PATIENCE_S) for one in sent]
        assert [one["probability"] for one in answers] == [0.5, 0.5]
        wait_until(lambda: count(world) == 2)
        assert kept(world, answers[1]["id"])[1] == {"probability": [0.5]}
        assert worker.poll() is None
    finally:
        worker.terminate()
        worker.wait(timeout=PATIENCE_S)
