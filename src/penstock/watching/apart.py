"""A project's store written to by a process of its own: for a forked child of a process that had thread pools.

A fork copies none but the thread that forks. What polars and obstore left of their pools waits in the child for threads
that are not there, for ever, and neither can be begun anew. So such a child writes through a fresh process, which ends
with it; what needs no pool it writes itself. This file is also that process: batches in, answers out.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from penstock.base import errors
from penstock.base.errors import PenstockError, Unavailable
from penstock.base.threads import begin
from penstock.client.connect import find_place
from penstock.client.rest import Address
from penstock.project.project import Project
from penstock.serving.told.observations import read_head
from penstock.storage.local import LocalBackend
from penstock.watching.places import StorePlace

logger = logging.getLogger(__name__)
POOLED = ("polars", "obstore")
"""What delivers a batch and has threads that no child of a fork has: for payloads, and for artifacts in an object store."""
PROGRAM = "import sys; sys.path[:] = sys.argv[3:]; from penstock.watching.apart import main; main()"
"""It finds modules where the process does that begins it, which may have added places of its own."""
PYTHON = re.compile(r"python[\d.]*[a-z]?(\.exe)?", re.IGNORECASE)
"""The name of an executable that runs Python; that of another may be the service itself, which must not be begun twice."""
END_S = 1.0
ORPHAN_S = 5.0
"""So long it may go on with what it is at when who began it is gone."""
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


def lost_pools() -> frozenset[str]:
    """Return of which libraries a child that was forked just now has what is left of pools, and none of their threads."""
    return frozenset(name for name in POOLED if name in sys.modules)


def can_begin() -> bool:
    """Whether a fresh Python can be begun: not by a program that has Python inside."""
    return not getattr(sys, "frozen", False) and bool(PYTHON.fullmatch(Path(sys.executable or "").name))


class ApartPlace(StorePlace):
    """A project's own store; another process writes to it what needs a pool, and this one all else.

    Where no other process can be begun, calls are recorded without their payloads, and that is told: a payload is a sample,
    and a guardrail must see every call.

    Args:
        directory: where the other process finds the same project.
        lost: the libraries whose pools this process lost.
    """

    def __init__(self, project: Project, directory: Path, lost: frozenset[str]) -> None:
        super().__init__(project)
        self._directory, self._lost = directory, lost
        self._has_told = False
        self._writing = threading.Lock()
        self._link: Connection | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._again_s = float("-inf")

    def send(self, data: bytes) -> None:
        """Have a batch written into the store."""
        if not self._needs_pool(data):
            self._take(data, keeps_payloads="polars" not in self._lost)
        elif can_begin():
            self._hand_over(data)
        else:
            self._take_without_payloads(data)

    def _needs_pool(self, data: bytes) -> bool:
        if self._reads_by_pool:
            return True
        return "polars" in self._lost and self._ingest.monitor(read_head(data).endpoint).payloads is not None

    @property
    def _reads_by_pool(self) -> bool:
        """Whether artifacts, which every version has, are read by a library that lost its threads."""
        return "obstore" in self._lost and not isinstance(self._project.artifacts.backend, LocalBackend)

    def _take_without_payloads(self, data: bytes) -> None:
        why = f"this worker was forked, and {sys.executable or 'nothing'} is no Python to begin another process with"
        hint = "set sys.executable to a Python that has penstock before the service forks"
        if self._reads_by_pool:
            raise Unavailable(
                f"the artifacts of an object store cannot be read: {why}",
                code="watch.writer_ended",
                hint=hint,
            )
        if not self._has_told:
            self._has_told = True
            logger.warning("calls are recorded without their payloads: %s; %s", why, hint)
        self._take(data, keeps_payloads=False)

    def _hand_over(self, data: bytes) -> None:
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
        """End the other process, and close the project; who waits for its answer is told that it has ended."""
        if self._link is not None:
            with suppress(OSError), socket.socket(fileno=os.dup(self._link.fileno())) as ours:
                ours.shutdown(socket.SHUT_RDWR)
        with self._writing:
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
                        [sys.executable, "-P", "-c", PROGRAM, str(number), str(self._directory), *sys.path],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        start_new_session=True,  # Ctrl-C is for who has something to hand over
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
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()  # it heeds no softer signal; what it was at waits on disk
                process.wait()


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


def main() -> None:
    """Write for the process that began this one: its arguments are the link's number and where the project is."""
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # it ends with who began it, which has something to hand over
        signal.signal(number, signal.SIG_IGN)
    link = Connection(int(sys.argv[1]))
    begin("penstock-watch-end", partial(_end_with, os.getppid()))
    write_for(link, Path(sys.argv[2]))


def _end_with(parent: int) -> None:
    """End this process soon after its parent, whatever it hangs in."""
    while os.getppid() == parent:
        time.sleep(END_S)
    time.sleep(ORPHAN_S)
    os._exit(1)
