"""MemoryBackend: objects in a dictionary, for tests and for runs that keep nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from penstock.storage.backend import Entry, check_key, missing


class MemoryBackend:
    """A `Backend` that lives and dies with the process."""

    def __init__(self, url: str = "memory://") -> None:
        self.url = url
        self.jobs = 2
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

    def upload(self, key: str, source: Path) -> None:
        """Store a file's bytes at `key`."""
        self.put(key, source.read_bytes())

    def download(self, key: str, target: Path) -> None:
        """Write the bytes at `key` to `target`."""
        target.write_bytes(self.get(key))

    def stream(self, key: str) -> Iterator[bytes]:
        """Yield the object's bytes."""
        data = self.get(key)
        if data:
            yield data

    def size(self, key: str) -> int | None:
        """Return the object's size in bytes, or None."""
        data = self._objects.get(check_key(key))
        return None if data is None else len(data)

    def exists(self, key: str) -> bool:
        """Say whether there is an object at `key`."""
        return check_key(key) in self._objects

    def list(self, prefix: str) -> Iterator[Entry]:
        """Yield every object below the directory `prefix`."""
        head = f"{prefix.rstrip('/')}/" if prefix else ""
        for key, data in list(self._objects.items()):
            if key.startswith(head):
                yield Entry(key, len(data))

    def delete(self, key: str) -> None:
        """Remove the object at `key`, if any."""
        self._objects.pop(check_key(key), None)

    def close(self) -> None:
        """Forget everything."""
        self._objects.clear()
