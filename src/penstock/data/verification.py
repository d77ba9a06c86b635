"""Read every object of the cache that tracked data needs and say which are missing or damaged.

Nothing is repaired or removed here. Modes and remembered digests are not trusted: every byte is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from penstock.base.errors import Corrupt, NotFound
from penstock.data.hashing import digest_md5
from penstock.data.output import TREE_SUFFIX, HashInfo
from penstock.data.repository import DataRepository
from penstock.data.workers import map_forked


@dataclass
class Verification:
    """How many objects were read, and the names of those that are missing or damaged."""

    checked: int = 0
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is missing or damaged."""
        return not self.missing and not self.damaged


def verify_cache(repo: DataRepository, hashes: Iterable[HashInfo]) -> Verification:
    """Check all objects that the given hashes name, trees with their files.

    Content hashed by DVC 2 (`md5-dos2unix`) cannot be checked by its bytes and is only looked for.
    """
    result = Verification()
    wanted: set[str] = set()
    for info in hashes:
        if info.algorithm != "md5":
            if repo.cache.find(info) is None:
                result.missing.append(info.md5)
            continue
        if info.is_tree:
            try:
                wanted.update(repo.cache.load_tree(info).values())
                result.checked += 1
            except NotFound:
                result.missing.append(info.md5)
            except Corrupt:
                result.damaged.append(info.md5)
        else:
            wanted.add(info.md5)
    ordered = sorted(wanted)

    def read(part: Sequence[str]) -> list[str | None]:
        return [_digest(repo, md5) for md5 in part]

    for md5, found in zip(ordered, map_forked(ordered, read), strict=True):
        if found is None:
            result.missing.append(md5)
        elif found != md5.removesuffix(TREE_SUFFIX):
            result.damaged.append(md5)
        result.checked += found is not None
    return result


def _digest(repo: DataRepository, md5: str) -> str | None:
    try:
        return digest_md5(repo.cache.path(md5))
    except NotFound:
        return None
