"""Push, fetch and pull: tracked content between the cache and remotes, output by output.

What is missing where it should come from does not stop the rest; it is named at the end
(`penstock.flows.tracked.remotes.report`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.data.cache import transfer
from penstock.data.cache.legacy_transfer import fetch_legacy, push_legacy
from penstock.data.cache.presence import has
from penstock.data.formats.output import HashInfo, Output, is_within
from penstock.data.lock import repository_lock
from penstock.data.pointers.pointer import Pointer
from penstock.data.repository import DataRepository
from penstock.flows.tracked.remotes.report import TransferReport, raise_failures, require_pushed
from penstock.flows.tracked.remotes.run_history import fetch_runs, push_runs
from penstock.flows.tracked.selection import Chosen, Targets, select
from penstock.flows.tracked.working_tree import checkout
from penstock.storage.backend import Backend

if TYPE_CHECKING:
    from penstock.flows.tracked.history import Scope

Progress = transfer.Progress
FetchImport = Callable[[DataRepository, Pointer], HashInfo | None]
"""Brings an import from its source, and returns what came (`penstock.flows.sources.fetching`)."""


@dataclass(frozen=True)
class TransferOptions:
    """`remote` by name (None: each output's own or the default), `jobs` at once (0: the backend's choice).

    Relative targets start at `base`. `scope` names other commits whose outputs are meant too. `run_cache` takes the
    records of runs along. `allow_missing` goes on without what a remote does not have. A fetch leaves out what has
    `max_size_bytes` or more, and with `kinds` (`metric`, `plot`) every other output.
    """

    remote: str | None = None
    jobs: int = 0
    base: Path | None = None
    scope: Scope | None = None
    run_cache: bool = False
    allow_missing: bool = False
    max_size_bytes: int | None = None
    kinds: tuple[str, ...] = ()


DEFAULTS = TransferOptions()


def push(
    repo: DataRepository,
    targets: Targets = (),
    *,
    options: TransferOptions = DEFAULTS,
    progress: Progress | None = None,
) -> TransferReport:
    """Upload tracked content to its remotes."""
    return _Transferring(repo, options, True, progress).run(targets)


def fetch(
    repo: DataRepository,
    targets: Targets = (),
    *,
    options: TransferOptions = DEFAULTS,
    progress: Progress | None = None,
    fetch_import: FetchImport | None = None,
) -> TransferReport:
    """Download tracked content from its remotes into the cache; of a part of a directory, that part alone.

    Without `fetch_import`, imports are left out.
    """
    return _Transferring(repo, options, False, progress, fetch_import).run(targets)


def fetch_chosen(
    repo: DataRepository, chosen: Sequence[Chosen], options: TransferOptions, fetch_import: FetchImport | None
) -> TransferReport:
    """Download what was chosen into the cache; the caller holds the repository's lock."""
    job = _Transferring(repo, options, False, None, fetch_import)
    for name, parts in job.collect(chosen).items():
        job.serve_remote(name, parts)
    return job.report


def pull(
    repo: DataRepository,
    targets: Targets = (),
    *,
    options: TransferOptions = DEFAULTS,
    progress: Progress | None = None,
    fetch_import: FetchImport | None = None,
    force: bool = False,
) -> TransferReport:
    """Fetch, then check out.

    Raises:
        NotFound, Unavailable: not everything could be fetched; nothing was checked out.
    """
    report = fetch(repo, targets, options=options, progress=progress, fetch_import=fetch_import)
    if targets:
        require_pushed(repo, report)
    raise_failures(report, "fetched", allow_missing=options.allow_missing)
    report.changes = checkout(
        repo,
        targets,
        base=options.base,
        force=force,
        allow_missing=lambda output: options.allow_missing or output.path in report.kept_back,
    )
    promised = [
        replace(one, output=replace(one.output, hash=report.imported[one.output.path]))
        for one in select(repo, targets, base=options.base)
        if one.output.hash is None and one.output.path in report.imported
    ]
    if promised:  # an import whose pointer does not say what it holds
        report.changes.update(checkout(repo, promised, force=force))
    return report


