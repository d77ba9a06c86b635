"""Clients that send several requests at once on one connection and leave before they are answered."""

from __future__ import annotations

import gc
import json
import logging
import socket
import struct
from collections.abc import Iterator

import pytest

from serving.engine.staging import Held, Stage, answers, body
from stories.live import wait_until

pytestmark = pytest.mark.slow
CONTENT = json.dumps(body(1.0)).encode()
ASKED = b"POST /v2/models/%s/infer HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: " + b"%d\r\n\r\n" % len(
    CONTENT
)
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


OWN = ("asyncio", "uvicorn", "penstock.http", "penstock.serving")
"""What the server writes to the log: its own loggers, and that of the loop whose tasks it makes."""


@pytest.fixture
def stage() -> Iterator[Stage]:
    gc.collect()  # what other tests forgot is told before this one begins
    made = Stage()
    yield made
    made.close()


def leave(connection: socket.socket, *, is_reset: bool) -> None:
    """Close a connection as an ordinary end, or by a reset."""
    if is_reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def told(caplog: pytest.LogCaptureFixture) -> set[str]:
    """Return what the server warned of; what a task raised and nobody asked for is told when it goes."""
    gc.collect()
    found = [one for one in caplog.records if one.levelno >= logging.WARNING]
    return {one.getMessage() for one in found if one.name.startswith(OWN)}


def rests(stage: Stage) -> bool:
    """Whether the server has no connection and nothing that it works on."""
    state = stage._server.server_state
    return not state.connections and not state.tasks


@pytest.mark.parametrize("is_reset", [False, True])
def test_who_leaves_while_the_first_of_several_is_answered_leaves_no_error_in_the_log(
    stage: Stage, caplog: pytest.LogCaptureFixture, *, is_reset: bool
) -> None:
    held = Held()
    stage.serve("slow", held)
    whole = ASKED % b"slow" + CONTENT
    for sent in (whole * 3, LIVE + whole + LIVE, whole + LIVE * 2):
        held.go.clear()
        before = held.begun
        connection = socket.create_connection(("127.0.0.1", int(stage.url.rpartition(":")[2])))
        connection.sendall(sent)
        wait_until(lambda: held.begun > before)  # noqa: B023
        leave(connection, is_reset=is_reset)
        wait_until(lambda: not stage._server.server_state.connections)
        held.go.set()
        wait_until(lambda: rests(stage))
        assert held.begun == before + 1, "what came behind it is predicted for nobody"
    assert told(caplog) == set()
    assert answers(stage.ask("slow", 2.0)) == [4.0]


@pytest.mark.parametrize("is_reset", [False, True])
def test_who_leaves_at_once_leaves_no_error_in_the_log(
    stage: Stage, caplog: pytest.LogCaptureFixture, *, is_reset: bool
) -> None:
    stage.serve("quick", lambda x: 2 * x, is_bounded=True)
    whole = ASKED % b"quick" + CONTENT
    for sent in (
        whole * 50,
        (whole + LIVE) * 20,
        LIVE * 50,
        whole * 5 + whole[:-7],
        LIVE + b"\0 no request",
    ) * 4:
        with socket.create_connection(("127.0.0.1", int(stage.url.rpartition(":")[2]))) as connection:
            connection.sendall(sent)
            leave(connection, is_reset=is_reset)
    wait_until(lambda: rests(stage))
    assert told(caplog) <= {"Invalid HTTP request received."}
    assert answers(stage.ask("quick", 2.0)) == [4.0]
