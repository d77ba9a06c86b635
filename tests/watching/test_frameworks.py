"""The services of the how-to page, in FastAPI and in Flask, as they stand there."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flows.production.endpoints import World
from pages import steps_of
from penstock.watching.engine import Engine
from watching.seen import kept, wait_until, whole

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
    assert engine.drain(60)
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
    engine.drain(60)
    check(world, engine, answers, client.get("/metrics/").text)


def test_flask_as_on_the_page(world: World, engine: Engine, tmp_path: Path) -> None:
    pytest.importorskip("flask")
    client = written("web.py", tmp_path).app.test_client()
    wait_until(lambda: all(one.standing.endpoint_id for one in engine.watched.values()))
    answers = [client.post("/infer", json=FLIGHT).get_json() for _ in range(2)]
    engine.drain(60)
    check(world, engine, answers, client.get("/metrics").text)
