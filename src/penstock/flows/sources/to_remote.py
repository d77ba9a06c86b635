"""Data from elsewhere that are tracked: copied here (`add --out`), or straight to a remote (`--to-remote`).

What goes to a remote passes by workspace and cache.

What they take of the disk is one batch of files at a time. A directory's list goes last, when all its files
have arrived.

Source: dvc/output.py, `Output.transfer` (3.67).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from penstock.base.errors import Conflict, NotFound, Unavailable
from penstock.base.files import remove_path
from penstock.base.numbers import counted
from penstock.base.staging import staging_name
from penstock.data.cache.hashing import store_file
from penstock.data.cache.transfer import push_objects
from penstock.data.formats.output import HashInfo
from penstock.data.formats.tree import render_tree
from penstock.data.git.ignored import ignore_path
from penstock.data.lock import repository_lock
from penstock.data.objects import ObjectStore
from penstock.data.pointers.pointer import check_inside, find_owner, pointer_path, save_text
from penstock.data.pointers.rendering import render_new, render_updated
from penstock.data.repository import DataRepository
from penstock.data.verbs.adding import Added
from penstock.data.verbs.checkout import check_parents
from penstock.flows.sources.getting import copy_path
from penstock.flows.sources.urls import download_url, is_remote, open_remote
from penstock.flows.tracked.working_tree import add
from penstock.storage.backend import Backend

BATCH_BYTES = 1 << 30  # what lies in the staging directory at a time, unless one file is larger


@dataclass(frozen=True)
class Arriving:
    """Files on their way: sizes by relative path ("" for a single file), and how to get one's local path."""

    sizes: dict[str, int]
    is_directory: bool
    isexec: bool
    bring: Callable[[str, Path], Path]


def send_to_remote(
    repo: DataRepository, source: str, base: Path, *, remote: str | None = None, jobs: int = 0
) -> HashInfo:
    """Copy a file or directory (a path or a URL) to a remote; return what a pointer says of it.

    Raises:
        NotFound: nothing is there, or no such remote.
        Unavailable: not everything arrived; what did stays, and the same call goes on from there.
    """
    backend = repo.remote(remote)
    staging = repo.dvc_dir / "tmp" / "penstock" / staging_name()
    try:
        with _open(repo, source, base) as arriving:
            sender = _Sender(repo, backend, staging, jobs)
            found = {name: sender.send(name, size, arriving.bring) for name, size in arriving.sizes.items()}
            sender.flush()
            total = sum(arriving.sizes.values())
            if not arriving.is_directory:
                return HashInfo(found[""], total, isexec=arriving.isexec)
            tree = sender.send_tree(found)
            return HashInfo(tree, total, len(found))
    finally:
        backend.close()
        shutil.rmtree(staging, ignore_errors=True)


class _Sender:
    """Stores files in a cache of its own until a batch is full, then pushes and forgets them."""

    def __init__(self, repo: DataRepository, backend: Backend, staging: Path, jobs: int) -> None:
        self._repo, self._backend, self._staging, self._jobs = repo, backend, staging, jobs
        self._store = ObjectStore(staging / "cache")
        self._batch: list[HashInfo] = []
        self._held = 0

    def send(self, name: str, size: int, bring: Callable[[str, Path], Path]) -> str:
        if self._batch and self._held + size > BATCH_BYTES:
            self.flush()
        place = self._staging / "file"
        self._staging.mkdir(parents=True, exist_ok=True)
        md5 = store_file(self._store, str(bring(name, place)))
        remove_path(place)
        self._batch.append(HashInfo(md5))
        self._held += size
        return md5

    def send_tree(self, files: Mapping[str, str]) -> str:
        md5 = self._store.put_tree(render_tree(files.items()))
        self._batch.append(HashInfo(md5))
        self.flush()
        return md5

    def flush(self) -> None:
        into = replace(self._repo, cache=self._store)
        done = push_objects(into, self._batch, self._backend, jobs=self._jobs)
        if done.failed:
            md5, why = next(iter(done.failed.items()))
            raise Unavailable(
                f"{counted(len(done.failed), 'object')} did not arrive: {why}",
                code="data.incomplete",
                hint="run the same command again; what arrived is kept",
                first=md5,
            )
        shutil.rmtree(self._store.root, ignore_errors=True)
        self._store, self._batch, self._held = ObjectStore(self._staging / "cache"), [], 0


def add_to_remote(
    repo: DataRepository, source: str, target: Path, base: Path, *, remote: str | None = None, jobs: int = 0
) -> Path:
    """Send a file or directory from elsewhere to a remote and track it as `target`; return the pointer.

    Neither the workspace nor the cache gets the content.

    Raises:
        Conflict: `target` is tracked as a part of something else.
    """
    with repository_lock(repo):
        check_inside(repo, target, "add")
        check_parents(repo, target)
        owner = find_owner(repo, target)
        if owner is not None and owner.outputs[0].path != target:
            raise Conflict(
                f"{repo.relative(target)} is inside {repo.relative(owner.outputs[0].path)}, which is tracked",
                code="data.overlap",
                hint="--out names another place",
            )
        info = send_to_remote(repo, source, base, remote=remote, jobs=jobs)
        pointer = pointer_path(target)
        text = render_new(target.name, info) if owner is None else render_updated(owner, 0, info)
        save_text(pointer, text)
        ignore_path(repo, target)
    return pointer


def add_from(
    repo: DataRepository,
    source: str,
    target: Path,
    base: Path,
    *,
    force: bool = False,
) -> list[Added]:
    """Copy a file or directory from elsewhere (a path or a URL) to `target` and track that.

    Raises:
        NotFound: nothing is there.
        Conflict: something is at the target, and `force` was not given.
    """
    source = source.removeprefix("file://")
    check_inside(repo, target, "add")
    check_parents(repo, target)
    if is_remote(source):
        with open_remote(repo, source) as opened:
            download_url(opened, target, force=force)
    else:
        path = Path(os.path.normpath(base / source))
        if not path.exists():
            raise NotFound(f"{source} does not exist", code="data.path_missing", path=source)
        copy_path(path, target, force=force)
    return add(repo, [target])


@contextmanager
def _open(repo: DataRepository, source: str, base: Path) -> Iterator[Arriving]:
    source = source.removeprefix("file://")
    if is_remote(source):
        with open_remote(repo, source) as opened:

            def download(name: str, place: Path) -> Path:
                opened.backend.download(opened.files[name].key, place)
                return place

            sizes = {name: entry.size_bytes for name, entry in opened.files.items()}
            yield Arriving(sizes, opened.is_directory, False, download)
        return
    path = Path(os.path.normpath(base / source))
    if path.is_dir():
        files = sorted(
            os.path.relpath(os.path.join(folder, name), path)
            for folder, _, names in os.walk(path)
            for name in names
        )
        sizes = {name: (path / name).stat().st_size for name in files}
        yield Arriving(sizes, True, False, lambda name, _: path / name)
    elif path.is_file():
        info = path.stat()
        yield Arriving({"": info.st_size}, False, bool(info.st_mode & 0o100), lambda _, __: path)
    else:
        raise NotFound(f"{source} does not exist", code="data.path_missing", path=source)
