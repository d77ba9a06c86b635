"""The data verbs over everything that is tracked: pointers' outputs and the pipeline's together.

The verbs that need no remote are in `penstock.flows.data_workspace`, selection of targets and `status` in
`penstock.flows.selection`, `diff` in `penstock.flows.comparing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from penstock.base.errors import Unavailable
from penstock.data import transfer
from penstock.data.checkout import Change
from penstock.data.lock import repository_lock
from penstock.data.objects import has
from penstock.data.output import HashInfo, Output
from penstock.data.pointer import Pointer
from penstock.data.repository import DataRepository
from penstock.flows.data_workspace import add, checkout, commit, remove
from penstock.flows.selection import Chosen, ExtraOutputs, no_outputs, select, status

__all__ = [
    "Chosen",
    "TransferOptions",
    "TransferReport",
    "add",
    "checkout",
    "cloud_status",
    "commit",
    "fetch",
    "no_outputs",
    "pull",
    "push",
    "raise_failures",
    "remove",
    "select",
    "status",
]
Progress = transfer.Progress


@dataclass
class TransferReport:
    """What a push, fetch or pull did, remote by remote, and what was checked out after a pull."""

    transfers: dict[str, transfer.Transfer] = field(default_factory=dict)
    changes: dict[str, Change] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """Objects that were transferred."""
        return sum(one.done for one in self.transfers.values())

    @property
    def failed(self) -> dict[str, str]:
        """Objects that failed, with the reason."""
        return {md5: why for one in self.transfers.values() for md5, why in one.failed.items()}


def push(
    repo: DataRepository,
    targets: Sequence[str] = (),
    extra_outputs: ExtraOutputs = no_outputs,
    *,
    options: TransferOptions | None = None,
) -> TransferReport:
    """Upload tracked content to its remotes."""
    return _transfer(repo, targets, extra_outputs, options or TransferOptions(), transfer.push_objects)


def fetch(
    repo: DataRepository,
    targets: Sequence[str] = (),
    extra_outputs: ExtraOutputs = no_outputs,
    *,
    options: TransferOptions | None = None,
) -> TransferReport:
    """Download tracked content from its remotes into the cache."""
    return _transfer(repo, targets, extra_outputs, options or TransferOptions(), transfer.fetch_objects)


def pull(
    repo: DataRepository,
    targets: Sequence[str] = (),
    extra_outputs: ExtraOutputs = no_outputs,
    *,
    options: TransferOptions | None = None,
    force: bool = False,
) -> TransferReport:
    """Fetch, then check out.

    Raises:
        Unavailable: not everything could be fetched; nothing was checked out.
    """
    options = options or TransferOptions()
    report = fetch(repo, targets, extra_outputs, options=options)
    raise_failures(report, "fetched")
    report.changes = checkout(repo, targets, extra_outputs, base=options.base, force=force)
    return report


@dataclass(frozen=True)
class TransferOptions:
    """`remote` by name (None: each output's own or the default), `jobs` at once (0: the backend's choice).

    `history` yields the outputs of other commits that are meant too; `fetch_import` brings an import from
    its source (without it imports are left out).
    """

    remote: str | None = None
    jobs: int = 0
    base: Path | None = None
    progress: Progress | None = None
    history: Callable[[], Iterable[Output]] | None = None
    fetch_import: Callable[[DataRepository, Pointer], int] | None = None


def _transfer(
    repo: DataRepository,
    targets: Sequence[str],
    extra_outputs: ExtraOutputs,
    options: TransferOptions,
    move: Callable[..., transfer.Transfer],
) -> TransferReport:
    report = TransferReport()
    by_remote: dict[str | None, list[HashInfo]] = {}
    imported = transfer.Transfer()
    with repository_lock(repo):
        for one in select(repo, targets, extra_outputs, base=options.base):
            output = one.output
            brought = _from_source(repo, one, options) if move is transfer.fetch_objects else None
            if brought is not None:
                imported.done += brought
                continue
            if output.hash is None or not output.cached or output.is_import:
                continue
            if move is transfer.push_objects and not output.push:
                continue
            by_remote.setdefault(options.remote or output.remote, []).extend(_content(repo, one))
        for output in options.history() if options.history else ():
            if output.hash is None or not output.cached or output.is_import or not output.push:
                continue
            if move is transfer.push_objects and repo.cache.find(output.hash) is None:
                continue  # another clone's work: not here to be pushed
            by_remote.setdefault(options.remote or output.remote, []).extend(_content(repo, Chosen(output)))
        for name, hashes in by_remote.items():
            chosen = repo.remote_name(name)
            backend = repo.remote(chosen)
            try:
                report.transfers[chosen] = move(
                    repo, hashes, backend, jobs=options.jobs, progress=options.progress
                )
            finally:
                backend.close()
        if imported.done:
            report.transfers["imports"] = imported
        elif not by_remote:
            repo.remote_name(options.remote)
    return report


def _from_source(repo: DataRepository, one: Chosen, options: TransferOptions) -> int | None:
    """Bring an import whose content is not in the cache; return how many came, None for what is no import.

    Data from a URL are an import until they were downloaded once; from then on remotes have them.
    """
    pointer, info = one.pointer, one.output.hash
    if pointer is None or options.fetch_import is None:
        return None
    if not one.output.is_import and (info is not None or not pointer.dependencies):
        return None
    return 0 if info is not None and has(repo, info) else options.fetch_import(repo, pointer)


def _content(repo: DataRepository, one: Chosen) -> list[HashInfo]:
    info = one.output.hash
    if info is None:
        return []
    if one.output.files is not None:
        return [found for _, found in one.output.files]
    if one.within and repo.cache.find(info) is not None:
        tree = repo.cache.load_tree(info)
        head = f"{one.within}/"
        return [HashInfo(md5) for name, md5 in tree.items() if name == one.within or name.startswith(head)]
    return [info]


def raise_failures(report: TransferReport, verb: str) -> None:
    """Raise when some objects failed, naming how many and the first reason.

    Raises:
        Unavailable: as said.
    """
    failed = report.failed
    if failed:
        md5, why = next(iter(failed.items()))
        raise Unavailable(
            f"{len(failed)} objects were not {verb}: {why}",
            code="data.incomplete",
            hint="run the same command again; what arrived is kept",
            first=md5,
            failed=len(failed),
        )


def cloud_status(
    repo: DataRepository,
    targets: Sequence[str] = (),
    extra_outputs: ExtraOutputs = no_outputs,
    *,
    options: TransferOptions | None = None,
) -> dict[str, str]:
    """Compare cache and remote in the shape of `dvc status -c --json`.

    By path of an output or of a file below a directory, one path for each object: `new` is only in the cache, `deleted` only on the
    remote, `missing` in neither.
    """
    options = options or TransferOptions()
    chosen = select(repo, targets, extra_outputs, base=options.base)
    backend = repo.remote(options.remote)
    try:
        names: dict[str, str] = {}
        for one in chosen:
            if one.output.hash is None or not one.output.cached:
                continue
            path = repo.relative(one.output.path)
            names.setdefault(one.output.hash.md5, path)
            if one.output.hash.is_tree and repo.cache.find(one.output.hash) is not None:
                for name, md5 in repo.cache.load_tree(one.output.hash).items():
                    names.setdefault(md5, f"{path}/{name}")
        remote_absent = set(transfer.find_absent(backend, names))
        local_absent = repo.cache.missing(set(names))
    finally:
        backend.close()
    words = {(True, False): "new", (False, True): "deleted", (True, True): "missing"}
    found = {path: words.get((md5 in remote_absent, md5 in local_absent)) for md5, path in names.items()}
    return {path: word for path, word in sorted(found.items()) if word is not None}
