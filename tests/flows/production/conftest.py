from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.production.endpoints import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A store with versions 1 to 3 of model m, nothing deployed."""
    made = World(tmp_path / "world")
    for number in (1, 2, 3):
        made.version(number)
    yield made
    made.project.close()
