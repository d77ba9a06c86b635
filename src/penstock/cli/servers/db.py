"""Commands on the store: its schema, a copy, what MLflow has kept, a purge."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

import click

from penstock.base.numbers import counted
from penstock.cli.output import Session, json_option, pass_session, require_yes

if TYPE_CHECKING:
    from penstock.flows.store.purge_plan import PurgePlan


F = TypeVar("F", bound=Callable[..., Any])


def store_options(command: F) -> F:
    """Let a command name the store and artifacts of a server that is not this project's."""
    command = click.option(
        "--backend-store-uri", "store", help="The store; by default what penstock.yaml says."
    )(command)
    return click.option(
        "--artifacts-destination",
        "destination",
        help="The artifact store; by default what penstock.yaml says.",
    )(command)


@click.group()
def db() -> None:
    """Upgrade, copy and purge the store, or bring runs from MLflow."""


@db.command("upgrade")
@click.argument("url", required=False)
@json_option
@pass_session
def db_upgrade(session: Session, url: str | None) -> None:
    """Bring a store's schema to this program's version; the project's own without URL."""
    from penstock.base.store.database import connect
    from penstock.base.store.head import HEAD
    from penstock.base.store.migrate import current_version, upgrade
    from penstock.flows.production.policing import list_unguarded
    from penstock.workspace import open_workspace

    database = connect(url or open_workspace(session.directory).places.store_url)
    before = current_version(database)
    upgrade(database)
    name, unguarded = database.url, list_unguarded(database)
    database.close()
    done = f"{name} has schema {HEAD}" + ("" if before == HEAD else f", it had {before}")
    lines = [done if before else f"{name} had nothing: a new store with schema {HEAD} was made"]
    lines += [
        f"endpoint {one} has no policy, so nothing guards it and no canary of it advances: "
        f"name it in penstock.yaml, then penstock endpoint apply {shlex.quote(one)}"
        for one in unguarded
    ]
    session.emit({"store": name, "before": before, "now": HEAD, "unguarded": unguarded}, "\n".join(lines))


@db.command("copy")
@click.argument("source")
@click.argument("target")
@json_option
@pass_session
def db_copy(session: Session, source: str, target: str) -> None:
    """Copy the store SOURCE into the new one TARGET, both URLs such as sqlite:///FILE or postgresql://…"""
    from penstock.flows.store.copying import copy_store

    done = copy_store(source, target)
    session.emit(done.rows, lambda: f"{counted(done.total, 'row')} copied")


@db.command("import")
@click.argument("source")
@click.option("--artifacts", help="The folder where the MLflow server keeps its artifacts; they are copied.")
@store_options
@json_option
@pass_session
def db_import(
    session: Session, source: str, artifacts: str | None, store: str | None, destination: str | None
) -> None:
    """Bring experiments, runs, logged and registered models from an MLflow database or mlruns folder.

    SOURCE is a database's URL, the path of its SQLite file, or the folder mlruns, whose artifacts are copied too.
    Ids stay as they are; what is here already is left alone, so an import can be repeated. Outside of a repository
    it goes into ./.penstock, where a server started there keeps its state.
    """
    from pathlib import Path

    from penstock.flows.store.mlflow_import import import_mlflow
    from penstock.workspace import open_server

    project = open_server(session.directory, store=store, artifacts=destination)
    done = import_mlflow(project, source, Path(artifacts) if artifacts else None)
    project.close()

    def text() -> str:
        lines = [f"{count:>9,} {name}" for name, count in done.added.items()]
        lines += [f"left out, since no gate has judged it: {one}" for one in done.withheld]
        return "\n".join(lines)

    session.emit({**done.added, "withheld": list(done.withheld)}, text)


class PurgeFlags(TypedDict):
    """What alone is to be purged, by kind."""

    experiments: tuple[int, ...]
    runs: tuple[str, ...]
    logged_models: tuple[str, ...]
    models: tuple[str, ...]
    versions: tuple[str, ...]


@db.command("purge")
@click.option("--older-than", metavar="AGE", help="Only what was deleted so long ago: 30d, 12h, 1d12h30m.")
@click.option("--experiment", "experiments", type=int, multiple=True, metavar="ID", help="Only this one.")
@click.option("--run", "runs", multiple=True, metavar="ID", help="Only this run.")
@click.option("--logged-model", "logged_models", multiple=True, metavar="ID", help="Only this logged model.")
@click.option("--model", "models", multiple=True, metavar="NAME", help="Only this model's deleted versions.")
@click.option("--version", "versions", multiple=True, metavar="NAME/N", help="Only this version.")
@click.option("--dry-run", "--dry", "is_dry", is_flag=True, help="Show what would go; change nothing.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@store_options
@json_option
@pass_session
def db_purge(
    session: Session,
    /,
    older_than: str | None,
    is_dry: bool,
    force: bool,
    store: str | None,
    destination: str | None,
    **named: Unpack[PurgeFlags],
) -> None:
    """Remove for good what was deleted: experiments, runs, logged models, versions, and their files.

    Without options it is everything that was deleted. What an alias (now or ever), a deployment, a verdict, a
    prediction or a version that stays points to, stays too, and is listed with the reason. Names of models
    remain, so that a number never means two things.
    """
    from penstock.flows.store.purging import apply, plan, wish_until
    from penstock.workspace import open_server, open_workspace

    if store or destination:
        project = open_server(session.directory, store=store, artifacts=destination)
    else:
        project = open_workspace(session.directory)
    planned = plan(project, wish_until(older_than, **named))
    if not is_dry:
        if not force and not planned.is_empty:
            _confirm_purge(planned)
        apply(project, planned)
    session.emit(_purge_document(planned, is_dry=is_dry), lambda: _purge_text(planned, is_dry=is_dry))


def _confirm_purge(planned: PurgePlan) -> None:
    require_yes(
        f"Remove {_purge_counts(planned)} for good?",
        f"the purge would remove {_purge_counts(planned)} for good",
        "purge.needs_force",
        "penstock db purge --dry-run shows them, penstock db purge -f removes them",
    )


def _purge_document(planned: PurgePlan, *, is_dry: bool) -> dict[str, Any]:
    return {
        "dry": is_dry,
        "experiments": [str(number) for number in planned.experiments],
        "runs": list(planned.runs),
        "logged_models": list(planned.logged_models),
        "versions": [one.ref for one in planned.versions],
        "folders": list(planned.folders),
        "objects": list(planned.objects),
        "kept": [one._asdict() for one in planned.kept],
        "left": list(planned.left),
    }


def _purge_counts(planned: PurgePlan) -> str:
    counts = {
        "experiments": planned.experiments,
        "runs": planned.runs,
        "logged models": planned.logged_models,
        "model versions": planned.versions,
    }
    return ", ".join(f"{len(found)} {what}" for what, found in counts.items() if found) or "nothing"


def _purge_text(planned: PurgePlan, *, is_dry: bool) -> str:
    lines = [
        f"{'Would remove' if is_dry else 'Removed'} {_purge_counts(planned)}, with {len(planned.folders)} "
        f"folders of artifacts and {len(planned.objects)} stored files."
    ]
    if is_dry:
        lines += [f"    experiment {number}" for number in planned.experiments]
        lines += [f"    run {name}" for name in planned.runs]
        lines += [f"    logged model {name}" for name in planned.logged_models]
        lines += [f"    version {one.ref}" for one in planned.versions]
    lines += [f"kept: {one.subject}: {one.reason}" for one in planned.kept]
    lines += [f"left: the files at {uri}, which are not kept here" for uri in planned.left]
    return "\n".join(lines)
