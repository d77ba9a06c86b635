"""`penstock exp push` and `pull`: experiments to and from a git remote, with their data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

import click

from penstock.base.numbers import counted
from penstock.cli.data.targets import complete_remotes, opened
from penstock.cli.experiments.selecting import RevisionFlags, baselines_of, revision_options
from penstock.cli.output import EXIT_FAILED, Session, json_option, pass_session
from penstock.cli.progress import shown_progress

if TYPE_CHECKING:
    from penstock.flows.experiments.sharing import Share, Shared
    from penstock.flows.tracked.remotes.transferring import TransferOptions


class ShareFlags(RevisionFlags):
    """How experiments and their data go over."""

    force: bool
    no_cache: bool
    remote: str | None
    jobs: int
    run_cache: bool


def _share_options(command: Any) -> Any:
    for option in (
        click.option("--run-cache/--no-run-cache", help="Take the records of earlier runs along."),
        click.option("-j", "--jobs", type=click.IntRange(min=0), default=0, help="Objects at once."),
        click.option("-r", "--remote", shell_complete=complete_remotes, help="The remote of data, by name."),
        click.option("--no-cache", is_flag=True, help="Leave the data out."),
        click.option("-f", "--force", is_flag=True, help="Replace what differs there."),
        revision_options,
        click.argument("experiments", nargs=-1),
        click.argument("git_remote"),
        json_option,
    ):
        command = option(command)
    return command


@click.command()
@_share_options
@pass_session
def push(
    session: Session, /, git_remote: str, experiments: tuple[str, ...], **flags: Unpack[ShareFlags]
) -> None:
    """Send experiments to a git remote, after their data to a remote of data."""
    from penstock.flows.experiments.sharing import push_experiments

    _share(session, push_experiments, ("push", "Pushed"), git_remote, experiments, flags)


@click.command()
@_share_options
@pass_session
def pull(
    session: Session, /, git_remote: str, experiments: tuple[str, ...], **flags: Unpack[ShareFlags]
) -> None:
    """Bring experiments from a git remote, and their data into the cache."""
    from penstock.flows.experiments.sharing import pull_experiments

    _share(session, pull_experiments, ("fetch", "Pulled"), git_remote, experiments, flags)


def _share(
    session: Session,
    go: Share,
    words: tuple[str, str],
    git_remote: str,
    experiments: tuple[str, ...],
    flags: ShareFlags,
) -> None:
    """Let experiments go one way, and tell it; `words` are what the progress is called, and what was done."""
    with opened(session) as repo, shown_progress(session, words[0]) as show:
        shared = go(
            repo,
            git_remote,
            experiments,
            baselines_of(flags),
            data=_data(session, flags),
            force=flags["force"],
            progress=show,
        )
    _tell(session, shared, words[1], git_remote)


def _data(session: Session, flags: ShareFlags) -> TransferOptions | None:
    from penstock.flows.tracked.remotes.transferring import TransferOptions

    if flags["no_cache"]:
        return None
    return TransferOptions(flags["remote"], flags["jobs"], session.directory, run_cache=flags["run_cache"])


def _tell(session: Session, shared: Shared, verb: str, remote: str) -> None:
    names = {
        "success": [one.name for one in shared.done],
        "up_to_date": [one.name for one in shared.known],
        "diverged": [one.name for one in shared.diverged],
    }
    lines = [f"{verb} {', '.join(names['success'])}."] if shared.done else []
    if shared.known:
        lines.append(f"Up to date: {', '.join(names['up_to_date'])}.")
    if shared.diverged:
        session.note(f"Differs in {remote}: {', '.join(names['diverged'])}. --force replaces what is there.")
    count = shared.data.done if shared.data else 0
    if count:
        lines.append(f"{counted(count, 'object')} {verb.lower()}")
    session.emit({**names, "objects": count}, "\n".join(lines) or "There is nothing to do.")
    if shared.diverged:
        raise click.exceptions.Exit(EXIT_FAILED)
