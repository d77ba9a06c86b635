"""`penstock run export`: runs with everything logged to them, as files for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from penstock.base.numbers import counted
from penstock.cli.output import Session, json_option, pass_session

if TYPE_CHECKING:
    from penstock.client.catalogue import Catalogue, RunQuery
    from penstock.client.export.runs import Exported
    from penstock.client.rest import Address
    from penstock.project.project import Project
    from penstock.tracking.entities import Run

MAX_RUNS = 100_000
FORMATS = {".json": "json", ".csv": "csv", ".parquet": "parquet"}


@click.command("export")
@click.argument("run_ids", metavar="RUN...", nargs=-1)
@click.option(
    "--experiment", "experiments", multiple=True, help="All runs of this experiment. May be repeated."
)
@click.option("--filter", "filter_text", default="", help="Of these only what matches, in MLflow's grammar.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["json", "csv", "parquet"]),
    help="By default what the name of -o ends with, else json.",
)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="The file; by default it is printed."
)
@click.option(
    "--history", is_flag=True, help="In csv and parquet a row for each point of a metric, not for each run."
)
@click.option(
    "--artifacts",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write each run's files into a folder of this one, named as the run.",
)
@click.option("--uri", help="A server to ask instead of the project's store.")
@json_option
@pass_session
def run_export(
    session: Session,
    run_ids: tuple[str, ...],
    experiments: tuple[str, ...],
    filter_text: str,
    kind: str | None,
    out: Path | None,
    history: bool,
    artifacts: Path | None,
    uri: str | None,
) -> None:
    """Write runs with parameters, tags, inputs and every point of their metrics to a file.

    Name runs by their ids or the beginnings of them, or take those of an experiment.
    """
    from penstock.base.files import write_atomic
    from penstock.client.catalogue import RunQuery
    from penstock.client.client import download_files, records_of
    from penstock.client.connect import catalogue_of, server_address
    from penstock.client.export.runs import collect
    from penstock.workspace import open_workspace

    if not run_ids and not experiments and not filter_text:
        raise click.UsageError("name runs, or --experiment, or --filter")
    kind = kind or FORMATS.get(out.suffix.lower() if out else "", "json")
    if out is None and (kind == "parquet" or (kind == "csv" and session.as_json)):
        raise click.UsageError(f"{kind} needs a file: -o FILE")
    place = server_address(uri) if uri else open_workspace(session.directory)
    catalogue, records = catalogue_of(place), records_of(place)
    try:
        runs = _wanted(catalogue, place, run_ids, RunQuery(experiments, filter_text, limit=MAX_RUNS))
        found = list(collect(records, runs, with_files=artifacts is not None))
        count = 0
        for run in runs if artifacts is not None else ():
            count += len(download_files(records, run.id, session.directory / str(artifacts) / run.id))
        data = _render(found, kind, history=history)
    finally:
        catalogue.close()
    if out is None:
        click.echo(data, nl=False)
        return
    write_atomic(session.directory / out, data)
    files = f", {counted(count, 'file')} in {artifacts}" if artifacts is not None else ""
    session.emit(
        {"runs": [run.id for run in runs], "file": str(out), "artifact_count": count},
        f"{counted(len(runs), 'run')} in {out}{files}",
    )


def _wanted(
    catalogue: Catalogue, place: Address | Project, run_ids: Sequence[str], query: RunQuery
) -> list[Run]:
    """Return the runs that are named, then those that are searched for, each once."""
    from penstock.client.rest import Address
    from penstock.tracking.runs import get_run

    ids = list(run_ids)
    if not isinstance(place, Address):
        with place.database.read() as connection:
            ids = [get_run(connection, text).id for text in ids]
    found = [catalogue.get_run(run_id) for run_id in dict.fromkeys(ids)]
    if query.experiments or query.filter:
        found += [run for run in catalogue.search_runs(query) if run.id not in ids]
    return found


def _render(found: list[Exported], kind: str, *, history: bool) -> bytes:
    from penstock.client.export import runs as export

    if kind == "json":
        return export.render_json(export.make_document(found)).encode(errors="backslashreplace")
    rows = export.make_point_rows(found) if history else export.make_rows(found)
    columns = export.POINT if history else export.OWN
    if kind == "csv":
        return export.render_csv(rows, columns).encode()
    from penstock.client.export.parquet import render_parquet

    return render_parquet(rows, columns)
