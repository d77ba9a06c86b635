"""A static web server on loopback over a directory, with ETags, ranges, and a password where one is asked for."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class WebServer:
    """Its address, what it serves, the header that a request must have, and the requests it saw."""

    address: str
    root: Path
    required: tuple[str, str] | None = None
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)


@contextmanager
def run_web(root: Path) -> Iterator[WebServer]:
    """Serve `root`, yield the server, stop it."""
    root.mkdir(parents=True, exist_ok=True)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            return

        def do_GET(self) -> None:
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def _answer(self) -> None:
            server.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
            if server.required and self.headers.get(server.required[0]) != server.required[1]:
                self._send(401, b"", {"WWW-Authenticate": 'Basic realm="data"'})
                return
            path = root / unquote(urlsplit(self.path).path).lstrip("/")
            if not path.is_file():
                self._send(404, b"no such file", {})
                return
            data = path.read_bytes()
            headers = {
                "ETag": f'"{hashlib.sha1(data).hexdigest()[:16]}"',
                "Accept-Ranges": "bytes",
                "Last-Modified": formatdate(path.stat().st_mtime, usegmt=True),
            }
            wanted = self.headers.get("Range", "")
            if wanted.startswith("bytes="):
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                start = int(first) if first else max(0, len(data) - int(last))
                end = min(len(data), int(last) + 1) if first and last else len(data)
                if start >= len(data):
                    self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
                    return
                headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
                self._send(206, data[start:end], headers)
                return
            self._send(200, data, headers)

        def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            return  # a client that went away

    with Server(("127.0.0.1", 0), Handler) as listening:
        server = WebServer(f"http://127.0.0.1:{listening.server_port}", root)
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()
