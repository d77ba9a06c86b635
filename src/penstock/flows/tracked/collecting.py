"""Garbage collection (`penstock gc`): which objects are needed by the workspace and by other commits."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from penstock.base.errors import Corrupt, NotFound, PenstockError, Refused
from penstock.base.git import Git
from penstock.data.cache import garbage
from penstock.data.cache.garbage import Removal
from penstock.data.cache.transfer import find_absent, remote_key
from penstock.data.formats.output import HashInfo, Output
from penstock.data.formats.tree import parse_tree, tree_md5
from penstock.data.lock import repository_lock
from penstock.data.repository import DataRepository
from penstock.flows.tracked.history import Scope, list_commits, outputs_at
from penstock.flows.tracked.selection import select
from penstock.storage.backend import Backend

SHARED_GRACE_S = 3600.0  # other repositories may be adding to a shared cache, other people pushing


@dataclass(frozen=True)
class GarbageOptions:
    """What to keep and where to look; the workspace's own data are always kept.

    `grace_s` None means: nothing is too young in a cache of our own (the lock keeps writers out), one hour
    elsewhere. `force` goes on where the files of a directory cannot be known.
    """

    scope: Scope = field(default_factory=Scope)
    cloud: bool = False
    not_in_remote: bool = False
    remote: str | None = None
    projects: tuple[Path, ...] = ()
    grace_s: float | None = None
    force: bool = False
    skip_failed: bool = False
    jobs: int = 0
    dry: bool = False


@dataclass(frozen=True)
class GarbagePlan:
    """What goes from the cache and, with `cloud`, from the remote."""

    cache: Removal
    remote: Removal | None = None


def collect_garbage(repo: DataRepository, options: GarbageOptions) -> GarbagePlan:
    """Plan and, unless `dry`, carry out a collection; every project involved is locked meanwhile.

    Raises:
        Refused: the files of a needed directory cannot be known, and `force` was not given.
        NotFound: the remote or a revision does not exist.
    """
    with ExitStack() as stack:
        repos = [repo]
        for path in options.projects:
            other = DataRepository.open(path)
            stack.callback(other.close)
            if other.root != repo.root:
                repos.append(other)
        for one in repos:
            stack.enter_context(repository_lock(one))
        backend: Backend | None = None
        if options.cloud or options.not_in_remote:
            backend = repo.remote(options.remote)
            stack.callback(backend.close)
        plan = plan_garbage(repo, repos, backend, options)
        if not options.dry:
            garbage.empty_trash(repo)
            garbage.apply_cache(repo, plan.cache)
            if plan.remote is not None and backend is not None:
                garbage.apply_remote(backend, plan.remote, options.jobs)
    return plan


def plan_garbage(
    repo: DataRepository, repos: Iterable[DataRepository], backend: Backend | None, options: GarbageOptions
) -> GarbagePlan:
    """Find what the given repositories do not need; nothing is changed."""
    used: set[str] = set()
    legacy: set[str] = set()
    for one in repos:
        for output in _needed(one, options):
            _take(one, output, used, legacy, backend, force=options.force)
    own = repo.cache.root.is_relative_to(repo.root)
    grace_s = options.grace_s
    removal = None
    if options.cloud and backend is not None:
        removal = garbage.plan_remote(backend, used, SHARED_GRACE_S if grace_s is None else grace_s)
    kept = used
    if options.not_in_remote and backend is not None:
        kept = set(find_absent(backend, used))
    cache_grace_s = (0.0 if own else SHARED_GRACE_S) if grace_s is None else grace_s
    return GarbagePlan(garbage.plan_cache(repo.cache, kept, legacy, cache_grace_s), removal)


def _needed(repo: DataRepository, options: GarbageOptions) -> Iterator[Output]:
    for one in select(repo):
        yield one.output
    if not options.scope.is_empty and repo.git_root() is not None:
        commits = list_commits(Git(repo.root), options.scope)
        yield from outputs_at(repo, commits, skip_failed=options.skip_failed)


def _take(
    repo: DataRepository,
    output: Output,
    used: set[str],
    legacy: set[str],
    backend: Backend | None,
    *,
    force: bool,
) -> None:
    infos = [output.hash] if output.files is None else [info for _, info in output.files]
    for info in infos:
        if info is None:
            continue
        into = used if info.algorithm == "md5" else legacy
        if info.md5 in into:
            continue
        into.add(info.md5)
        if info.is_tree:
            into.update(_files_of(repo, info, output, backend, force=force))


def _files_of(
    repo: DataRepository, info: HashInfo, output: Output, backend: Backend | None, *, force: bool
) -> Iterable[str]:
    try:
        return repo.cache.load_tree(info).values()
    except (NotFound, Corrupt):
        pass
    try:
        return _remote_tree(repo, info, backend).values()
    except PenstockError:
        if force:
            return ()
    raise Refused(
        f"the directory object of {repo.relative(output.path)} ({info.md5}) is neither in the cache nor on "
        "the remote: which files it needs cannot be known",
        code="data.tree_missing",
        hint=f"penstock fetch {shlex.quote(output.source)}, or penstock gc -f to collect its files too",
        md5=info.md5,
    )


def _remote_tree(repo: DataRepository, info: HashInfo, backend: Backend | None) -> dict[str, str]:
    opened = backend or repo.remote()
    try:
        data = opened.get(remote_key(info.md5))
    finally:
        if backend is None:
            opened.close()
    if tree_md5(data) != info.md5:
        raise Corrupt(f"{opened.url} holds a damaged tree {info.md5}", code="data.object_corrupt")
    return parse_tree(data, info.md5)
