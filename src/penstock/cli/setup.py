"""`penstock start` and `doctor`: settings proposed for a repository, and what is still missing."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from penstock.base.errors import NotARepository, PenstockError
from penstock.cli.output import EXIT_FAILED, Session, can_ask, json_option, pass_session
from penstock.cli.printing import render_checks

if TYPE_CHECKING:
    from penstock.flows.setup.writing import SettingsPlan
    from penstock.project.checks import Check
    from penstock.project.project import Project


@click.command()
@click.option("-y", "--yes", is_flag=True, help="Write the file without asking.")
@click.option("-f", "--force", is_flag=True, help="Replace a penstock.yaml that is there.")
@click.option("--dry-run", is_flag=True, help="Show the proposal and write nothing.")
@click.option(
    "--model", metavar="NAME", help="The model that is meant, by name or path, where several are made."
)
@json_option
@pass_session
def start(session: Session, yes: bool, force: bool, dry_run: bool, model: str | None) -> None:
    """Propose a penstock.yaml from what dvc.yaml and the files here say.

    Nothing is written without asking; where nobody can be asked, --yes writes.
    """
    from penstock.flows.setup.writing import apply_settings

    plan = plan_of(session, model)
    shown = plan.path.name
    is_asked = not (yes or dry_run or session.as_json) and can_ask()
    if is_asked:
        click.echo(plan.text)
        _tell(session, plan.notes)
        yes = click.confirm(f"Write {shown}?", err=True)
    is_written = yes and not dry_run
    if is_written:
        apply_settings(plan, force=force)
    document = {"path": shown, "text": plan.text, "notes": list(plan.notes), "written": is_written}
    if is_written:
        following = (
            f"git add {shlex.quote(shown)}, then penstock gate run"
            if plan.has_model
            else "a step that makes a model, then penstock start again"
        )
        session.emit(document, f"Wrote {shown}. Next: {following}.")
        if not is_asked:
            _tell(session, plan.notes)
        return
    session.emit(document, "" if is_asked else plan.text.rstrip())
    if not is_asked:
        _tell(session, plan.notes)
    session.note("Nothing was written." + ("" if is_asked else " `penstock start --yes` writes it."))


def plan_of(session: Session, model: str | None = None) -> SettingsPlan:
    """Return what is proposed for the repository of the session's directory, for one of its models."""
    from penstock.data.repository import DataRepository
    from penstock.flows.setup.proposing import look
    from penstock.flows.setup.writing import plan_settings

    repo = DataRepository.open(session.directory)
    try:
        return plan_settings(repo.root, look(repo, model))
    finally:
        repo.close()


def _tell(session: Session, notes: tuple[str, ...]) -> None:
    for note in notes:
        session.note(f"note: {note}")


@click.command()
@click.option("--port", default=5000, show_default=True, help="The port of `penstock server`.")
@click.option("--serve-port", default=8080, show_default=True, help="The port of `penstock serve`.")
@json_option
@click.pass_context
def doctor(context: click.Context, /, port: int, serve_port: int) -> None:
    """Say what each part still lacks here, and the command that mends it; exit 1 where something is broken.

    It asks the default remote, the store and the artifact store, where it writes an object and takes it away again, and the
    servers that run here for their certificates.
    `penstock version` shows versions alone.
    """
    session = context.ensure_object(Session)
    checks = _checks(session, {"server": port, "model server": serve_port})
    session.emit({"checks": [check._asdict() for check in checks]}, lambda: render_checks(checks))
    if any(check.state == "broken" for check in checks):
        context.exit(EXIT_FAILED)


def _checks(session: Session, ports: dict[str, int]) -> list[Check]:
    from penstock.data.repository import DataRepository
    from penstock.flows.setup.checking import check_machine, check_project, check_repository
    from penstock.project.checks import Check
    from penstock.workspace import open_workspace

    checks = check_machine()
    try:
        repo = DataRepository.open(session.directory)
    except NotARepository as error:
        return [*checks, Check("repository", "missing", error.message, error.hint)]
    except PenstockError as error:
        return [*checks, Check("repository", "broken", error.message, error.hint)]
    try:
        checks += [Check("repository", "ok", str(repo.root)), *check_repository(repo)]
    finally:
        repo.close()
    try:
        project = open_workspace(session.directory)
    except PenstockError as error:
        return [*checks, Check("settings", "broken", error.message, error.hint)]
    try:
        if project.settings_problem is not None:
            problem = project.settings_problem
            return [*checks, Check("settings", "broken", problem.message, problem.hint)]
        return [*checks, *check_project(project, ports), *_certificates(project, ports)]
    finally:
        project.close()


def _certificates(project: Project, ports: dict[str, int]) -> list[Check]:
    """Say which running servers of this host speak TLS with a certificate that has ended, or will soon."""
    import socket
    from contextlib import suppress
    from urllib.parse import urlsplit

    from penstock.base.clock import now_ms
    from penstock.http.validity import find_doubts_at
    from penstock.project.checks import Check
    from penstock.serving.workers import list_alive

    asked = {("127.0.0.1", port): f"the {name} at port {port}" for name, port in ports.items()}
    file = project.places.store_file
    if file is None or file.is_file():
        with (
            suppress(PenstockError),
            project.database.read() as connection,
        ):  # the check of the store has told it
            for one in list_alive(connection, now_ms()):
                url = urlsplit(one.url)
                if url.scheme == "https" and url.hostname and url.port and one.host == socket.gethostname():
                    asked.setdefault((url.hostname, url.port), f"the model server at {one.url}")
    told = {what: words for (host, port), what in asked.items() if (words := find_doubts_at(host, port))}
    hint = "put the renewed one in its place, then start the server again: it reads its files at the start"
    return [
        Check("certificate", "broken" if "has expired" in words else "missing", f"{what}: {words}", hint)
        for what, words in told.items()
    ]
