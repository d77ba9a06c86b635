"""Push, fetch and pull: tracked content between the cache and remotes, output by output.

What is missing where it should come from does not stop the rest; it is named at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from penstock.data.cache import transfer
from penstock.data.cache.legacy_transfer import fetch_legacy, push_legacy
from penstock.data.formats.output import HashInfo, Output, is_within
from penstock.data.lock import repository_lock
from penstock.data.objects import has
from penstock.data.pointers.pointer import Pointer
from penstock.data.repository import DataRepository
from penstock.flows.tracked.run_history import fetch_runs, push_runs
from penstock.flows.tracked.selection import Chosen, ExtraOutputs, Targets, no_outputs, select
from penstock.flows.tracked.transfer_report import TransferReport, raise_failures, require_pushed
from penstock.flows.tracked.working_tree import checkout
from penstock.storage.backend import Backend

Progress = transfer.Progress


@dataclass(frozen=True)
class TransferOptions:
    """`remote` by name (None: each output's own or the default), `jobs` at once (0: the backend's choice).

    `history` yields the outputs of other commits that are meant too; `fetch_import` brings an import from
    its source (without it imports are left out). `run_cache` takes the records of runs along. `allow_missing`
    goes on without what a remote does not have. `only` leaves outputs out.
    """

    remote: str | None = None
    jobs: int = 0
    base: Path | None = None
    progress: Progress | None = None
    history: Callable[[], Iterable[Output]] | None = None
    fetch_import: Callable[[DataRepository, Pointer], HashInfo | None] | None = None
    run_cache: bool = False
    allow_missing: bool = False
    only: Callable[[Output], bool] | None = None


def push(
    repo: DataRepository,
    targets: Targets = (),
    extra_outputs: ExtraOutputs = no_outputs,
    *,
    options: TransferOptions | None = None,
) -> TransferReport:
    """Upload tracked content to its remotes."""
    return _transfer(repo, targets, extra_outputs, options or TransferOptions(), is_push=True)


def fetch(
    repo: DataRepository,
    targets: Targets = (),
    extra_outputs: ExtraOutputs = no_outputs,
    *,
    options: TransferOptions | None = None,
) -> TransferReport:
    """Download tracked content from its remotes into the cache; of a part of a directory, that part alone."""
    return _transfer(repo, targets, extra_outputs, options or TransferOptions(), is_push=False)


def fetch_chosen(repo: DataRepository, chosen: Sequence[Chosen], options: TransferOptions) -> TransferReport:
    """Download what was chosen into the cache; the caller holds the repository's lock."""
    report = TransferReport()
    for name, parts in _collect(repo, list(chosen), options, report, is_push=False).items():
        _serve_remote(repo, name, parts, options, report, is_push=False)
    return report


