"""Commands on what pipelines are made with and measured by: `metrics`, `params`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from penstock.cli.data.targets import TARGETS, HistoryFlags, history_options, opened
from penstock.cli.many_values import ManyValues
from penstock.cli.output import Session, json_option, pass_session
from penstock.cli.tables import render_grid

if TYPE_CHECKING:
    from penstock.data.repository import DataRepository
    from penstock.flows.pipelines.comparison import Changes, Read
    from penstock.flows.pipelines.measures import Reading

MARKDOWN = click.option("--md", "markdown", is_flag=True, help="Print a Markdown table.")
PRECISION = click.option("--precision", type=click.IntRange(0), default=5, help="Round to this many digits.")
RECURSIVE = click.option("-R", "--recursive", is_flag=True, help="Accepted for DVC's sake: directories do.")
NOTHING = "-"


class DiffFlags(TypedDict):
    """What `_diff_options` adds besides targets."""

    a_rev: str
    b_rev: str
    with_unchanged: bool
    markdown: bool
    no_path: bool


class MetricsDiffFlags(DiffFlags):
    """The same with `-R`, which says nothing here."""

    recursive: bool


class MetricsShowFlags(HistoryFlags):
    """The commits of `metrics show`, and `-R`."""

    recursive: bool


def _diff_options(command: Any) -> Any:
    for option in (
        click.option("--targets", multiple=True, help="Compare these files, tracked or not."),
        click.option("--all", "with_unchanged", is_flag=True, help="Show what did not change too."),
        MARKDOWN,
        click.option("--no-path", is_flag=True, help="Leave the column of paths out."),
        click.argument("b_rev", default="workspace"),
        click.argument("a_rev", default="HEAD"),
    ):
        command = option(command)
    return command


@click.group()
def metrics() -> None:
    """Show or compare the pipeline's metrics."""


@metrics.command("show")
@TARGETS
@history_options
@MARKDOWN
@RECURSIVE
@PRECISION
@json_option
@pass_session
def metrics_show(
    session: Session,
    /,
    targets: tuple[str, ...],
    markdown: bool,
    precision: int,
    **flags: Unpack[MetricsShowFlags],
) -> None:
    """Show metrics of the workspace, or of branches, tags and commits."""
    from penstock.flows.pipelines.comparison import list_metrics, shown_from
    from penstock.flows.tracked.history import Scope

    scope = Scope(flags["all_branches"], flags["all_tags"], flags["all_commits"])
    with opened(session) as repo:
        found = {
            revision: {shown_from(repo, path, session.directory): one for path, one in readings.items()}
            for revision, readings in list_metrics(repo, scope, _rooted(session, repo, targets)).items()
        }
    unread = {rev: [path for path, one in files.items() if one.error] for rev, files in found.items()}
    _note_unread(session, unread)
    document = {
        revision: {"data": {path: one.to_document() for path, one in readings.items()}}
        for revision, readings in found.items()
    }
    session.emit(
        document, lambda: _render_metrics(found, precision, markdown=markdown, named=not scope.is_empty)
    )


@metrics.command("diff", cls=ManyValues)
@_diff_options
@RECURSIVE
@PRECISION
@json_option
@pass_session
def metrics_diff(
    session: Session, /, targets: tuple[str, ...], precision: int, **flags: Unpack[MetricsDiffFlags]
) -> None:
    """Compare metrics of a revision with another, or with the workspace."""
    from penstock.flows.pipelines.measures import read_metrics

    with opened(session) as repo:
        wanted = _rooted(session, repo, targets)
        changes = _compare(session, repo, lambda snapshot: read_metrics(snapshot, wanted), flags)
    session.emit(changes, lambda: render_changes(changes, "Metric", flags, precision, with_change=True))


@click.group()
def params() -> None:
    """Compare the pipeline's parameters."""


@params.command("diff", cls=ManyValues)
@_diff_options
@click.option("--deps", is_flag=True, help="Only what stages depend on.")
@json_option
@pass_session
def params_diff(
    session: Session, /, targets: tuple[str, ...], deps: bool, **flags: Unpack[DiffFlags]
) -> None:
    """Compare parameters of a revision with another, or with the workspace."""
    from penstock.flows.pipelines.measures import read_parameters

    with opened(session) as repo:
        wanted = _rooted(session, repo, targets)
        changes = _compare(
            session, repo, lambda one: read_parameters(one, wanted, only_dependencies=deps), flags
        )
    session.emit(changes, lambda: render_changes(changes, "Param", flags, None, with_change=False))


def _rooted(session: Session, repo: DataRepository, targets: Sequence[str]) -> list[str]:
    return [os.path.relpath(session.directory / target, repo.root) for target in targets]


def _compare(session: Session, repo: DataRepository, read: Read, flags: DiffFlags) -> Changes:
    from penstock.flows.pipelines.comparison import compare, shown_from

    found = compare(repo, flags["a_rev"], flags["b_rev"], read, with_unchanged=flags["with_unchanged"])
    _note_unread(session, found.unread)
    return {shown_from(repo, path, session.directory): names for path, names in found.changes.items()}


def _note_unread(session: Session, unread: dict[str, list[str]]) -> None:
    for revision, paths in unread.items():
        if paths:
            session.note(f"not read{f' of {revision}' if revision else ''}: {', '.join(paths)}")


def render_changes(
    changes: Changes, title: str, flags: DiffFlags, precision: int | None, *, with_change: bool
) -> str:
    """Return what differs as a table, with how much of it where that is meant."""
    headers = ["Path", title, flags["a_rev"], flags["b_rev"], "Change"]
    rows = [
        [path, name, *(_cell(change.get(key), precision) for key in ("old", "new", "diff"))]
        for path, names in changes.items()
        for name, change in sorted(names.items())
    ]
    kept = slice(1 if flags["no_path"] else 0, 5 if with_change else 4)
    return render_grid(headers[kept], [row[kept] for row in rows], markdown=flags["markdown"])


def _render_metrics(
    found: dict[str, dict[str, Reading]], precision: int, *, markdown: bool, named: bool
) -> str:
    from penstock.flows.pipelines.comparison import flat_values

    rows = [
        (revision, path, flat_values(reading))
        for revision, readings in found.items()
        for path, reading in readings.items()
    ]
    names = sorted({name for _, _, values in rows for name in values})
    first = 0 if named else 1
    return render_grid(
        ["Revision", "Path", *names][first:],
        [
            [revision, path, *(_cell(values.get(name), precision) for name in names)][first:]
            for revision, path, values in rows
        ],
        markdown=markdown,
    )


def _cell(value: Any, precision: int | None) -> str:
    if value is None:
        return NOTHING
    return str(round(value, precision) if isinstance(value, float) and precision else value)
