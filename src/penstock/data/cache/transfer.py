"""Objects between the cache and a remote.

Push order: every file of a directory first, its tree object last and only when all of them arrived, since
a tree on a remote is taken as proof of its files. Fetch order: the tree, then its files. A downloaded object
enters the cache only when its bytes match its name. Each object stands alone, so an interrupted transfer
resumes where it stopped. What fails is counted and reported, not raised, as long as the remote answers.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from penstock.base.digest import FileBlocks, read_up_to
from penstock.base.errors import Corrupt, Denied, NotFound, PenstockError, Refused, Unavailable
from penstock.base.threads import thread_pool
from penstock.data.files.forking import Failure, map_forked
from penstock.data.formats.output import TREE_SUFFIX, HashInfo, check_md5
from penstock.data.formats.tree import parse_tree, tree_md5
from penstock.data.objects import FEW, SMALL_BYTES, corrupt_object, object_missing, unreadable_object
from penstock.data.repository import DataRepository
from penstock.storage.backend import Backend
from penstock.storage.local import LocalBackend

Progress = Callable[[int, int, int], None]  # objects done, objects in all, bytes done
MAX_LOOKED_FOR = 200_000  # files; S3 lists a thousand at a time, in some 50 ms
SHOWN_AT_ONCE = 2048  # objects between two steps of a local transfer that somebody watches
MAX_PAGES_SHARE = 8  # list the remote when it is at most this many times larger than what is asked for
GIVE_UP_AFTER = 20  # failures in a row that mean the remote is gone
FIRST_OF_EACH, PARTS_OF_EACH, MAX_PART = 4, 16, 16  # see `_share_out`


@dataclass
class Transfer:
    """What a push or fetch did: counts, bytes, and the objects that failed with the reason.

    `missing` are those of the failed that are not where they should come from, `damaged` those whose bytes there
    are not what their names say: another try helps neither.
    """

    done: int = 0
    total_bytes: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    damaged: set[str] = field(default_factory=set)

    def add(self, other: Transfer) -> None:
        """Add another transfer's numbers."""
        self.done += other.done
        self.total_bytes += other.total_bytes
        self.failed.update(other.failed)
        self.missing.update(other.missing)
        self.damaged.update(other.damaged)


def remote_key(md5: str) -> str:
    """Return where an object is on a remote."""
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def push_objects(
    repo: DataRepository,
    hashes: Iterable[HashInfo],
    remote: Backend,
    *,
    jobs: int = 0,
    progress: Progress | None = None,
) -> Transfer:
    """Upload everything the given hashes name that the remote lacks.

    A list of files that is there proves nothing of its files: they are looked for too, up to `MAX_LOOKED_FOR`.

    Raises:
        Unavailable: the remote does not answer; what arrived stays and is not sent again.
        Denied: the remote refuses the credentials.
        Refused: it is a web server, which takes nothing.
    """
    trees: dict[str, set[str]] = {}
    files: set[str] = set()
    for info in hashes:
        check_md5(info.md5, "hash")
        if info.is_tree:
            trees.setdefault(info.md5, set())
        else:
            files.add(info.md5)
    absent_trees = find_absent(remote, trees)
    result = Transfer()
    for md5 in list(absent_trees):
        try:
            trees[md5] = set(repo.cache.load_tree(HashInfo(md5)).values())
        except NotFound as error:
            _fail(result, md5, error)
            absent_trees.remove(md5)
        files |= trees[md5]
    files |= _listed_there(repo, trees.keys() - set(absent_trees))
    absent = find_absent(remote, files)
    sent = _run(remote, absent, lambda md5: _push_one(repo, remote, md5), jobs, progress)
    result.add(sent)
    ready = [md5 for md5 in absent_trees if not trees[md5] & sent.failed.keys()]
    for md5 in set(absent_trees) - set(ready):
        result.failed[md5] = "not all of its files arrived"
        if trees[md5] & sent.failed.keys() <= sent.missing:
            result.missing.add(md5)
    result.add(_run(remote, ready, lambda md5: _push_one(repo, remote, md5), jobs, None))
    return result


def _listed_there(repo: DataRepository, trees: Collection[str]) -> set[str]:
    """Return the files of directories whose lists a remote has; none of lists that are not here."""
    files: set[str] = set()
    for md5 in trees:
        with suppress(NotFound):
            listed = repo.cache.load_files(HashInfo(md5))
            if len(files) + len(listed) > MAX_LOOKED_FOR:
                break
            files.update(listed.values())
    return files


