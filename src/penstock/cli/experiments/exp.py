"""`penstock exp`: the group; its commands are in the files beside this one."""

from __future__ import annotations

from copy import copy

import click

from penstock.cli.experiments.keeping import apply, branch, remove, rename, save
from penstock.cli.experiments.run import run
from penstock.cli.experiments.sharing import pull, push
from penstock.cli.experiments.show import diff, list_, show


@click.group()
def exp() -> None:
    """Run, show, compare, keep and share experiments."""


def _alias(command: click.Command) -> click.Command:
    other = copy(command)
    other.hidden = True
    return other


exp.add_command(_alias(list_), "ls")
exp.add_command(_alias(remove), "rm")
for command in (apply, branch, diff, list_, pull, push, remove, rename, run, save, show):
    exp.add_command(command)
