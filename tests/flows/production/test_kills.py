"""A controller that is killed before any one of its statements leaves nothing half done, and the next one goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from flows.production.endpoints import POLICY, World
from patience import PATIENCE_S
from penstock.base.store.database import Database
from penstock.base.store.events import events
from penstock.flows.production.controlling.telling import AlertLoop
from penstock.monitoring.alerts import alerts, deliveries
from penstock.monitoring.findings import findings
from penstock.monitoring.lease import Lease
from penstock.monitoring.settings import Webhook
from penstock.registry.tables import alias_moves, version_states
from servers.quick_python import quick_python
from servers.receiver import Receiver, run_receiver

SLOW = POLICY.replace("window_s: 1", "window_s: 600")
STRIDE = int(os.environ.get("PENSTOCK_KILL_STRIDE", "7"))
"""Every which write a kill comes before; 1 takes ten times as long as the suite has."""
KILLED = Path(__file__).with_name("killed.py")


def begin(root: Path, url: str) -> None:
    """Make a store in which the next look takes a canary back, promotes another, and takes a version back."""
    world = World(root)
    for number in (1, 2, 3, 4, 5):
        world.version(number)
    world.alias(1)
    for endpoint, alias in (("bad-canary", "a"), ("bad-version", "b"), ("good-canary", "champion")):
        text = SLOW.replace("champion", alias)
        world.policy(text, endpoint, webhooks=(Webhook(url=url),))
        world.deploy(1, endpoint=endpoint)
    world.deploy(1, canary=2, percent=50, endpoint="bad-canary")
    world.deploy(3, endpoint="bad-version")
    world.alias(3, "b")
    world.deploy(1, canary=4, percent=50, endpoint="good-canary")
    for endpoint, errors in (("bad-canary", 200), ("good-canary", 0)):
        world.traffic("stable", 400, 0, endpoint=endpoint)
        world.traffic("canary", 400, errors, endpoint=endpoint)
    world.traffic("stable", 200, 100, endpoint="bad-version")
    world.project.close()


def settle(root: Path) -> None:
    """Look and post until there is nothing more to do."""
    world = World(root)
    for _ in range(2):
        world.controller.tick()
    with world.project.database.write() as connection:
        connection.execute(deliveries.update().where(deliveries.c.next_ms.is_not(None)).values(next_ms=0))
    while AlertLoop(world.project).send_due():
        pass
    world.project.close()


def killed_before(number: int, root: Path) -> bool:
    """Do the work in a process that is killed before its write or commit `number`; whether it got there."""
    ended = subprocess.run(
        [quick_python(), KILLED, "look", str(number), root], check=False, timeout=PATIENCE_S
    )
    assert ended.returncode in {0, -signal.SIGKILL}
    return ended.returncode != 0


def state(database: Database) -> dict[str, Any]:
    """Return what was decided and told, without times and numbers of rows."""
    with database.read() as connection:
        told = connection.execute(sa.select(events.c.kind, events.c.subject).order_by(events.c.id))
        moves = connection.execute(sa.select(alias_moves.c.previous, alias_moves.c.version))
        kept = connection.execute(sa.select(version_states.c.number, version_states.c.state))
        sent = connection.execute(sa.select(deliveries.c.alert_id, deliveries.c.status))
        opened = connection.execute(sa.select(alerts.c.name, alerts.c.endpoint).order_by(alerts.c.id))
        found = connection.execute(sa.select(findings.c.kind, findings.c.breached))
        names = ("events", "moves", "states", "deliveries", "alerts", "findings")
        rows = (told, moves, kept, sent, opened, found)
        return {name: sorted(map(tuple, each), key=str) for name, each in zip(names, rows, strict=True)}


def ids_of(receiver: Receiver) -> dict[str, set[bytes]]:
    """Return what was posted, by the id that says what is the same."""
    found: dict[str, set[bytes]] = {}
    for request in receiver.requests:
        found.setdefault(request.headers["Penstock-Delivery-Id"], set()).add(request.body)
    return found


@pytest.mark.slow
def test_a_kill_between_two_writes_changes_nothing_of_what_is_decided_and_told(tmp_path: Path) -> None:
    with run_receiver() as receiver:
        begin(tmp_path / "begun", receiver.url)
        shutil.copytree(tmp_path / "begun", tmp_path / "whole")
        settle(tmp_path / "whole")
        world = World(tmp_path / "whole")
        expected = state(world.project.database)
        served = {name: world.current(name).kind for name in ("bad-canary", "bad-version", "good-canary")}
        world.project.close()
        assert list(served.values()) == ["rolled_back", "rolled_back", "promoted"]
        assert {(3, 1), (1, 4)} < set(expected["moves"])
        told = len(ids_of(receiver))
        assert told == len(expected["deliveries"])
        for number in range(1, 500, STRIDE):
            receiver.requests.clear()
            root = tmp_path / str(number)
            shutil.copytree(tmp_path / "begun", root)
            if not killed_before(number, root):
                break
            settle(root)
            world = World(root)
            assert state(world.project.database) == expected, number
            assert {name: world.current(name).kind for name in served} == served
            posted = ids_of(receiver)
            assert len(posted) == told and all(len(bodies) == 1 for bodies in posted.values()), number
            world.project.close()
            shutil.rmtree(root)
        assert number > 50


def test_a_lease_of_a_killed_process_is_free_at_once_and_one_of_a_running_process_is_not(
    world: World,
) -> None:
    other = subprocess.Popen([quick_python(), KILLED, "hold", world.root], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    holder = int(other.stdout.readline())
    assert holder
    mine = world.controller.lease
    foreign = Lease(mine.name, "1.5.elsewhere other:1", mine.ttl_s)

    def acquire(lease: Lease) -> bool:
        with world.project.database.write() as connection:
            return lease.acquire(connection)

    assert not acquire(mine), "its holder runs"
    os.kill(holder, signal.SIGKILL)
    assert other.wait(PATIENCE_S) == -signal.SIGKILL
    other.stdout.close()
    assert acquire(mine)
    assert not acquire(foreign)
    with world.project.database.write() as connection:
        mine.release(connection)
    assert acquire(foreign)
    assert not acquire(mine), "whether a process of another machine runs cannot be seen"
