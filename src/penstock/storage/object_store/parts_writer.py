"""One object on its way into an object store.

Up to 16 MiB it is kept and sent in one request. Beyond that a thread of its own sends it in parts while it
comes in; at most `HELD_BYTES` wait for that thread, so the memory is bounded whatever the object's size.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress

from penstock.base.threads import begin
from penstock.storage.backend import check_arrived

SINGLE_BYTES = 16 << 20
PART_BYTES = 8 << 20
MAX_PARTS = 9000  # S3 takes 10,000
UNKNOWN_PART_BYTES = 16 << 20  # an object of unknown size may have up to 140 GiB
WRITER_JOBS = 4
HELD_BYTES = 8 << 20
POLL_S = 0.2


def choose_part_bytes(size_bytes: int | None) -> int:
    """Return how large the parts of an object are, so that there are not too many."""
    return UNKNOWN_PART_BYTES if size_bytes is None else max(PART_BYTES, -(-size_bytes // MAX_PARTS))


class Aborted(Exception):
    """The writer was told to forget what it has; never leaves this module."""


class PartsWriter:
    """A `Writer` over two ways to send: `put` all bytes at once, or `send` an iterator in parts."""

    def __init__(
        self,
        size_bytes: int | None,
        *,
        put: Callable[[bytes], None],
        send: Callable[[Iterator[bytes], int], None],
        check: Callable[[int], None],
    ) -> None:
        self._expected, self._written = size_bytes, 0
        self._put, self._send, self._check = put, send, check
        self._held: list[bytes] = []
        self._queue: queue.Queue[bytes | None] = queue.Queue(2)
        self._sending: Future[None] | None = None
        self._is_aborted = self._is_over = False

    def write(self, chunks: Sequence[bytes]) -> None:
        """Keep chunks, or hand them to the thread."""
        self._held.extend(chunks)
        self._written += sum(map(len, chunks))
        if self._sending is None and self._written > SINGLE_BYTES:
            part_bytes = choose_part_bytes(self._expected)
            self._sending = begin("penstock-upload", lambda: self._send(self._arriving(), part_bytes))
        if self._sending is not None:
            self._hand_over(self._sending)

    def _hand_over(self, sending: Future[None]) -> None:
        data = b"".join(self._held)
        self._held.clear()
        for start in range(0, len(data), HELD_BYTES):
            self._offer(data[start : start + HELD_BYTES], sending)

    def _offer(self, item: bytes | None, sending: Future[None]) -> None:
        while not sending.done():
            with suppress(queue.Full):
                self._queue.put(item, timeout=POLL_S)
                return
        sending.result()

    def _arriving(self) -> Iterator[bytes]:
        while (data := self._queue.get()) is not None:
            if self._is_aborted:
                raise Aborted
            yield data
        if self._is_aborted:
            raise Aborted

    def commit(self) -> int:
        """Send what is left and wait until the store has everything."""
        check_arrived(self._written, self._expected)
        if self._sending is None:
            self._put(b"".join(self._held))
        else:
            self._offer(None, self._sending)
            self._sending.result()
            self._check(self._written)
        self._is_over = True
        self._held.clear()
        return self._written

    def abort(self) -> None:
        """Give up the parts that the store already has."""
        if self._is_over:
            return
        self._is_over = self._is_aborted = True
        self._held.clear()
        while self._sending is not None and not self._sending.done():
            with suppress(queue.Full):
                self._queue.put(None, timeout=POLL_S)
            wait([self._sending], POLL_S)
