"""An HTTP proxy that breaks some of the requests on their way to a real server.

Faults: `error` answers 500, `reset` breaks the connection at once, `close` ends it in order without an answer,
`stall` says nothing for a while, `truncate` passes the answer's head and half of its body on, then breaks,
`wrong` answers with other bytes of the same length, `garble` passes other bytes of the same length up, `halve` passes half of what is sent up on and breaks both
sides, `lost` passes the request on and breaks before the answer. Which request is broken is decided by
a seeded generator, and a fault never strikes more than `limit` times in all. `stall HEAD` strikes that method only.
"""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from patience import PATIENCE_S

APPLIES = {"truncate": ("GET",), "wrong": ("GET",), "garble": ("PUT",), "halve": ("PUT",), "lost": ("PUT",)}


@dataclass
class Faults:
    """What to break: `share` of all requests, by the given kinds in turn; `seen` counts them by kind.

    Every request waits `pause_s`; `log` has method, path and status of those that were answered; `open_count` is the
    number of connections that are open.
    """

    kinds: tuple[str, ...]
    share: float
    limit: int = 1_000_000
    stall_s: float = 3.0
    pause_s: float = 0.0
    seen: Counter[str] = field(default_factory=Counter)
    open_count: int = 0
    log: list[tuple[str, str, int]] = field(default_factory=list)
    chosen: random.Random = field(default_factory=lambda: random.Random(7))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self, method: str) -> str | None:
        with self.lock:
            if sum(self.seen.values()) >= self.limit or self.chosen.random() >= self.share:
                return None
            kind = self.chosen.choice(self.kinds)
            kind, _, only = kind.partition(" ")
            if method not in ((only,) if only else APPLIES.get(kind, (method,))):
                return None
            self.seen[kind] += 1
            return kind


@contextmanager
def faulty(endpoint: str, faults: Faults) -> Iterator[str]:
    """Run a proxy before `endpoint` (http://host:port) and yield its own address."""
    place = endpoint.removeprefix("http://")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            return

        def setup(self) -> None:
            with faults.lock:
                faults.open_count += 1
            super().setup()

        def finish(self) -> None:
            try:
                super().finish()
            finally:
                with faults.lock:
                    faults.open_count -= 1

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            kind = faults.next(self.command)
            time.sleep(faults.pause_s)
            if kind == "error":
                self._answer(500, [], b"<Error><Code>InternalError</Code></Error>")
            elif kind == "reset":
                self._reset()
            elif kind == "stall":
                time.sleep(faults.stall_s)
                self._reset()
            elif kind == "close":
                self.close_connection = True
            elif kind == "halve":
                self._send_half(body)
                self._reset()
            else:
                self._forward(body, kind)

        def _send_half(self, body: bytes) -> None:
            upstream = http.client.HTTPConnection(place, timeout=PATIENCE_S)
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders(body[: len(body) // 2] or None)
            upstream.close()

        def _forward(self, body: bytes, kind: str | None) -> None:
            upstream = http.client.HTTPConnection(place, timeout=PATIENCE_S)
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            if kind == "garble":
                body = bytes(byte ^ 1 for byte in body[:9]) + body[9:]
            upstream.endheaders(body or None)
            answer = upstream.getresponse()
            data = answer.read()
            headers = [
                (k, v) for k, v in answer.getheaders() if k.lower() not in {"transfer-encoding", "connection"}
            ]
            upstream.close()
            if kind == "lost":
                self._reset()
                return
            if kind == "wrong":
                data = bytes(byte ^ 1 for byte in data)
            with faults.lock:
                faults.log.append((self.command, self.path, answer.status))
            self._answer(answer.status, headers, data, cut=kind == "truncate")

        def _answer(
            self, status: int, headers: list[tuple[str, str]], data: bytes, *, cut: bool = False
        ) -> None:
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            if not any(name.lower() == "content-length" for name, _ in headers):
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data[: len(data) // 2] if cut else data)
            if cut:
                self.wfile.flush()
                self._reset()

        def _reset(self) -> None:
            self.close_connection = True
            with suppress(OSError):
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()

    for method in ("GET", "PUT", "POST", "HEAD", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._handle)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            return

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
