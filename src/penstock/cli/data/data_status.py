"""`penstock data status`: what changed between commit, metafiles and workspace."""

from __future__ import annotations

from typing import Any, TypedDict, Unpack

import click

from penstock.cli.data.targets import TARGETS, complete_remotes, lists_of, opened
from penstock.cli.output import Session, json_option, pass_session

LABELS = {
    "not_in_remote": "Not in remote",
    "not_in_cache": "Not in cache",
    "committed": "DVC committed changes",
    "uncommitted": "DVC uncommitted changes",
    "untracked": "Untracked files",
    "unchanged": "DVC unchanged files",
}
HINTS = {
    "not_in_remote": ('use "penstock push <file>..." to upload files',),
    "not_in_cache": ('use "penstock fetch <file>..." to download files',),
    "committed": ("git commit the corresponding dvc files to update the repo",),
    "uncommitted": (
        'use "penstock commit <file>..." to track changes',
        'use "penstock checkout <file>..." to discard changes',
    ),
    "untracked": ('use "git add <file> ..." or "penstock add <file>..." to commit to git or to penstock',),
}


class DataStatusFlags(TypedDict):
    """What `data status` looks at."""

    granular: bool
    untracked_files: str
    not_in_remote: bool
    remote: str | None
    no_remote_refresh: bool


@click.group()
def data() -> None:
    """Show the state of tracked data."""


@data.command()
@TARGETS
@click.option("--granular", is_flag=True, help="Show single files of tracked directories.")
@click.option("--unchanged", is_flag=True, help="Show what did not change too.")
@click.option(
    "--untracked-files",
    type=click.Choice(["no", "all"]),
    default="no",
    is_flag=False,
    flag_value="all",
    help="Show files neither git nor penstock tracks.",
)
@click.option("--not-in-remote", is_flag=True, help="Show what is not on the remote.")
@click.option("-r", "--remote", shell_complete=complete_remotes, help="The remote for --not-in-remote.")
@click.option("--no-remote-refresh", is_flag=True, help="Accepted for DVC's sake.")
@json_option
@pass_session
def status(
    session: Session, /, targets: tuple[str, ...], unchanged: bool, **flags: Unpack[DataStatusFlags]
) -> None:
    """Show changes between the last commit, the metafiles and the workspace."""
    from penstock.flows.tracked.comparing import resolve_targets
    from penstock.flows.tracked.report import ReportOptions, data_status

    with opened(session) as repo:
        options = ReportOptions(
            flags["granular"],
            flags["untracked_files"] == "all",
            flags["not_in_remote"],
            flags["remote"],
            resolve_targets(repo, targets, session.directory),
        )
        found = data_status(repo, options, lists_of(repo))
    if not unchanged:
        del found["unchanged"]
    found = {key: value for key, value in found.items() if value}
    session.emit(found, lambda: _render(found))


def _render(found: dict[str, Any]) -> str:
    if not found:
        return "No changes."
    blocks = []
    for key, value in found.items():
        lines = [f"{LABELS[key]}:", *(f"  ({hint})" for hint in HINTS.get(key, ()))]
        if isinstance(value, list):
            lines += [f"        {path}" for path in value]
        else:
            for kind, entries in value.items():
                lines += [f"        {kind}: {_name(entry)}" for entry in entries]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _name(entry: Any) -> str:
    return f"{entry['old']} -> {entry['new']}" if isinstance(entry, dict) else str(entry)
