"""The one HTTP client keeps its connection, says what an answer is, and says when there is none."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.base.errors import Invalid, Unavailable
from penstock.base.web.calls import WebConnection

TIMEOUT_S = 30.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"
BROKEN = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfine"
MISSING = b'HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n\r\n{"error":"x"}'


class Server(socketserver.ThreadingTCPServer):
    """Answers each request of each connection with the next of `answers`, and closes after a short one."""

    daemon_threads = True
    answers: list[bytes]
    requests: list[bytes]
    connection_count = 0


class Handler(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        self.server.connection_count += 1
        while self.server.answers:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = self.rfile.readline()
                if not line:
                    return
                head += line
            length = next(
                (
                    int(one.split(b":")[1])
                    for one in head.split(b"\r\n")
                    if one.lower().startswith(b"content-length")
                ),
                0,
            )
            self.server.requests.append(head + self.rfile.read(length))
            answer = self.server.answers.pop(0)
            self.wfile.write(answer)
            if answer in {b"", BROKEN}:
                return


@contextmanager
def serving(*answers: bytes) -> Iterator[tuple[Server, str]]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.answers, server.requests = list(answers), []
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server, f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_a_connection_is_kept_and_a_status_is_an_answer(tmp_path: Path) -> None:
    (tmp_path / "sent").write_bytes(b"a file")
    with serving(OK, MISSING, OK, MISSING) as (server, url):
        connection = WebConnection(f"{url}/under/", timeout_s=TIMEOUT_S)
        first = connection.request("GET", "/a?b=c")
        second = connection.request("POST", "", b"{}", {"X-Kind": "test"})
        third = connection.request("PUT", "/c", tmp_path / "sent", into=tmp_path / "got")
        fourth = connection.request("GET", "/d", into=tmp_path / "kept", limit_bytes=5)
        connection.close()
    assert (first.status, first.body, first.has_failed) == (200, b"fine", False)
    assert (second.status, second.json(), second.has_failed) == (404, {"error": "x"}, True)
    assert (third.body, (tmp_path / "got").read_bytes()) == (b"", b"fine")
    assert (fourth.body, (tmp_path / "kept").exists()) == (b'{"err', False)
    lines = [one.split(b"\r\n")[0] for one in server.requests]
    assert lines == [
        b"GET /under/a?b=c HTTP/1.1",
        b"POST /under HTTP/1.1",
        b"PUT /under/c HTTP/1.1",
        b"GET /under/d HTTP/1.1",
    ]
    assert b"X-Kind: test" in server.requests[1] and server.requests[2].endswith(b"\r\n\r\na file")
    assert server.connection_count == 1


def test_an_answer_that_breaks_off_is_none_and_the_next_request_connects_again(tmp_path: Path) -> None:
    with serving(BROKEN, BROKEN, b"", OK) as (server, url):
        connection = WebConnection(url, timeout_s=TIMEOUT_S)
        for into in (None, tmp_path / "part", None):
            with pytest.raises(Unavailable, match=r"127\.0\.0\.1 did not answer: ") as caught:
                connection.request("GET", "/", into=into)
            assert caught.value.fields["why"]
        assert connection.request("GET", "/").body == b"fine"
        connection.close()
    assert server.connection_count == 4


def test_a_pinned_address_is_connected_to_under_the_name_of_the_url() -> None:
    with serving(OK) as (server, url):
        port = url.rpartition(":")[2]
        connection = WebConnection(
            f"http://no-such-host.invalid:{port}", timeout_s=TIMEOUT_S, address="127.0.0.1"
        )
        assert connection.request("GET", "/").body == b"fine"
        connection.close()
    assert f"Host: no-such-host.invalid:{port}".encode() in server.requests[0]


def test_what_is_no_server_s_address_is_refused() -> None:
    for url in ("", "nonsense", "ftp://host", "http://", "http://[::1", "http://host:port"):
        with pytest.raises(Invalid, match="not a server's address"):
            WebConnection(url, timeout_s=TIMEOUT_S)
