"""`penstock score-batch`: a model's answers for whole tables."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import click

from penstock.base.numbers import counted
from penstock.cli.output import EXIT_FAILED, Session, is_terminal, json_option, pass_session

if TYPE_CHECKING:
    from penstock.flows.production.scoring.scoring import Scored

TOLD_MAX = 5


@click.command("score-batch")
@click.argument("model", metavar="MODEL")
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@click.option(
    "--endpoint", metavar="NAME", help="Record for this endpoint; by default the one called as the model."
)
@click.option(
    "--columns", metavar="A,B", default="", help="Columns of IN that are carried to OUT, such as a key."
)
@click.option(
    "--part-rows",
    type=click.IntRange(min=1),
    default=500_000,
    show_default=True,
    help="Rows after which what was done is kept: at most so many, or what took ten seconds, a kill makes anew.",
)
@click.option("--overwrite", is_flag=True, help="Replace what is at OUT.")
@click.option(
    "--restart",
    is_flag=True,
    help="Discard the parts of an interrupted job and begin anew; rows that it recorded stay counted.",
)
@click.option("--allow-bad-rows", is_flag=True, help="Exit 0 though some rows have no answer.")
@click.option(
    "--executor",
    type=click.Choice(["local", "ray"]),
    default="local",
    help="Ask the model here, or on a Ray cluster.",
)
@click.option("--address", help="Where the cluster is, such as HOST:6379.")
@json_option
@pass_session
def score_batch(
    session: Session,
    model: str,
    source: str,
    target: str,
    endpoint: str | None,
    columns: str,
    part_rows: int,
    overwrite: bool,
    restart: bool,
    allow_bad_rows: bool,
    executor: Literal["local", "ray"],
    address: str | None,
) -> None:
    """Let MODEL (NAME/3, NAME@champion, a folder) answer every row of IN, and write OUT.

    IN is a .parquet, .csv or .jsonl file, or a directory of them; OUT a file, or a directory of Parquet parts. Both may
    be URLs (s3://…). A job that was interrupted goes on when the same command runs again. Exit 1 where a row has no
    answer.
    """
    from penstock.flows.production.scoring import scoring
    from penstock.workspace import open_workspace

    names = tuple(dict.fromkeys(one.strip() for one in columns.split(",") if one.strip()))
    request = scoring.Request(
        model=model,
        source=source,
        target=target,
        directory=session.directory,
        endpoint=endpoint,
        columns=names,
        part_rows=part_rows,
        overwrite=overwrite,
        restart=restart,
        executor=executor,
        address=address,
    )
    project = open_workspace(session.directory)
    try:
        with _progress(session) as show:
            done = scoring.score_batch(project, request, show)
    finally:
        project.close()
    for note in done.notes:
        session.note(note)
    session.emit(_document(done), lambda: _render(done))
    if done.answered < done.rows and not allow_bad_rows:
        click.get_current_context().exit(EXIT_FAILED)


def _document(done: Scored) -> object:
    import msgspec

    return msgspec.to_builtins(done)


def _render(done: Scored) -> str:
    rate = f", {done.new_rows / done.seconds:,.0f} rows/s" if done.seconds else ""
    lines = [
        f"{done.out}: {done.answered:,} of {counted(done.rows, 'row')} answered by {done.model} in {done.seconds:g} s{rate}"
    ]
    if done.kept_parts:
        lines.append(f"{done.kept_parts} of {counted(done.parts, 'part')} were there from before")
    if done.endpoint:
        lines.append(
            f"recorded for endpoint {done.endpoint}: penstock monitor status {shlex.quote(done.endpoint)}"
        )
    lost = done.rows - done.answered
    if lost:
        lines.append(f"{counted(lost, 'row has', 'rows have')} no answer; OUT says why in its column error:")
        lines += [f"  {one.table} row {one.row}: {one.reason}" for one in done.bad_rows[:TOLD_MAX]]
        lines += ["  …"] if lost > TOLD_MAX else []
    return "\n".join(lines)


@contextmanager
def _progress(session: Session) -> Iterator[Callable[[int, float], None] | None]:
    """Yield what to call after each part, or None where nobody watches."""
    if session.quiet or not is_terminal():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("scored {task.fields[rows]} rows"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as line:
        task = line.add_task("score", total=1.0, rows="0")
        yield lambda rows, share: line.update(task, completed=share, rows=f"{rows:,}")
