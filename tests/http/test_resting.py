"""Connections on which nobody asks, and requests that do not arrive, keep nobody else from being served."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from penstock.http.resting import Patience
from penstock.monitoring.windows import list_windows
from penstock.processes.serve import ServeProcess
from penstock.serving.engine.options import EndpointLimits
from serving.fixtures import database, server, source
from serving.models import request_body
from stories.live import wait_until

__all__ = ["database", "server", "source"]
Connect = Callable[[], socket.socket]
BODY = json.dumps(request_body()).encode()
HEAD = b"POST /v2/models/delay/infer HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(BODY)


@pytest.fixture
def connect(server: ServeProcess) -> Iterator[Connect]:
    port = int(server.url.rpartition(":")[2])
    with ExitStack() as stack:
        yield lambda: stack.enter_context(socket.create_connection(("127.0.0.1", port), 60))


def is_ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def has_ended(connection: socket.socket) -> bool:
    """Whether a connection has ended by now; does not wait for it."""
    timeout_s = connection.gettimeout()
    connection.setblocking(False)
    try:
        return is_ended(connection)
    except BlockingIOError:
        return False
    finally:
        connection.settimeout(timeout_s)


def test_what_rests_or_does_not_arrive_is_ended_and_what_is_asked_and_answered_is_not(
    server: ServeProcess, connect: Connect
) -> None:
    server._server.resting.patience = Patience(rest_s=0.5, arrival_s=0.5)
    sent = (b"", HEAD[:20], HEAD, HEAD + BODY[:20])
    connections = [connect() for _ in sent]
    for connection, part in zip(connections, sent, strict=True):
        connection.sendall(part)
    is_over = threading.Event()
    statuses: set[int] = set()

    def ask() -> None:
        with httpx.Client(base_url=server.url) as client:
            while not is_over.is_set():
                statuses.add(client.post("/v2/models/delay/infer", content=BODY).status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        assert [is_ended(one) for one in connections] == [True] * len(sent)
    finally:
        is_over.set()
        asking.join()
    assert statuses == {200}


def test_of_too_many_connections_those_end_that_rested_longest(
    server: ServeProcess, connect: Connect
) -> None:
    server._server.resting.patience = Patience(most=5)
    first = [connect() for _ in range(3)]
    wait_until(lambda: len(server._server.resting._since) >= 3)
    later = [connect() for _ in range(4)]
    wait_until(lambda: sum(map(has_ended, first)) == 2)
    for connection in later:
        connection.sendall(HEAD + BODY)
        assert connection.recv(12) == b"HTTP/1.1 200"


def test_a_client_that_sends_slowly_costs_a_version_neither_its_latency_nor_an_error(
    server: ServeProcess, connect: Connect
) -> None:
    server.dataplane.engine.default_limits = EndpointLimits(timeout_s=1.5)
    connection = connect()
    connection.sendall(HEAD + BODY[:20])
    sent_s = time.monotonic()
    wait_until(lambda: time.monotonic() > sent_s + 2)
    connection.sendall(BODY[20:])
    assert connection.recv(12) == b"HTTP/1.1 200"

    def recorded() -> float | None:
        with server._database.read() as connection:
            found = list_windows(connection, "delay")
        assert all(one.error_count == 0 for one in found)
        return found[0].latency.quantile_s(0.5) if found else None

    wait_until(lambda: recorded() is not None)
    latency_s = recorded()
    assert latency_s is not None and latency_s < 1.5, "it is counted from the whole request on"
