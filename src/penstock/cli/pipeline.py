"""Commands on pipelines: `repro`, `metrics`, `params`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from penstock.cli.output import Session, json_option, pass_session, table

if TYPE_CHECKING:
    from penstock.pipeline.runner import StageResult
    from penstock.pipeline.stage import Stage


class Narrator:
    """Tells on standard error how a reproduction goes."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def started(self, stage: Stage, reasons: Sequence[str]) -> None:
        """Name the stage, why it runs and its command."""
        self.session.note(f"Running stage '{stage.name}' ({', '.join(reasons[:3])}):")
        for command in stage.commands:
            self.session.note(f"> {command}")

    def printed(self, stage: Stage, line: str) -> None:
        """Pass the command's output on."""
        if not self.session.quiet:
            click.echo(line, file=sys.stderr)

    def finished(self, result: StageResult) -> None:
        """Say what became of the stage."""
        took = f" in {result.seconds:.1f} s" if result.action in {"ran", "restored"} else ""
        why = f" ({', '.join(result.reasons[:3])})" if result.action == "would run" else ""
        what = "restored from the run cache" if result.action == "restored" else result.action
        self.session.note(f"Stage '{result.stage}' {what}{took}{why}.")


@click.command()
@click.argument("targets", nargs=-1)
@click.option("-f", "--force", is_flag=True, help="Run stages that are up to date too.")
@click.option("-s", "--single-item", "single", is_flag=True, help="Only the targets, not what they need.")
@click.option("--no-run-cache", is_flag=True, help="Run even where an earlier run had the same inputs.")
@click.option("--dry", is_flag=True, help="Say what would run.")
@json_option
@pass_session
def repro(
    session: Session, targets: tuple[str, ...], force: bool, single: bool, no_run_cache: bool, dry: bool
) -> None:
    """Run the pipeline's stages whose inputs changed, and record the run."""
    from penstock.flows.execute import reproduce_and_record
    from penstock.pipeline.runner import ReproduceOptions
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    try:
        options = ReproduceOptions(targets, force, single, dry, not no_run_cache)
        done = reproduce_and_record(project, options, Narrator(session))
    finally:
        project.close()
    document = {
        "run": done.run.id if done.run else None,
        "up_to_date": done.is_up_to_date,
        "stages": [
            {
                "name": item.stage,
                "action": item.action,
                "seconds": round(item.seconds, 3),
                "reasons": item.reasons,
            }
            for item in done.results
        ],
        "metrics": dict(done.run.metrics) if done.run else {},
    }
    changed = [item.stage for item in done.results if item.action not in {"up to date", "frozen"}]
    if not changed:
        text = "Data and pipelines are up to date."
    elif dry:
        text = f"Would run: {', '.join(changed)}."
    else:
        text = "Recorded: git add dvc.lock, and what it names, to keep this state."
    if done.run:
        text += f"\nRun {done.run.id}"
    session.emit(document, text)


@click.group()
def metrics() -> None:
    """Show or compare the pipeline's metrics."""


@metrics.command("show")
@json_option
@pass_session
def metrics_show(session: Session) -> None:
    """Show the metrics of the workspace."""
    from penstock.flows.execute import load_metrics
    from penstock.pipeline.definition import load_stages
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    found = dict(load_metrics(project.root, load_stages(project.root)))
    session.emit(
        found, lambda: table([(name, f"{value:g}") for name, value in found.items()], ("metric", "value"))
    )


@metrics.command("diff")
@click.argument("old", default="HEAD")
@click.argument("new", required=False)
@json_option
@pass_session
def metrics_diff(session: Session, old: str, new: str | None) -> None:
    """Compare metrics of a revision with another, or with the workspace."""
    from penstock.flows.comparison import compare_metrics
    from penstock.workspace import open_workspace

    changes = compare_metrics(open_workspace(session.directory), old, new)
    session.emit(changes, lambda: _render_changes(changes, "metric"))


@click.group()
def params() -> None:
    """Compare the pipeline's parameters."""


@params.command("diff")
@click.argument("old", default="HEAD")
@click.argument("new", required=False)
@json_option
@pass_session
def params_diff(session: Session, old: str, new: str | None) -> None:
    """Compare parameters of a revision with another, or with the workspace."""
    from penstock.flows.comparison import compare_parameters
    from penstock.workspace import open_workspace

    changes = compare_parameters(open_workspace(session.directory), old, new)
    session.emit(changes, lambda: _render_changes(changes, "parameter"))


def _render_changes(changes: dict[str, dict[str, dict[str, object]]], word: str) -> str:
    rows: list[tuple[object, ...]] = [
        (path, name, str(change.get("old")), str(change.get("new")), str(change.get("diff", "")))
        for path, names in changes.items()
        for name, change in names.items()
    ]
    return table(rows, ("path", word, "old", "new", "change")) if rows else f"No {word} changed."
