"""Restore missing and damaged objects of tracked data from wherever a good copy is (`penstock repair`).

A good copy is a workspace file whose bytes have the digest, or the remote's object. A damaged object is moved
to `.dvc/tmp/penstock-kept/damaged`, never deleted.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from penstock.base.errors import Corrupt, NotFound, PenstockError
from penstock.data.hashing import digest_md5, store_file
from penstock.data.lock import repository_lock
from penstock.data.output import HashInfo
from penstock.data.repository import DataRepository
from penstock.data.transfer import fetch_objects
from penstock.data.tree import render_tree, tree_md5
from penstock.data.verification import verify_cache
from penstock.flows.selection import Chosen, ExtraOutputs, no_outputs, select


@dataclass
class Repair:
    """The names of objects that were restored, by where they came from, and of those that are nowhere."""

    from_workspace: list[str] = field(default_factory=list)
    from_remote: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def repair(
    repo: DataRepository,
    targets: Sequence[str] = (),
    extra_outputs: ExtraOutputs = no_outputs,
    *,
    base: Path | None = None,
    remote: str | None = None,
) -> Repair:
    """Read every needed object and replace what is missing or damaged; trees come first, then their files."""
    result = Repair()
    with repository_lock(repo):
        chosen = select(repo, targets, extra_outputs, base=base)
        hashes = [one.output.hash for one in chosen if one.output.hash is not None and one.output.cached]
        for _ in range(2):  # a restored tree names files that were not known before
            found = verify_cache(repo, hashes)
            for md5 in found.damaged:
                _set_aside(repo, md5)
            wanted = {*found.missing, *found.damaged}
            if not wanted:
                break
            result.from_workspace += _from_workspace(repo, chosen, wanted)
            result.from_remote += _from_remote(repo, wanted, remote)
        final = verify_cache(repo, hashes)
        result.lost = sorted({*final.missing, *final.damaged})
    return result


def _set_aside(repo: DataRepository, md5: str) -> None:
    kept = repo.dvc_dir / "tmp" / "penstock-kept" / "damaged"
    kept.mkdir(parents=True, exist_ok=True)
    os.replace(repo.cache.path(md5), kept / md5)


def _from_workspace(repo: DataRepository, chosen: Sequence[Chosen], wanted: set[str]) -> list[str]:
    """Store workspace files whose bytes are wanted; what was restored leaves `wanted`."""
    restored: list[str] = []

    def offer(path: Path, md5: str) -> None:
        if md5 in wanted and path.is_file() and digest_md5(str(path)) == md5:
            store_file(repo.cache, str(path))
            wanted.discard(md5)
            restored.append(md5)

    for one in chosen:
        info, path = one.output.hash, one.output.path
        if info is None or info.algorithm != "md5":
            continue
        if not info.is_tree:
            offer(path, info.md5)
            continue
        if info.md5 in wanted and path.is_dir():
            files = [file for file in sorted(path.rglob("*")) if file.is_file()]
            data = render_tree((file.relative_to(path).as_posix(), digest_md5(str(file))) for file in files)
            if tree_md5(data) == info.md5:
                repo.cache.put_tree(data)
                wanted.discard(info.md5)
                restored.append(info.md5)
        try:
            for name, md5 in repo.cache.load_tree(info).items():
                offer(path / name, md5)
        except (NotFound, Corrupt):
            continue
    return restored


def _from_remote(repo: DataRepository, wanted: set[str], name: str | None) -> list[str]:
    if not wanted:
        return []
    try:
        remote = repo.remote(name)
    except NotFound:
        return []
    try:
        fetch_objects(repo, [HashInfo(md5) for md5 in sorted(wanted)], remote)
    except PenstockError:
        return []
    finally:
        remote.close()
    return [md5 for md5 in sorted(wanted) if repo.cache.has_md5(md5)]
