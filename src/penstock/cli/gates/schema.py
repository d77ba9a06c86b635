"""Commands on schemas of tables: `schema infer` proposes one, `schema check` holds a table against one."""

from __future__ import annotations

from pathlib import Path

import click

from penstock.base.numbers import counted
from penstock.cli.output import EXIT_FAILED, Session, json_option, pass_session

TABLE = click.argument("table", type=click.Path(dir_okay=False, path_type=Path))


@click.group()
def schema() -> None:
    """Propose the schema of a table, and hold tables against it."""


@schema.command("infer")
@TABLE
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it there instead of printing it.",
)
@click.option(
    "--slack",
    type=click.FloatRange(0),
    default=0.1,
    show_default=True,
    help="Widen ranges by this share of their span.",
)
@click.option("-f", "--force", is_flag=True, help="Replace a file that is there.")
@pass_session
def schema_infer(session: Session, table: Path, output: Path | None, slack: float, force: bool) -> None:
    """Propose a schema from a Parquet or CSV table, for review."""
    from penstock.base.errors import Conflict
    from penstock.base.files import write_atomic
    from penstock.data.formats.tables import load_table
    from penstock.registry.schema_inference import encode_schema, infer_schema

    if not slack < float("inf"):
        raise click.BadParameter("it is no number", param_hint="--slack")

    found, notes = infer_schema(load_table(session.directory / table), slack=slack)
    text = encode_schema(found)
    for note in notes:
        session.note(f"note: {note}")
    if output is None:
        click.echo(text.decode().rstrip("\n"))
        return
    place = session.directory / output
    if place.exists() and not force:
        raise Conflict(f"{output} is there already", code="schema.exists", hint="--force replaces it")
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(place, text)
    session.emit(
        {"path": str(output), "columns": len(found.columns), "notes": notes},
        f"{output} written: {counted(len(found.columns), 'column')}. Read it, then name it in penstock.yaml:\n"
        f"  - schema: {{table: {table}, schema: {output}}}",
    )


@schema.command("check")
@TABLE
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
@pass_session
@click.pass_context
def schema_check(context: click.Context, session: Session, table: Path, file: Path) -> None:
    """Hold a table against a schema FILE; exit 1 when a rule is broken."""
    from penstock.data.formats.tables import load_table
    from penstock.registry.table_schema import load_schema, validate

    rules = load_schema(session.directory / file)
    rows = load_table(session.directory / table)
    findings = validate(rows, rules)
    lines = [one["sentence"] for one in findings]
    session.emit(
        {"passed": not findings, "rows": rows.height, "findings": findings},
        "\n".join(lines)
        or f"{table}: {counted(rows.height, 'row keeps', 'rows keep')} {len(rules.columns)} column rules",
    )
    if findings:
        context.exit(EXIT_FAILED)
