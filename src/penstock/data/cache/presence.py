"""Whether the cache holds everything that a hash names, remembered where that was looked through once."""

from __future__ import annotations

import os

from penstock.base.errors import Corrupt
from penstock.data.formats.output import TREE_SUFFIX, HashInfo, check_md5
from penstock.data.objects import FEW
from penstock.data.repository import DataRepository


def has(repo: DataRepository, info: HashInfo) -> bool:
    """Say whether everything that `info` names is in the cache: the object and, for a tree, all its files.

    A large tree that was once seen complete is not looked through again while no object was added or removed.
    """
    check_md5(info.md5, "hash")
    cache = repo.cache
    if not (cache.has_md5(info.md5) if info.algorithm == "md5" else cache.find(info)):
        return False
    if not info.md5.endswith(TREE_SUFFIX):
        return True
    if info.algorithm != "md5":
        return all(os.path.exists(cache.legacy_path(md5)) for md5 in cache.load_tree(info).values())
    if info.nfiles is None or info.nfiles < FEW:
        try:
            return not cache.lacking(cache.load_files(info).digests)
        except Corrupt:
            return False
    fingerprint = cache.fingerprint()
    if repo.state.find_complete(info.md5) == fingerprint:
        return True
    try:
        complete = not cache.missing(set(cache.load_tree(info).values()))
    except Corrupt:
        return False
    if complete and fingerprint == cache.fingerprint():
        repo.state.save_complete(info.md5, fingerprint)
    return complete
