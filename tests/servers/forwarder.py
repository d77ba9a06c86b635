"""A TCP port that leads to another one, and that can be cut: a server that is away and comes back, for one client only."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

RESET = struct.pack("ii", 1, 0)


class Forwarder:
    """See the module. While it is cut, connections are reset."""

    def __init__(self, port: int) -> None:
        self._to = ("127.0.0.1", port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._open: list[socket.socket] = []
        self._is_cut = False
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset every connection, and those that come."""
        with self._lock:
            self._is_cut = True
            for one in self._open:
                _reset(one)
            self._open.clear()

    def mend(self) -> None:
        """Let connections through again."""
        self._is_cut = False

    def close(self) -> None:
        """End it."""
        self.cut()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                came = self._listening.accept()[0]
                if self._is_cut:
                    _reset(came)
                    continue
                there = socket.create_connection(self._to)
                with self._lock:
                    self._open += [came, there]
                for one, other in ((came, there), (there, came)):
                    threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


def _reset(one: socket.socket) -> None:
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@contextmanager
def forwarding(port: int) -> Iterator[Forwarder]:
    """Forward to a port of this machine until left."""
    made = Forwarder(port)
    try:
        yield made
    finally:
        made.close()
