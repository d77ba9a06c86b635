"""Where a batch job reads and writes: tables and directories of them, on the disk or behind a URL."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from penstock.base.errors import Invalid, NotFound
from penstock.flows.sources.urls import is_remote, resolve_url
from penstock.project.project import Project
from penstock.storage.backend import Backend
from penstock.storage.local import LocalBackend
from penstock.storage.resolve import open_backend, shown_url, split_url

_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,7}")
"""What ends the name of a file, and not that of a directory like `out/2026.11`."""
SUFFIXES = (".parquet", ".csv", ".jsonl", ".ndjson")
WHAT_IS_READ = "a table is .parquet, .csv, .jsonl or .ndjson"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One table that is read; `mark` changes with its content, as far as its place tells that."""

    name: str
    size_bytes: int
    mark: str


@dataclass(frozen=True)
class Place:
    """A file's or directory's key in an opened backend; `url` is what it is called, without secrets."""

    backend: Backend
    key: str
    url: str
    full: str

    @property
    def suffix(self) -> str:
        """The end of its name, which tells a table's format; empty where it is a directory."""
        found = PurePosixPath(self.key).suffix.lower()
        return found if found in SUFFIXES else ""

    @property
    def local(self) -> Path | None:
        """Its path, where it is on this machine's disk."""
        return self.backend.root / self.key if isinstance(self.backend, LocalBackend) else None

    def path_of(self, key: str) -> Path | None:
        """Return the path of another key of the same place, where it is on this machine's disk."""
        return self.backend.root / key if isinstance(self.backend, LocalBackend) else None


@contextmanager
def open_place(project: Project, url: str, directory: Path) -> Iterator[Place]:
    """Open the place that a path (seen from `directory`) or a URL (`remote://NAME/…` too) means, for the block.

    Raises:
        Invalid: it names no file or directory.
    """
    if is_remote(url):
        full, options = resolve_url(project.data if url.startswith("remote://") else None, url)
    else:
        full, options = os.path.abspath(directory / url.removeprefix("file://")), {}
    where, key = split_url(full)
    backend = open_backend(where, options)
    try:
        yield Place(backend, key, shown_url(url), full.rstrip("/"))
    finally:
        backend.close()


def list_sources(place: Place) -> tuple[list[Source], int]:
    """Return the tables at a place by name, and how many other files lie there; hidden ones do not count.

    Raises:
        NotFound: there is nothing.
        Invalid: it is no table, or a directory without any.
    """
    found = place.backend.find(place.key)
    if found is not None:
        if not place.suffix:
            raise Invalid(f"{place.url} is no table", code="batch.no_table", hint=WHAT_IS_READ)
        return [Source(name="", size_bytes=found.size_bytes, mark=found.etag or repr(found.modified_s))], 0
    sources, others = [], 0
    for entry in place.backend.list(place.key):
        name = entry.key[len(place.key) + 1 :]
        if not name or any(part.startswith(("_", ".")) for part in name.split("/")):
            continue
        if PurePosixPath(name).suffix.lower() not in SUFFIXES:
            others += 1
            continue
        mark = entry.etag or repr(entry.modified_s)
        sources.append(Source(name=name, size_bytes=entry.size_bytes, mark=mark))
    if sources:
        return sorted(sources, key=lambda one: one.name), others
    if others:
        raise Invalid(f"{place.url} holds no table", code="batch.no_table", hint=WHAT_IS_READ)
    raise NotFound(
        f"there is nothing at {place.url}", code="batch.no_input", hint="check the path or URL of IN"
    )


class Scratch:
    """A folder for files on their way, which is there from when it is first asked for to the end of the block."""

    def __init__(self) -> None:
        self._made: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *_: object) -> None:
        if self._made is not None:
            self._made.cleanup()

    @property
    def folder(self) -> Path:
        """Return the folder; it is made where it is not there yet."""
        if self._made is None:
            self._made = tempfile.TemporaryDirectory(prefix="penstock-score-")
        return Path(self._made.name)


@contextmanager
def on_disk(place: Place, source: Source, scratch: Scratch) -> Iterator[Path]:
    """Yield the path of a source; one that is elsewhere is downloaded to `scratch` for the block."""
    key = f"{place.key}/{source.name}" if source.name else place.key
    path = place.path_of(key)
    if path is not None:
        yield path
        return
    copy = scratch.folder / f"in{PurePosixPath(key).suffix.lower()}"
    try:
        place.backend.download(key, copy)
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def require_format(place: Place, given: str) -> None:
    """Refuse an OUT that is called as a file of a format that is not written; `DIR.v2/` is a directory.

    Raises:
        Invalid: its ending is none of a table's.
    """
    ending = PurePosixPath(place.key).suffix
    if not place.suffix and not given.endswith("/") and _ENDING.fullmatch(ending):
        raise Invalid(
            f"OUT {place.url} ends with {ending}, which is no format that is written",
            code="batch.no_format",
            hint=f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}; a name that ends with / is a directory of Parquet",
        )


def require_apart(source: Place, target: Place) -> None:
    """Refuse to write over, or among, what is read.

    Raises:
        Invalid: the two places overlap.
    """
    inner, outer = f"{target.full}/", f"{source.full}/"
    if inner.startswith(outer) or outer.startswith(inner):
        raise Invalid(
            f"OUT {target.url} and IN {source.url} overlap",
            code="batch.same_place",
            hint="write to another place: what is read is left alone",
        )
