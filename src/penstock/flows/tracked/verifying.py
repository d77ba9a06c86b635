"""Which objects `penstock verify` reads, in the cache or on remotes, and by which paths it names them."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.base.errors import Corrupt, NotFound, Unavailable
from penstock.data.cache.verification import Verification, verify_cache, verify_remote
from penstock.data.formats.output import HashInfo, is_within
from penstock.data.repository import DataRepository
from penstock.flows.tracked.remotes.transferring import Progress, TransferOptions, is_meant
from penstock.flows.tracked.selection import Chosen, Targets, select


@dataclass(frozen=True)
class Verified:
    """What was found in one place, and a path for each object that is not as it should be."""

    found: Verification
    paths: dict[str, str]


def verify(
    repo: DataRepository,
    targets: Targets = (),
    *,
    base: Path | None = None,
) -> Verified:
    """Read what tracked data need of the cache."""
    chosen = select(repo, targets, base=base)
    found = verify_cache(repo, needed(repo, chosen))
    return Verified(found, name_objects(repo, chosen, bad_of(found)))


def verify_remotes(
    repo: DataRepository,
    targets: Targets = (),
    *,
    options: TransferOptions,
    progress: Progress | None = None,
) -> dict[str, Verified]:
    """Read what tracked data need of their remotes, by the remotes' names; imports are on none.

    Raises:
        Unavailable, Denied: a remote does not exist, does not answer, or refuses.
    """
    result = {}
    for place, parts in by_remote(repo, select(repo, targets, base=options.base), options).items():
        backend = repo.remote(place)
        try:
            found = verify_remote(repo, needed(repo, parts), backend, jobs=options.jobs, progress=progress)
            if found.missing and not found.checked and not backend.has_place():
                raise Unavailable(
                    f"the directory {backend.url} does not exist",
                    code="storage.no_directory",
                    hint="penstock push, which makes it, or penstock remote modify "
                    f"{shlex.quote(place)} url URL, if it is elsewhere",
                    url=backend.url,
                )
        finally:
            backend.close()
        result[place] = Verified(found, name_objects(repo, parts, bad_of(found)))
    return result


def by_remote(
    repo: DataRepository, chosen: Iterable[Chosen], options: TransferOptions
) -> dict[str, list[Chosen]]:
    """Group outputs by the remote their content belongs on; what is never pushed is left out."""
    found: dict[str, list[Chosen]] = {}
    for one in chosen:
        if is_meant(one.output, options, is_push=True):
            found.setdefault(repo.remote_name(options.remote or one.output.remote), []).append(one)
    if not found:
        repo.remote_name(options.remote)
    return found


def needed(repo: DataRepository, chosen: Iterable[Chosen]) -> list[HashInfo]:
    """Return what the given outputs, or parts of them, name; a part is as good as all where no list tells it."""
    hashes: list[HashInfo] = []
    for one in chosen:
        info = one.output.hash
        if info is None or not one.output.cached:
            continue
        if one.output.files is not None:
            hashes += [entry for name, entry in one.output.files if is_within(name, one.within)]
            continue
        inner = _files(repo, one) if one.within else {}
        hashes += [HashInfo(md5, algorithm=info.algorithm) for md5 in inner.values()] or [info]
    return hashes


def bad_of(found: Verification) -> set[str]:
    """Return the names of all objects that are not as they should be."""
    return {*found.missing, *found.damaged, *found.unreadable}


def name_objects(repo: DataRepository, chosen: Sequence[Chosen], md5s: Collection[str]) -> dict[str, str]:
    """Return a path for each of the given objects, as far as the lists of directories can be read."""
    names: dict[str, str] = {}
    if not md5s:
        return names
    for one in chosen:
        info, path = one.output.hash, repo.relative(one.output.path)
        if info is None:
            continue
        if info.md5 in md5s:
            names.setdefault(info.md5, path)
        for name, md5 in _files(repo, one).items():
            if md5 in md5s:
                names.setdefault(md5, f"{path}/{name}")
    return names


def _files(repo: DataRepository, one: Chosen) -> dict[str, str]:
    info = one.output.hash
    if one.output.files is not None:
        files = {name: entry.md5 for name, entry in one.output.files}
    elif info is None or not info.is_tree:
        return {}
    else:
        try:
            files = repo.cache.load_tree(info)
        except (NotFound, Corrupt):
            return {}
    return {name: md5 for name, md5 in files.items() if is_within(name, one.within)}
