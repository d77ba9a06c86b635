"""Clients of one endpoint that ask without a pause, and what each of their requests came to.

They do as little as they can, so that what is measured is the server. As a program, `python clients.py URL COUNT`, they
ask until their input ends and print it all as JSON: what the program that started it does then takes no time from them.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import IO, Any
from urllib.parse import urlsplit

BODY = {
    "inputs": [
        {"name": "hour", "shape": [1], "datatype": "INT64", "data": [18]},
        {"name": "wind", "shape": [1], "datatype": "FP64", "data": [10.0]},
        {"name": "carrier", "shape": [1], "datatype": "BYTES", "data": ["AA"]},
    ]
}
TIMEOUT_S = 180.0


@dataclass(frozen=True)
class Answer:
    """One answer; `ended_s` is on the clock of `time.monotonic`, which all processes share."""

    ended_s: float
    latency_s: float
    status: int
    version: str


class Clients:
    """Clients that send requests until they are told to stop. `broken` says how connections ended unanswered."""

    def __init__(self, url: str, count: int) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port)
        body = json.dumps(BODY).encode()
        head = f"POST /v2/models/delay/infer HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._request = head.encode() + body
        self.answers: list[Answer] = []
        self.broken: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with socket.create_connection(self._address, TIMEOUT_S) as connection:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._ask_on(connection, connection.makefile("rb"))
            except OSError as error:
                self.broken.append(f"{type(error).__name__}: {error}")

    def _ask_on(self, connection: socket.socket, reader: IO[bytes]) -> None:
        """Ask on one connection for as long as it holds."""
        while not self._stop.is_set():
            began_s = time.monotonic()
            connection.sendall(self._request)
            status, version = _read(reader)
            ended_s = time.monotonic()
            self.answers.append(Answer(ended_s, ended_s - began_s, status, version))

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def _read(reader: IO[bytes]) -> tuple[int, str]:
    """Read one answer; return its status and the version that gave it."""
    first = reader.readline()
    if not first:
        raise ConnectionError("the server left without an answer")
    size, version = 0, ""
    while (line := reader.readline().rstrip()) != b"":
        name, _, value = line.partition(b":")
        if name == b"content-length":
            size = int(value)
        elif name == b"penstock-model-version":
            version = value.strip().decode()
    if len(reader.read(size)) < size:
        raise ConnectionError("the server left in the middle of an answer")
    return int(first.split()[1]), version


def main(url: str, count: str) -> None:
    """Ask until the input ends; print what came."""
    with Clients(url, int(count)) as clients:
        sys.stdin.read()
    told: dict[str, Any] = {"answers": [asdict(one) for one in clients.answers], "broken": clients.broken}
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
