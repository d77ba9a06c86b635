"""`penstock repair`: restore missing and damaged objects from a good copy."""

from __future__ import annotations

import click

from penstock.cli.data_targets import TARGETS, complete_remotes, opened, pipeline_outputs
from penstock.cli.output import Session, json_option


@click.command()
@TARGETS
@click.option("-r", "--remote", shell_complete=complete_remotes, help="Remote to take good copies from.")
@json_option
@click.pass_context
def repair(context: click.Context, targets: tuple[str, ...], remote: str | None) -> None:
    """Restore missing and damaged objects from the workspace or a remote; exit 1 when some are lost."""
    from penstock.flows import data_repair

    session = context.find_object(Session) or context.ensure_object(Session)
    with opened(session) as repo:
        found = data_repair.repair(
            repo, targets, lambda: pipeline_outputs(repo), base=session.directory, remote=remote
        )
    document = {"workspace": found.from_workspace, "remote": found.from_remote, "lost": found.lost}
    lines = [f"lost     {md5}" for md5 in found.lost]
    lines.append(
        f"{len(found.from_workspace)} objects restored from the workspace, {len(found.from_remote)} from the remote"
        + (f"; {len(found.lost)} are nowhere" if found.lost else ": all sound")
    )
    session.emit(document, "\n".join(lines))
    context.exit(1 if found.lost else 0)
