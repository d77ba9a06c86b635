"""Run by `test_kills.py`: look once in a process of its own, killed before its write or commit NUMBER; or hold a lease.

    python killed.py look NUMBER ROOT
    python killed.py hold ROOT

A process of its own, not a fork of the one that runs tests: whose threads may hold a lock of SQLite as it forks.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import sqlalchemy as sa

from flows.production.endpoints import World
from penstock.flows.production.controlling.responding import Controller
from penstock.flows.production.controlling.telling import AlertLoop

WRITES = ("INSERT", "UPDATE", "DELETE")


def look(number: int, root: Path) -> None:
    """Look once and post what there is to tell."""
    left = [number]

    def count(_connection: Any, _cursor: Any = None, sql: str = WRITES[0], *_more: Any) -> None:
        left[0] -= sql.startswith(WRITES)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    sa.event.listen(sa.Engine, "commit", count)
    world = World(root)
    world.controller.tick()
    AlertLoop(world.project).send_due()
    world.project.close()


def hold(root: Path) -> None:
    """Take the lease of the controller, tell whose process has it, and wait to be killed."""
    other = World(root)
    with other.project.database.write() as connection:
        has_it = Controller(other.project).lease.acquire(connection)
    print(os.getpid() if has_it else 0, flush=True)
    signal.pause()


if __name__ == "__main__":
    if sys.argv[1] == "look":
        look(int(sys.argv[2]), Path(sys.argv[3]))
    else:
        hold(Path(sys.argv[2]))
