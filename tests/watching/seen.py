"""What the store says of the watched endpoint of a `World`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flows.production.endpoints import World
from penstock.monitoring.windows import Window, list_windows, merge_windows
from penstock.serving.predictions import decode_columns, list_predictions


def wait_until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait for what has to come."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def windows_of(world: World, endpoint: str = "delay") -> list[Window]:
    """Return its windows."""
    with world.project.database.read() as connection:
        return list_windows(connection, endpoint)


def whole(world: World, endpoint: str = "delay") -> Window:
    """Return all its windows as one."""
    return merge_windows(windows_of(world, endpoint))


def count(world: World, endpoint: str = "delay") -> int:
    """Return how many calls were recorded."""
    return sum(one.request_count for one in windows_of(world, endpoint))


def kept(world: World, identity: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the features and outputs that are kept of a prediction."""
    assert identity is not None
    with world.project.database.read() as connection:
        (found,) = list_predictions(connection, [identity])
    assert found.features is not None
    return tuple(  # type: ignore[return-value]
        {name: values.tolist() for name, values in decode_columns(part).items()}
        for part in (found.features, found.outputs)
    )
