"""HttpBackend: files on a web server, read only.

A web server has no listing that programs agree on, so `list` and `children` are refused and `can_list` is
False; what writes is refused too. A URL with a query is a place with one object, named by the last part of
its path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from penstock.base.errors import Denied, Refused, Unavailable
from penstock.storage.backend import Child, Entry, Writer, check_key, missing
from penstock.storage.object_store.backend import ObjectStoreBackend


class HttpBackend(ObjectStoreBackend):
    """A `Backend` that only reads. Safe for many threads."""

    def __init__(self, store: Any, url: str, jobs: int = 16) -> None:
        super().__init__(store, url, jobs)
        self.can_list = self._has_ranges = False
        place = urlsplit(url)
        self._only = unquote(place.path.rpartition("/")[2]) if place.query else None

    def _check(self, key: str) -> str:
        check_key(key)
        if self._only is None:
            return key
        if key != self._only:
            raise missing(self.url, key)
        return ""  # the store's URL is the object's

    def find(self, key: str) -> Entry | None:
        """Return what is known of the file, or None; a server that refuses to say (HEAD) is asked for it (GET)."""
        try:
            return super().find(key)
        except (Denied, Unavailable):
            return self.find_by_get(key)

    def list(self, prefix: str) -> Iterator[Entry]:
        """Refuse: a web server does not say what it holds."""
        raise self._refused("be listed")

    def children(self, prefix: str) -> Iterator[Child]:
        """Refuse: a web server does not say what it holds."""
        raise self._refused("be listed")

    def put(self, key: str, data: bytes) -> None:
        """Refuse."""
        raise self._refused("be written to")

    def upload(self, key: str, blocks: Iterable[bytes], size_bytes: int) -> None:
        """Refuse."""
        raise self._refused("be written to")

    def copy(self, source: str, target: str) -> None:
        """Refuse."""
        raise self._refused("be written to")

    def writer(self, key: str, size_bytes: int | None = None) -> Writer:
        """Refuse."""
        raise self._refused("be written to")

    def delete(self, key: str) -> None:
        """Refuse."""
        raise self._refused("be written to")

    def delete_tree(self, prefix: str) -> None:
        """Refuse."""
        raise self._refused("be written to")

    def _refused(self, what: str) -> Refused:
        return Refused(
            f"{self.url} is a web server: it cannot {what}",
            code="storage.read_only",
            hint="push to the place behind it (s3://, ssh://, a directory), fetch from here",
            url=self.url,
        )
