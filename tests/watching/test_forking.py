"""A service that forks its workers: each sends its own calls while it lives, whatever its parent was at when it forked."""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import penstock
from flows.production.endpoints import World
from patience import PATIENCE_S
from penstock.http.app import build_server_app
from penstock.processes.controller import ControllerLoop
from penstock.serving.predictions.stored import list_predictions
from penstock.watching import engine as engine_module
from penstock.watching.engine import Engine
from servers.browser import PageServer
from watching.seen import count, wait_until

CALLS, CHILDREN = 20, 3
SLOW_IMPORT = "import time\nfrom pathlib import Path\nPath({seen!r}).touch()\ntime.sleep(0.3)\nanswer = 0.5\n"


@pytest.fixture
def server(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[PageServer]:
    """The store's server in this process, to which services of this process send."""
    made = PageServer(build_server_app(world.project, ControllerLoop(world.project)))
    made.start()
    monkeypatch.setenv("PENSTOCK_URI", made.url)
    yield made
    made.stop()


def begin_child(call: Callable[[], object]) -> tuple[int, int]:
    """Fork a worker that makes its calls, tells their ids, and stays; return its process id and where it tells them."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writes)
        return pid, reads
    try:
        ids = []
        for _ in range(CALLS):
            call()
            ids.append(penstock.last_prediction_id())
        os.write(writes, json.dumps(ids).encode())
        os.close(writes)
        signal.pause()
    finally:
        os._exit(1)


def told_by(reads: int) -> list[str]:
    assert select.select([reads], [], [], PATIENCE_S)[0], "a worker hangs in a call"
    with os.fdopen(reads, "rb") as pipe:
        return [str(one) for one in json.loads(pipe.read())]


def test_every_forked_worker_sends_its_own_calls_while_it_lives(
    world: World, engine: Engine, server: PageServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(engine_module, "FORK_WAIT_S", PATIENCE_S)  # the import takes longer on a busy machine
    ids: list[str] = []
    for parent in ("silent", "called", "importing"):
        ids += fork_workers(world, parent, tmp_path)
    assert len(set(ids)) == len(ids) == 3 * CHILDREN * CALLS + 1 == count(world)
    with world.project.database.read() as connection:
        assert len(list_predictions(connection, ids)) == len(ids)


def fork_workers(world: World, parent: str, folder: Path) -> list[str]:
    """Fork workers and end them once all of their calls are recorded; return the calls' ids."""
    name, seen, before = f"loads_for_{parent}", folder / f"seen-{parent}", count(world)
    (folder / f"{name}.py").write_text(SLOW_IMPORT.format(seen=str(seen)))
    ids: list[str] = []

    def load(_: object) -> None:
        importlib.import_module(name)

    hook = load if parent == "importing" else None
    infer = penstock.watch(endpoint="delay", model="m/2" if hook else "m/1", on_revision=hook)(
        lambda _: importlib.import_module(name).answer
    )
    if parent == "called":
        infer({"hour": 1.0})
        ids.append(str(penstock.last_prediction_id()))
    if hook:  # a lock of an import that is held when a process forks is never let go in the child
        wait_until(seen.exists)
    children = [begin_child(lambda: infer({"hour": 2.0})) for _ in range(CHILDREN)]
    try:
        for _, reads in children:
            ids += told_by(reads)
        wait_until(lambda: count(world) == before + len(ids))
        assert [os.waitpid(pid, os.WNOHANG) for pid, _ in children] == [(0, 0)] * CHILDREN
    finally:
        for pid, _ in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return ids
