"""SshBackend: objects as files on a server that speaks SFTP.

A file is written under `.penstock-tmp` at the remote's root, its size is asked back, and it is renamed into
place with `posix-rename`, which replaces in one step. That its bytes arrived as they were sent is certain
through SSH itself, which authenticates every packet and ends the connection at the first wrong one. Files of
a killed writer are removed once the server's clock says that they are an hour old.
The connection, its retries and the user's keys are in `penstock.storage.sftp.connection`.
"""

from __future__ import annotations

import itertools
import os
import posixpath
import stat
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import asyncssh
from asyncssh import SFTPClient, SFTPClientFile

from penstock.base.errors import Denied, PenstockError, Unavailable
from penstock.storage.backend import (
    Child,
    Entry,
    Writer,
    check_key,
    check_received,
    check_written,
    exactly,
    in_the_way,
    missing,
    replaced,
    unmade,
)
from penstock.storage.sftp.connection import SshConnection, SshTarget
from penstock.storage.sftp.listing import MISSING, Folder, is_file, read_folders
from penstock.storage.sftp.reading import SshReading
from penstock.storage.sftp.writer import SshWriter, flush

STAGING = ".penstock-tmp"
FIRST_BYTES = 64 << 10  # one request, which small objects need no more than
READ_BYTES = 4 << 20
FLUSHED_BYTES = 4 << 20  # from this size on the server is asked to write to its disk before the rename
STALE_S = 3600
LISTED_AT_ONCE = 32
JOBS = 16
T = TypeVar("T")


