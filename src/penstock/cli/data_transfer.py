"""`penstock push`, `fetch` and `pull`: tracked data between the cache and remotes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from penstock.cli.data import TARGETS, opened, pipeline_outputs
from penstock.cli.data_text import by_change, render_changes
from penstock.cli.output import Session, json_option, pass_session
from penstock.cli.progress import shown_progress

if TYPE_CHECKING:
    from penstock.data.pointer import Pointer
    from penstock.data.repository import DataRepository
    from penstock.flows.versioning import TransferReport


def _transfer_options(command: Any) -> Any:
    for option in (
        click.option(
            "-a", "--all-branches", "branches", is_flag=True, help="For the tips of all branches too."
        ),
        click.option("-T", "--all-tags", "tags", is_flag=True, help="For all tags too."),
        click.option("-A", "--all-commits", "commits", is_flag=True, help="For all commits too."),
        click.option("-r", "--remote", help="Remote by name (default: the configured one)."),
        click.option("-j", "--jobs", type=int, default=0, help="Objects at once."),
        TARGETS,
        json_option,
    ):
        command = option(command)
    return command


@click.command()
@_transfer_options
@pass_session
def push(session: Session, /, targets: tuple[str, ...], remote: str | None, jobs: int, **scope: bool) -> None:
    """Upload tracked data from the cache to a remote."""
    from penstock.flows import versioning

    with opened(session) as repo, shown_progress(session, "push") as show:
        options = versioning.TransferOptions(
            remote, jobs, session.directory, show, _history(repo, scope), _fetch_import
        )
        report = versioning.push(repo, targets, lambda: pipeline_outputs(repo.root), options=options)
    versioning.raise_failures(report, "pushed")
    _emit_report(session, report, "pushed")


@click.command()
@_transfer_options
@pass_session
def fetch(
    session: Session, /, targets: tuple[str, ...], remote: str | None, jobs: int, **scope: bool
) -> None:
    """Download tracked data from a remote into the cache."""
    from penstock.flows import versioning

    with opened(session) as repo, shown_progress(session, "fetch") as show:
        options = versioning.TransferOptions(
            remote, jobs, session.directory, show, _history(repo, scope), _fetch_import
        )
        report = versioning.fetch(repo, targets, lambda: pipeline_outputs(repo.root), options=options)
    versioning.raise_failures(report, "fetched")
    _emit_report(session, report, "fetched")


@click.command()
@_transfer_options
@click.option("-f", "--force", is_flag=True, help="Overwrite unsaved work, keeping a copy under .dvc/tmp.")
@pass_session
def pull(
    session: Session, /, targets: tuple[str, ...], remote: str | None, jobs: int, force: bool, **scope: bool
) -> None:
    """Fetch, then check out."""
    from penstock.flows import versioning

    with opened(session) as repo, shown_progress(session, "fetch") as show:
        options = versioning.TransferOptions(
            remote, jobs, session.directory, show, _history(repo, scope), _fetch_import
        )
        report = versioning.pull(
            repo, targets, lambda: pipeline_outputs(repo.root), options=options, force=force
        )
    _emit_report(session, report, "fetched")


def _fetch_import(repo: DataRepository, pointer: Pointer) -> int:
    """Bring an import from its source; what that takes is imported when there is one."""
    from penstock.flows.imports import fetch_import

    return fetch_import(repo, pointer)


def _history(repo: DataRepository, scope: dict[str, bool]) -> Any:
    """Return what yields the outputs of other commits, or None when none are asked for."""
    if not any(scope.values()):
        return None
    from penstock.base.git import Git
    from penstock.flows.data_history import Scope, list_commits, outputs_at

    return lambda: outputs_at(
        repo, list_commits(Git(repo.root), Scope(scope["branches"], scope["tags"], scope["commits"]))
    )


def _emit_report(session: Session, report: TransferReport, verb: str) -> None:
    document: dict[str, Any] = {
        "remotes": {
            name: {"objects": one.done, "bytes": one.total_bytes} for name, one in report.transfers.items()
        },
        **(by_change(report.changes) if report.changes else {}),
    }

    def text() -> str:
        lines = [render_changes(report.changes)] if report.changes else []
        lines.append(f"{report.done} objects {verb}" if report.done else "Everything is up to date.")
        return "\n".join(lines)

    session.emit(document, text)
