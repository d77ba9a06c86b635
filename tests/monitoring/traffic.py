"""Made-up traffic of a route: requests that fail one by one or in bursts, as windows and blocks."""

from __future__ import annotations

from typing import Any

import numpy as np

from penstock.monitoring.guardrails.blocks import Block, count_runs
from penstock.monitoring.latency import LatencyHistogram
from penstock.monitoring.windows import Window, WindowKey


def window(route: str = "stable", **values: Any) -> Window:
    return Window(key=WindowKey("delay", 600, 3, 2, route), window_s=60, **values)


def failures(rng: np.random.Generator, count: int, ratio: float, burst: int = 1) -> np.ndarray:
    """Return which of `count` requests fail: a share `ratio` of them, in runs of `burst`."""
    starts = np.cumsum(rng.random(count + burst) < ratio / burst)
    return (starts[burst:] - starts[:-burst]) > 0


def blocks(failed: np.ndarray, size: int) -> list[Block]:
    """Return requests as blocks of `size`, with their runs counted as the recorder does."""
    return [
        Block(
            start_s=index,
            request_count=len(part),
            error_count=int(part.sum()),
            error_run_count=count_runs(part.tolist()),
        )
        for index, part in enumerate(np.split(failed, range(size, len(failed), size)))
    ]


def timed(durations_s: np.ndarray, size: int) -> list[Block]:
    """Return requests of these durations as blocks of `size`."""
    made = []
    for index, part in enumerate(np.split(durations_s, range(size, len(durations_s), size))):
        latency = LatencyHistogram()
        latency.update(part)
        made.append(Block(start_s=index, request_count=len(part), latency=latency))
    return made
