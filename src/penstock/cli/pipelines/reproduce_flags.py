"""What every command that reproduces may be told: its options stand here once, and the types of what they give."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

import click

from penstock.cli.output import F


class ExtentFlags(TypedDict):
    """What goes along with the targets."""

    single: bool
    pipeline: bool
    downstream: bool


class ExecutorFlags(TypedDict):
    """Who runs the commands of stages."""

    executor: str
    address: str | None


def executor_options(command: F) -> F:
    """Add `--executor` and `--address` to a command."""
    command = click.option("--address", help="Where the executor's cluster is, such as ray://HOST:10001.")(
        command
    )
    return click.option(
        "--executor", default="local", help="Who runs the commands: local, ray, or another that is installed."
    )(command)


class ReproduceFlags(ExtentFlags, ExecutorFlags):
    """How a pipeline is brought up to date."""

    force: bool
    interactive: bool
    all_pipelines: bool
    recursive: bool
    force_downstream: bool
    pull: bool
    allow_missing: bool
    dry: bool
    keep_going: bool
    ignore_errors: bool


def reproduce_options(*, force: str) -> Callable[[F], F]:
    """Add the options of `ReproduceFlags` but those of `executor_options` to a command; `force` is the help of --force."""
    options = (
        click.option("-f", "--force", is_flag=True, help=force),
        click.option("-i", "--interactive", is_flag=True, help="Ask before each stage."),
        click.option(
            "-s", "--single-item", "single", is_flag=True, help="Only the targets, not what they need."
        ),
        click.option("-p", "--pipeline", is_flag=True, help="The whole pipeline that the targets belong to."),
        click.option("-P", "--all-pipelines", is_flag=True, help="Every pipeline of the repository."),
        click.option(
            "-R", "--recursive", is_flag=True, help="Take the stages of all files below a directory."
        ),
        click.option(
            "--downstream", is_flag=True, help="Start at the targets: only they and what depends on them."
        ),
        click.option(
            "--force-downstream", is_flag=True, help="Run what depends on a stage that ran, changed or not."
        ),
        click.option("--pull", is_flag=True, help="Fetch what is missing, results of earlier runs too."),
        click.option("--allow-missing", is_flag=True, help="Leave stages alone where data are only missing."),
        click.option("--dry", is_flag=True, help="Say what would run."),
        click.option(
            "-k", "--keep-going", is_flag=True, help="After a failure, go on with what does not depend on it."
        ),
        click.option("--ignore-errors", is_flag=True, help="After a failure, go on with everything."),
    )

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add
