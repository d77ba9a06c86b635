"""Tells on standard error how a reproduction goes: lines, or where a person watches several stages, a view of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from penstock.cli.output import Session, is_terminal

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from penstock.pipeline.running.reproducing import StageResult
    from penstock.pipeline.stage import Stage


class Narrator:
    """Tells in plain lines; with `prefixed` each line that a command prints begins with its stage's name.

    With a `root` it warns of modules below it that a stage imports and does not depend on.
    """

    def __init__(self, session: Session, *, prefixed: bool = False, root: Path | None = None) -> None:
        self.session, self.prefixed, self.root = session, prefixed, root

    def started(self, stage: Stage, reasons: Sequence[str]) -> None:
        """Name the stage, why it runs and its command."""
        self.say(f"Running stage '{stage.address}' ({', '.join(reasons[:3])}):")
        for command in stage.commands:
            self.say(f"> {command}")
        if self.root is not None:
            self._warn(stage, self.root)

    def printed(self, stage: Stage, line: str) -> None:
        """Pass the command's output on."""
        self.say(f"{stage.address} | {line}" if self.prefixed else line)

    def retried(self, stage: Stage, why: str, left: int) -> None:
        """Say that a stage is tried again."""
        self.say(f"Stage '{stage.address}': {why}; trying again ({left} more after that).")

    def finished(self, result: StageResult) -> None:
        """Say what became of the stage."""
        took = f" in {result.seconds:.1f} s" if result.action in {"ran", "restored"} else ""
        told = {"would run", "would record", "would fail", "recorded", "failed"}
        why = f" ({', '.join(result.reasons[:3])})" if result.action in told else ""
        what = "restored from the run cache" if result.action == "restored" else result.action
        self.say(f"Stage '{result.stage}' {what}{took}{why}.")

    def _warn(self, stage: Stage, root: Path) -> None:
        from penstock.pipeline.running.imported import unlisted_modules

        found = unlisted_modules(root, stage)
        if found:
            names = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
            self.say(
                f"warning: stage '{stage.address}' imports {names}, which its deps do not name: a change there will not "
                f"make it run. Add it to `deps` in {stage.file}."
            )

    def say(self, text: str) -> None:
        """Print a line."""
        if not self.session.quiet:
            click.echo(text, file=sys.stderr)


class Viewer(Narrator):
    """Keeps a line for each stage that runs below what is told, with its time and the last that it printed."""

    def __init__(self, session: Session, view: Progress, root: Path) -> None:
        super().__init__(session, prefixed=True, root=root)
        self.view = view
        self.rows: dict[str, TaskID] = {}

    def started(self, stage: Stage, reasons: Sequence[str]) -> None:
        """Begin the stage's line."""
        super().started(stage, reasons)
        self.rows[stage.address] = self.view.add_task(stage.address, total=None, last="")

    def printed(self, stage: Stage, line: str) -> None:
        """Tell it, and show it as the last."""
        super().printed(stage, line)
        self.view.update(self.rows[stage.address], last=line[:60])

    def finished(self, result: StageResult) -> None:
        """End the stage's line."""
        if result.stage in self.rows:
            self.view.remove_task(self.rows.pop(result.stage))
        super().finished(result)

    def say(self, text: str) -> None:
        """Print a line above the view."""
        self.view.console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def narrating(session: Session, jobs: int, root: Path) -> Iterator[Narrator]:
    """Yield what tells how up to `jobs` stages at once of the repository at `root` go."""
    if jobs == 1 or session.quiet or not is_terminal():
        yield Narrator(session, prefixed=jobs > 1, root=root)
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[last]}", style="dim", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as view:
        yield Viewer(session, view, root)
