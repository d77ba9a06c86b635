"""What `penstock repro --pull` fetches: records of runs first, then the data that turn out to be missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from penstock.base.errors import PenstockError
from penstock.data.cache.presence import has
from penstock.data.formats.output import Output
from penstock.data.pointers.metafiles import SUFFIX
from penstock.data.pointers.pointer import Pointer, load_pointer
from penstock.data.repository import DataRepository
from penstock.data.verbs.checkout import checkout_output
from penstock.flows.sources.fetching import fetch_import
from penstock.flows.tracked.remotes.report import raise_failures
from penstock.flows.tracked.remotes.run_history import fetch_runs
from penstock.flows.tracked.remotes.transferring import DEFAULTS, fetch_chosen
from penstock.flows.tracked.selection import Chosen


def bringer(
    repo: DataRepository, note: Callable[[str], None], *, with_runs: bool
) -> Callable[[Sequence[Output]], None]:
    """Return what fetches outputs into the cache and puts those that are not there into the workspace.

    The caller of what is returned holds the repository's lock.

    Args:
        note: is told when the records of runs cannot be had; the reproduction goes on without them.
        with_runs: fetch those records, now.
    """
    if with_runs:
        try:
            backend = repo.remote()
            try:
                fetch_runs(repo, backend)
            finally:
                backend.close()
        except PenstockError as error:
            note(f"earlier runs were not fetched: {error.message}")

    def bring(outputs: Sequence[Output]) -> None:
        chosen = [Chosen(output, "", _pointer(repo, output)) for output in outputs if output.cached]
        wanted = [one for one in chosen if one.output.hash is None or not has(repo, one.output.hash)]
        report = fetch_chosen(repo, wanted, DEFAULTS, fetch_import)
        raise_failures(report, "fetched")
        for one in chosen:
            info = one.output.hash or report.imported.get(one.output.path)
            if info is not None and not one.output.path.exists():
                checkout_output(repo, replace(one.output, hash=info))

    return bring


def _pointer(repo: DataRepository, output: Output) -> Pointer | None:
    return load_pointer(repo, repo.root / output.source) if output.source.endswith(SUFFIX) else None