def replace_objects(
    repo: DataRepository, md5s: Collection[str], remote: Backend, *, jobs: int = 0
) -> Transfer:
    """Upload the given objects over whatever the remote holds in their places, trees after their files.

    Raises:
        Unavailable, Denied, Refused: as for a push.
    """
    trees = {md5 for md5 in md5s if md5.endswith(TREE_SUFFIX)}
    result = _run(remote, set(md5s) - trees, lambda md5: _push_one(repo, remote, md5), jobs, None)
    whole: set[str] = set()
    for md5 in sorted(trees):
        try:
            inner = set(repo.cache.load_tree(HashInfo(md5)).values())
        except PenstockError as error:
            _fail(result, md5, error)
            continue
        if inner & result.failed.keys():
            result.failed[md5] = "not all of its files arrived"
        else:
            whole.add(md5)
    result.add(_run(remote, whole, lambda md5: _push_one(repo, remote, md5), jobs, None))
    return result


def _push_one(repo: DataRepository, remote: Backend, md5: str) -> int:
    path = repo.cache.path(md5)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = read_up_to(descriptor, SMALL_BYTES)
        finally:
            os.close(descriptor)
        size = len(data)
        if size < SMALL_BYTES:
            _check_object(hashlib.md5(data, usedforsecurity=False).hexdigest(), md5, path)
            remote.put(remote_key(md5), data)
        else:
            size = os.stat(path).st_size
            remote.upload(remote_key(md5), _CheckedObject(path, md5), size)
    except FileNotFoundError:
        raise object_missing(md5) from None
    except PermissionError:
        raise unreadable_object(md5, path) from None
    return size


class _CheckedObject:
    """The blocks of a cached object; going through them ends with an error unless they are what its name says."""

    def __init__(self, path: str, md5: str) -> None:
        self._path, self._md5 = path, md5

    def __iter__(self) -> Iterator[bytes]:
        """Yield the blocks.

        Raises:
            Corrupt: their md5, known at the end, is not the object's.
            NotFound, Unavailable: the object cannot be read.
        """
        digest = hashlib.md5(usedforsecurity=False)
        for block in FileBlocks(Path(self._path)):
            digest.update(block)
            yield block
        _check_object(digest.hexdigest(), self._md5, self._path)


def _check_object(found: str, md5: str, path: str) -> None:
    """Refuse a cached object whose bytes have another digest than its name, that of a list's without its suffix, says."""
    if found != md5.removesuffix(TREE_SUFFIX):
        raise corrupt_object(md5, path)


def fetch_objects(
    repo: DataRepository,
    hashes: Iterable[HashInfo],
    remote: Backend,
    *,
    jobs: int = 0,
    progress: Progress | None = None,
) -> Transfer:
    """Download everything the given hashes name that the cache lacks, checking every byte.

    Raises:
        Unavailable: the remote does not answer; what arrived stays.
        Denied: the remote refuses the credentials.
    """
    wanted = list(hashes)
    for info in wanted:
        check_md5(info.md5, "hash")
    trees = {info.md5 for info in wanted if info.is_tree}
    files = {info.md5 for info in wanted if not info.is_tree}
    result = fetch_trees(repo, trees, remote, jobs=jobs)
    for md5 in trees - result.failed.keys():
        files.update(repo.cache.load_tree(HashInfo(md5)).values())
    result.add(
        _run(remote, repo.cache.missing(files), lambda md5: _fetch_one(repo, remote, md5), jobs, progress)
    )
    return result


def fetch_trees(repo: DataRepository, trees: Collection[str], remote: Backend, *, jobs: int = 0) -> Transfer:
    """Download the tree objects that the cache lacks, not the files that they list."""
    return _run(remote, repo.cache.missing(trees), lambda md5: _fetch_one(repo, remote, md5), jobs, None)


def _fetch_one(repo: DataRepository, remote: Backend, md5: str) -> int:
    if md5.endswith(TREE_SUFFIX):
        data = remote.get(remote_key(md5))
        if tree_md5(data) != md5:
            raise _bad_download(remote, md5)
        parse_tree(data, md5)
        repo.cache.put_bytes(data, md5)
        return len(data)
    chunks = remote.stream(remote_key(md5))
    first = next(chunks, b"")
    second = next(chunks, None)
    if second is not None:
        return _fetch_large(repo, remote, md5, itertools.chain((first, second), chunks))
    if hashlib.md5(first, usedforsecurity=False).hexdigest() != md5:
        raise _bad_download(remote, md5)
    repo.cache.put_bytes(first, md5)
    return len(first)


def _fetch_large(repo: DataRepository, remote: Backend, md5: str, chunks: Iterable[bytes]) -> int:
    """Write an object while a thread of its own hashes it: the hash is what takes longest."""
    digest = hashlib.md5(usedforsecurity=False)
    size = 0
    with repo.cache.staging() as temporary:
        with open(temporary, "xb", buffering=0) as out, thread_pool(1) as hashing:
            hashed: Future[None] | None = None
            for chunk in chunks:
                if hashed is not None:
                    hashed.result()
                hashed = hashing.submit(digest.update, chunk)
                size += len(chunk)
                rest = memoryview(chunk)
                while rest:
                    rest = rest[out.write(rest) :]
        if digest.hexdigest() != md5:
            raise _bad_download(remote, md5)
        repo.cache.accept(temporary, md5)
    return size


