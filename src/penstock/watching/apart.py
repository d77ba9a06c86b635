"""A project's store written to by a process of its own: for a forked child of a process that had thread pools.

A fork copies none but the thread that forks. What polars and obstore left of their pools waits in the child for threads
that are not there, for ever, and neither can be begun anew. So such a child writes through a fresh process, which ends
with it. This file is also that process: python -m penstock.watching.apart FD DIRECTORY, batches in, answers out.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from penstock.base import errors
from penstock.base.errors import PenstockError, Unavailable
from penstock.client.connect import find_place
from penstock.client.rest import Address
from penstock.project.project import Project
from penstock.watching.places import StorePlace

POOLED = ("polars", "obstore")
"""What delivers a batch and has threads that no child of a fork has."""
MODULE = "penstock.watching.apart"
END_S = 1.0
AGAIN_S = 5.0
"""So long after it ended by itself it is not begun again."""


class Answer(msgspec.Struct, kw_only=True):
    """What became of a batch: nothing is said of one that was written, of another how it failed."""

    kind: str = ""
    message: str = ""
    code: str = ""
    hint: str | None = None

    def check(self) -> None:
        """Raise what was raised there."""
        known = getattr(errors, self.kind, None) if self.kind else None
        if known is not None:
            raise known(self.message, code=self.code, hint=self.hint)
        if self.kind:
            raise RuntimeError(f"{self.kind}: {self.message}")


def has_lost_threads() -> bool:
    """Whether a child that was forked just now has what is left of thread pools, and none of their threads."""
    return any(name in sys.modules for name in POOLED)


class ApartPlace(StorePlace):
    """A project's own store; another process writes to it, and this one reads.

    Args:
        directory: where the other process finds the same project.
    """

    def __init__(self, project: Project, directory: Path) -> None:
        super().__init__(project)
        self._directory = directory
        self._writing = threading.Lock()
        self._link: Connection | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._again_s = float("-inf")
        self._begun()  # it takes a while until it can write

    def send(self, data: bytes) -> None:
        """Have a batch written into the store."""
        with self._writing:
            link = self._begun()
            try:
                link.send_bytes(data)
                answer = msgspec.msgpack.decode(link.recv_bytes(), type=Answer)
            except (OSError, EOFError):
                self._end()
                self._again_s = time.monotonic() + AGAIN_S
                raise _ended() from None
        answer.check()

    def leave(self) -> None:
        """In a child: let the other process see when this one's parent is gone."""
        super().leave()
        if self._link is not None:
            self._link.close()

    def close(self) -> None:
        """End the other process, and close the project."""
        self._end()
        super().close()

    def _begun(self) -> Connection:
        if self._link is None:
            if time.monotonic() < self._again_s:
                raise _ended()
            ours, theirs = socket.socketpair()
            with theirs:
                number = theirs.fileno()
                try:
                    self._process = subprocess.Popen(
                        [sys.executable, "-P", "-m", MODULE, str(number), str(self._directory)],
                        stdin=subprocess.DEVNULL,
                        pass_fds=(number,),
                    )
                except OSError as error:
                    ours.close()
                    raise Unavailable(
                        f"no process to write to the store can be begun: {error}", code="watch.writer_ended"
                    ) from None
            self._link = Connection(ours.detach())
        return self._link

    def _end(self) -> None:
        link, self._link = self._link, None
        process, self._process = self._process, None
        if link is not None:
            link.close()
        if process is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_S)


def _ended() -> Unavailable:
    return Unavailable(
        "the process that writes to the store for a forked worker has ended",
        code="watch.writer_ended",
        hint=f"look whether {sys.executable} runs Python",
    )


def write_for(link: Connection, directory: Path) -> None:
    """Write the batches that a process hands over until it is gone."""
    place: StorePlace | None = None
    with suppress(EOFError, OSError):
        while True:
            data = link.recv_bytes()
            answer = Answer()
            try:
                place = place or _open(directory)
                place.send(data)
            except PenstockError as error:
                answer = Answer(
                    kind=type(error).__name__, message=error.message, code=error.code, hint=error.hint
                )
            except Exception as error:  # noqa: BLE001 - it is the other process's to tell
                answer = Answer(kind=type(error).__name__, message=str(error))
            link.send_bytes(msgspec.msgpack.encode(answer))
    if place is not None:
        place.close()


def _open(directory: Path) -> StorePlace:
    found, _ = find_place(directory=directory)
    if isinstance(found, Address):
        raise Unavailable("a server is named, and no store", code="watch.writer_ended")
    return StorePlace(found)


if __name__ == "__main__":
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # it ends with who began it, which has something to hand over
        signal.signal(number, signal.SIG_IGN)
    write_for(Connection(int(sys.argv[1])), Path(sys.argv[2]))