def bring_trees(repo: DataRepository, outputs: Sequence[Output], options: TransferOptions) -> None:
    """Download the lists of directories, not their files, as far as their remotes have them."""
    by_remote: dict[str | None, set[str]] = {}
    for output in outputs:
        if output.hash is not None and not output.is_import:
            by_remote.setdefault(options.remote or output.remote, set()).add(output.hash.md5)
    for name, trees in by_remote.items():
        backend = repo.remote(name)
        try:
            transfer.fetch_trees(repo, trees, backend, jobs=options.jobs)
        finally:
            backend.close()


def is_meant(output: Output, options: TransferOptions, *, is_push: bool) -> bool:
    """Say whether an output's content travels at all: `-r` leaves out what belongs on another remote."""
    if output.hash is None or not output.cached or output.is_import or (is_push and not output.push):
        return False
    return not (options.remote and output.remote and options.remote != output.remote)


def of_history(repo: DataRepository, targets: Targets, options: TransferOptions) -> Iterable[Chosen]:
    """Yield the outputs of other commits: all, or with targets those at the same paths."""
    if options.scope is None:
        return
    from penstock.base.git import Git
    from penstock.flows.tracked.history import list_commits, outputs_at

    limits = None
    if targets:
        limits = {one.output.path: one.within for one in select(repo, targets, base=options.base)}
    for output in outputs_at(repo, list_commits(Git(repo.root), options.scope)):
        if limits is None:
            yield Chosen(output)
        elif output.path in limits:
            yield Chosen(output, limits[output.path])


@dataclass
class _Transferring:
    """One push or fetch under way."""

    repo: DataRepository
    options: TransferOptions
    is_push: bool
    progress: Progress | None = None
    fetch_import: FetchImport | None = None
    report: TransferReport = field(default_factory=TransferReport)

    def run(self, targets: Targets) -> TransferReport:
        """Move what the targets, and other commits at their paths, hold."""
        repo, options = self.repo, self.options
        with repository_lock(repo):
            if not self.is_push:
                repo.cache.remove_stale_staging()
            by_remote = self.collect(select(repo, targets, base=options.base))
            for one in of_history(repo, targets, options):
                if not self._is_meant(one.output) or not one.output.push:
                    continue
                if self.is_push and one.output.hash is not None and repo.cache.find(one.output.hash) is None:
                    continue  # another clone's work: not here to be pushed
                by_remote.setdefault(options.remote or one.output.remote, []).append(one)
            if options.run_cache:
                by_remote.setdefault(options.remote, [])
            for name, parts in by_remote.items():
                self.serve_remote(name, parts)
            if self.report.imported:
                self.report.transfers["imports"] = transfer.Transfer(len(self.report.imported))
            elif options.remote or (self.is_push and not by_remote):
                repo.remote_name(options.remote)
        return self.report

    def collect(self, chosen: Sequence[Chosen]) -> dict[str | None, list[Chosen]]:
        """Return what travels by the name of its remote; a fetch brings imports from their sources meanwhile."""
        by_remote: dict[str | None, list[Chosen]] = {}
        for one in chosen:
            if one.comes_from_source and self.fetch_import is not None:
                self._bring(one, self.fetch_import)
            elif self._is_meant(one.output):
                by_remote.setdefault(self.options.remote or one.output.remote, []).append(one)
        return by_remote

    def serve_remote(self, name: str | None, parts: list[Chosen]) -> None:
        """Move what travels to or from one remote."""
        repo, options = self.repo, self.options
        if not self.is_push and not options.run_cache and all(_is_here(repo, one) for one in parts):
            return
        place = repo.remote_name(name)
        backend = repo.remote(place)
        try:
            done = self._move(parts, backend)
            if options.run_cache and name == options.remote:
                done.done += (push_runs if self.is_push else fetch_runs)(repo, backend)
        finally:
            backend.close()
        if not self.is_push and done.missing:
            self._excuse(parts, done)
        self.report.transfers.setdefault(place, transfer.Transfer()).add(done)
        if done.missing:
            where = "the cache" if self.is_push else f"remote {place!r} ({backend.url})"
            self.report.lacking.setdefault(where, []).extend(_paths_of(repo, parts, done.missing))

    def _excuse(self, parts: Sequence[Chosen], done: transfer.Transfer) -> None:
        """Take out of the failures what no remote is expected to have: of outputs that are never pushed."""
        expected = {md5 for one in parts if one.output.push for md5 in _names_of(self.repo, one)}
        for one in parts:
            lost = _names_of(self.repo, one) & done.missing if not one.output.push else set()
            if lost:
                self.report.kept_back[one.output.path] = one.output.source
            for md5 in lost - expected:
                done.missing.discard(md5)
                done.failed.pop(md5, None)

    def _move(self, parts: list[Chosen], backend: Backend) -> transfer.Transfer:
        repo, jobs = self.repo, self.options.jobs
        result = transfer.Transfer()
        if not self.is_push:
            trees = {
                one.output.hash.md5
                for one in parts
                if one.within and one.output.hash is not None and one.output.hash.algorithm == "md5"
            }
            result.add(transfer.fetch_trees(repo, trees, backend, jobs=jobs))
            parts = [one for one in parts if one.output.hash and one.output.hash.md5 not in result.failed]
        wanted = [info for one in parts for info in _content(repo, one)]
        hashes = [info for info in wanted if info.algorithm == "md5"]
        if len(hashes) < len(wanted):
            legacy = [info for info in wanted if info.algorithm != "md5"]
            result.add((push_legacy if self.is_push else fetch_legacy)(repo, legacy, backend))
        move = transfer.push_objects if self.is_push else transfer.fetch_objects
        result.add(move(repo, hashes, backend, jobs=jobs, progress=self.progress))
        return result

    def _is_meant(self, output: Output) -> bool:
        options = self.options
        if not is_meant(output, options, is_push=self.is_push):
            return False
        size = output.hash.size if output.hash is not None else None
        if options.max_size_bytes is not None and size is not None and size >= options.max_size_bytes:
            return False
        return not options.kinds or output.path in self._places

    @cached_property
    def _places(self) -> set[Path]:
        """Where the outputs of the wanted kinds are."""
        from penstock.pipeline.outputs import list_kind

        return {path for kind in self.options.kinds for path in list_kind(self.repo, kind)}

    def _bring(self, one: Chosen, fetch_import: FetchImport) -> None:
        info = one.output.hash
        if one.pointer is None or (info is not None and has(self.repo, info)):
            return
        found = fetch_import(self.repo, one.pointer)
        if found is not None:
            self.report.imported[one.output.path] = found


