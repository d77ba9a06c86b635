"""A service that forks its workers: each sends its own calls while it lives, whatever its parent was at when it forked."""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import psutil
import pytest

import penstock
from flows.production.endpoints import World
from patience import PATIENCE_S
from penstock.base.clock import now_ms
from penstock.base.errors import NotFound, Unavailable
from penstock.flows.production.payloads.segments import decode
from penstock.http.app import build_server_app
from penstock.processes.controller import ControllerLoop
from penstock.serving.predictions.stored import list_predictions
from penstock.serving.told.observations import Observation, ObservationBatch
from penstock.watching import engine as engine_module
from penstock.watching.apart import ApartPlace
from penstock.watching.engine import Engine
from penstock.watching.keeping import encoder
from servers.browser import PageServer
from watching.seen import count, wait_until

CALLS, CHILDREN = 20, 3
KEEPING = "model: m@champion\nmonitor: {window_s: 1, feature_ratio: 1.0, payloads: {sample: 1.0}}\n"
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


def test_workers_that_are_forked_after_their_parent_kept_payloads_keep_theirs(
    world: World, engine: Engine
) -> None:
    """The libraries that write payloads have pools of threads, of which a forked child has none."""
    world.policy(KEEPING)
    infer = penstock.watch(endpoint="delay", model="m/1")(lambda _features: 0.5)
    infer({"hour": 1.0, "carrier": "AA"})
    assert engine.drain(PATIENCE_S)
    wait_until(lambda: len(payloads_of(world)) == 1)
    children = [begin_child(lambda: infer({"hour": 2.0, "carrier": "DL"})) for _ in range(2)]
    ids = {str(penstock.last_prediction_id())}
    try:
        for _, reads in children:
            ids |= set(told_by(reads))
        wait_until(lambda: count(world) == 1 + 2 * CALLS == len(ids))
        wait_until(lambda: payloads_of(world) == ids)
        infer({"hour": 3.0, "carrier": "AA"})
        assert engine.drain(PATIENCE_S), "the parent goes on as before"
    finally:
        for pid, _ in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_a_worker_that_ends_says_nothing_of_leaks(world: World) -> None:
    script = """
import os, sys, penstock
from penstock.watching.engine import the_engine
infer = penstock.watch(endpoint="delay", model="m/1")(lambda _: 0.5)
infer({"hour": 1.0})
assert the_engine().drain(300)
if not os.fork():
    infer({"hour": 2.0})
    sys.exit(0)
os.wait()
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, cwd=world.root, capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    assert "leaked" not in done.stderr


def test_what_writes_for_a_forked_worker_ends_with_it(world: World, engine: Engine) -> None:
    world.policy(KEEPING)
    import polars as pl

    pl.DataFrame({"a": [1]}).lazy().collect()  # its pool is there, whoever used it
    infer = penstock.watch(endpoint="delay", model="m/1")(lambda _features: 0.5)
    (pid, reads) = begin_child(lambda: infer({"hour": 2.0}))
    try:
        told_by(reads)
        wait_until(lambda: count(world) == CALLS)
        (writer,) = [one.pid for one in psutil.Process(pid).children()]
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    wait_until(lambda: not psutil.pid_exists(writer) or psutil.Process(writer).status() == "zombie")


def test_what_writes_for_a_forked_worker_is_begun_again_where_it_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.watching.apart.AGAIN_S", 0.0)
    batch = ObservationBatch(
        batch="b-1", endpoint="delay", observations=[Observation(time_ms=now_ms(), latency_s=0.1, version=1)]
    )
    world.policy(KEEPING)
    place = ApartPlace(world.project, world.root, frozenset({"polars"}))
    try:
        writer = writer_of(place)
        writer.kill()
        with pytest.raises(Unavailable, match="has ended"):
            place.send(encoder.encode(batch))
        place.send(encoder.encode(batch))
        with pytest.raises(NotFound, match="no endpoint 'gone'"):
            place.send(encoder.encode(msgspec.structs.replace(batch, endpoint="gone")))
        successor = writer_of(place)
    finally:
        place.close()
    assert count(world) == 1
    assert not writer.is_running()
    assert not successor.is_running()


def test_what_writes_and_hangs_is_ended_with_its_place(world: World) -> None:
    place = ApartPlace(world.project, world.root, frozenset({"polars"}))
    writer = writer_of(place)
    writer.suspend()
    assert os.getsid(writer.pid) == writer.pid
    place.close()
    assert not writer.is_running()


def test_who_waits_for_what_writes_is_told_that_it_ended(world: World) -> None:
    world.policy(KEEPING)
    place = ApartPlace(world.project, world.root, frozenset({"polars"}))
    writer = writer_of(place)
    writer.suspend()
    batch = ObservationBatch(
        batch="b-1", endpoint="delay", observations=[Observation(time_ms=now_ms(), latency_s=0.1, version=1)]
    )
    with ThreadPoolExecutor() as threads:
        sending = threads.submit(place.send, encoder.encode(batch))
        wait_until(place._writing.locked)
        place.close()
        with pytest.raises(Unavailable, match="has ended"):
            sending.result(PATIENCE_S)


def test_what_writes_ends_soon_after_its_service_was_killed(world: World) -> None:
    script = """
