"""`penstock exp`: the group; its commands are in the files beside this one."""

from __future__ import annotations

import click

from penstock.cli.experiments.run import run


@click.group()
def exp() -> None:
    """Run, show, compare, keep and share experiments."""


for command in (run,):
    exp.add_command(command)
