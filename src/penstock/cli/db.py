"""Commands on the store: its schema, a copy, what an MLflow server has kept."""

from __future__ import annotations

import click

from penstock.cli.output import Session, json_option, pass_session


@click.group()
def db() -> None:
    """Upgrade and copy the store, or bring runs from an MLflow server."""


@db.command("upgrade")
@click.argument("url", required=False)
@json_option
@pass_session
def db_upgrade(session: Session, url: str | None) -> None:
    """Bring a store's schema to this program's version; the project's own without URL."""
    from penstock.base.database import connect
    from penstock.base.migrate import HEAD, current_version, upgrade
    from penstock.workspace import open_workspace

    database = connect(url or open_workspace(session.directory).places.store_url)
    before = current_version(database)
    upgrade(database)
    name = database.url
    database.close()
    session.emit(
        {"store": name, "before": before, "now": HEAD},
        lambda: f"{name} has schema {HEAD}" + ("" if before == HEAD else f", it had {before or 'none'}"),
    )


@db.command("copy")
@click.argument("source")
@click.argument("target")
@json_option
@pass_session
def db_copy(session: Session, source: str, target: str) -> None:
    """Copy the store SOURCE into the new one TARGET, both URLs such as sqlite:///FILE or postgresql://…"""
    from penstock.flows.store_copy import copy_store

    done = copy_store(source, target)
    session.emit(done.rows, lambda: f"{done.total:,} rows copied")


@db.command("import")
@click.argument("source")
@click.option("--artifacts", help="The folder where the MLflow server keeps its artifacts; they are copied.")
@json_option
@pass_session
def db_import(session: Session, source: str, artifacts: str | None) -> None:
    """Bring experiments, runs, logged and registered models from an MLflow database or mlruns folder.

    SOURCE is a database's URL, the path of its SQLite file, or the folder mlruns, whose artifacts are copied too.
    Ids stay as they are; what is here already is left alone, so an import can be repeated.
    """
    from pathlib import Path

    from penstock.flows.mlflow_import import import_mlflow
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    done = import_mlflow(project, source, Path(artifacts) if artifacts else None)
    session.emit(done, lambda: "\n".join(f"{count:>9,} {name}" for name, count in done.items()))
