"""Commands on pipelines: `repro`, `metrics`, `params`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from penstock.cli.output import Session, json_option, pass_session, table

if TYPE_CHECKING:
    pass


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
