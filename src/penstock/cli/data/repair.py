"""`penstock verify` and `repair`: find missing and damaged objects, and restore them from a good copy."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from penstock.base.numbers import counted
from penstock.cli.data.targets import TARGETS, complete_remotes, opened
from penstock.cli.output import Session, json_option
from penstock.cli.progress import shown_progress

if TYPE_CHECKING:
    from penstock.flows.tracked.remotes.transferring import TransferOptions
    from penstock.flows.tracked.verifying import Verified

KINDS = ("missing", "damaged", "unreadable")
CLOUD = click.option("-c", "--cloud", is_flag=True, help="The objects on remotes instead of the cache's.")
JOBS = click.option(
    "-j", "--jobs", type=click.IntRange(min=0), default=0, help="Objects at once, with --cloud."
)


@click.command()
@TARGETS
@CLOUD
@click.option("-r", "--remote", shell_complete=complete_remotes, help="The remote to read (implies --cloud).")
@JOBS
@json_option
@click.pass_context
def verify(
    context: click.Context, targets: tuple[str, ...], cloud: bool, remote: str | None, jobs: int
) -> None:
    """Read every object of tracked data, in the cache or on remotes; exit 1 when one is missing or damaged.

    With --cloud all data are downloaded and nothing is kept.
    """
    from penstock.flows.tracked import verifying

    session = context.find_object(Session) or context.ensure_object(Session)
    if not (cloud or remote):
        with opened(session) as repo:
            one = verifying.verify(repo, targets, base=session.directory)
        session.emit(_document(one), lambda: "\n".join(_lines(one, "penstock repair")))
        context.exit(0 if one.found.is_sound else 1)
    with opened(session) as repo, shown_progress(session, "verify") as show:
        found = verifying.verify_remotes(
            repo,
            targets,
            options=_options(session, remote, jobs),
            progress=show,
        )
    session.emit(
        {"remotes": {name: _document(one) for name, one in found.items()}},
        lambda: "\n".join(
            line
            for name, one in found.items()
            for line in _lines(one, f"penstock repair -c -r {shlex.quote(name)}", name)
        ),
    )
    context.exit(0 if all(one.found.is_sound for one in found.values()) else 1)


@click.command()
@TARGETS
@CLOUD
@click.option(
    "-r",
    "--remote",
    shell_complete=complete_remotes,
    help="Remote to take good copies from; with --cloud, the one to bring the cache's to.",
)
@JOBS
@json_option
@click.pass_context
def repair(
    context: click.Context, targets: tuple[str, ...], cloud: bool, remote: str | None, jobs: int
) -> None:
    """Restore missing and damaged objects; exit 1 when some are lost.

    Those of the cache come from the workspace or a remote, those of remotes (--cloud) from the cache.
    """
    from penstock.flows.tracked import repairing

    session = context.find_object(Session) or context.ensure_object(Session)
    with opened(session) as repo, shown_progress(session, "verify") as show:
        if cloud:
            found = repairing.repair_remotes(
                repo,
                targets,
                options=_options(session, remote, jobs),
                progress=show,
            )
        else:
            found = repairing.repair(repo, targets, base=session.directory, remote=remote)
    document = {"workspace": found.from_workspace, "remote": found.from_remote, "lost": found.lost}
    if cloud:
        document = {"uploaded": found.uploaded, "lost": found.lost}
        done = f"{counted(len(found.uploaded), 'object')} uploaded again"
    else:
        done = f"{counted(len(found.from_workspace), 'object')} restored from the workspace, {len(found.from_remote)} from the remote"
    lines = [f"lost     {md5}  {found.paths.get(md5, '')}".rstrip() for md5 in found.lost]
    lost = "not whole in the cache: penstock repair, then this again" if cloud else "nowhere"
    lines.append(done + (f"; {len(found.lost)} are {lost}" if found.lost else ": all sound"))
    session.emit(document, "\n".join(lines))
    context.exit(1 if found.lost else 0)


def _options(session: Session, remote: str | None, jobs: int) -> TransferOptions:
    from penstock.flows.tracked.remotes.transferring import TransferOptions

    return TransferOptions(remote, jobs, session.directory)


def _document(one: Verified) -> dict[str, Any]:
    found = one.found
    return {
        "checked": found.checked,
        "missing": found.missing,
        "damaged": found.damaged,
        "unreadable": found.unreadable,
        "paths": one.paths,
    }


def _lines(one: Verified, remedy: str, place: str = "") -> list[str]:
    width = max(map(len, KINDS))
    lines = [
        f"{kind:{width}}  {md5}  {one.paths.get(md5, '')}".rstrip()
        for kind in KINDS
        for md5 in getattr(one.found, kind)
    ]
    where = f" of remote {place}" if place else ""
    lines.append(
        f"{counted(one.found.checked, 'object')}{where} read"
        + (": all sound" if one.found.is_sound else f"; {remedy} restores them")
    )
    return lines
