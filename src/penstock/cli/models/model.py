"""Commands on registered models: `model`, `alias`, `promote`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from penstock.base.numbers import counted
from penstock.cli.models.documents import model_export, model_verify
from penstock.cli.models.removing import model_delete, model_restore
from penstock.cli.output import Session, json_option, pass_session
from penstock.cli.places import from_root
from penstock.cli.tables import render_table

if TYPE_CHECKING:
    from penstock.flows.models.aliases import PromotionPlan
    from penstock.registry.entities import ModelVersion
    from penstock.registry.states import VersionState


@click.group()
def model() -> None:
    """Register, list, show and verify model versions."""


@model.command("register")
@click.argument("name", required=False)
@click.argument("path", required=False)
@json_option
@pass_session
def model_register(session: Session, name: str | None, path: str | None) -> None:
    """Register a model as the next version of NAME: the pipeline's, or the folder or file at PATH.

    Without arguments every model of penstock.yaml is registered. PATH is meant from where you are, and needs no
    penstock.yaml.
    """
    import msgspec

    from penstock.flows.models.registering import (
        describe_version,
        origin_note,
        reference_note,
        register_model,
        serving_note,
    )
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    if path is not None:
        path = from_root(session.directory, project.root, path)
    names: list[str | None] = (
        [one.name for one in project.settings.all_models] if name is None and path is None else []
    )
    done = [register_model(project, one, path) for one in names or [name]]
    origins = [origin_note(version) for version, _ in done]
    notes = [serving_note(project, version) for version, _ in done]
    references = [reference_note(project, version) for version, _ in done]
    document = [
        {**msgspec.to_builtins(version), "new": is_new, "not_served": note, "no_reference": unjudged}
        for (version, is_new), note, unjudged in zip(done, notes, references, strict=True)
    ]
    lines = [
        f"{describe_version(version)}: {'registered' if is_new else 'it was registered already'}"
        for version, is_new in done
    ]
    session.emit(document[0] if len(document) == 1 else document, "\n".join(lines))
    for note in (*origins, *notes, *references):
        if note is not None:
            click.echo(f"warning: {note}", err=True)


@model.command("list")
@click.argument("name", required=False)
@json_option
@pass_session
def model_list(session: Session, name: str | None) -> None:
    """List model versions, newest first."""
    import msgspec

    from penstock.base.clock import format_ms
    from penstock.base.numbers import format_number
    from penstock.registry.aliases import list_aliases
    from penstock.registry.states import list_rolled_back
    from penstock.registry.versions import list_versions
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    with project.database.read() as connection:
        versions = list_versions(connection, name)
        aliases = list_aliases(connection, name)
        back = list_rolled_back(connection, name)
    names: dict[tuple[str, int], list[str]] = {}
    for alias in aliases:
        names.setdefault((alias.model, alias.version), []).append(alias.name)

    def text() -> str:
        rows: list[tuple[object, ...]] = [
            (
                item.ref,
                ", ".join(names.get((item.model, item.number), [])),
                "rolled back" if (item.model, item.number) in back else "",
                item.digest[:12],
                format_ms(item.created_ms),
                ("before " if item.provenance.stale else "") + (item.provenance.commit or "-")[:7],
                ", ".join(f"{key} {format_number(value)}" for key, value in sorted(item.metrics.items())[:3]),
            )
            for item in versions
        ]
        headers = ("version", "aliases", "state", "digest", "registered", "commit", "metrics")
        return render_table(rows, headers, none="No models yet: penstock model register")

    document = [
        {
            **msgspec.to_builtins(item),
            "aliases": names.get((item.model, item.number), []),
            "rolled_back": msgspec.to_builtins(back.get((item.model, item.number))),
        }
        for item in versions
    ]
    session.emit(document, text)


@model.command("show")
@click.argument("reference")
@json_option
@pass_session
def model_show(session: Session, reference: str) -> None:
    """Show a version (NAME/3, NAME@champion, NAME@champion@2026-11-20): files, metrics, provenance."""
    import msgspec

    from penstock.registry.references import resolve_version
    from penstock.registry.states import find_rolled_back
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    with project.database.read() as connection:
        version = resolve_version(connection, reference)
        back = find_rolled_back(connection, version)
    document = {**msgspec.to_builtins(version), "rolled_back": msgspec.to_builtins(back)}
    session.emit(document, lambda: _render(version, back))


@model.command("download")
@click.argument("reference")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder to make (default: NAME-N).")
@pass_session
def model_download(session: Session, reference: str, out: Path | None) -> None:
    """Write a version's verified files into a folder."""
    from penstock.base.errors import Conflict
    from penstock.flows.models.folders import write_model
    from penstock.registry.references import resolve_version
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    with project.database.read() as connection:
        version = resolve_version(connection, reference)
    folder = session.directory / (out or f"{version.model}-{version.number}")
    if folder.exists():
        raise Conflict(f"{folder} exists", code="model.exists", hint="name another folder with -o")
    write_model(project, version, folder)
    session.emit({"version": version.ref, "path": str(folder)}, f"{version.ref} is in {folder}")