class SshBackend:
    """A `Backend` over one directory of an SFTP server, made at the first write. Safe for many threads."""

    def __init__(self, target: SshTarget, root: str, jobs: int = JOBS) -> None:
        self.url = target.url
        self.jobs = jobs
        self.can_list = True
        self._root = root.rstrip("/")
        self._connection = SshConnection(target)
        self._made: set[str] = set()
        self._token, self._count = f"{os.getpid()}-{os.urandom(8).hex()}", itertools.count()

    def _path(self, key: str) -> str:
        return f"{self._root}/{check_key(key)}"

    def get(self, key: str) -> bytes:
        """Return all bytes at `key`."""
        return b"".join(self.stream(key))

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return up to `length` bytes from offset `start`."""
        return b"".join(self.stream(key, start, length))

    def put(self, key: str, data: bytes) -> None:
        """Store `data` at `key`."""

        async def write(sftp: SFTPClient, temporary: str) -> int:
            async with sftp.open(temporary, "xb") as file:
                if data:
                    await file.write(data)
                if len(data) >= FLUSHED_BYTES:
                    await flush(file)
            return len(data)

        self._store(key, write)

    def upload(self, key: str, blocks: Iterable[bytes], size_bytes: int) -> None:
        """Store the bytes of `blocks` at `key`; they are gone through again when the connection breaks."""

        async def write(sftp: SFTPClient, temporary: str) -> int:
            async with sftp.open(temporary, "xb") as file:
                for block in exactly(blocks, size_bytes):
                    await file.write(block)
                if size_bytes >= FLUSHED_BYTES:
                    await flush(file)
            return size_bytes

        self._store(key, write)

    def copy(self, source: str, target: str) -> None:
        """Store at `target` what is at `source`: one file of two names, as objects are never written again."""

        async def link(sftp: SFTPClient, temporary: str) -> int:
            found = await sftp.stat(self._path(source))
            if not is_file(found):
                raise missing(self.url, source)
            try:
                await sftp.link(self._path(source), temporary)
            except (asyncssh.SFTPOpUnsupported, asyncssh.SFTPFailure):
                async with sftp.open(self._path(source), "rb") as old, sftp.open(temporary, "xb") as new:
                    while data := await old.read(READ_BYTES):
                        await new.write(data)
            return found.size or 0

        async def store(sftp: SFTPClient) -> None:
            temporary = await self._prepare(sftp, target)
            try:
                await self.place(sftp, target, temporary, await link(sftp, temporary))
            finally:  # one name of a file is not renamed over another one of it
                with suppress(asyncssh.Error, OSError):
                    await sftp.remove(temporary)

        try:
            self._run(target, store)
        except PenstockError as error:
            if error.code == "storage.object_missing":
                raise missing(self.url, source) from None
            raise

    def _store(self, key: str, write: Callable[[SFTPClient, str], Awaitable[int]]) -> None:
        async def action(sftp: SFTPClient) -> None:
            temporary = await self._prepare(sftp, key)
            is_placed = False
            try:
                size = await write(sftp, temporary)
                await self.place(sftp, key, temporary, size)
                is_placed = True
            finally:
                if not is_placed:
                    with suppress(asyncssh.Error, OSError):
                        await sftp.remove(temporary)

        self._run(key, action)

    async def _prepare(self, sftp: SFTPClient, key: str) -> str:
        """Make the directories an object needs and return the name of a temporary file."""
        parent = posixpath.dirname(self._path(key))
        if STAGING not in self._made:
            try:
                await sftp.makedirs(f"{self._root}/{STAGING}", exist_ok=True)
            except (asyncssh.SFTPFailure, *MISSING) as error:
                raise unmade(self.url, str(error)) from error
            if STAGING not in self._made:  # the first of several writers sweeps
                self._made.add(STAGING)
                await self._sweep(sftp)
        if parent not in self._made:
            try:
                await sftp.makedirs(parent, exist_ok=True)
            except (asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists, *MISSING):
                raise in_the_way(self.url, key) from None
            self._made.add(parent)
        return f"{self._root}/{STAGING}/{self._token}-{next(self._count)}"

    async def _sweep(self, sftp: SFTPClient) -> None:
        """Remove the files of writers that were killed; time is the server's own."""
        folder = f"{self._root}/{STAGING}"
        found = [(one.filename, one.attrs.mtime or 0) for one in await sftp.readdir(folder)]
        if len(found) <= 2:  # `.` and `..`
            return
        probe = f"{folder}/{self._token}-{next(self._count)}"
        async with sftp.open(probe, "xb"):
            pass
        now = (await sftp.stat(probe)).mtime or 0
        await sftp.remove(probe)
        for name, modified_s in found:
            if name not in {".", ".."} and now - modified_s > STALE_S:
                with suppress(asyncssh.SFTPError):
                    await sftp.remove(f"{folder}/{name!s}")

    async def place(self, sftp: SFTPClient, key: str, temporary: str, size: int) -> None:
        """Check the size that the server holds and rename; a directory that vanished is made again."""
        path = self._path(key)
        check_written(self.url, key, (await sftp.stat(temporary)).size, size)
        try:
            await sftp.posix_rename(temporary, path)
        except asyncssh.SFTPNoSuchFile:
            self._made.discard(posixpath.dirname(path))
            await self._prepare(sftp, key)
            await sftp.posix_rename(temporary, path)
        except asyncssh.SFTPFailure:
            with suppress(*MISSING):
                if not is_file(await sftp.stat(path)):
                    raise in_the_way(self.url, key) from None
            raise

    def writer(self, key: str, size_bytes: int | None = None) -> Writer:
        """Open an object for writing; killed writers' files of more than an hour ago are removed first."""
        check_key(key)

        async def start(sftp: SFTPClient) -> tuple[SFTPClient, str, SFTPClientFile]:
            temporary = await self._prepare(sftp, key)
            return sftp, temporary, await sftp.open(temporary, "xb")

        sftp, temporary, file = self._run(key, start)

        async def finish(size: int) -> None:
            await flush(file)
            await file.close()
            await self.place(sftp, key, temporary, size)

        return SshWriter(
            size_bytes,
            file=file,
            remove=lambda: sftp.remove(temporary),
            finish=finish,
            call=lambda work: self._call(key, work),
        )

    def download(self, key: str, target: Path) -> None:
        """Write the bytes at `key` to `target`."""
        with target.open("wb") as out:
            for chunk in self.stream(key):
                out.write(chunk)

    def stream(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the object's bytes, checking that as many come as the server announced."""
        if length is not None and length <= 0:
            return
        reading = SshReading(self._path(key), lambda: missing(self.url, key), lambda: replaced(self.url, key))
        ask = FIRST_BYTES if length is None else min(FIRST_BYTES, length)
        at = start
        try:
            while True:
                data = self._run(key, lambda sftp: reading.read(sftp, at, ask))  # noqa: B023 - runs at once
                end = reading.size_bytes if length is None else min(reading.size_bytes, start + length)
                at += len(data)
                if data:
                    yield data
                if at >= end:
                    return
                if not data:
                    check_received(self.url, key, at - start, end - start)
                ask = min(READ_BYTES, end - at)
        finally:
            if reading.is_open and self._connection.is_running:
                with suppress(PenstockError):
                    self._call(key, reading.close())

    def find(self, key: str) -> Entry | None:
        """Return what is known of the object, or None."""
        path = self._path(key)

        async def ask(sftp: SFTPClient) -> Entry | None:
            try:
                found = await sftp.stat(path)
            except MISSING:
                return None
            return Entry(key, found.size or 0, float(found.mtime or 0)) if is_file(found) else None

        return self._run(key, ask)

    def size(self, key: str) -> int | None:
        """Return the object's size in bytes, or None."""
        found = self.find(key)
        return None if found is None else found.size_bytes

    def exists(self, key: str) -> bool:
        """Say whether there is an object at `key`."""
        return self.size(key) is not None

    def has_place(self) -> bool:
        """Say whether the directory is there."""
        return self._run("", lambda sftp: sftp.isdir(self._root or "/"))

    def list(self, prefix: str) -> Iterator[Entry]:
        """Yield every object below the directory `prefix`."""
        pending = [prefix.strip("/")]
        while pending:
            folders, pending = pending[:LISTED_AT_ONCE], pending[LISTED_AT_ONCE:]
            for folder, entries in zip(folders, self._read_folders(folders), strict=True):
                for name, attrs in entries:
                    key = f"{folder}/{name}" if folder else name
                    if stat.S_ISDIR(attrs.permissions or 0):
                        pending.append(key)
                    elif is_file(attrs):
                        yield Entry(key, attrs.size or 0, float(attrs.mtime or 0))

    def _read_folders(self, folders: Sequence[str]) -> Sequence[Folder]:
        paths = [f"{self._root}/{folder}" if folder else self._root for folder in folders]
        return self._run(folders[0], lambda sftp: read_folders(sftp, paths, STAGING))

    def children(self, prefix: str) -> Iterator[Child]:
        """Yield what lies directly in the directory `prefix`."""
        folder = prefix.strip("/")
        if folder:
            check_key(folder)
        for name, attrs in self._read_folders([folder])[0]:
            if stat.S_ISDIR(attrs.permissions or 0):
                yield Child(name, None)
            elif is_file(attrs):
                yield Child(name, attrs.size or 0)

    def is_plain(self, key: str) -> bool:
        """Say that no part of the way to `key` is a symbolic link; the root itself may be one."""
        parts = check_key(key).split("/")

        async def look(sftp: SFTPClient) -> bool:
            path = self._root
            for part in parts:
                path = f"{path}/{part}"
                try:
                    if stat.S_ISLNK((await sftp.lstat(path)).permissions or 0):
                        return False
                except MISSING:
                    return True
            return True

        return self._run(key, look)

    def delete(self, key: str) -> None:
        """Remove the object at `key`, if any."""
        path = self._path(key)

        async def remove(sftp: SFTPClient) -> None:
            try:
                await sftp.remove(path)
            except MISSING:
                return
            except asyncssh.SFTPFailure:
                if not stat.S_ISDIR((await sftp.lstat(path)).permissions or 0):
                    raise

        self._run(key, remove)

    def delete_tree(self, prefix: str) -> None:
        """Remove the directory `prefix` with all it holds."""
        path = self._path(prefix)

        async def remove(sftp: SFTPClient) -> None:
            with suppress(*MISSING):
                if stat.S_ISDIR((await sftp.lstat(path)).permissions or 0):
                    await sftp.rmtree(path)

        self._run(prefix, remove)
        self._made = {made for made in self._made if not f"{made}/".startswith(f"{path}/")}

    def close(self) -> None:
        """End the connection, removing the staging directory when nobody uses it."""
        if STAGING in self._made:
            self._made.clear()

            async def tidy(sftp: SFTPClient) -> None:
                with suppress(asyncssh.SFTPError):
                    await sftp.rmdir(f"{self._root}/{STAGING}")

            with suppress(PenstockError):
                self._run("", tidy)
        self._connection.close()

    def _run(self, key: str, action: Callable[[SFTPClient], Awaitable[T]]) -> T:
        return self._translated(key, lambda: self._connection.run(action))

    def _call(self, key: str, work: Awaitable[T]) -> T:
        return self._translated(key, lambda: self._connection.call(work))

    def _translated(self, key: str, action: Callable[[], T]) -> T:
        try:
            return action()
        except MISSING:
            raise missing(self.url, key) from None
        except asyncssh.SFTPPermissionDenied as error:
            raise Denied(
                f"no permission for {key} in {self.url}",
                code="storage.denied",
                hint="check the directory's owner and mode on the server",
                key=key,
            ) from error
        except (asyncssh.Error, OSError, TimeoutError) as error:
            raise Unavailable(
                f"{self.url} failed on {key}: {' '.join(str(error).split())[:300] or type(error).__name__}",
                code="storage.unavailable",
                hint="check the server's disk and that ssh reaches it, then run the same command again",
                key=key,
            ) from error
