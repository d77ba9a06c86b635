"""A server that ends answers what was written to it before, also where it had not read that yet."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from penstock.http.listen import Tls
from penstock.monitoring.windows import list_windows
from penstock.processes.serve import ServeProcess
from penstock.serving.predictions.stored import list_predictions
from serving.certificates import Authority
from serving.fixtures import database, server, source
from serving.fronts import serve_both
from serving.models import request_body
from stories.live import wait_until

__all__ = ["database", "server", "source"]
pytestmark = pytest.mark.slow
Connect = Callable[[], socket.socket]
BODY = json.dumps(request_body()).encode()
HOST = b"Host: 127.0.0.1\r\n"
SMALL = b"POST /v2/models/delay/infer HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
FOR_THE_APPLICATION = SMALL.partition(b"Content")[0] + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED


def read_all(connection: socket.socket) -> bytes:
    """Read until the connection ends, which is no error."""
    with connection.makefile("rb") as reader:
        return reader.read()


def answers_of(data: bytes) -> list[tuple[bytes, bool, str]]:
    """Return each answer's status, whether it is said to be the last, and the prediction's id."""
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.lower().split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines)
        size = int(headers[b"content-length"])
        is_last = headers.get(b"connection") == b"close"
        found.append((first.split()[1], is_last, json.loads(data[:size])["id"]))
        data = data[size:]
    return found


def end_while_busy(
    server: ServeProcess, connect: Connect, *, is_new: bool
) -> list[list[tuple[bytes, bool, str]]]:
    """End a server whose loop has not read what was sent; return the answers to each client."""
    with ExitStack() as stack:
        small, other, many, idle = (stack.enter_context(connect()) for _ in range(4))
        state = server._server.server_state
        wait_until(lambda: len(state.connections) == 4)
        is_sent, is_busy = threading.Event(), threading.Event()

        def keep_busy() -> None:
            """Keep the loop from reading until all is sent and the end is due, as a long turn does."""
            is_busy.set()
            is_sent.wait(60)

        next(iter(state.connections)).loop.call_soon_threadsafe(keep_busy)
        assert is_busy.wait(60)
        sending = [(small, SMALL), (other, FOR_THE_APPLICATION), (many, SMALL * 3)]
        if is_new:
            sending.append((stack.enter_context(connect()), SMALL))
        for connection, data in sending:
            connection.sendall(data)
        server._server.should_exit = True
        sent_s = time.monotonic()
        wait_until(lambda: time.monotonic() > sent_s + 0.2)
        is_sent.set()
        found = [answers_of(read_all(one)) for one, _ in sending]
        assert read_all(idle) == b""
    server.stop()
    return found


def check(server: ServeProcess, found: list[list[tuple[bytes, bool, str]]]) -> None:
    """Check that all was answered, the last with its end, and that what was answered is recorded."""
    small, other, many, *new = found
    for answers in (small, other, *new):
        assert [one[:2] for one in answers] == [(b"200", True)]
    assert [one[:2] for one in many] == [(b"200", False), (b"200", False), (b"200", True)]
    ids = [one[2] for answers in found for one in answers]
    with server._database.read() as connection:
        assert {one.id for one in list_predictions(connection, ids)} == set(ids)
        assert sum(one.request_count for one in list_windows(connection, "delay")) == len(ids)


def test_what_lies_unread_when_a_server_ends_is_answered_and_recorded_and_then_the_connections_end(
    server: ServeProcess,
) -> None:
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    check(server, end_while_busy(server, lambda: socket.create_connection(address, 60), is_new=True))


def test_so_is_what_comes_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    chain, key = authority.sign("server")
    context = ssl.create_default_context(cafile=str(authority.path))
    serving = serve_both(tmp_path, Tls(cert=str(chain), key=str(key)))
    server = next(serving)
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))

    def connect() -> socket.socket:
        return context.wrap_socket(socket.create_connection(address, 60), server_hostname="127.0.0.1")

    try:
        check(server, end_while_busy(server, connect, is_new=False))
    finally:
        next(serving, None)
