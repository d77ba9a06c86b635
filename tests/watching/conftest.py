from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.production.endpoints import World
from penstock.watching import engine as engines
from penstock.watching.engine import Engine, the_engine


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A store with versions 1 to 3 of model m and the endpoint `delay` at `m/1`; services begin in its folder."""
    made = World(tmp_path / "world")
    for number in (1, 2, 3):
        made.version(number)
    made.policy("model: m@champion\nmonitor: {window_s: 1, feature_ratio: 1.0}\n")
    made.deploy(1)
    monkeypatch.chdir(made.root)
    monkeypatch.setenv("PENSTOCK_URI", "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    yield made
    made.project.close()


@pytest.fixture
def engine(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """What watches in this process, ended with the test."""
    for name in ("FLUSH_S", "SEND_S", "FOLLOW_S"):
        monkeypatch.setattr(engines, name, 0.02)
    monkeypatch.setattr(engines, "_engine", None)
    made = the_engine()
    yield made
    made.close()
