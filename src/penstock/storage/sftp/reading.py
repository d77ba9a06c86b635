"""One file on an SFTP server while it is read: it stays open, so a file put in its place does not mix with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import asyncssh
from asyncssh import SFTPClient, SFTPClientFile

from penstock.base.errors import PenstockError
from penstock.storage.sftp.connection import BROKEN
from penstock.storage.sftp.listing import is_file
from penstock.storage.sftp.writer import as_bytes


class SshReading:
    """Reads ranges of a file; after a break of the connection it is opened again, if it is still the same."""

    def __init__(
        self, path: str, missing: Callable[[], PenstockError], replaced: Callable[[], PenstockError]
    ) -> None:
        self._path, self._missing, self._replaced = path, missing, replaced
        self._file: SFTPClientFile | None = None
        self._state: tuple[int | None, int | None] | None = None
        self.size_bytes = 0

    @property
    def is_open(self) -> bool:
        """Whether the server holds the file open for it."""
        return self._file is not None

    async def read(self, sftp: SFTPClient, start: int, length: int) -> bytes:
        """Return up to `length` bytes from `start`; closes the file when they are its last.

        Raises:
            PenstockError: what `missing` or `replaced` made.
        """
        try:
            if self._file is None:
                data = await self._open(sftp, start, length)
            else:
                data = as_bytes(await self._file.read(length, start))
        except BROKEN:
            self._file = None
            raise
        if start + len(data) >= self.size_bytes:
            await self.close()
        return data

    async def _open(self, sftp: SFTPClient, start: int, length: int) -> bytes:
        self._file = file = await sftp.open(self._path, "rb")
        attrs, data = await asyncio.gather(file.stat(), file.read(length, start), return_exceptions=True)
        if isinstance(attrs, BaseException):
            raise attrs
        if not is_file(attrs):  # a directory opens, and fails to be read
            raise self._missing()
        if isinstance(data, BaseException):
            raise data
        state = (attrs.size, attrs.mtime)
        if self._state not in (None, state):
            raise self._replaced()
        self._state, self.size_bytes = state, attrs.size or 0
        return as_bytes(data)

    async def close(self) -> None:
        """Have the server close the file."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(*BROKEN, asyncssh.Error):
                await file.close()
