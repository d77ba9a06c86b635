"""Run by `test_kills.py` and `test_lost_retraining.py`: look once in a process of its own, killed before its write or commit
NUMBER; hold a lease; or start a retraining and be killed, with what guards its programs or without.

    python killed.py look NUMBER ROOT
    python killed.py hold ROOT
    python killed.py retrain alone|guard ROOT

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
from patience import wait_until
from penstock.base.process import GUARD
from penstock.flows.production.controlling.responding import Controller
from penstock.flows.production.controlling.retraining import Retraining
from penstock.flows.production.controlling.telling import AlertLoop
from penstock.flows.production.watching import observe

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


def retrain(how: str, root: Path) -> None:
    """Start the endpoint's retraining, which writes `pid`, and be killed while it runs."""
    world = World(root)
    seen = observe(world.project, "delay")
    Retraining(world.project).consider(seen, seen.breaches)
    wait_until(lambda: (root / "pid").is_file() and (root / "pid").read_text().strip() != "")
    if how == "guard" and GUARD.pid is not None:
        os.kill(GUARD.pid, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    if sys.argv[1] == "look":
        look(int(sys.argv[2]), Path(sys.argv[3]))
    elif sys.argv[1] == "retrain":
        retrain(sys.argv[2], Path(sys.argv[3]))
    else:
        hold(Path(sys.argv[2]))
