"""ObjectStoreBackend: S3 (any endpoint), Google Cloud Storage, Azure Blob and HTTP through obstore.

The only module that imports obstore. It translates its errors, bounds its retries, and checks every
upload: a single PUT by its ETag where that is the MD5, everything else by the size the store reports.
Environment credentials (`AWS_*`, instance roles, …) are read by obstore itself.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore, HTTPStore, S3Store

from penstock.base.errors import Invalid, NotFound, PenstockError, Unavailable
from penstock.storage.backend import (
    Child,
    Entry,
    Writer,
    check_key,
    check_received,
    check_written,
    exactly,
    missing,
    replaced,
)
from penstock.storage.object_store.errors import failure, is_not_allowed, is_place_missing, no_place, said
from penstock.storage.object_store.parts_writer import (
    SINGLE_BYTES,
    WRITER_JOBS,
    PartsWriter,
    choose_part_bytes,
)
from penstock.storage.object_store.read_ahead import ReadAhead, split_range

UPLOAD_JOBS = 8  # parts of one file under way at once
COPY_BYTES = 4 << 30  # S3 copies at most 5 GB in one request
READ_BYTES = 4 << 20
AHEAD_BYTES = 32 << 20  # above this an object comes down in parts, several at once
MAX_JOBS = 64
RETRY: dict[str, Any] = {
    "max_retries": 5,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2},
}
DENIED = (PermissionError, exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """How to reach a store: the client's settings under obstore's names.

    `config` holds `endpoint`, `region`, `access_key_id` and so on; `client` the HTTP client's settings
    (`allow_http`, `timeout`). `lack` says why no credentials stand in `config`, where that is known.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    client: Mapping[str, Any] = field(default_factory=dict)
    lack: str = ""


