"""What the store says of the watched endpoint of a `World`."""

from __future__ import annotations

from typing import Any

from flows.production.endpoints import World
from patience import wait_until
from penstock.monitoring.windows import Window, list_windows, merge_windows
from penstock.serving.predictions.encoding import decode_columns
from penstock.serving.predictions.stored import list_predictions

__all__ = ["count", "kept", "wait_until", "whole", "windows_of"]


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
