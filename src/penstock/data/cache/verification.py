"""Read every object that tracked data needs, in the cache or on a remote, and say which are missing or damaged.

Nothing is repaired or removed here. Modes, sizes and remembered digests are not trusted: every byte is read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from penstock.base.errors import Corrupt, Denied, NotFound
from penstock.base.threads import thread_pool
from penstock.data.cache.hashing import digest_md5
from penstock.data.cache.legacy import is_legacy_content
from penstock.data.cache.legacy_transfer import legacy_key
from penstock.data.cache.transfer import SHOWN_AT_ONCE, Progress, remote_key
from penstock.data.files.forking import map_forked
from penstock.data.formats.output import TREE_SUFFIX, HashInfo
from penstock.data.formats.packed import iter_digests
from penstock.data.formats.tree import parse_tree, tree_md5
from penstock.data.repository import DataRepository
from penstock.storage.backend import Backend

UNREADABLE = "unreadable"


@dataclass
class Verification:
    """How many objects were read, and the names of those that are missing, damaged or may not be read."""

    checked: int = 0
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether every object was read and holds what its name says."""
        return not (self.missing or self.damaged or self.unreadable)

    def note(self, md5: str, found: str | None) -> None:
        """Count an object by what its bytes make its name, `UNREADABLE`, or None where there is nothing."""
        if found is None:
            self.missing.append(md5)
        elif found == UNREADABLE:
            self.unreadable.append(md5)
        elif found != md5:
            self.damaged.append(md5)
        self.checked += found not in {None, UNREADABLE}


def verify_cache(repo: DataRepository, hashes: Iterable[HashInfo]) -> Verification:
    """Check all objects that the given hashes name, trees with their files; DVC 2's too."""
    result = Verification()
    for is_old, group in _grouped(hashes):
        trees: dict[str, str | None] = {}
        files: set[bytes] = set()  # 16 bytes each: there may be millions
        for info in group:
            if not info.is_tree:
                files.add(bytes.fromhex(info.md5))
                continue
            trees[info.md5] = _digest(repo, info.md5, is_old)
            if trees[info.md5] == info.md5:
                try:
                    files.update(iter_digests(repo.cache.load_files(info).digests))
                except Corrupt:  # its bytes are as its name says, and are no list of files
                    trees[info.md5] = ""
        for md5, found in sorted(trees.items()):
            result.note(md5, found)
        ordered = sorted(files)
        bad: list[tuple[str, str | None]] = map_forked(ordered, partial(_find_bad, repo, is_old))
        result.checked += len(ordered) - len(bad)
        for md5, found in bad:
            result.note(md5, found)
    return result


def _grouped(hashes: Iterable[HashInfo]) -> list[tuple[bool, list[HashInfo]]]:
    """Split by whether they are DVC 2's."""
    groups: dict[bool, list[HashInfo]] = {False: [], True: []}
    for info in hashes:
        groups[info.algorithm != "md5"].append(info)
    return list(groups.items())


def _find_bad(repo: DataRepository, is_old: bool, digests: Sequence[bytes]) -> list[tuple[str, str | None]]:
    """Return the objects that are not as their names say, each with what its bytes make its name."""
    found = ((digest.hex(), _digest(repo, digest.hex(), is_old)) for digest in digests)
    return [(md5, actual) for md5, actual in found if actual != md5]


def _digest(repo: DataRepository, md5: str, is_old: bool) -> str | None:
    """Return what an object's bytes make its name, `UNREADABLE`, or None where there is no object."""
    try:
        if is_old:
            path = repo.cache.legacy_path(md5)
            if not os.path.lexists(path):
                return None
            return md5 if is_legacy_content(path, md5) else ""
        return digest_md5(repo.cache.path(md5)) + (TREE_SUFFIX if md5.endswith(TREE_SUFFIX) else "")
    except NotFound:
        return None
    except (Denied, PermissionError):
        return UNREADABLE


def verify_remote(
    repo: DataRepository,
    hashes: Iterable[HashInfo],
    remote: Backend,
    *,
    jobs: int = 0,
    progress: Progress | None = None,
) -> Verification:
    """Read all objects that the given hashes name on a remote, trees with their files; nothing is stored.

    Raises:
        Unavailable, Denied: the remote does not answer, or refuses.
    """
    result = Verification()
    names: dict[bool, set[str]] = {False: set(), True: set()}
    for info in hashes:
        is_old = info.algorithm != "md5"
        names[is_old].add(info.md5)
        if info.is_tree:
            names[is_old].update(_tree_of(repo, remote, info).values())
    jobs = jobs or remote.jobs
    total, done = sum(map(len, names.values())), 0
    for is_old, wanted in names.items():
        ordered = sorted(wanted)
        read = partial(_digest_on, repo, remote, is_old)
        for at in range(0, len(ordered), SHOWN_AT_ONCE):
            part = ordered[at : at + SHOWN_AT_ONCE]
            if remote.jobs == 1:
                found = map_forked(part, partial(_each, read))
            else:
                with thread_pool(min(jobs, len(part))) as pool:
                    found = list(pool.map(read, part))
            for md5, digest in zip(part, found, strict=True):
                result.note(md5, digest)
            done += len(part)
            if progress is not None:
                progress(done, total, 0)
    return result


def _each(read: Callable[[str], str | None], md5s: Sequence[str]) -> list[str | None]:
    return [read(md5) for md5 in md5s]


def _tree_of(repo: DataRepository, remote: Backend, info: HashInfo) -> dict[str, str]:
    """Return a directory's files as the cache lists them, else the remote; nothing where neither can be read."""
    try:
        return repo.cache.load_tree(info)
    except (NotFound, Corrupt):
        pass
    try:
        data = remote.get(remote_key(info.md5) if info.algorithm == "md5" else legacy_key(info.md5))
        return parse_tree(data, info.md5) if tree_md5(data) == info.md5 else {}
    except (NotFound, Corrupt):
        return {}


def _digest_on(repo: DataRepository, remote: Backend, is_old: bool, md5: str) -> str | None:
    """Return what the bytes a remote holds make an object's name, or None where it holds nothing."""
    try:
        if is_old:
            with repo.cache.staging() as temporary:
                with open(temporary, "xb") as out:
                    out.writelines(remote.stream(legacy_key(md5)))
                return md5 if is_legacy_content(temporary, md5) else ""
        digest = hashlib.md5(usedforsecurity=False)
        for chunk in remote.stream(remote_key(md5)):
            digest.update(chunk)
    except NotFound:
        return None
    return digest.hexdigest() + (TREE_SUFFIX if md5.endswith(TREE_SUFFIX) else "")
