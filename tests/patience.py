"""How long tests wait for what another process or thread has to do: a bound for what never comes, not for what is slow.

On a machine that others keep busy everything takes ten times as long, a start of an interpreter as well as an answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 300.0


def wait_until(condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    """Wait for what has to come."""
    deadline, pause_s = time.monotonic() + timeout_s, 0.005
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.05)
