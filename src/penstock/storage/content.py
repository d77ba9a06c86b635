"""Content-addressed artifacts over any backend: `objects/<first two>/<rest>` of the sha256.

Writing the same bytes twice is harmless; bytes that do not match their digest are never returned.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from penstock.base.digest import FileBlocks, digest_bytes, digest_file
from penstock.base.errors import Corrupt, NotFound
from penstock.base.files import atomic_path
from penstock.storage.backend import Backend

KEPT = 16  # decoded contents
T = TypeVar("T")


class ContentStore:
    """Artifacts by sha256. Thread-safe as its backend is."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._decoded: dict[tuple[str, object], Any] = {}

    def put(self, data: bytes) -> str:
        """Store bytes and return their sha256."""
        digest = digest_bytes(data)
        key = _key(digest)
        if self.backend.size(key) != len(data):
            self.backend.put(key, data)
        return digest

    def put_file(self, path: Path, digest: str) -> None:
        """Store a file under its sha256, which the caller has just computed."""
        key = _key(digest)
        if self.backend.size(key) != path.stat().st_size:
            self.backend.upload(key, FileBlocks(path), path.stat().st_size)

    def adopt(self, key: str) -> tuple[str, int]:
        """Store what is at another key of the backend under its sha256; return that and the size in bytes.

        The bytes are read once and not copied where the place can keep them. What is read is pinned first,
        so a key that is replaced meanwhile does no harm.

        Raises:
            NotFound: there is nothing at `key`.
        """
        pinned = f"incoming/{uuid.uuid4().hex}"
        self.backend.copy(key, pinned)
        try:
            seen = hashlib.sha256()
            size = 0
            for chunk in self.backend.stream(pinned):
                seen.update(chunk)
                size += len(chunk)
            digest = seen.hexdigest()
            if self.backend.size(_key(digest)) != size:
                self.backend.copy(pinned, _key(digest))
        finally:
            self.backend.delete(pinned)
        return digest, size

    def get(self, digest: str) -> bytes:
        """Return the bytes of a digest.

        Raises:
            NotFound: they are not stored.
            Corrupt: what is stored is something else.
        """
        try:
            data = self.backend.get(_key(digest))
        except NotFound:
            raise self._missing(digest) from None
        if digest_bytes(data) != digest:
            raise self._corrupt(digest)
        return data

    def load(self, digest: str, decode: Callable[[bytes], T]) -> T:
        """Return what `decode` makes of the bytes of a digest; the last few are kept, for all who ask to share.

        Raises:
            NotFound, Corrupt: as `get`.
        """
        key, known = (digest, decode), self._decoded
        if key in known:
            found: T = known[key]
            return found
        made = decode(self.get(digest))
        self._decoded = dict(
            [*list(known.items())[1 - KEPT :], (key, made)]
        )  # others may be looking at `known`
        return made

    def forget(self) -> None:
        """Let go of what was decoded."""
        self._decoded = {}

    def size(self, digest: str) -> int | None:
        """Return how many bytes are stored under a digest, or None; they are not checked."""
        return self.backend.size(_key(digest))

    def delete(self, digest: str) -> None:
        """Remove the bytes of a digest, if any; the caller knows that nothing refers to them."""
        self.backend.delete(_key(digest))

    def stream(self, digest: str) -> Iterator[bytes]:
        """Yield the bytes of a digest; the last chunk comes only when all of them match.

        Raises:
            NotFound: they are not stored.
            Corrupt: what is stored is something else. By then all but its end was yielded.
        """
        seen = hashlib.sha256()
        held = b""
        try:
            for chunk in self.backend.stream(_key(digest)):
                if held:
                    yield held
                seen.update(chunk)
                held = chunk
        except NotFound:
            raise self._missing(digest) from None
        if seen.hexdigest() != digest:
            raise self._corrupt(digest)
        if held:
            yield held

    def check(self, digest: str) -> None:
        """Read the bytes of a digest and check that they match.

        Raises:
            NotFound: they are not stored.
            Corrupt: what is stored is something else.
        """
        for _ in self.stream(digest):
            pass

    def fetch(self, digest: str, target: Path) -> None:
        """Write the bytes of a digest to `target`, in one step and only when they match.

        Raises:
            NotFound: they are not stored.
            Corrupt: what is stored is something else.
        """
        with atomic_path(target) as temporary:
            try:
                self.backend.download(_key(digest), temporary)
            except NotFound:
                raise self._missing(digest) from None
            if digest_file(temporary) != digest:
                raise self._corrupt(digest)

    def _missing(self, digest: str) -> NotFound:
        return NotFound(
            f"artifact {digest[:12]} is not in {self.backend.url}",
            code="storage.artifact_missing",
            hint="check `artifacts:` in penstock.yaml",
            digest=digest,
        )

    def _corrupt(self, digest: str) -> Corrupt:
        return Corrupt(
            f"artifact {digest[:12]} in {self.backend.url} does not match its digest",
            code="storage.artifact_corrupt",
            hint="delete it there and register or run again",
            digest=digest,
        )


def _key(digest: str) -> str:
    return f"objects/{digest[:2]}/{digest[2:]}"