def pull(
    repo: DataRepository,
    targets: Targets = (),
    extra_outputs: ExtraOutputs = no_outputs,
    *,
    options: TransferOptions | None = None,
    force: bool = False,
) -> TransferReport:
    """Fetch, then check out.

    Raises:
        NotFound, Unavailable: not everything could be fetched; nothing was checked out.
    """
    options = options or TransferOptions()
    report = fetch(repo, targets, extra_outputs, options=options)
    if targets:
        require_pushed(repo, report)
    raise_failures(report, "fetched", allow_missing=options.allow_missing)
    report.changes = checkout(
        repo,
        targets,
        extra_outputs,
        base=options.base,
        force=force,
        allow_missing=lambda output: options.allow_missing or output.path in report.kept_back,
    )
    promised = [
        replace(one, output=replace(one.output, hash=report.imported[one.output.path]))
        for one in select(repo, targets, extra_outputs, base=options.base)
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


def _transfer(
    repo: DataRepository,
    targets: Targets,
    extra_outputs: ExtraOutputs,
    options: TransferOptions,
    *,
    is_push: bool,
) -> TransferReport:
    report = TransferReport()
    with repository_lock(repo):
        if not is_push:
            repo.cache.remove_stale_staging()
        by_remote = _collect(
            repo, select(repo, targets, extra_outputs, base=options.base), options, report, is_push=is_push
        )
        for one in of_history(repo, targets, extra_outputs, options):
            if not is_meant(one.output, options, is_push=is_push) or not one.output.push:
                continue
            if is_push and one.output.hash is not None and repo.cache.find(one.output.hash) is None:
                continue  # another clone's work: not here to be pushed
            by_remote.setdefault(options.remote or one.output.remote, []).append(one)
        if options.run_cache:
            by_remote.setdefault(options.remote, [])
        for name, parts in by_remote.items():
            _serve_remote(repo, name, parts, options, report, is_push=is_push)
        if report.imported:
            report.transfers["imports"] = transfer.Transfer(len(report.imported))
        elif options.remote or (is_push and not by_remote):
            repo.remote_name(options.remote)
    return report


def _collect(
    repo: DataRepository,
    chosen: list[Chosen],
    options: TransferOptions,
    report: TransferReport,
    *,
    is_push: bool,
) -> dict[str | None, list[Chosen]]:
    """Return what travels by the name of its remote; a fetch brings imports from their sources meanwhile."""
    by_remote: dict[str | None, list[Chosen]] = {}
    for one in chosen:
        if not is_push and _comes_from_source(one, options):
            _bring(repo, one, options, report)
        elif is_meant(one.output, options, is_push=is_push):
            by_remote.setdefault(options.remote or one.output.remote, []).append(one)
    return by_remote


def _serve_remote(
    repo: DataRepository,
    name: str | None,
    parts: list[Chosen],
    options: TransferOptions,
    report: TransferReport,
    *,
    is_push: bool,
) -> None:
    if not is_push and not options.run_cache and all(_is_here(repo, one) for one in parts):
        return
    place = repo.remote_name(name)
    backend = repo.remote(place)
    try:
        done = _move(repo, parts, backend, options, is_push=is_push)
        if options.run_cache and name == options.remote:
            done.done += (push_runs if is_push else fetch_runs)(repo, backend)
    finally:
        backend.close()
    if not is_push and done.missing:
        _excuse(repo, parts, done, report)
    report.transfers.setdefault(place, transfer.Transfer()).add(done)
    if done.missing:
        where = "the cache" if is_push else f"remote {place!r} ({backend.url})"
        report.lacking.setdefault(where, []).extend(_paths_of(repo, parts, done.missing))


def _excuse(
    repo: DataRepository, parts: Sequence[Chosen], done: transfer.Transfer, report: TransferReport
) -> None:
    """Take out of the failures what no remote is expected to have: of outputs that are never pushed."""
    expected = {md5 for one in parts if one.output.push for md5 in _names_of(repo, one)}
    for one in parts:
        lost = _names_of(repo, one) & done.missing if not one.output.push else set()
        if lost:
            report.kept_back[one.output.path] = one.output.source
        for md5 in lost - expected:
            done.missing.discard(md5)
            done.failed.pop(md5, None)


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


def is_meant(output: Output, options: TransferOptions, *, is_push: bool) -> bool:
    """Say whether an output's content travels at all: `-r` leaves out what belongs on another remote."""
    if output.hash is None or not output.cached or output.is_import or (is_push and not output.push):
        return False
    if options.remote and output.remote and options.remote != output.remote:
        return False
    return options.only is None or options.only(output)


def of_history(
    repo: DataRepository, targets: Targets, extra_outputs: ExtraOutputs, options: TransferOptions
) -> Iterable[Chosen]:
    """Yield the outputs of other commits: all, or with targets those at the same paths."""
    if options.history is None:
        return
    limits = None
    if targets:
        chosen = select(repo, targets, extra_outputs, base=options.base)
        limits = {one.output.path: one.within for one in chosen}
    for output in options.history():
        if limits is None:
            yield Chosen(output)
        elif output.path in limits:
            yield Chosen(output, limits[output.path])


def _move(
    repo: DataRepository, parts: list[Chosen], backend: Backend, options: TransferOptions, *, is_push: bool
) -> transfer.Transfer:
    result = transfer.Transfer()
    if not is_push:
        trees = {
            one.output.hash.md5
            for one in parts
            if one.within and one.output.hash is not None and one.output.hash.algorithm == "md5"
        }
        result.add(transfer.fetch_trees(repo, trees, backend, jobs=options.jobs))
        parts = [one for one in parts if one.output.hash and one.output.hash.md5 not in result.failed]
    wanted = [info for one in parts for info in _content(repo, one)]
    hashes = [info for info in wanted if info.algorithm == "md5"]
    if len(hashes) < len(wanted):
        legacy = [info for info in wanted if info.algorithm != "md5"]
        result.add((push_legacy if is_push else fetch_legacy)(repo, legacy, backend))
    move = transfer.push_objects if is_push else transfer.fetch_objects
    result.add(move(repo, hashes, backend, jobs=options.jobs, progress=options.progress))
    return result


def _comes_from_source(one: Chosen, options: TransferOptions) -> bool:
    """Say whether remotes do not have an output: data from a URL are an import until they were downloaded once."""
    if one.pointer is None or options.fetch_import is None:
        return False
    return one.output.is_import or (one.output.hash is None and bool(one.pointer.dependencies))


def _bring(repo: DataRepository, one: Chosen, options: TransferOptions, report: TransferReport) -> None:
    info = one.output.hash
    if one.pointer is None or options.fetch_import is None or (info is not None and has(repo, info)):
        return
    found = options.fetch_import(repo, one.pointer)
    if found is not None:
        report.imported[one.output.path] = found


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
