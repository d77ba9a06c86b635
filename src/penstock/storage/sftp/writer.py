"""One object on its way to an SFTP server; it is written to a temporary file that the backend places."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import asyncssh

from penstock.base.errors import PenstockError
from penstock.storage.backend import check_arrived


class SshWriter:
    """A `Writer` over an open remote file. A connection that breaks ends it: what was sent is gone."""

    def __init__(
        self,
        size_bytes: int | None,
        *,
        file: asyncssh.SFTPClientFile,
        remove: Callable[[], Awaitable[None]],
        finish: Callable[[int], Awaitable[None]],
        call: Callable[[Awaitable[Any]], Any],
    ) -> None:
        self._expected, self._written = size_bytes, 0
        self._file, self._remove, self._finish, self._call = file, remove, finish, call
        self._is_over = False

    def write(self, chunks: Sequence[bytes]) -> None:
        """Send chunks; returns when the server has them."""
        if data := b"".join(chunks):
            self._call(self._file.write(data, self._written))
            self._written += len(data)

    def commit(self) -> int:
        """Have the server flush the file, check its size, and rename it to where it belongs."""
        check_arrived(self._written, self._expected)
        self._call(self._finish(self._written))
        self._is_over = True
        return self._written

    def abort(self) -> None:
        """Remove the temporary file."""
        if self._is_over:
            return
        self._is_over = True
        with suppress(PenstockError):
            self._call(self._file.close())
        with suppress(PenstockError):
            self._call(self._remove())


async def flush(file: asyncssh.SFTPClientFile) -> None:
    """Have the server write a file to its disk, where it can (OpenSSH's `fsync@openssh.com`)."""
    with suppress(asyncssh.SFTPOpUnsupported):
        await file.fsync()


def as_bytes(data: str | bytes) -> bytes:
    """Return what a file opened for bytes gave; asyncssh's types do not tell the two apart."""
    return data if isinstance(data, bytes) else data.encode()
