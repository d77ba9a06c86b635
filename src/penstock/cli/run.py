"""Commands on recorded runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from penstock.cli.output import EXIT_FAILED, Session, error_document, json_option, pass_session, report_error
from penstock.cli.run_export import run_export
from penstock.cli.tables import render_table

if TYPE_CHECKING:
    from penstock.project.project import Project
    from penstock.tracking.entities import Run


@click.group()
def run() -> None:
    """List, show, compare, export, delete and send recorded runs."""


@run.command("list")
@click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many, newest first."
)
@json_option
@pass_session
def run_list(session: Session, limit: int) -> None:
    """List runs, newest first."""
    import msgspec

    from penstock.base.clock import format_ms
    from penstock.base.numbers import format_number
    from penstock.tracking.runs import list_runs
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    with project.database.read() as connection:
        found = list_runs(connection, limit=limit)

    def text() -> str:
        rows: list[tuple[object, ...]] = [
            (
                item.id[:8],
                format_ms(item.start_ms),
                item.status.lower(),
                (item.commit or "-")[:7] + ("+" if item.dirty_digest else ""),
                ", ".join(f"{name} {format_number(value)}" for name, value in _chosen(item.metrics)),
            )
            for item in found
        ]
        return render_table(
            rows, ("run", "started", "status", "commit", "metrics"), none="No runs yet: penstock repro"
        )

    session.emit(msgspec.to_builtins(found), text)


@run.command("show")
@click.argument("run_id")
@json_option
@pass_session
def run_show(session: Session, run_id: str) -> None:
    """Show a run by its id, or the beginning of it."""
    import msgspec

    from penstock.tracking.runs import get_run
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    with project.database.read() as connection:
        found = get_run(connection, run_id)
    changed = _uncommitted(project, found)
    session.emit({**msgspec.to_builtins(found), "uncommitted": changed}, lambda: _render(found, changed))


@run.command("compare")
@click.argument("first")
@click.argument("second")
@json_option
@pass_session
def run_compare(session: Session, first: str, second: str) -> None:
    """Compare parameters, metrics and inputs of two runs."""
    from penstock.base.numbers import format_exactly
    from penstock.tracking.runs import get_run
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    with project.database.read() as connection:
        one, two = get_run(connection, first), get_run(connection, second)
    document: dict[str, dict[str, list[object]]] = {}
    for name in ("params", "metrics", "inputs"):
        before, after = getattr(one, name), getattr(two, name)
        keys = sorted({*before, *after})
        document[name] = {
            key: [before.get(key), after.get(key)] for key in keys if before.get(key) != after.get(key)
        }
    rows: list[tuple[object, ...]] = [
        (kind, key, *(format_exactly(value) for value in pair))
        for kind, pairs in document.items()
        for key, pair in pairs.items()
    ]
    text = render_table(rows, ("kind", "name", one.id[:8], two.id[:8]), none="The runs do not differ.")
    session.emit(document, text)


@run.command("sync")
@json_option
@pass_session
def run_sync(session: Session) -> None:
    """Send the runs that were kept here because the server could not be reached."""
    from penstock.client.connect import open_sink
    from penstock.client.offline import send_journals

    sink, home = open_sink(session.directory)
    told: list[dict[str, object]] = []
    has_refused = False
    for one in send_journals(home, sink):
        entry: dict[str, object] = {"run": one.run_id, "kept_as": one.kept_as}
        if one.problem is not None:
            has_refused = True
            entry["error"] = error_document(one.problem)
            if not session.as_json:
                report_error(one.problem, as_json=False)
        told.append(entry)
    text = "\n".join(f"sent {entry['run']} to {sink.place}" for entry in told if entry["run"])
    session.emit(told, lambda: text if told else "Nothing waits to be sent.")
    if has_refused:
        raise click.exceptions.Exit(EXIT_FAILED)


@run.command("delete")
@click.argument("run_id")
@pass_session
def run_delete(session: Session, run_id: str) -> None:
    """Take a run away; `run restore` brings it back."""
    from penstock.tracking.runs import delete_run, get_run
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    with project.database.write() as connection:
        whole = get_run(connection, run_id).id
        delete_run(connection, whole)
    session.emit(
        {"run": whole}, lambda: f"{whole[:8]} is deleted; penstock run restore {whole[:8]} undoes it"
    )


@run.command("restore")
@click.argument("run_id")
@pass_session
def run_restore(session: Session, run_id: str) -> None:
    """Bring a deleted run back."""
    from penstock.tracking.runs import get_run, restore_run
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    with project.database.write() as connection:
        whole = get_run(connection, run_id).id
        restore_run(connection, whole)
    session.emit({"run": whole}, lambda: f"{whole[:8]} is back")


run.add_command(run_export)


def _chosen(metrics: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return the first metrics of the model, not the machine's."""
    return [(name, value) for name, value in sorted(metrics.items()) if not name.startswith("system/")][:4]


def _uncommitted(project: Project, found: Run) -> list[str] | None:
    """Return the files that were not as committed; None where what was kept of them is gone."""
    from penstock.base.errors import PenstockError
    from penstock.base.git import changed_paths

    if found.dirty_digest is None:
        return []
    try:
        return changed_paths(project.artifacts.get(found.dirty_digest))
    except PenstockError:
        return None


def _render(found: Run, changed: list[str] | None) -> str:
    from penstock.base.clock import format_ms
    from penstock.base.numbers import format_plainly
    from penstock.cli.printing import one_line

    lines = [
        f"run      {found.id}",
        f"status   {found.status.lower()}, started {format_ms(found.start_ms)}",
        f"commit   {found.commit or 'none'}{' with uncommitted changes' if found.dirty_digest else ''}",
        *(f"changed  {path}" for path in changed or ()),
        *(["changed  what was not committed is not in the artifact store"] if changed is None else []),
        *(f"stage    {stage.name} {stage.action} in {stage.seconds:.1f} s" for stage in found.stages),
        *(f"input    {path} {digest}" for path, digest in found.inputs.items()),
        *(f"param    {key} = {value}" for key, value in found.params.items()),
        *(f"metric   {key} = {format_plainly(value)}" for key, value in found.metrics.items()),
    ]
    return "\n".join(map(one_line, lines))