import os, sys
from pathlib import Path
from penstock.client.connect import find_place
from penstock.watching.apart import ApartPlace
place = ApartPlace(find_place(directory=Path.cwd())[0], Path.cwd(), frozenset({"polars"}))
place._begun()
print(place._process.pid, flush=True)
sys.stdin.read()
"""
    service = subprocess.Popen(
        [sys.executable, "-c", script], cwd=world.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with service:
        assert service.stdout is not None
        writer = psutil.Process(int(service.stdout.readline()))
        service.kill()
        assert service.stdout.read() == b"", "nobody else has the service's output open"
    wait_until(lambda: not writer.is_running() or writer.status() == psutil.STATUS_ZOMBIE)


FORKS = """
import os, sys
sys.path[:0] = PATHS
import polars, penstock
from penstock.watching.engine import the_engine
infer = penstock.watch(endpoint="delay", model="m/1")(lambda _: 0.5)
if EXECUTABLE:
    sys.executable = EXECUTABLE
if not os.fork():
    infer({"hour": 2.0})
    os._exit(0 if the_engine().drain(PATIENCE) else 3)
os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def run_forking(world: World, *, paths: list[str], executable: str, isolated: bool) -> str:
    """Run a service that forks a worker which delivers one call; return what it said."""
    names = {"PATHS": repr(paths), "EXECUTABLE": repr(executable), "PATIENCE": str(PATIENCE_S)}
    script = FORKS
    for name, value in names.items():
        script = script.replace(name, value)
    python = str(Path(sys.executable).resolve()) if isolated else sys.executable
    command = [python, *(["-I"] if isolated else []), "-c", script]
    done = subprocess.run(
        command, cwd=world.root, capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_payloads_are_kept_where_penstock_is_found_by_the_services_own_path_only(world: World) -> None:
    world.policy(KEEPING)
    run_forking(world, paths=[one for one in sys.path if one], executable="", isolated=True)
    assert count(world) == 1 == len(payloads_of(world))


@pytest.mark.parametrize("keeps", [True, False])
def test_a_program_that_has_python_inside_is_not_begun_again(
    world: World, tmp_path: Path, keeps: bool
) -> None:
    if keeps:
        world.policy(KEEPING)
    program = tmp_path / "service"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path / 'begun'}\n")
    program.chmod(0o755)
    said = run_forking(world, paths=[], executable=str(program), isolated=False)
    assert count(world) == 1
    assert not (tmp_path / "begun").exists()
    assert ("without their payloads" in said) == keeps


def writer_of(place: ApartPlace) -> psutil.Process:
    """Return the process that writes for a place, begun where it is not."""
    place._begun()
    assert place._process is not None
    return psutil.Process(place._process.pid)


def payloads_of(world: World) -> set[str]:
    """Return the predictions of which payloads are kept."""
    found: set[str] = set()
    for path in (world.project.home / "artifacts").rglob("*.parquet"):
        found |= set(decode(path.read_bytes())["prediction_id"].to_list())
    return found


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
