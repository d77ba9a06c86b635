"""A server that hangs, taking connections and saying nothing, keeps neither a call nor the end of a service for long."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

import penstock
from flows.production.endpoints import World
from patience import PATIENCE_S
from penstock.base.errors import Unavailable
from penstock.client.rest import Address, Rest
from penstock.watching import asking
from servers.forking import start_penstock
from servers.ports import reserve
from watching.seen import wait_until

SCRIPT = """
import time, penstock
@penstock.watch(endpoint="delay", model="m/1")
def infer(hour):
    return 1.0
infer(1)
time.sleep(2)
began = time.monotonic()
import atexit
atexit._run_exitfuncs()
print(time.monotonic() - began)
"""


@pytest.fixture
def hung(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of what takes connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setenv("PENSTOCK_URI", url)
        yield url


def test_who_asks_what_is_wanted_is_told_in_time_that_nobody_answers(
    hung: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "ASK_S", 0.2)
    began_s = time.monotonic()
    with pytest.raises(Unavailable, match=r"which version delay wants|did not answer"):
        penstock.current("delay")
    assert time.monotonic() - began_s < 30


def test_a_call_that_has_waited_its_time_is_not_tried_again(hung: str) -> None:
    began_s = time.monotonic()
    with pytest.raises(Unavailable):
        Rest(Address(hung), timeout_s=1.0).get("/x")
    assert time.monotonic() - began_s < 3.5, "four tries take more"


@pytest.mark.slow
def test_what_was_told_last_holds_while_the_server_hangs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = reserve()
    monkeypatch.setenv("PENSTOCK_URI", f"http://127.0.0.1:{port}")
    with (world.root / "server.log").open("wb") as log:
        process = start_penstock(
            ["-C", str(world.root), "server", "--port", str(port)], world.root, log.fileno()
        )
    try:

        def is_told() -> bool:
            try:
                return penstock.current("delay").ref == "m/1"
            except Unavailable:
                return False

        wait_until(is_told)
        os.kill(process.pid, signal.SIGSTOP)
        began_s = time.monotonic()
        assert {penstock.current("delay").ref for _ in range(100)} == {"m/1"}
        assert time.monotonic() - began_s < 30
        os.kill(process.pid, signal.SIGCONT)
        world.deploy(2)
        wait_until(lambda: penstock.current("delay").ref == "m/2")
    finally:
        os.kill(process.pid, signal.SIGCONT)
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.mark.slow
def test_a_service_ends_soon_while_the_server_hangs(hung: str, world: World) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=world.root,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 7.0, "three seconds, not three for each thread"
