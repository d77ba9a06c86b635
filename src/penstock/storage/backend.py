"""Backend: the contract of a place that holds bytes at keys.

A key is a relative POSIX path without `.` or `..` parts. What stands at a key is whole or absent:
a writer that dies leaves nothing a reader can see. This module states the role; the implementations are
`memory`, `local` and `objectstore`, and `resolve` picks one by URL. Nothing here knows trees or DVC.

The contract, checked for every implementation by `tests/contracts/test_backend.py`:

- A miss: `get`, `get_range`, `stream` (at its first step) and `download` raise `NotFound`; `size` returns None, `exists` False;
  `delete` of a missing key does nothing; `list` of an unknown prefix yields nothing.
- `put` and `upload` replace what is there in one step, and return only after the store has accepted all
  bytes and reports their size back. Repeating either is harmless.
- `download` writes the file it is given and nothing else; on failure the file may hold a part, so the
  caller names a temporary path. It checks that it received as many bytes as the store announced.
- Every method may be called from several threads at once. The implementation retries what a retry may
  help (5xx, timeouts, resets) with backoff, then raises `Unavailable`; the caller does not retry.
- Who opens a backend closes it; after `close` no method may be called.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from penstock.base.errors import Invalid, NotFound


class Entry(NamedTuple):
    """One stored key, its size, and when it was stored (seconds since 1970; 0 where nobody knows)."""

    key: str
    size_bytes: int
    modified_s: float = 0.0


class Backend(Protocol):
    """Bytes at keys; the contract stands at the head of this module."""

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        ...

    @property
    def jobs(self) -> int:
        """How many calls at once serve it best when the user names no number.

        One says that threads do not help and that forked processes may use it side by side.
        """
        ...

    def get(self, key: str) -> bytes:
        """Return all bytes at `key`."""
        ...

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return up to `length` bytes from offset `start`; fewer only at the end of the object."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Store `data` at `key`."""
        ...

    def upload(self, key: str, source: Path) -> None:
        """Store a file's bytes at `key`, streaming."""
        ...

    def download(self, key: str, target: Path) -> None:
        """Write the bytes at `key` to `target`, streaming."""
        ...

    def stream(self, key: str) -> Iterator[bytes]:
        """Yield the object's bytes in order, up to some MiB at a time; nothing for an empty object."""
        ...

    def size(self, key: str) -> int | None:
        """Return the object's size in bytes, or None where there is none."""
        ...

    def exists(self, key: str) -> bool:
        """Say whether there is an object at `key`."""
        ...

    def list(self, prefix: str) -> Iterator[Entry]:
        """Yield every object below the directory `prefix` ("" is everything), in no order."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object at `key`, if any."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...


def check_key(key: str) -> str:
    """Return `key` when it is a plain relative path.

    Raises:
        Invalid: it is empty, absolute, or has `.`, `..` or empty parts, or a zero byte.
    """
    if not key or key.startswith("/") or "\0" in key or {"", ".", ".."} & set(key.split("/")):
        raise Invalid(f"not a storage key: {key!r}", code="storage.bad_key", key=key)
    return key


def missing(backend_url: str, key: str) -> NotFound:
    """Make the error for a key that is not there."""
    return NotFound(
        f"{PurePosixPath(key)} does not exist in {backend_url}",
        code="storage.object_missing",
        key=key,
        url=backend_url,
    )
