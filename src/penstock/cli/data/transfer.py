"""`penstock push`, `fetch` and `pull`: tracked data between the cache and remotes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.data.targets import (
    GLOB,
    TARGETS,
    complete_remotes,
    find_history,
    history_options,
    opened,
    pipeline_outputs,
    reach_options,
    widened,
)
from penstock.cli.data.text import by_change, render_changes, shown_paths
from penstock.cli.output import Session, json_option, pass_session
from penstock.cli.progress import shown_progress

if TYPE_CHECKING:
    from penstock.data.formats.output import HashInfo, Output
    from penstock.data.pointers.pointer import Pointer
    from penstock.data.repository import DataRepository
    from penstock.flows.tracked.selection import Chosen
    from penstock.flows.tracked.transfer_report import TransferReport
    from penstock.flows.tracked.transferring import TransferOptions


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
def push(session: Session, /, targets: tuple[str, ...], **flags: Any) -> None:
    """Upload tracked data from the cache to a remote."""
    from penstock.flows.tracked import transfer_report, transferring

    with opened(session) as repo, shown_progress(session, "push") as show:
        options = _options(session, repo, flags, show)
        chosen = _targets(session, repo, targets, flags)
        report = transferring.push(repo, chosen, lambda: pipeline_outputs(repo), options=options)
    transfer_report.raise_failures(report, "pushed")
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
    session: Session, /, targets: tuple[str, ...], max_size: int | None, types: tuple[str, ...], **flags: Any
) -> None:
    """Download tracked data from a remote into the cache."""
    from penstock.flows.tracked import transfer_report, transferring

    with opened(session) as repo, shown_progress(session, "fetch") as show:
        options = _options(session, repo, flags, show, only=_filter(repo, max_size, types))
        chosen = _targets(session, repo, targets, flags, options)
        report = transferring.fetch(repo, chosen, lambda: pipeline_outputs(repo), options=options)
    transfer_report.raise_failures(report, "fetched")
    _emit_report(session, repo, report, "fetched")


@click.command()
@_transfer_options
@click.option("-f", "--force", is_flag=True, help="Overwrite unsaved work, keeping a copy under .dvc/tmp.")
@click.option("--allow-missing", is_flag=True, help="Go on without what the remote does not have.")
@pass_session
def pull(
    session: Session, /, targets: tuple[str, ...], force: bool, allow_missing: bool, **flags: Any
) -> None:
    """Fetch, then check out."""
    from penstock.flows.tracked import transfer_report, transferring

    with opened(session) as repo, shown_progress(session, "fetch") as show:
        options = _options(session, repo, flags, show, allow_missing=allow_missing)
        chosen = _targets(session, repo, targets, flags, options)
        report = transferring.pull(repo, chosen, lambda: pipeline_outputs(repo), options=options, force=force)
    for where, paths in report.lacking.items():
        session.note(f"left out: {transfer_report.shorten(paths)} not in {where}")
    if report.kept_back:
        names = [repo.relative(path) for path in report.kept_back]
        session.note(f"left out: {transfer_report.shorten(names)} never pushed (push: false)")
    _emit_report(session, repo, report, "fetched")


def _options(
    session: Session, repo: DataRepository, flags: dict[str, Any], show: Any, **more: Any
) -> TransferOptions:
    from penstock.flows.tracked.transferring import TransferOptions

    return TransferOptions(
        flags["remote"],
        flags["jobs"],
        session.directory,
        show,
        find_history(repo, flags),
        _fetch_import,
        flags["run_cache"],
        **more,
    )


def _targets(
    session: Session,
    repo: DataRepository,
    targets: tuple[str, ...],
    flags: dict[str, Any],
    options: TransferOptions | None = None,
) -> tuple[str | Chosen, ...]:
    """Resolve targets; a fetch (with `options`) may download directories' lists for patterns."""

    def bring(outputs: Sequence[Output]) -> None:
        from penstock.flows.tracked.transferring import bring_trees

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


def _filter(
    repo: DataRepository, max_size: int | None, types: tuple[str, ...]
) -> Callable[[Output], bool] | None:
    if max_size is None and not types:
        return None
    places = None
    if types:
        from penstock.pipeline.outputs import list_kind

        places = {path for kind in types for path in list_kind(repo, kind.removesuffix("s"))}

    def is_meant(output: Output) -> bool:
        size = output.hash.size if output.hash is not None else None
        if max_size is not None and size is not None and size >= max_size:
            return False
        return places is None or output.path in places

    return is_meant


def _fetch_import(repo: DataRepository, pointer: Pointer) -> HashInfo | None:
    """Bring an import from its source; what that takes is imported when there is one."""
    from penstock.flows.sources.imports import fetch_import

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
        lines.append(f"{report.done} objects {verb}" if report.done else "Everything is up to date.")
        return "\n".join(lines)

    session.emit(document, text)
