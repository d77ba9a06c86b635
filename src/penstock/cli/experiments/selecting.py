"""The flags that say of which commits experiments are meant: `-A`, `--rev`, `-n`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

import click

if TYPE_CHECKING:
    from penstock.flows.experiments.baselines import Baselines


class RevisionFlags(TypedDict):
    """What `revision_options` adds."""

    all_commits: bool
    revs: tuple[str, ...]
    num: int


def revision_options(command: Any) -> Any:
    """Add `-A`, `--rev` and `-n`."""
    for option in (
        click.option("-n", "--num", type=int, default=1, help="The last NUM commits of --rev; below 1, all."),
        click.option("--rev", "revs", multiple=True, help="Experiments of this commit; HEAD by default."),
        click.option("-A", "--all-commits", is_flag=True, help="Experiments of all commits."),
    ):
        command = option(command)
    return command


def baselines_of(flags: RevisionFlags, *, branches: bool = False, tags: bool = False) -> Baselines:
    """Return which commits the flags mean."""
    from penstock.flows.experiments.baselines import Baselines

    return Baselines(flags["revs"], flags["num"], branches, tags, flags["all_commits"])