def _names_of(repo: DataRepository, one: Chosen) -> set[str]:
    info = one.output.hash
    if info is None:
        return set()
    inner = repo.cache.load_tree(info).values() if info.is_tree and repo.cache.find(info) is not None else ()
    return {info.md5, *inner}


def _is_here(repo: DataRepository, one: Chosen) -> bool:
    """Say whether a fetch of an output has nothing to do."""
    output = one.output
    return output.hash is not None and output.files is None and not one.within and has(repo, output.hash)


def _content(repo: DataRepository, one: Chosen) -> list[HashInfo]:
    info = one.output.hash
    if info is None:
        return []
    if one.output.files is not None:
        return [found for name, found in one.output.files if is_within(name, one.within)]
    if one.within and repo.cache.find(info) is not None:
        tree = repo.cache.load_tree(info)
        kept = [md5 for name, md5 in tree.items() if is_within(name, one.within)]
        return [HashInfo(md5, algorithm=info.algorithm) for md5 in kept]
    return [info]


def _paths_of(repo: DataRepository, parts: list[Chosen], md5s: set[str]) -> list[str]:
    """Return the paths whose objects are given: a directory by its own name where its list is among them."""
    found: dict[str, None] = {}
    for one in parts:
        info, path = one.output.hash, repo.relative(one.output.path)
        if info is None:
            continue
        if one.output.files is not None:
            inner = {name: entry.md5 for name, entry in one.output.files}
        elif info.is_tree and repo.cache.find(info) is not None:
            inner = repo.cache.load_tree(info)
        else:
            inner = {}
        lost = [
            f"{path}/{name}" for name, md5 in inner.items() if md5 in md5s and is_within(name, one.within)
        ]
        found.update(dict.fromkeys(lost or ([path] if info.md5 in md5s else [])))
    return list(found)
