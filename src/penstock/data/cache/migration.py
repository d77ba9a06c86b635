"""Bring a cache of DVC 2 to DVC 3's layout: objects under `files/md5`, named by the bytes as they are.

DVC 2 named text by its md5 with line ends normalised, so every object is read anew. The old place keeps its name
(a hard link where the file system can), so that old commits still check out.

Source: dvc/repo/cache_migrate and dvc_data/hashfile/db/migrate.py (3.67).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from penstock.base.errors import PenstockError
from penstock.data.cache.hashing import digest_md5
from penstock.data.cache.legacy import is_legacy_content
from penstock.data.formats.output import TREE_SUFFIX, HashInfo
from penstock.data.formats.tree import parse_tree, render_tree, tree_md5
from penstock.data.objects import PREFIXES, ObjectStore
from penstock.data.repository import DataRepository

_NAME = re.compile(r"[0-9a-f]{30}(\.dir)?\Z")


@dataclass(frozen=True)
class MigrationPlan:
    """The old objects that the new layout lacks: old name and new name; and those that are damaged."""

    objects: tuple[tuple[str, str], ...]
    damaged: tuple[str, ...]


def plan_migration(cache: ObjectStore) -> MigrationPlan:
    """Read every object of the old layout and find its new name; nothing is changed."""
    found, damaged = [], []
    for md5 in _list_old(cache):
        path = cache.legacy_path(md5)
        if not is_legacy_content(path, md5):
            damaged.append(md5)
            continue
        name = md5 if md5.endswith(TREE_SUFFIX) else digest_md5(path)
        if not cache.has_md5(name):
            found.append((md5, name))
    return MigrationPlan(tuple(found), tuple(damaged))


def apply_migration(cache: ObjectStore, plan: MigrationPlan) -> int:
    """Put the planned objects into the new layout, trees last; return how many."""
    for old, new in sorted(plan.objects, key=lambda pair: pair[1].endswith(TREE_SUFFIX)):
        with cache.staging() as temporary:
            try:
                os.link(cache.legacy_path(old), temporary)
            except OSError:
                shutil.copyfile(cache.legacy_path(old), temporary)
            cache.accept(temporary, new)
    return len(plan.objects)


def modern_hash(repo: DataRepository, info: HashInfo, *, store: bool) -> HashInfo | None:
    """Return how DVC 3 names what DVC 2 called `info`; None where objects lack. `store` keeps a new tree."""
    cache = repo.cache
    try:
        if not info.is_tree:
            return HashInfo(digest_md5(cache.legacy_path(info.md5)), info.size, None, info.isexec)
        with open(cache.legacy_path(info.md5), "rb") as file:
            old = parse_tree(file.read(), info.md5)
        tree = {name: digest_md5(cache.legacy_path(md5)) for name, md5 in old.items()}
    except (OSError, PenstockError):
        return None
    data = render_tree(tree.items())
    return HashInfo(cache.put_tree(data) if store else tree_md5(data), info.size, info.nfiles)


def _list_old(cache: ObjectStore) -> Iterator[str]:
    for prefix in PREFIXES:
        try:
            names = sorted(os.listdir(f"{cache.root}/{prefix}"))
        except OSError:
            continue
        yield from (prefix + name for name in names if _NAME.match(name))