@model.command("rename")
@click.argument("name")
@click.argument("new_name", metavar="NEW")
@json_option
@pass_session
def model_rename(session: Session, name: str, new_name: str) -> None:
    """Give a model another name; references by the old one still find its versions."""
    from penstock.flows.models.aliases import AliasPolicy
    from penstock.flows.models.removing import rename_model
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    with project.database.write() as connection:
        rename_model(connection, AliasPolicy.of(project), name, new_name, project.actor)
    session.emit({"name": new_name, "before": name}, f"{name} is called {new_name} now.")


@click.command()
@click.argument("reference", metavar="MODEL")
@click.option("--alias", default="champion", show_default=True, help="The alias to move.")
@click.option("--force", is_flag=True, help="Also a version that was rolled back; --reason says why it may.")
@click.option("--reason", help="Why a version that was rolled back may be promoted.")
@click.option("--dry-run", is_flag=True, help="Say what would happen.")
@json_option
@pass_session
def promote(
    session: Session, reference: str, alias: str, force: bool, reason: str | None, dry_run: bool
) -> None:
    """Move an alias to a version (NAME/3 or NAME@challenger) that passed its gate."""
    if force and not reason:
        raise click.UsageError("--force needs --reason TEXT")
    from penstock.flows.models.aliases import apply_promotion, plan_promotion
    from penstock.flows.production.traffic.straying import strays_from
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    plan = plan_promotion(project, reference, alias, force_reason=(reason or "") if force else "")
    _warn(session, plan)
    if not (dry_run or plan.changes_nothing):
        apply_promotion(project, plan)
    document = {
        "version": plan.version.ref,
        "alias": alias,
        "previous": plan.previous,
        "verdict": plan.verdict.id if plan.verdict else None,
        "applied": not (dry_run or plan.changes_nothing),
        "warnings": plan.warnings,
    }
    with project.database.read() as connection:
        strays = strays_from(connection, (plan.version.model, alias), plan.version.number)
    verb = "is already" if plan.changes_nothing else "would be" if dry_run else "is now"
    text = "\n".join([f"{plan.version.ref} {verb} {alias}.", *strays])
    session.emit({**document, "endpoints": strays}, text)


def _warn(session: Session, plan: PromotionPlan) -> None:
    for warning in plan.warnings:
        session.note(f"warning: {warning}")


@click.group()
def alias() -> None:
    """Point names such as `champion` at model versions."""


@alias.command("set")
@click.argument("name", metavar="MODEL@ALIAS")
@click.argument("version", type=click.IntRange(min=1))
@pass_session
def alias_set(session: Session, name: str, version: int) -> None:
    """Point MODEL@ALIAS at a version; a protected alias needs a passing verdict, as with promote."""
    from penstock.flows.models.aliases import apply_promotion, plan_promotion
    from penstock.workspace import open_workspace

    registered, label = _split(name)
    project = open_workspace(session.directory)
    plan = plan_promotion(project, f"{registered}/{version}", label)
    _warn(session, plan)
    if not plan.changes_nothing:
        apply_promotion(project, plan)
    session.emit({"version": plan.version.ref, "alias": label}, f"{plan.version.ref} is now {label}.")


@alias.command("delete")
@click.argument("name", metavar="MODEL@ALIAS")
@pass_session
def alias_delete(session: Session, name: str) -> None:
    """Take MODEL@ALIAS away; its history stays."""
    from penstock.flows.models.aliases import delete_alias
    from penstock.workspace import open_workspace

    registered, label = _split(name)
    delete_alias(open_workspace(session.directory), registered, label)
    session.emit({"model": registered, "alias": label}, f"{name} was taken away.")


