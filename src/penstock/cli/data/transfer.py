"""`penstock push`, `fetch` and `pull`: tracked data between the cache and remotes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

import click

from penstock.base.numbers import counted
from penstock.cli.data.targets import (
    GLOB,
    TARGETS,
    HistoryFlags,
    ReachFlags,
    complete_remotes,
    history_options,
    opened,
    reach_options,
    scope_of,
    widened,
)
from penstock.cli.data.text import by_change, render_changes, shown_paths
from penstock.cli.output import Session, json_option, pass_session
from penstock.cli.progress import shown_progress

if TYPE_CHECKING:
    from penstock.data.formats.output import HashInfo, Output
    from penstock.data.pointers.pointer import Pointer
    from penstock.data.repository import DataRepository
    from penstock.flows.tracked.remotes.report import TransferReport
    from penstock.flows.tracked.remotes.transferring import TransferOptions
    from penstock.flows.tracked.selection import Chosen


class TransferFlags(ReachFlags, HistoryFlags):
    """What `_transfer_options` adds besides targets."""

    use_glob: bool
    run_cache: bool
    remote: str | None
    jobs: int


def _transfer_options(command: Any) -> Any:
    for option in (
        history_options,
        reach_options,
        GLOB,
        click.option("--run-cache/--no-run-cache", help="Take the records of earlier runs along."),
        click.option(
            "-r",
            "--remote",
            shell_complete=complete_remotes,
            help="Remote by name (default: the configured one).",
        ),
        click.option("-j", "--jobs", type=click.IntRange(min=0), default=0, help="Objects at once."),
        TARGETS,
        json_option,
    ):
        command = option(command)
    return command


@click.command()
@_transfer_options
@pass_session
def push(session: Session, /, targets: tuple[str, ...], **flags: Unpack[TransferFlags]) -> None:
    """Upload tracked data from the cache to a remote."""
    from penstock.flows.tracked.remotes import transferring
    from penstock.flows.tracked.remotes.report import raise_failures

    with opened(session) as repo, shown_progress(session, "push") as show:
        chosen = _targets(session, repo, targets, flags)
        report = transferring.push(repo, chosen, options=_options(session, flags), progress=show)
    raise_failures(report, "pushed")
    _emit_report(session, repo, report, "pushed")


@click.command()
@_transfer_options
@click.option("--max-size", type=int, help="Leave out what is larger than this many bytes.")
@click.option(
    "--type",
    "types",
    type=click.Choice(["metrics", "plots"]),
    multiple=True,
    help="Only outputs of this kind (may be repeated).",
)
@pass_session
def fetch(
    session: Session,
    /,
    targets: tuple[str, ...],
    max_size: int | None,
    types: tuple[str, ...],
    **flags: Unpack[TransferFlags],
) -> None:
    """Download tracked data from a remote into the cache."""
    from penstock.flows.tracked.remotes import transferring
    from penstock.flows.tracked.remotes.report import raise_failures

    with opened(session) as repo, shown_progress(session, "fetch") as show:
        kinds = tuple(kind.removesuffix("s") for kind in types)
        options = replace(_options(session, flags), max_size_bytes=max_size, kinds=kinds)
        chosen = _targets(session, repo, targets, flags, options)
        report = transferring.fetch(repo, chosen, options=options, progress=show, fetch_import=_fetch_import)
    raise_failures(report, "fetched")
    _emit_report(session, repo, report, "fetched")


@click.command()
@_transfer_options
@click.option("-f", "--force", is_flag=True, help="Overwrite unsaved work, keeping a copy under .dvc/tmp.")
@click.option("--allow-missing", is_flag=True, help="Go on without what the remote does not have.")
@pass_session
def pull(
    session: Session,
    /,
    targets: tuple[str, ...],
    force: bool,
    allow_missing: bool,
    **flags: Unpack[TransferFlags],
) -> None:
    """Fetch, then check out."""
    from penstock.flows.tracked.remotes import transferring
    from penstock.flows.tracked.remotes.report import shorten

    with opened(session) as repo, shown_progress(session, "fetch") as show:
        options = replace(_options(session, flags), allow_missing=allow_missing)
        chosen = _targets(session, repo, targets, flags, options)
        report = transferring.pull(
            repo, chosen, options=options, progress=show, fetch_import=_fetch_import, force=force
        )
    for where, paths in report.lacking.items():
        session.note(f"left out: {shorten(paths)} not in {where}")
    if report.kept_back:
        names = [repo.relative(path) for path in report.kept_back]
        session.note(f"left out: {shorten(names)} never pushed (push: false)")
    _emit_report(session, repo, report, "fetched")


def _options(session: Session, flags: TransferFlags) -> TransferOptions:
    from penstock.flows.tracked.remotes.transferring import TransferOptions

    return TransferOptions(
        flags["remote"], flags["jobs"], session.directory, scope_of(flags), run_cache=flags["run_cache"]
    )


def _targets(
    session: Session,
    repo: DataRepository,
    targets: tuple[str, ...],
    flags: TransferFlags,
    options: TransferOptions | None = None,
) -> tuple[str | Chosen, ...]:
    """Resolve targets; a fetch (with `options`) may download directories' lists for patterns."""

    def bring(outputs: Sequence[Output]) -> None:
        from penstock.flows.tracked.remotes.transferring import bring_trees

        if options is not None:
            bring_trees(repo, outputs, options)

    return widened(
        session,
        repo,
        targets,
        recursive=flags["recursive"],
        with_deps=flags["with_deps"],
        use_glob=flags["use_glob"],
        bring_trees=bring,
    )


def _fetch_import(repo: DataRepository, pointer: Pointer) -> HashInfo | None:
    """Bring an import from its source; what that takes is imported when there is one."""
    from penstock.flows.sources.fetching import fetch_import

    return fetch_import(repo, pointer)


def _emit_report(session: Session, repo: DataRepository, report: TransferReport, verb: str) -> None:
    document: dict[str, Any] = {
        "remotes": {
            name: {"objects": one.done, "bytes": one.total_bytes} for name, one in report.transfers.items()
        },
        **(by_change(report.changes) if report.changes else {}),
    }

    def text() -> str:
        lines = (
            [render_changes(shown_paths(report.changes, repo.root, session.directory))]
            if report.changes
            else []
        )
        lines.append(
            f"{counted(report.done, 'object')} {verb}" if report.done else "Everything is up to date."
        )
        return "\n".join(lines)

    session.emit(document, text)
