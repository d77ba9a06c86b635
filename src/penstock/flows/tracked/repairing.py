"""Restore missing and damaged objects of tracked data from wherever a good copy is (`penstock repair`).

A good copy is a workspace file whose bytes have the digest, or the remote's object; for a remote it is the
cache's. A damaged object of the cache is moved to `.dvc/tmp/penstock-kept/damaged`, never deleted; on a remote it
is replaced.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from penstock.base.errors import Corrupt, NotFound, PenstockError
from penstock.data.cache.hashing import digest_md5, store_file
from penstock.data.cache.legacy import is_legacy_content
from penstock.data.cache.legacy_transfer import fetch_legacy, missing_legacy, replace_legacy, store_legacy
from penstock.data.cache.transfer import fetch_objects, replace_objects
from penstock.data.cache.verification import verify_cache, verify_remote
from penstock.data.files.private import KEPT
from penstock.data.formats.output import HashInfo
from penstock.data.formats.tree import render_tree, tree_md5
from penstock.data.lock import repository_lock
from penstock.data.repository import DataRepository
from penstock.flows.tracked.remotes.transferring import Progress, TransferOptions
from penstock.flows.tracked.selection import Chosen, Targets, select
from penstock.flows.tracked.verifying import bad_of, by_remote, name_objects, needed


@dataclass
class Repair:
    """The names of objects that were restored, by where they came from, and of those that are nowhere.

    `uploaded` went from the cache to a remote. `paths` names the lost ones by a path.
    """

    from_workspace: list[str] = field(default_factory=list)
    from_remote: list[str] = field(default_factory=list)
    uploaded: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    paths: dict[str, str] = field(default_factory=dict)


def repair(
    repo: DataRepository,
    targets: Sequence[str] = (),
    *,
    base: Path | None = None,
    remote: str | None = None,
) -> Repair:
    """Read every needed object and replace what is missing or damaged; trees come first, then their files."""
    result = Repair()
    with repository_lock(repo):
        repo.cache.remove_stale_staging()
        chosen = select(repo, targets, base=base)
        for kind in split(chosen):
            for _ in range(2):  # a restored tree names files that were not known before
                found = verify_cache(repo, needed(repo, kind.parts))
                for md5 in found.damaged:
                    _set_aside(repo, md5)
                wanted = {*found.missing, *found.damaged}
                if not wanted:
                    break
                result.from_workspace += _from_workspace(repo, kind, wanted)
                result.from_remote += _from_remote(repo, kind, wanted, remote)
        final = verify_cache(repo, needed(repo, chosen))
        result.lost = sorted(bad_of(final))
        result.paths = name_objects(repo, chosen, result.lost)
    return result


def repair_remotes(
    repo: DataRepository,
    targets: Targets = (),
    *,
    options: TransferOptions,
    progress: Progress | None = None,
) -> Repair:
    """Read every needed object of the remotes, and upload the cache's over what is missing or damaged there.

    Raises:
        Unavailable, Denied, Refused: a remote does not answer, or takes nothing.
    """
    result = Repair()
    chosen = select(repo, targets, base=options.base)
    for place, parts in by_remote(repo, chosen, options).items():
        backend = repo.remote(place)
        try:
            for kind in split(parts):
                hashes = needed(repo, kind.parts)
                found = verify_remote(repo, hashes, backend, jobs=options.jobs, progress=progress)
                bad = bad_of(found)
                with repository_lock(repo):
                    done = (replace_legacy if kind.is_old else replace_objects)(repo, bad, backend)
                result.uploaded += sorted(bad - done.failed.keys())
                result.lost += sorted(done.failed)
                result.paths.update(name_objects(repo, kind.parts, done.failed))
        finally:
            backend.close()
    return result


@dataclass(frozen=True)
class Kind:
    """Outputs that are named in one way: as DVC 3 does, or as DVC 2 did (`is_old`)."""

    is_old: bool
    parts: list[Chosen]


def split(chosen: Sequence[Chosen]) -> list[Kind]:
    """Group outputs by how their content is named."""
    found: dict[bool, list[Chosen]] = {}
    for one in chosen:
        if one.output.hash is not None:
            found.setdefault(one.output.hash.algorithm != "md5", []).append(one)
    return [Kind(is_old, parts) for is_old, parts in found.items()]


def _set_aside(repo: DataRepository, md5: str) -> None:
    kept = repo.dvc_dir / "tmp" / KEPT / "damaged"
    kept.mkdir(parents=True, exist_ok=True)
    for path in (repo.cache.path(md5), repo.cache.legacy_path(md5)):
        with suppress(FileNotFoundError):
            os.replace(path, kept / md5)
            return


def _from_workspace(repo: DataRepository, kind: Kind, wanted: set[str]) -> list[str]:
    """Store workspace files whose bytes are wanted; what was restored leaves `wanted`."""
    restored: list[str] = []

    def offer(path: Path, md5: str) -> None:
        if md5 not in wanted or not path.is_file():
            return
        if kind.is_old:
            if not is_legacy_content(str(path), md5):
                return
            store_legacy(repo, path, md5)
        elif digest_md5(str(path)) != md5:
            return
        else:
            store_file(repo.cache, str(path))
        wanted.discard(md5)
        restored.append(md5)

    for one in kind.parts:
        info, path = one.output.hash, one.output.path
        if info is None:
            continue
        if not info.is_tree:
            offer(path, info.md5)
            continue
        if info.md5 in wanted and path.is_dir() and not kind.is_old:
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


def _from_remote(repo: DataRepository, kind: Kind, wanted: set[str], name: str | None) -> list[str]:
    if not wanted:
        return []
    try:
        remote = repo.remote(name)
    except NotFound:
        return []
    try:
        if kind.is_old:
            fetch_legacy(repo, [HashInfo(md5, algorithm="md5-dos2unix") for md5 in sorted(wanted)], remote)
        else:
            fetch_objects(repo, [HashInfo(md5) for md5 in sorted(wanted)], remote)
    except PenstockError:
        return []
    finally:
        remote.close()
    return sorted(wanted - (missing_legacy(repo, wanted) if kind.is_old else repo.cache.missing(wanted)))
