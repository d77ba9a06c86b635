"""What happens to calls when the store is away, a process is killed, a disk is full: told once, or told that it is lost."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import penstock
from flows.production.endpoints import World
from patience import PATIENCE_S
from penstock.base.errors import Invalid, Unavailable
from penstock.flows.chain.lineage import explain
from penstock.flows.production.live.spool import Spool
from penstock.serving.told.current import Current
from penstock.watching import calls as calling
from penstock.watching.engine import Engine
from penstock.watching.places import StorePlace
from servers.forking import start_penstock
from servers.ports import reserve
from watching.seen import count, wait_until, whole, windows_of

SERVICE = Path(__file__).parent / "service.py"


def known(engine: Engine) -> None:
    wait_until(lambda: all(one.standing.endpoint_id for one in engine.watched.values()))


def spooled(root: Path) -> list[Path]:
    return list((root / ".penstock/watch").glob("*/*.batch"))


def test_a_service_never_notices_that_the_store_is_away_and_nothing_is_lost(
    world: World, engine: Engine
) -> None:
    infer: Callable[..., Any] = penstock.watch(endpoint="delay", model="m/1")(lambda features: 0.5)
    known(engine)
    infer({"hour": 1.0})
    assert engine.drain(PATIENCE_S)
    other = sqlite3.connect(world.root / ".penstock/penstock.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    slowest = 0.0
    for number in range(200):
        began = time.perf_counter()
        infer({"hour": float(number)})
        slowest = max(slowest, time.perf_counter() - began)
    wait_until(lambda: bool(spooled(world.root)))
    other.execute("ROLLBACK")
    other.close()
    assert engine.drain(PATIENCE_S)
    assert slowest < 20, "it waited for the store"
    assert count(world) == 201
    assert spooled(world.root) == []


def test_a_killed_service_loses_at_most_its_last_second_and_the_next_one_sends_what_it_left(
    world: World, engine: Engine
) -> None:
    other = sqlite3.connect(world.root / ".penstock/penstock.db", isolation_level=None)
    process = subprocess.Popen(
        [sys.executable, str(SERVICE)], cwd=world.root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )  # fmt: skip
    assert process.stdout is not None
    told: list[int] = []

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            told.append(int(line))

    reader = threading.Thread(target=read)
    reader.start()
    wait_until(lambda: count(world) > 100 and len(told) > 100)
    other.execute("BEGIN IMMEDIATE")  # from now on it can only write to disk
    safe = told[-1]
    wait_until(lambda: len(spooled(world.root)) > 2)  # twice a second all that there is goes there
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    reader.join()
    process.stdout.close()
    other.execute("ROLLBACK")
    other.close()
    penstock.watch(endpoint="delay", model="m/1")
    wait_until(lambda: spooled(world.root) == [])
    assert safe <= count(world) <= told[-1] + 1
    assert [one.name for one in (world.root / ".penstock/watch").iterdir()] == [engine.spool.instance]


def test_a_batch_that_was_delivered_and_not_yet_removed_counts_once(world: World, engine: Engine) -> None:
    sent: list[bytes] = []

    class Forgetful(StorePlace):
        """A process that is killed after each first delivery."""

        def send(self, data: bytes) -> None:
            super().send(data)
            if data not in sent:
                sent.append(data)
                raise Unavailable("killed", code="test.killed")

    infer: Callable[..., Any] = penstock.watch(endpoint="delay", model="m/1")(lambda hour: 1)
    known(engine)
    engine._place = Forgetful(world.project)
    for hour in range(5):
        infer(hour)
    assert engine.drain(PATIENCE_S)
    assert sent
    assert count(world) == 5


def test_what_there_is_no_room_for_is_counted_in_windows_and_metrics(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    infer: Callable[..., Any] = penstock.watch(endpoint="delay", model="m/1")(lambda value: 1)
    known(engine)
    monkeypatch.setattr(calling, "MAX_BYTES", 0)
    for _ in range(7):
        infer(3)
    monkeypatch.setattr(calling, "MAX_BYTES", 1 << 20)
    engine.flush()
    engine.spool._max_bytes = 0
    monkeypatch.setattr("penstock.flows.production.live.spool.MEMORY_BYTES", 400)
    for _ in range(5):
        infer("x" * 100)
    engine.flush()
    engine.spool._max_bytes = 1 << 20
    infer(3)
    assert engine.drain(PATIENCE_S)
    found = whole(world)
    assert (found.request_count, found.dropped_count, found.row_count) == (13, 12, 1)
    assert engine.counts.dropped["delay"] == 12


def test_what_nobody_will_ever_take_is_put_aside_and_told(
    world: World, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    class Strict(StorePlace):
        def send(self, data: bytes) -> None:
            raise Invalid("nobody takes this", code="test.invalid")

    infer: Callable[..., Any] = penstock.watch(endpoint="delay", model="m/1")(lambda hour: 1)
    known(engine)
    engine._place = Strict(world.project)
    infer(3)
    assert engine.drain(PATIENCE_S)
    assert "1 calls of delay are lost: they were refused: nobody takes this" in caplog.text
    assert engine.counts.dropped["delay"] == 1
    assert len(list((world.root / ".penstock/watch/refused").iterdir())) == 1


def test_calls_of_an_endpoint_that_is_not_there_yet_wait_for_it_and_say_what_to_do(
    world: World, engine: Engine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.watching.sending.RETRY_S", 0.02)
    infer: Callable[..., Any] = penstock.watch(endpoint="fresh", model="m/1")(lambda hour: 1)
    infer(3)
    identity = str(penstock.last_prediction_id())
    wait_until(lambda: "penstock deploy fresh --model m/1" in caplog.text)
    world.deploy(1, endpoint="fresh")
    assert engine.drain(PATIENCE_S)
    assert (count(world, "fresh"), windows_of(world, "fresh")[0].key.version) == (1, 1)
    wait_until(lambda: engine.find_current("fresh") is not None)
    infer(4)
    assert str(penstock.last_prediction_id()) != identity
    assert caplog.text.count("penstock deploy fresh") == 1


def test_children_of_a_process_record_for_themselves(world: World, engine: Engine) -> None:
    infer: Callable[..., Any] = penstock.watch(endpoint="delay", model="m/1")(lambda hour: 1)
    known(engine)
    infer(1)

    def work() -> None:
        for hour in range(3):
            infer(hour)

    context = multiprocessing.get_context("fork")
    children = [context.Process(target=work) for _ in range(2)]
    for one in children:
        one.start()
    for one in children:
        one.join()
    assert [one.exitcode for one in children] == [0, 0]
    infer(1)
    assert engine.drain(PATIENCE_S)
    wait_until(lambda: count(world) == 8)
    wait_until(lambda: spooled(world.root) == [])
    assert count(world) == 8


def test_a_rollback_reaches_the_service_and_a_hook_that_fails_is_told_and_called_again(
    world: World, engine: Engine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.watching.watched.HOOK_RETRY_S", 0.02)
    told: list[tuple[int, str, str]] = []
    fails = threading.Event()

    def load(current: Current) -> None:
        assert threading.current_thread() is not threading.main_thread()
        if fails.is_set():
            raise RuntimeError("it does not load")
        told.append((current.revision, current.ref, current.kind))

    infer: Callable[..., Any] = penstock.watch(endpoint="delay", model="m/1", on_revision=load)(
        lambda hour: 1
    )
    known(engine)
    infer(1)
    assert told == []
    world.deploy(2)
    wait_until(lambda: len(told) == 1)
    wait_until(lambda: engine.watched["delay", "m/1"].standing.revision == 2)
    infer(1)
    fails.set()
    world.deploy(3)
    wait_until(lambda: "on_revision of delay failed at revision 3 (m/3)" in caplog.text)
    wait_until(lambda: engine.watched["delay", "m/1"].standing.route == "direct")
    infer(1)
    fails.clear()
    wait_until(lambda: len(told) == 2)
    world.deploy(1, kind="rolled_back")
    wait_until(lambda: len(told) == 3)
    wait_until(lambda: engine.watched["delay", "m/1"].standing.revision == 4)
    infer(1)
    assert engine.drain(PATIENCE_S)
    assert told == [(2, "m/2", "deployed"), (3, "m/3", "deployed"), (4, "m/1", "rolled_back")]
    seen = {(one.key.revision, one.key.version, one.key.route) for one in windows_of(world)}
    assert seen == {(1, 1, "stable"), (2, 2, "stable"), (0, 2, "direct"), (4, 1, "stable")}
    assert engine.counts.hook_failures["delay"] >= 1


def test_a_folder_without_a_place_to_write_is_no_reason_to_fail(tmp_path: Path, monkeypatch: Any) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(blocked))
    spool = Spool(blocked, "watch")
    assert spool.folder is None
    assert spool.put("delay", spool.next_id(), 1, b"x")
    (one,) = spool.list()
    assert (one.endpoint, one.read()) == ("delay", b"x")
    spool.remove(one)
    assert spool.list() == []


@pytest.mark.slow
def test_a_server_that_is_away_gets_everything_when_it_is_back(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = reserve()
    monkeypatch.setenv("PENSTOCK_URI", f"http://127.0.0.1:{port}")
    infer: Callable[..., Any] = penstock.watch(endpoint="delay", model="m/1")(lambda hour: 1)
    for hour in range(50):
        infer(hour)
    identity = str(penstock.last_prediction_id())
    wait_until(lambda: engine._sender.problem is not None)
    assert spooled(world.root)
    with (world.root / "server.log").open("wb") as log:
        command = ["-C", str(world.root), "server", "--port", str(port)]
        process = start_penstock(command, world.root, log.fileno())
    try:
        assert engine.drain(PATIENCE_S)
        known(engine)
        infer(1)
        assert engine.drain(PATIENCE_S)
        assert penstock.current("delay").ref == "m/1"
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
    assert count(world) == 51
    assert explain(world.project, identity).version == "m/1"
