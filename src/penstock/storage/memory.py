"""MemoryBackend: objects in a dictionary, for tests and for runs that keep nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from penstock.storage.backend import Child, Entry, Writer, check_arrived, check_key, exactly, missing


class MemoryBackend:
    """A `Backend` that lives and dies with the process."""

    def __init__(self, url: str = "memory://") -> None:
        self.url = url
        self.jobs = 2
        self.can_list = True
        self._objects: dict[str, bytes] = {}

    def get(self, key: str) -> bytes:
        """Return all bytes at `key`."""
        try:
            return self._objects[check_key(key)]
        except KeyError:
            raise missing(self.url, key) from None

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return up to `length` bytes from offset `start`."""
        return self.get(key)[start : start + length]

    def put(self, key: str, data: bytes) -> None:
        """Store `data` at `key`."""
        self._objects[check_key(key)] = bytes(data)

    def upload(self, key: str, blocks: Iterable[bytes], size_bytes: int) -> None:
        """Store the bytes of `blocks` at `key`."""
        self.put(key, b"".join(exactly(blocks, size_bytes)))

    def copy(self, source: str, target: str) -> None:
        """Store at `target` what is at `source`."""
        self.put(target, self.get(source))

    def download(self, key: str, target: Path) -> None:
        """Write the bytes at `key` to `target`."""
        target.write_bytes(self.get(key))

    def stream(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the object's bytes."""
        data = self.get(key)[start : None if length is None else start + length]
        if data:
            yield data

    def writer(self, key: str, size_bytes: int | None = None) -> Writer:
        """Open an object for writing."""
        return _MemoryWriter(self, check_key(key), size_bytes)

    def find(self, key: str) -> Entry | None:
        """Return what is known of the object, or None."""
        data = self._objects.get(check_key(key))
        return None if data is None else Entry(key, len(data))

    def size(self, key: str) -> int | None:
        """Return the object's size in bytes, or None."""
        data = self._objects.get(check_key(key))
        return None if data is None else len(data)

    def exists(self, key: str) -> bool:
        """Say whether there is an object at `key`."""
        return check_key(key) in self._objects

    def has_place(self) -> bool:
        """It is always there."""
        return True

    def list(self, prefix: str) -> Iterator[Entry]:
        """Yield every object below the directory `prefix`."""
        head = f"{prefix.rstrip('/')}/" if prefix else ""
        for key, data in list(self._objects.items()):
            if key.startswith(head):
                yield Entry(key, len(data))

    def children(self, prefix: str) -> Iterator[Child]:
        """Yield what lies directly in the directory `prefix`."""
        start = len(f"{prefix.strip('/')}/") if prefix else 0
        folders: set[str] = set()
        for entry in self.list(prefix):
            name, below, _ = entry.key[start:].partition("/")
            if not below:
                yield Child(name, entry.size_bytes)
            elif name not in folders:
                folders.add(name)
                yield Child(name, None)

    def is_plain(self, key: str) -> bool:
        """There are no links here."""
        return bool(check_key(key))

    def delete(self, key: str) -> None:
        """Remove the object at `key`, if any."""
        self._objects.pop(check_key(key), None)

    def delete_tree(self, prefix: str) -> None:
        """Remove every object below the directory `prefix`."""
        for entry in self.list(check_key(prefix)):
            self.delete(entry.key)

    def close(self) -> None:
        """Forget everything."""
        self._objects.clear()


class _MemoryWriter:
    def __init__(self, backend: MemoryBackend, key: str, size_bytes: int | None) -> None:
        self._backend, self._key, self._expected = backend, key, size_bytes
        self._chunks: list[bytes] = []

    def write(self, chunks: Sequence[bytes]) -> None:
        self._chunks.extend(chunks)

    def commit(self) -> int:
        data = b"".join(self._chunks)
        check_arrived(len(data), self._expected)
        self._backend.put(self._key, data)
        self._chunks.clear()
        return len(data)

    def abort(self) -> None:
        self._chunks.clear()
