"""What lies in directories of an SFTP server."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Sequence
from contextlib import suppress

import asyncssh
from asyncssh import SFTPAttrs, SFTPClient

MISSING = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath, asyncssh.SFTPNotADirectory)
Folder = Sequence[tuple[str, SFTPAttrs]]


def is_file(attrs: SFTPAttrs) -> bool:
    """Say whether the attributes are a regular file's."""
    return stat.S_ISREG(attrs.permissions or 0)


async def read_folders(sftp: SFTPClient, paths: Sequence[str], hidden: str) -> Sequence[Folder]:
    """Return name and attributes of every entry, directory by directory; a missing one is empty.

    A link to a file has the file's attributes; other links, and what is called `hidden`, are left out.
    """
    return await asyncio.gather(*(_read(sftp, path, hidden) for path in paths))


async def _read(sftp: SFTPClient, path: str, hidden: str) -> Folder:
    try:
        found = await sftp.readdir(path)
    except (*MISSING, asyncssh.SFTPFailure):
        return []
    entries: list[tuple[str, SFTPAttrs]] = []
    for one in found:
        name, attrs = str(one.filename), one.attrs
        if name in {".", "..", hidden}:
            continue
        if stat.S_ISLNK(attrs.permissions or 0):
            with suppress(asyncssh.SFTPError):
                followed = await sftp.stat(f"{path}/{name}")
                if is_file(followed):
                    entries.append((name, followed))
        else:
            entries.append((name, attrs))
    return entries
