"""Ports for servers that must be told theirs: nobody else gets one while the process that reserved it lives.

They lie below those that the kernel gives to whoever asks for any, so nothing takes one between the choice and the
server's start; and a lock on a file keeps other tests of this machine away.
"""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path

FIRST, LAST = 15000, 32000
_held: list[int] = []


def reserve(count: int = 1) -> int:
    """Return the first of neighbouring ports for this process; they stay its own until it ends."""
    place = (
        Path("/tmp") / f"penstock-ports-{os.getuid()}"
    )  # one for all runs, wherever these have their files
    place.mkdir(exist_ok=True)
    start = FIRST + os.getpid() * 97 % (LAST - FIRST)
    for number in range(FIRST, LAST):
        first = FIRST + (start + number * count) % (LAST - FIRST - count)
        if _take(place, range(first, first + count)):
            return first
    raise AssertionError("no ports are left")


def _take(place: Path, ports: range) -> bool:
    taken = []
    try:
        for port in ports:
            taken.append(os.open(place / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666))
            fcntl.flock(taken[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
    except OSError:
        for one in taken:
            with suppress(OSError):
                os.close(one)
        return False
    _held.extend(taken)
    return True
