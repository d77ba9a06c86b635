"""Files and directories behind a URL (`s3://`, `azure://`, `ssh://`, `https://`, `remote://name/path`, …).

What a `.dvc` file notes of such a source is what tells its next state apart without reading it: the store's
ETag, a web server's ETag as `checksum`, and the md5 of the content where a server has neither (SSH, local, a web
server without ETags).
A directory's note is the digest of the list of its files with their notes.

Source: dvc/dependency/base.py, dvc_data/hashfile/meta.py and build.py (3.67, 3.18).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from penstock.base.errors import Corrupt, Invalid, NotFound
from penstock.base.replacing import appearing
from penstock.base.threads import thread_pool
from penstock.data.formats.tree import check_relpath, parse_tree, render_tree, tree_md5
from penstock.data.repository import DataRepository
from penstock.storage.backend import Backend, Entry
from penstock.storage.resolve import open_backend, shown_url, split_url

Note = Literal["etag", "checksum", "md5"]
NOTES: Mapping[str, Note] = {
    "s3": "etag",
    "gs": "etag",
    "azure": "etag",
    "http": "checksum",
    "https": "checksum",
}
NOTE_KEYS = ("md5", "etag", "checksum")
T = TypeVar("T")


@dataclass(frozen=True)
class RemoteSource:
    """A file, or a directory with its files by relative path, as its server describes it now."""

    url: str
    backend: Backend
    key: str
    note: Note
    files: Mapping[str, Entry]
    is_directory: bool
    jobs: int

    def describe(self) -> dict[str, Any]:
        """Return what a pointer notes of the source; content is read only where nothing else tells it apart.

        Raises:
            Invalid: the server does not tell the file's states apart.
        """
        notes = dict(zip(self.files, self._map(self._note_of, list(self.files.values())), strict=True))
        size = sum(entry.size_bytes for entry in self.files.values())
        if not self.is_directory:
            return {self.note: notes[""], "size": size}
        if self.note == "md5":
            digest = tree_md5(render_tree(notes.items()))
        else:
            body = [{self.note: notes[name], "relpath": name} for name in sorted(notes)]
            digest = tree_md5(json.dumps(body, sort_keys=True).encode())
        return {"md5": digest, "size": size, "nfiles": len(notes)}

    def _note_of(self, entry: Entry) -> str:
        if self.note == "md5":
            digest = hashlib.md5(usedforsecurity=False)
            for chunk in self.backend.stream(entry.key):
                digest.update(chunk)
            return digest.hexdigest()
        if not entry.etag:
            raise Invalid(
                f"{self.url} has no ETag, which would tell its next state from this one",
                code="data.no_etag",
                hint="penstock get-url URL, then penstock add",
                url=self.url,
            )
        scheme, bare = self.backend.url.partition("://")[0], entry.etag.strip('"')
        if scheme == "azure":
            return f'"{bare}"'  # Azure quotes it for one blob, not in a listing; DVC always does
        return bare if scheme in {"s3", "gs"} else entry.etag

    def download(self, target: Path) -> None:
        """Copy the source to `target`, which is not there yet; what fails leaves a part of it.

        Raises:
            NotFound: a file vanished meanwhile.
            Corrupt: fewer or more bytes came than the server had announced.
        """
        places = []
        for name, entry in self.files.items():
            place = target / name if name else target
            place.parent.mkdir(parents=True, exist_ok=True)
            places.append((entry, place))

        def bring(one: tuple[Entry, Path]) -> None:
            entry, place = one
            self.backend.download(entry.key, place)
            if place.stat().st_size != entry.size_bytes:
                raise Corrupt(
                    f"{self.url} changed while it was downloaded, or sent too little: {entry.key}",
                    code="storage.short_read",
                    hint="run the same command again",
                    url=self.url,
                )

        self._map(bring, places)

    def _map(self, action: Callable[[Any], T], items: Sequence[Any]) -> list[T]:
        workers = min(self.jobs or self.backend.jobs, len(items))
        with thread_pool(workers) as pool:
            return list(pool.map(action, items))


def is_remote(url: str) -> bool:
    """Say whether a URL leads to a server or a configured remote, not to a path."""
    return "://" in url and not url.startswith("file://")


@contextmanager
def open_remote(
    repo: DataRepository | None, url: str, options: Mapping[str, str] | None = None, *, jobs: int = 0
) -> Iterator[RemoteSource]:
    """Look at what is at a URL, for the block.

    Args:
        repo: whose configuration names the remotes of `remote://` URLs; None outside of a repository.
        url: the file's or directory's.
        options: keys of a DVC remote (`fs_config`), over those of a named remote.
        jobs: files at once; 0 is the backend's own choice.

    Raises:
        NotFound: nothing is there.
        Invalid: the URL names no file, or a name in the directory leads out of it.
    """
    full, settings = resolve_url(repo, url)
    place, key = split_url(full)
    backend = open_backend(place, {**settings, **(options or {})})
    try:
        shown = shown_url(url)
        note = NOTES.get(full.partition("://")[0] if "://" in full else "", "md5")
        files, is_directory = _look(backend, key, shown)
        if note == "checksum" and not all(entry.etag for entry in files.values()):
            note = "md5"  # such as Python's own server: only the content tells
        yield RemoteSource(shown, backend, key, note, files, is_directory, jobs)
    finally:
        backend.close()


def resolve_url(repo: DataRepository | None, url: str) -> tuple[str, dict[str, str]]:
    """Return the URL and options that a URL means; `remote://NAME/PATH` is a configured remote's.

    Raises:
        NotFound: there is no such remote, or no repository that could have one.
    """
    if not url.startswith("remote://"):
        return url, {}
    name, _, path = url.removeprefix("remote://").partition("/")
    if repo is None:
        raise NotFound(
            f"{url} names a remote, and this is no repository",
            code="data.no_remote",
            hint="run it inside the repository that has the remote",
        )
    base, settings = repo.remote_settings(name)
    return f"{base.rstrip('/')}/{path}", settings


def _look(backend: Backend, key: str, url: str) -> tuple[dict[str, Entry], bool]:
    found = backend.find(key)
    if found is not None:
        return {"": found}, False
    files: dict[str, Entry] = {}
    if backend.can_list:
        start = len(key) + 1
        for entry in backend.list(key):
            name = entry.key[start:]
            if not name or (name.endswith("/") and entry.size_bytes == 0):
                continue  # an empty object that stands for a directory
            files[_check_name(name, url)] = entry
    if not files:
        raise NotFound(f"{url} does not exist", code="data.path_missing", hint="check the URL", url=url)
    parse_tree(render_tree((name, "0" * 32) for name in files), url)  # no file is also a directory
    return files, True


def _check_name(name: str, url: str) -> str:
    try:
        return check_relpath(name, url)
    except Corrupt:
        raise Invalid(
            f"{url} holds the name {name!r}, which would lead out of the directory",
            code="data.bad_path",
            hint=None,
            url=url,
        ) from None


def download_url(source: RemoteSource, target: Path, *, force: bool = False) -> None:
    """Copy a source to `target`, which appears in one step.

    Raises:
        Conflict: something is at the target, and `force` was not given.
    """
    with appearing(target, force=force) as temporary:
        source.download(temporary)
