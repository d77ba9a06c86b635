"""A sample project in production: real servers, real clients, a webhook receiver."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from patience import PATIENCE_S, wait_until
from servers.forking import Forked, start_penstock
from servers.ports import reserve
from servers.quick_python import quick_python

MAIN = "from penstock.cli.main import main\nmain()\n"
__all__ = ["Client", "Up", "get", "is_running", "wait_until", "webhook"]


def is_running(pid: int) -> bool:
    """Say whether a process still runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the latter where it goes while its file is read
        return False


class Up:
    """`penstock up` on free ports: a fork whose two servers are forks too, or the programs as a shell starts them.

    The kernel ends a server with its parent, which for a fork is another: what becomes of them then only `programs` show.
    """

    def __init__(self, root: Path, log: Path, *, programs: bool = False) -> None:
        self.root = root
        self.log = log
        self.server_port, self.serve_port = reserve(), reserve()
        self._programs = programs
        self._process: Forked | subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = ["up", "--port", str(self.server_port), "--serve-port", str(self.serve_port)]
        with self.log.open("ab") as log:
            if self._programs:
                command = [sys.executable, "-m", "penstock.cli", *words]
                self._process = subprocess.Popen(
                    command, cwd=self.root, stdout=log, stderr=log, start_new_session=True
                )
            else:
                program = f"import sys\nsys.executable, sys.argv[0] = {quick_python()!r}, 'penstock'\n{MAIN}"
                self._process = start_penstock(words, self.root, log.fileno(), program)
        wait_until(
            lambda: (
                self.answers(self.server_port, "/health") and self.answers(self.serve_port, "/v2/health/live")
            )
        )

    def children(self) -> list[int]:
        assert self._process is not None
        path = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def kill(self) -> None:
        """End everything as a power cut would; a fork ends with the program that asked for it, a moment later."""
        assert self._process is not None
        for pid in [*self.children(), self._process.pid]:
            os.kill(pid, signal.SIGKILL)
        self._process.wait()
        wait_until(lambda: not any(listens(port) for port in (self.server_port, self.serve_port)))

    def kill_parent(self) -> None:
        """Kill `penstock up` alone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
        return self._process.wait(PATIENCE_S)

    def answers(self, port: int, path: str) -> bool:
        try:
            return get(port, path)[0] == 200
        except OSError:
            return False

    def events(self, kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = get(self.server_port, "/api/penstock/v1/events?limit=1000")[1]
        return [event for event in found if event["kind"] == kind]


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def get(port: int, path: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, json.loads(body) if body.startswith((b"{", b"[")) else body.decode()


class Client:
    """Sends flights and, later, whether they were late; the truth follows the sample's own rule."""

    def __init__(self, port: int, seed: int = 0) -> None:
        self.statuses: list[int] = []
        self.versions: dict[str, int] = {}
        self.ids: list[str] = []
        self._port = port
        self._generator = np.random.default_rng(seed)

    def send(self, count: int, rows: int = 10, stop: Callable[[], bool] = lambda: False) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        labels: list[dict[str, Any]] = []
        for _ in range(count):
            hour = self._generator.integers(0, 24, rows)
            wind = np.abs(self._generator.normal(10, 3, rows))
            late = (hour + wind + self._generator.normal(0, 6, rows) > 26).astype(int)
            inputs = [
                {"name": "hour", "shape": [rows], "datatype": "INT64", "data": hour.tolist()},
                {"name": "wind", "shape": [rows], "datatype": "FP64", "data": wind.tolist()},
                {"name": "carrier", "shape": [rows], "datatype": "BYTES", "data": ["AA"] * rows},
            ]
            connection.request("POST", "/v2/models/delay/infer", json.dumps({"inputs": inputs}))
            response = connection.getresponse()
            answer = json.loads(response.read())
            self.statuses.append(response.status)
            if response.status == 200:
                self.versions[answer["model_version"]] = self.versions.get(answer["model_version"], 0) + 1
                self.ids.append(answer["parameters"]["penstock-prediction-id"])
                labels.append({"prediction_id": self.ids[-1], "label": late.tolist()})
            if len(labels) >= 20:
                connection.request("POST", "/v2/models/delay/feedback", json.dumps(labels))
                connection.getresponse().read()
                labels = []
            if stop():
                break
            time.sleep(0.002)
        connection.close()


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Receive what is posted."""
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Stay silent."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", received
    server.shutdown()
    thread.join()
