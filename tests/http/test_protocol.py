"""Requests as odd clients put them on the wire: each is answered rightly, or refused, and the next one is served."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from penstock.http.protocol import HEAD_BYTES
from penstock.processes.serve import ServeProcess
from serving.fixtures import database, server, source
from serving.models import request_body

__all__ = ["database", "server", "source"]
pytestmark = pytest.mark.slow
BODY = json.dumps(request_body()).encode()
HOST, SIZE = b"Host: 127.0.0.1\r\n", b"Content-Length: %d\r\n" % len(BODY)
LINE = b"POST /v2/models/delay/infer HTTP/1.1\r\n"
READY = b"GET /v2/health/ready HTTP/1.1\r\n" + HOST + b"\r\n"
OLD = READY.replace(b"1.1\r\n", b"1.0\r\n")
CHUNKS = b"".join(b"%x\r\n%c\r\n" % (1, one) for one in BODY) + b"0\r\n\r\n"
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
WHOLE = LINE + HOST + SIZE + b"\r\n" + BODY
HEAD = READY.replace(b"GET", b"HEAD")


def to(origin: bytes, request: bytes = READY) -> bytes:
    """Return a request whose target is a whole URL, as it is sent to a proxy."""
    return request.replace(b" /v2", b" " + origin + b"/v2")


CASES: dict[str, tuple[Sequence[bytes], list[int]]] = {
    "twenty at once": ([WHOLE * 20], [200] * 20),
    "others between": ([(WHOLE + READY) * 3], [200] * 6),
    "one after one that was refused": ([WHOLE.replace(b"delay", b"nope") + WHOLE], [404, 200]),
    "byte by byte": ([bytes([one]) for one in WHOLE], [200]),
    "waits to be asked for its body": ([LINE + HOST + b"Expect: 100-continue\r\n" + SIZE + b"\r\n", BODY], [100, 200]),
    "asks whether it may send too much": (
        [LINE + HOST + b"Expect: 100-continue\r\nContent-Length: 999999999\r\n\r\n"],
        [413],
    ),
    "in chunks of one byte": ([LINE + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS], [200]),
    "in chunks and with a length": ([LINE + HOST + SIZE + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS], [400]),
    "a chunk that is no chunk": ([LINE + HOST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n"], [400]),
    "two lengths": ([LINE + HOST + SIZE + b"Content-Length: 3\r\n\r\n" + BODY], [400]),
    "only the head, and a request behind it": ([HEAD + WHOLE], [200, 200]),
    "another method": ([READY.replace(b"GET", b"OPTIONS"), LINE.replace(b"POST", b"PUT") + HOST + b"\r\n"], [405, 405]),
    "HTTP/1.0": ([OLD], [200]),
    "HTTP/1.0 without Host, as probes ask": ([OLD.replace(HOST, b"")], [200]),
    "HTTP/1.1 without Host": ([READY.replace(HOST, b"")], [400]),
    "two Hosts": ([READY.replace(HOST, HOST + b"host: evil.example\r\n"), LINE + HOST * 2 + SIZE + b"\r\n" + BODY], [400, 400]),
    "two Hosts in HTTP/1.0": ([OLD.replace(HOST, HOST * 2)], [400]),
    "a whole URL as target": ([to(b"http://127.0.0.1") + WHOLE.replace(b" /v2", b" HTTP://LocalHost:80/v2") + READY], [200, 200, 200]),
    "a whole URL, and Host of another server": ([to(b"http://127.0.0.1").replace(HOST, b"Host: evil.example\r\n")], [200]),
    "a whole URL of another server": ([to(b"http://evil.example") + to(b"http://127.0.0.1@evil.example") + WHOLE.replace(b" /v2", b" http://evil.example:80/v2")], [403, 403, 403]),
    "a whole URL of another server, without Host in HTTP/1.0": ([to(b"http://evil.example", OLD).replace(HOST, b"")], [403]),
    "a whole URL without Host": ([to(b"http://127.0.0.1").replace(HOST, b"")], [400]),
    "a whole URL and two Hosts": ([to(b"http://127.0.0.1").replace(HOST, HOST * 2)], [400]),
    "a whole URL without a path or a host": ([READY.replace(b"/v2/health/ready", b"http://127.0.0.1") + READY.replace(b"/v2", b"http:///v2")], [404, 403]),
    "offers HTTP/2, as Java's client does": ([LINE + HOST + H2C + SIZE + b"\r\n" + BODY], [200]),
    "begins with HTTP/2": ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], [400]),
    "begins with TLS": ([bytes.fromhex("16030100f5010000f10303") + b"a" * 300], [400]),
    "a header without end": ([LINE + HOST + b"X-A: ", *[b"a" * 65536] * (2 * HEAD_BYTES // 65536)], [431]),
    "headers without end": ([LINE + HOST, *[b"X-A: a\r\n" * 8192] * (2 * HEAD_BYTES // 65536)], [431]),
}  # fmt: skip


def statuses(address: tuple[str, int], parts: Sequence[bytes], count: int) -> list[int]:
    """Send parts, the later ones when the answer to the first began; return the statuses of so many answers."""
    found: list[int] = []
    with socket.create_connection(address, 60) as connection, connection.makefile("rb") as reader:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at, part in enumerate(parts):
            try:
                connection.sendall(part)
            except (BrokenPipeError, ConnectionResetError):
                break  # it was refused already
            if at == 0 and b"Expect" in part and len(parts) > 1:
                found.append(_read(reader, is_head=False))
        heads = [b"HEAD " in part[:5] for part in parts]
        while len(found) < count:
            try:
                found.append(_read(reader, is_head=not found and heads[0]))
            except ConnectionResetError:  # it ended while more came, and what it said was lost on the way
                found.append(431)
    return found


def _read(reader: IO[bytes], *, is_head: bool) -> int:
    first = reader.readline()
    assert first, "it ended without an answer"
    size = 0
    while (line := reader.readline().strip()) != b"":
        name, _, value = line.partition(b":")
        size = int(value) if name.lower() == b"content-length" else size
    if not is_head and not first.startswith(b"HTTP/1.1 100"):
        assert len(reader.read(size)) == size
    return int(first.split()[1])


def test_whatever_comes_is_answered_or_refused_and_the_next_is_served(server: ServeProcess) -> None:
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    found = {name: statuses(address, parts, len(wanted)) for name, (parts, wanted) in CASES.items()}
    assert found == {name: wanted for name, (_, wanted) in CASES.items()}
    assert statuses(address, [WHOLE], 1) == [200]


def test_the_oldest_uvicorn_that_is_allowed_is_the_one_whose_inner_methods_are_known() -> None:
    for name in ("_start_asgi_task", "on_header", "on_headers_complete", "on_message_begin"):
        assert name in vars(HttpToolsProtocol), f"uvicorn has no {name}: what overrides it is never called"
    root = Path(__file__).parents[2]
    [pinned] = re.findall(r"^uvicorn==(\d+\.\d+)", (root / "constraints.txt").read_text(), re.MULTILINE)
    assert f'"uvicorn>={pinned}"' in (root / "pyproject.toml").read_text()