def _bad_download(remote: Backend, md5: str) -> Corrupt:
    return Corrupt(
        f"{remote.url} holds damaged bytes for object {md5}",
        code="data.object_corrupt",
        hint="penstock push from a repository that has it",
        md5=md5,
    )


def find_absent(remote: Backend, md5s: Collection[str]) -> list[str]:
    """Return those names that the remote does not hold, sorted.

    Few names are asked for one by one. For many, the remote is listed, but never further than
    `MAX_PAGES_SHARE` times the number of names; the rest are asked for again.
    """
    asked = sorted(md5s)
    if not asked:
        return []
    if isinstance(remote, LocalBackend) and len(asked) > FEW:
        by_prefix = {md5[:2] for md5 in asked}
        here = {prefix + name for prefix in by_prefix for name in remote.list_names(f"files/md5/{prefix}")}
        return [md5 for md5 in asked if md5 not in here]
    with thread_pool(remote.jobs) as pool:
        unknown = asked
        if len(asked) > 64 and remote.can_list:
            present, is_complete = pool.submit(_list_some, remote, len(asked) * MAX_PAGES_SHARE).result()
            unknown = [md5 for md5 in asked if md5 not in present]
            if is_complete:
                return unknown
        found = pool.map(remote.exists, [remote_key(md5) for md5 in unknown])
        return [md5 for md5, there in zip(unknown, found, strict=True) if not there]


def _list_some(remote: Backend, limit: int) -> tuple[set[str], bool]:
    """Return up to `limit` names that the remote holds, and whether these are all."""
    present: set[str] = set()
    for count, entry in enumerate(remote.list("files/md5")):
        if count >= limit:
            return present, False
        present.add(entry.key[10:12] + entry.key[13:])
    return present, True


def _run(
    remote: Backend,
    md5s: Collection[str],
    action: Callable[[str], int],
    jobs: int,
    progress: Progress | None,
) -> Transfer:
    result = Transfer()
    if not md5s:
        return result
    ordered, attempt = sorted(md5s), partial(_attempt_all, action)
    if remote.jobs == 1:
        step = len(ordered) if progress is None else SHOWN_AT_ONCE
        for part in _slices(ordered, step):
            _note(result, part, map_forked(part, attempt), len(ordered), progress)
        return result
    workers = min(jobs or remote.jobs, len(ordered))
    with thread_pool(workers) as pool:
        futures = {pool.submit(attempt, part): part for part in _share_out(ordered, workers)}
        for future in as_completed(futures):
            _note(result, futures[future], future.result(), len(ordered), progress)
    return result


def _share_out(md5s: Sequence[str], workers: int) -> Iterator[Sequence[str]]:
    """Yield the names in parts for so many threads.

    The first go one by one, which shows soon whether the remote is there at all; of many, the rest go several at
    once, since handing one over costs a tenth of what a small object does.
    """
    first = FIRST_OF_EACH * workers
    yield from _slices(md5s[:first], 1)
    rest = md5s[first:]
    yield from _slices(rest, max(1, min(MAX_PART, len(rest) // (PARTS_OF_EACH * workers))))


def _slices(md5s: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (md5s[at : at + size] for at in range(0, len(md5s), size))


def _attempt_all(action: Callable[[str], int], md5s: Sequence[str]) -> list[int | Failure]:
    outcomes: list[int | Failure] = []
    for md5 in md5s:
        try:
            outcomes.append(action(md5))
        except PenstockError as error:
            outcomes.append(Failure(error))
    return outcomes


def _note(
    result: Transfer,
    md5s: Sequence[str],
    outcomes: Sequence[int | Failure],
    total: int,
    progress: Progress | None,
) -> None:
    for md5, outcome in zip(md5s, outcomes, strict=True):
        if isinstance(outcome, int):
            result.done += 1
            result.total_bytes += outcome
            continue
        error = outcome.to_error()
        if isinstance(error, Denied | Refused):
            raise error
        _fail(result, md5, error)
        if (
            isinstance(error, Unavailable)
            and result.done == 0
            and len(result.failed) >= min(total, GIVE_UP_AFTER)
        ):
            raise error
    if progress is not None:
        progress(result.done + len(result.failed), total, result.total_bytes)


def _fail(result: Transfer, md5: str, error: PenstockError) -> None:
    result.failed[md5] = error.message
    if isinstance(error, NotFound):
        result.missing.add(md5)
    elif isinstance(error, Corrupt):
        result.damaged.add(md5)