class ObjectStoreBackend:
    """A `Backend` over one obstore store. Safe for many threads."""

    def __init__(self, store: Any, url: str, jobs: int = 16, *, lack: str = "") -> None:
        self._store = store
        self._lack = lack
        self.url = url
        self.jobs = jobs
        self.can_list = self._has_ranges = True
        self._ahead: ReadAhead | None = None

    def _check(self, key: str) -> str:
        return check_key(key)

    def get(self, key: str) -> bytes:
        """Return all bytes at `key`."""
        return self._call(key, lambda: bytes(obstore.get(self._store, self._check(key)).bytes()))

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return up to `length` bytes from offset `start`."""
        size = self.size(key)
        if size is None:
            raise missing(self.url, key)
        length = min(length, size - start)
        if length <= 0:
            return b""
        return self._call(
            key, lambda: bytes(obstore.get_range(self._store, self._check(key), start=start, length=length))
        )

    def put(self, key: str, data: bytes) -> None:
        """Store `data` at `key`."""
        check_key(key)
        done = self._call(key, lambda: obstore.put(self._store, key, data, use_multipart=False))
        etag = (done.get("e_tag") or "").strip('"')
        if etag != hashlib.md5(data, usedforsecurity=False).hexdigest():
            self._check_size(key, len(data))

    def upload(self, key: str, blocks: Iterable[bytes], size_bytes: int) -> None:
        """Store the bytes of `blocks` at `key`; above 16 MiB in parts that go up while the next are read."""
        check_key(key)
        if size_bytes <= SINGLE_BYTES:
            self.put(key, b"".join(exactly(blocks, size_bytes)))
            return
        self._send(key, exactly(blocks, size_bytes), choose_part_bytes(size_bytes), UPLOAD_JOBS)
        self._check_size(key, size_bytes)

    def _send(self, key: str, chunks: Iterator[bytes], chunk_size: int, jobs: int) -> None:
        self._call(
            key,
            lambda: obstore.put(
                self._store, key, chunks, use_multipart=True, chunk_size=chunk_size, max_concurrency=jobs
            ),
        )

    def _check_size(self, key: str, expected: int) -> None:
        check_written(self.url, key, self.size(key), expected)

    def writer(self, key: str, size_bytes: int | None = None) -> Writer:
        """Open an object for writing; what is larger than 16 MiB goes up in parts while it comes in."""
        check_key(key)

        def send(chunks: Iterator[bytes], part_bytes: int) -> None:
            self._send(key, chunks, part_bytes, WRITER_JOBS)

        return PartsWriter(
            size_bytes,
            put=lambda data: self.put(key, data),
            send=send,
            check=lambda size: self._check_size(key, size),
        )

    def copy(self, source: str, target: str) -> None:
        """Store at `target` what is at `source`; up to 4 GiB the store copies by itself."""
        size = self.size(source)
        if size is None:
            raise missing(self.url, source)
        if size <= COPY_BYTES:
            self._call(source, lambda: obstore.copy(self._store, source, check_key(target)))
            self._check_size(target, size)
            return
        writer = self.writer(target, size)
        try:
            for chunk in self.stream(source):
                writer.write([chunk])
            writer.commit()
        finally:
            writer.abort()

    def download(self, key: str, target: Path) -> None:
        """Write the bytes at `key` to `target`."""

        with target.open("wb") as out:
            for chunk in self.stream(key):
                out.write(chunk)

    def stream(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the object's bytes, checking that as many come as were announced."""
        if length is not None and length <= 0:
            return
        options: Any = None
        if length is not None:
            options = {"range": (start, start + length)}
        elif start:
            options = {"range": {"offset": start}}
        try:
            answer = self._call(key, lambda: obstore.get(self._store, self._check(key), options=options))
        except Unavailable:
            if options and (size := self.size(key)) is not None and start >= size:
                return  # a store answers 416, which obstore does not tell from a failure
            raise
        first, end = answer.range
        expected, received = end - first, 0
        if expected <= READ_BYTES:
            data = self._call(key, lambda: bytes(answer.bytes()))
            received = len(data)
            if data:
                yield data
        elif self._has_ranges and expected > AHEAD_BYTES and (etag := answer.meta.get("e_tag")):
            del answer  # its connection with it
            self._ahead = self._ahead or ReadAhead()
            yield from self._ahead.read(split_range(first, end), partial(self._get_part, key, etag))
            return
        else:
            chunks = iter(answer.stream(min_chunk_size=READ_BYTES))
            while (chunk := self._call(key, lambda: next(chunks, None))) is not None:
                received += len(chunk)
                yield bytes(chunk)
        check_received(self.url, key, received, expected)

    def _get_part(self, key: str, etag: str, start: int, end: int) -> bytes:
        options: Any = {"range": (start, end), "if_match": etag}
        data = self._call(
            key, lambda: bytes(obstore.get(self._store, self._check(key), options=options).bytes())
        )
        check_received(self.url, key, len(data), end - start)
        return data

    def find(self, key: str) -> Entry | None:
        """Return what is known of the object, or None."""
        try:
            found = self._call(key, lambda: obstore.head(self._store, self._check(key)))
        except NotFound:
            return None
        return _entry(key, found)

    def find_by_get(self, key: str) -> Entry | None:
        """Return what `find` does, from the head of an answer whose body is left unread."""
        try:
            answer = self._call(key, lambda: obstore.get(self._store, self._check(key)))
        except NotFound:
            return None
        return _entry(key, answer.meta)

    def size(self, key: str) -> int | None:
        """Return the object's size in bytes, or None."""
        found = self.find(key)
        return None if found is None else found.size_bytes

    def exists(self, key: str) -> bool:
        """Say whether there is an object at `key`."""
        return self.size(key) is not None

    def has_place(self) -> bool:
        """Ask for a first page, since a HEAD of what is missing does not tell why; a bucket is there or an error."""
        if self.can_list:
            next(self.list(""), None)
        return True

    def list(self, prefix: str) -> Iterator[Entry]:
        """Yield every object below the directory `prefix`."""
        pages = iter(obstore.list(self._store, prefix.rstrip("/") or None, chunk_size=1000))
        while True:
            page = self._call(prefix, lambda: next(pages, None))
            if page is None:
                return
            for item in page:
                yield _entry(item["path"], item)

    def children(self, prefix: str) -> Iterator[Child]:
        """Yield what lies directly in the directory `prefix`."""
        prefix = prefix.strip("/")
        start = len(prefix) + 1 if prefix else 0
        found = self._call(prefix, lambda: obstore.list_with_delimiter(self._store, prefix or None))
        for folder in found["common_prefixes"]:
            yield Child(folder.rstrip("/")[start:], None)
        for item in found["objects"]:
            if name := item["path"][start:]:
                yield Child(name, int(item["size"]))

    def is_plain(self, key: str) -> bool:
        """There are no links here."""
        return bool(check_key(key))

    def delete(self, key: str) -> None:
        """Remove the object at `key`, if any."""
        try:
            self._call(key, lambda: obstore.delete(self._store, check_key(key)))
        except NotFound:
            return

    def delete_tree(self, prefix: str) -> None:
        """Remove every object below the directory `prefix`, a thousand in one request where the store can."""
        entries = self.list(check_key(prefix))
        while keys := [entry.key for entry in itertools.islice(entries, 1000)]:
            with suppress(NotFound):
                self._call(prefix, lambda keys=keys: obstore.delete(self._store, keys))  # type: ignore[misc]

    def close(self) -> None:
        """Let go of the connections."""
        if self._ahead is not None:
            self._ahead.close()
        self._store = None

    def _call(self, key: str, action: Callable[[], T]) -> T:
        try:
            return action()
        except (FileNotFoundError, exceptions.NotFoundError) as error:
            if is_not_allowed(error):
                raise failure(error, self.url, key, is_denied=False, lack=self._lack) from error
            raise (no_place(self.url) if is_place_missing(error) else missing(self.url, key)) from None
        except PenstockError:
            raise
        except exceptions.PreconditionError:
            raise replaced(self.url, key) from None
        except (exceptions.BaseError, OSError, ValueError) as error:
            is_denied = isinstance(error, DENIED)
            raise failure(error, self.url, key, is_denied=is_denied, lack=self._lack) from error


