"""Backend: the contract of a place that holds bytes at keys.

A key is a relative POSIX path without `.` or `..` parts. What stands at a key is whole or absent:
a writer that dies leaves nothing a reader can see. This module states the role; the implementations are
`memory`, `local` and `objectstore`, and `resolve` picks one by URL. Nothing here knows trees or DVC.

The contract, checked for every implementation by `tests/contracts/test_backend.py`:

- A miss: `get`, `get_range`, `stream` (at its first step), `copy` and `download` raise `NotFound`; `size` returns None, `exists` False;
  `delete` and `delete_tree` of what is missing do nothing; `list` and `children` of an unknown prefix yield
  nothing. A directory is a miss where an object is asked for.
- `put`, `upload`, `copy` and a writer's `commit` replace what is there in one step, and return only after the store
  has accepted all bytes and reports their size back. Repeating either is harmless.
- What a `Writer` was given cannot be seen before `commit` returns; after `abort`, or when the process dies,
  nothing of it remains once the next writer is opened (an object store may keep hidden parts of an upload
  that was killed until its lifecycle rule for them removes them, an SSH server a hidden file for an hour).
- A place that cannot hold an object and a directory of one name raises `Conflict` on the second.
- A `stream` is of one state of the object, whatever is stored at its key meanwhile, or ends with `Unavailable`.
- `download` writes the file it is given and nothing else; on failure the file may hold a part, so the
  caller names a temporary path. It checks that it received as many bytes as the store announced.
- Every method may be called from several threads at once. The implementation retries what a retry may
  help (5xx, timeouts, resets) with backoff, then raises `Unavailable`; the caller does not retry.
- Who opens a backend closes it; after `close` no method may be called.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from penstock.base.errors import Conflict, Invalid, NotFound, Unavailable
from penstock.base.numbers import counted

_NO_PARTS = frozenset(("", ".", ".."))


class Entry(NamedTuple):
    """One stored key, its size, and when it was stored (seconds since 1970; 0 where nobody knows).

    `etag` is what the store calls this state of the object, as it writes it; it changes with the content.
    It is empty where there is no such thing.
    """

    key: str
    size_bytes: int
    modified_s: float = 0.0
    etag: str = ""


class Child(NamedTuple):
    """One name directly in a directory: an object with its size, or a directory, which has none."""

    name: str
    size_bytes: int | None

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.size_bytes is None


class Writer(Protocol):
    """One object on its way in; `commit` or `abort` ends it, and `abort` after either does nothing.

    Not for two threads at once, but each call may come from another one.
    """

    def write(self, chunks: Sequence[bytes]) -> None:
        """Append chunks of bytes; may block until the store can take more."""
        ...

    def commit(self) -> int:
        """Make the object visible and return its size in bytes.

        Raises:
            Unavailable: the store did not keep all bytes; nothing is visible.
        """
        ...

    def abort(self) -> None:
        """Forget everything that was written."""
        ...


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

    @property
    def can_list(self) -> bool:
        """Whether `list` and `children` work; a web server does not say what it holds and raises `Refused`."""
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

    def upload(self, key: str, blocks: Iterable[bytes], size_bytes: int) -> None:
        """Store the bytes of `blocks` at `key`, streaming; they may be gone through more than once.

        What going through them raises is raised, and then nothing of them is visible.

        Raises:
            Invalid: they are not `size_bytes` long.
        """
        ...

    def copy(self, source: str, target: str) -> None:
        """Store at `target` what is at `source`; the bytes stay where they are if the place can do so.

        The copy is what was there at one moment: replacing either later does not change the other.

        Raises:
            NotFound: there is nothing at `source`.
        """
        ...

    def download(self, key: str, target: Path) -> None:
        """Write the bytes at `key` to `target`, streaming."""
        ...

    def stream(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from offset `start` in order, up to some MiB at a time; nothing for an empty range.

        Without `length` to the end; fewer than `length` only at the end of the object.
        """
        ...

    def writer(self, key: str, size_bytes: int | None = None) -> Writer:
        """Open an object for writing; `size_bytes` is how many bytes will come, where that is known."""
        ...

    def find(self, key: str) -> Entry | None:
        """Return what is known of the object at `key`, or None where there is none."""
        ...

    def size(self, key: str) -> int | None:
        """Return the object's size in bytes, or None where there is none."""
        ...

    def exists(self, key: str) -> bool:
        """Say whether there is an object at `key`."""
        ...

    def has_place(self) -> bool:
        """Say whether the place itself is there; a directory is made at the first write, a bucket never is.

        Costs a request: for those who found nothing and want to know why.

        Raises:
            Unavailable: there is no such bucket.
        """
        ...

    def list(self, prefix: str) -> Iterator[Entry]:
        """Yield every object below the directory `prefix` ("" is everything), in no order."""
        ...

    def children(self, prefix: str) -> Iterator[Child]:
        """Yield what lies directly in the directory `prefix` ("" is the root), in no order.

        A directory that holds nothing may be left out; symbolic links are. Cost: the entries of that one
        directory, whatever lies below it.
        """
        ...

    def is_plain(self, key: str) -> bool:
        """Say that the way to `key` leads through no symbolic link; whether it exists is another question."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object at `key`, if any."""
        ...

    def delete_tree(self, prefix: str) -> None:
        """Remove every object below the directory `prefix`; links below it are removed, not followed."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...


def check_key(key: str) -> str:
    """Return `key` when it is a plain relative path.

    Raises:
        Invalid: it is empty, absolute, or has `.`, `..` or empty parts, or a zero byte.
    """
    if not key or key[0] == "/" or "\0" in key or not _NO_PARTS.isdisjoint(key.split("/")):
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


def unmade(backend_url: str, reason: str) -> Unavailable:
    """Make the error for a directory that cannot be made at the first write."""
    return Unavailable(
        f"the directory {backend_url} cannot be made: {' '.join(reason.split())}",
        code="storage.no_directory",
        hint="make it, or change the URL: penstock remote modify NAME url URL",
        url=backend_url,
    )


def replaced(backend_url: str, key: str) -> Unavailable:
    """Make the error for an object that became another one between two reads."""
    return Unavailable(
        f"{key} of {backend_url} was replaced while it was read",
        code="storage.replaced",
        hint="run the same command again",
        key=key,
    )


def in_the_way(backend_url: str, key: str) -> Conflict:
    """Make the error for an object where a directory is, or below another object."""
    return Conflict(
        f"{PurePosixPath(key)} is a directory there, or lies below a file",
        code="storage.in_the_way",
        key=key,
        url=backend_url,
    )


def check_written(backend_url: str, key: str, found: int | None, expected: int) -> None:
    """Check that a store holds as many bytes as it was given.

    Raises:
        Unavailable: it does not.
    """
    if found != expected:
        raise Unavailable(
            f"{backend_url} holds {found} of {counted(expected, 'byte')} of {key} after the upload",
            code="storage.short_write",
            hint="push again",
            key=key,
        )


def check_received(backend_url: str, key: str, received: int, expected: int) -> None:
    """Check that as many bytes came down as the store announced.

    Raises:
        Unavailable: they did not.
    """
    if received != expected:
        raise Unavailable(
            f"{backend_url} sent {received} of {counted(expected, 'byte')} of {key}",
            code="storage.short_read",
            hint="fetch again",
            key=key,
        )


def check_arrived(arrived: int, expected: int | None) -> None:
    """Check that a writer was given as many bytes as were announced to it.

    Raises:
        Invalid: it was not.
    """
    if expected is not None and arrived != expected:
        raise Invalid(
            f"{arrived} of {counted(expected, 'byte')} arrived",
            code="storage.short_upload",
            hint="send all of it again",
        )


def exactly(blocks: Iterable[bytes], size_bytes: int) -> Iterator[bytes]:
    """Yield the blocks of an upload.

    Raises:
        Invalid: together they are not as many bytes as were announced.
    """
    arrived = 0
    for block in blocks:
        arrived += len(block)
        yield block
    check_arrived(arrived, size_bytes)
