"""DVC 2's objects (`<url>/xx/rest`, md5 with line ends normalised) between the cache and a remote.

They are few and old: no listing, no processes, one object after the other or in threads. The order is that of
`penstock.data.cache.transfer`: a directory's list goes up last and comes down first.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from penstock.base.digest import FileBlocks
from penstock.base.errors import Corrupt, Denied, NotFound, PenstockError, Refused
from penstock.base.threads import thread_pool
from penstock.data.cache.legacy import is_legacy_content
from penstock.data.cache.transfer import Transfer
from penstock.data.formats.output import TREE_SUFFIX, HashInfo, check_md5
from penstock.data.objects import OBJECT_MODE, corrupt_object, object_missing
from penstock.data.repository import DataRepository
from penstock.storage.backend import Backend


def legacy_key(md5: str) -> str:
    """Return where DVC 2 keeps an object on a remote."""
    check_md5(md5, "hash")
    return f"{md5[:2]}/{md5[2:]}"


def legacy_absent(remote: Backend, md5s: Collection[str]) -> set[str]:
    """Return those names that the remote does not hold."""
    asked = sorted(md5s)
    with thread_pool(min(remote.jobs, len(asked))) as pool:
        there = list(pool.map(remote.exists, map(legacy_key, asked)))
    return {md5 for md5, is_there in zip(asked, there, strict=True) if not is_there}


def push_legacy(repo: DataRepository, hashes: Iterable[HashInfo], remote: Backend) -> Transfer:
    """Upload what the remote lacks; what is missing here or damaged is counted as failed."""
    result = Transfer()
    infos = list(hashes)
    trees = _load_trees(repo, {info.md5 for info in infos if info.is_tree}, result)
    files = {info.md5 for info in infos if not info.is_tree}.union(*trees.values())
    _each(result, remote, legacy_absent(remote, files), lambda md5: _push_one(repo, remote, md5))
    ready = {md5 for md5, inner in trees.items() if not inner & result.failed.keys()}
    _each(result, remote, legacy_absent(remote, ready), lambda md5: _push_one(repo, remote, md5))
    return result


def fetch_legacy(repo: DataRepository, hashes: Iterable[HashInfo], remote: Backend) -> Transfer:
    """Download what the cache lacks; what the remote lacks or has damaged is counted as failed."""
    result = Transfer()
    infos = list(hashes)
    trees = {info.md5 for info in infos if info.is_tree}
    _each(result, remote, missing_legacy(repo, trees), lambda md5: _fetch_one(repo, remote, md5))
    known = _load_trees(repo, trees - result.failed.keys(), result)
    files = {info.md5 for info in infos if not info.is_tree}.union(*known.values())
    _each(result, remote, missing_legacy(repo, files), lambda md5: _fetch_one(repo, remote, md5))
    return result


def replace_legacy(repo: DataRepository, md5s: Collection[str], remote: Backend) -> Transfer:
    """Upload the given objects over whatever the remote holds in their places, trees after their files."""
    result = Transfer()
    trees = {md5 for md5 in md5s if md5.endswith(TREE_SUFFIX)}
    known = _load_trees(repo, trees, result)
    _each(result, remote, set(md5s) - trees, lambda md5: _push_one(repo, remote, md5))
    ready = {md5 for md5, inner in known.items() if not inner & result.failed.keys()}
    _each(result, remote, ready, lambda md5: _push_one(repo, remote, md5))
    result.failed.update(dict.fromkeys(known.keys() - ready, "not all of its files arrived"))
    return result


def store_legacy(repo: DataRepository, path: Path, md5: str) -> None:
    """Put a file whose bytes are known to be what DVC 2 called `md5` into the old layout."""
    with repo.cache.staging() as temporary:
        shutil.copyfile(path, temporary)
        _accept(repo, temporary, md5)


def _accept(repo: DataRepository, temporary: str, md5: str) -> None:
    target = repo.cache.legacy_path(md5)
    repo.cache.make_folder(os.path.dirname(target))
    os.chmod(temporary, OBJECT_MODE)
    os.rename(temporary, target)


def missing_legacy(repo: DataRepository, md5s: Collection[str]) -> set[str]:
    """Return those names that the cache does not hold."""
    return {md5 for md5 in md5s if not os.path.exists(repo.cache.legacy_path(md5))}


def _load_trees(repo: DataRepository, md5s: Collection[str], result: Transfer) -> dict[str, set[str]]:
    trees = {}
    for md5 in md5s:
        try:
            trees[md5] = set(repo.cache.load_tree(HashInfo(md5, algorithm="md5-dos2unix")).values())
        except (NotFound, Corrupt) as error:
            _fail(result, md5, error)
    return trees


def _push_one(repo: DataRepository, remote: Backend, md5: str) -> int:
    path = repo.cache.legacy_path(md5)
    if not os.path.exists(path):
        raise object_missing(md5)
    if not is_legacy_content(path, md5):
        raise corrupt_object(md5, path)
    size = os.path.getsize(path)
    remote.upload(legacy_key(md5), FileBlocks(Path(path)), size)
    return size


def _fetch_one(repo: DataRepository, remote: Backend, md5: str) -> int:
    with repo.cache.staging() as temporary:
        with open(temporary, "xb") as out:
            for chunk in remote.stream(legacy_key(md5)):
                out.write(chunk)
        if not is_legacy_content(temporary, md5):
            raise Corrupt(
                f"{remote.url} holds damaged bytes for object {md5}",
                code="data.object_corrupt",
                hint="penstock push from a repository that has it",
                md5=md5,
            )
        size = os.path.getsize(temporary)
        _accept(repo, temporary, md5)
    return size


def _each(result: Transfer, remote: Backend, md5s: Collection[str], action: Callable[[str], int]) -> None:
    def attempt(md5: str) -> int | PenstockError:
        try:
            return action(md5)
        except (Denied, Refused):
            raise
        except PenstockError as error:
            return error

    ordered = sorted(md5s)
    with thread_pool(min(remote.jobs, len(ordered))) as pool:
        for md5, outcome in zip(ordered, pool.map(attempt, ordered), strict=True):
            if isinstance(outcome, int):
                result.done += 1
                result.total_bytes += outcome
            else:
                _fail(result, md5, outcome)


def _fail(result: Transfer, md5: str, error: PenstockError) -> None:
    result.failed[md5] = error.message
    if isinstance(error, NotFound):
        result.missing.add(md5)
    elif isinstance(error, Corrupt):
        result.damaged.add(md5)