def _entry(key: str, found: Mapping[str, Any]) -> Entry:
    return Entry(key, int(found["size"]), found["last_modified"].timestamp(), found.get("e_tag") or "")


def open_s3(bucket: str, prefix: str, options: Options, url: str) -> ObjectStoreBackend:
    """Open a bucket of S3 or anything that speaks it."""
    return _open(
        lambda retry: S3Store(
            bucket,
            prefix=prefix or None,
            config=dict(options.config),  # type: ignore[arg-type]
            client_options=dict(options.client),  # type: ignore[arg-type]
            retry_config=retry,
        ),
        url,
        options.lack,
    )


def open_gcs(bucket: str, prefix: str, options: Options, url: str) -> ObjectStoreBackend:
    """Open a Google Cloud Storage bucket."""
    return _open(
        lambda retry: GCSStore(
            bucket,
            prefix=prefix or None,
            config=dict(options.config),  # type: ignore[arg-type]
            client_options=dict(options.client),  # type: ignore[arg-type]
            retry_config=retry,
        ),
        url,
    )


def open_azure(container: str, prefix: str, options: Options, url: str) -> ObjectStoreBackend:
    """Open an Azure Blob container."""
    return _open(
        lambda retry: AzureStore(
            container,
            prefix=prefix or None,
            config=dict(options.config),  # type: ignore[arg-type]
            client_options=dict(options.client),  # type: ignore[arg-type]
            retry_config=retry,
        ),
        url,
    )


def open_http(url: str, options: Options, shown: str) -> Any:
    """Return obstore's client of a web server, for `penstock.storage.object_store.webserver`."""
    return _open_store(
        lambda retry: HTTPStore.from_url(
            url,
            client_options=dict(options.client),  # type: ignore[arg-type]
            retry_config=retry,
        ),
        shown,
    )


def _open(make: Callable[[Any], Any], url: str, lack: str = "") -> ObjectStoreBackend:
    return ObjectStoreBackend(_open_store(make, url), url, lack=lack)


def _open_store(make: Callable[[Any], Any], url: str) -> Any:
    try:
        return make(RETRY)
    except (exceptions.BaseError, ValueError, TypeError) as error:
        raise Invalid(
            f"the remote {url} cannot be opened: {said(error)}",
            code="storage.bad_options",
            hint="penstock remote modify NAME OPTION VALUE",
            url=url,
        ) from error