@alias.command("list")
@click.argument("name", required=False)
@json_option
@pass_session
def alias_list(session: Session, name: str | None) -> None:
    """List where each alias points, of one model NAME or of all, and since when."""
    import msgspec

    from penstock.base.clock import format_ms
    from penstock.registry.aliases import list_last_moves
    from penstock.registry.models import get_model
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    with project.database.read() as connection:
        if name is not None:
            get_model(connection, name)
        moves = list_last_moves(connection, name)

    def text() -> str:
        rows: list[tuple[object, ...]] = [
            (
                f"{move.model}@{move.name}",
                f"{move.model}/{move.version}",
                format_ms(move.time_ms),
                move.actor,
                move.verdict_id or "-",
            )
            for move in moves
        ]
        headers = ("alias", "version", "since", "who", "verdict")
        return render_table(rows, headers, none="No aliases yet: penstock promote MODEL/VERSION")

    session.emit([msgspec.to_builtins(move) for move in moves], text)


@alias.command("history")
@click.argument("name", metavar="MODEL@ALIAS")
@json_option
@pass_session
def alias_history(session: Session, name: str) -> None:
    """Show every move of MODEL@ALIAS: when, who, and on which verdict."""
    import msgspec

    from penstock.base.clock import format_ms
    from penstock.registry.aliases import list_alias_moves
    from penstock.workspace import open_workspace

    registered, label = _split(name)
    project = open_workspace(session.directory)
    with project.database.read() as connection:
        moves = list_alias_moves(connection, registered, label)

    def text() -> str:
        rows: list[tuple[object, ...]] = [
            (
                format_ms(move.time_ms),
                f"{registered}/{move.version}" if move.version else "taken away",
                f"{registered}/{move.previous}" if move.previous else "-",
                move.actor,
                move.verdict_id or "-",
                "rollback" if (move.cause or {}).get("rollback") else "-",
            )
            for move in moves
        ]
        headers = ("time", "version", "before", "who", "verdict", "cause")
        return render_table(rows, headers, none=f"{name} was never set.")

    session.emit([msgspec.to_builtins(move) for move in moves], text)


def _split(name: str) -> tuple[str, str]:
    registered, at, label = name.partition("@")
    if not (registered and at and label):
        raise click.UsageError(f"{name!r}: write MODEL@ALIAS")
    return registered, label


def _state_words(version: ModelVersion, back: VersionState) -> str:
    return back.sentence if back.is_of(version) else f"{back.whose(version)} {back.sentence}"


def _render(version: ModelVersion, back: VersionState | None) -> str:
    from penstock.base.clock import format_ms
    from penstock.base.numbers import format_plainly
    from penstock.cli.printing import one_line
    from penstock.registry.documents.origins import by_reason, commit_words, unknowns

    origin = version.provenance
    lines = [
        f"version   {version.ref}, registered {format_ms(version.created_ms)} by {version.actor}",
        f"digest    sha256 {version.digest}"
        if version.digest
        else f"source    {version.source}, not kept here",
        *([f"state     {_state_words(version, back)}"] if back else []),
        f"commit    {commit_words(version) if origin.commit else ''}{origin.commit or 'none'}{' with uncommitted changes' if origin.dirty_digest else ''}",
        *(f"unknown   {sentence}" for sentence in by_reason(unknowns(version))),
        f"run       {origin.run_id or 'none'}",
        f"lock      {origin.lock_digest or 'none'}",
        *(f"data      {path} {digest}" for path, digest in origin.data.items()),
        *(f"metric    {key} = {format_plainly(value)}" for key, value in sorted(version.metrics.items())),
        *([f"stage     {version.stage}"] if version.stage != "None" else []),
        *([f"words     {version.description}"] if version.description else []),
        *(f"tag       {key} = {value}" for key, value in version.tags.items()),
        *(f"file      {file.path} {counted(file.size, 'byte')}" for file in version.manifest.files),
    ]
    return "\n".join(map(one_line, lines))


model.add_command(model_delete)
model.add_command(model_export)
model.add_command(model_restore)
model.add_command(model_verify)
