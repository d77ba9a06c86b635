"""One file on its way into a `LocalBackend`, and the removal of those whose writer was killed.

The temporary file is locked (flock) while its writer lives; the kernel lets go of the lock when the process
dies, so a file ending in `.part` without a lock belongs to nobody.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress

from penstock.base.errors import PenstockError
from penstock.base.threads import begin
from penstock.storage.backend import check_arrived, check_written

PART = ".part"
OBJECT_MODE = 0o444
FLUSH_BYTES = 32 << 20
IOV_MAX = 1024  # Linux; POSIX promises 16


class LocalWriter:
    """A `Writer` over a temporary file; `place` renames it to where it belongs."""

    def __init__(
        self,
        temporary: str,
        size_bytes: int | None,
        *,
        place: Callable[[str], None],
        translate: Callable[[OSError], PenstockError],
    ) -> None:
        self._temporary, self._descriptor = _create(temporary)
        self._expected, self._written = size_bytes, 0
        self._place, self._translate = place, translate
        self._flush = _Flush(self._descriptor)

    def write(self, chunks: Sequence[bytes]) -> None:
        """Append chunks without joining them."""
        try:
            for first in range(0, len(chunks), IOV_MAX):
                self._write(chunks[first : first + IOV_MAX])
        except OSError as error:
            raise self._translate(error) from error

    def _write(self, chunks: Sequence[bytes]) -> None:
        total = sum(map(len, chunks))
        written = os.writev(self._descriptor, chunks)
        if written < total:  # the disk is nearly full, or a signal came
            rest = memoryview(b"".join(chunks))[written:]
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        self._written += total
        self._flush.tell(self._written)

    def commit(self) -> int:
        """Flush to the disk, check the size, and rename the file to where it belongs."""
        check_arrived(self._written, self._expected)
        try:
            os.fchmod(self._descriptor, OBJECT_MODE)
            self._flush.wait()
            os.fdatasync(self._descriptor)
            found = os.fstat(self._descriptor).st_size
            check_written(self._temporary, "the file", found, self._written)
            self._place(self._temporary)
        except OSError as error:
            raise self._translate(error) from error
        self._close()
        return self._written

    def abort(self) -> None:
        """Remove the temporary file."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.unlink(self._temporary)
            with suppress(OSError):
                self._flush.wait()
            self._close()

    def _close(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1


class _Flush:
    """Has the disk write while more bytes come, so that little is left for the commit to wait for.

    Measured with 300 MiB at 800 MiB/s: the last flush takes 6 ms instead of 128 ms.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._asked = descriptor, 0
        self._flush: Future[None] | None = None

    def tell(self, written: int) -> None:
        """Start a flush when enough was written and none is under way."""
        if written - self._asked < FLUSH_BYTES or (self._flush is not None and not self._flush.done()):
            return
        self.wait()  # the kernel tells a failure once: the flush of the commit would succeed
        self._asked = written
        self._flush = begin("penstock-flush", lambda: os.fdatasync(self._descriptor))

    def wait(self) -> None:
        """Wait for the flush under way; raises what it met."""
        if self._flush is not None:
            self._flush.result()


def _create(name: str) -> tuple[str, int]:
    """Return a new locked file; one that `sweep` took before it was locked is made again."""
    while True:
        name += PART
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                return name, descriptor
        os.close(descriptor)


def sweep(folder: str) -> None:
    """Remove the temporary files in `folder` that no living writer holds."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(PART) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    _remove_unlocked(entry.path)


def _remove_unlocked(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    finally:
        os.close(descriptor)
