"""Commands on gates."""

from __future__ import annotations

import click

from penstock.cli.output import EXIT_FAILED, Session, json_option, pass_session


@click.group()
def gate() -> None:
    """Check a model version against the gates of penstock.yaml."""


@gate.command("run")
@click.argument("reference", metavar="[MODEL]", required=False)
@json_option
@pass_session
@click.pass_context
def gate_run(context: click.Context, session: Session, reference: str | None) -> None:
    """Judge the models of penstock.yaml in the working tree, or MODEL of them, or a registered MODEL/N.

    The exit code is 1 when a gate refuses.
    """
    import msgspec

    from penstock.cli.gates.explaining import render_verdict
    from penstock.flows.models.evidence.shown import held_out_uses
    from penstock.flows.models.judging import run_gate, run_gate_on
    from penstock.registry.gates.settings import unbound_codes
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    names: list[str | None] = [one.name for one in project.settings.all_models]
    if reference and reference not in names:
        verdicts = [run_gate_on(project, reference)]
    else:
        verdicts = [run_gate(project, name=name) for name in ([reference] if reference else names or [None])]
    document = [msgspec.to_builtins(verdict) for verdict in verdicts]
    session.emit(
        document[0] if len(document) == 1 else document, lambda: "\n".join(map(render_verdict, verdicts))
    )
    for sentence in dict.fromkeys(
        told
        for verdict in verdicts
        for told in unbound_codes(project.root, project.settings.gates_of(verdict.model))
    ):
        session.note(f"warning: {sentence}. List such files under its `files` in penstock.yaml.")
    with project.database.read() as connection:
        for verdict in verdicts:
            if uses := held_out_uses(project, connection, verdict):
                session.note(f"{uses}.")
    if not all(verdict.passed for verdict in verdicts):
        context.exit(EXIT_FAILED)


@gate.command("show")
@click.argument("reference", metavar="MODEL")
@json_option
@pass_session
@click.pass_context
def gate_show(context: click.Context, session: Session, reference: str) -> None:
    """Explain the verdict on a version (NAME/3, NAME@champion), whether it is proof, and what doors say; exit 1 if it was changed.

    It is the newest verdict under the gates as they are now, which the doors ask; without one the newest of all.
    """
    from dataclasses import asdict

    import msgspec

    from penstock.base.errors import NotFound
    from penstock.cli.gates.explaining import explain_doors, explain_people, explain_verdict
    from penstock.flows.models.evidence.approving import approval_standing
    from penstock.flows.models.evidence.doors import ask_doors
    from penstock.flows.models.evidence.holds import list_holds
    from penstock.flows.models.evidence.shown import held_out_uses
    from penstock.flows.models.proving import VerdictRule
    from penstock.registry.references import resolve_version
    from penstock.registry.verdicts import find_verdict
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    with project.database.read() as connection:
        version = resolve_version(connection, reference)
        rule = VerdictRule.of(project)
        doors = ask_doors(project, connection, version)
        verdict = doors.verdict or find_verdict(connection, version.model, version.digest)
        if verdict is None:
            raise NotFound(
                f"no gate has judged {version.ref}", code="gate.no_verdict", hint="penstock gate run"
            )
        proof = rule.examine(connection, verdict)
        people = approval_standing(project, connection, version)
        uses = held_out_uses(project, connection, verdict)
        held = list_holds(connection, [version]).get((version.model, version.number))
    document = {
        **msgspec.to_builtins(verdict),
        "proof": {"state": proof.state, "sentence": proof.sentence},
        "gates_are_current": doors.is_current,
        "newer_verdict": doors.newer.id if doors.newer else None,
        "may_go_out": doors.shut is None,
        "refusal": doors.shut.message if doors.shut else None,
        "held": msgspec.to_builtins(held),
        "approvals": [asdict(one) for one in people.approvals],
        "lacking_approval": people.lacking,
        "held_out": uses,
    }
    session.emit(
        document,
        lambda: (
            explain_verdict(verdict, proof, doors)
            + (f"\nHeld out: {uses}." if uses else "")
            + explain_people(people)
            + explain_doors(doors.shut, held)
        ),
    )
    if proof.state == "damaged":
        context.exit(EXIT_FAILED)


@gate.command("evidence")
@click.argument("reference", metavar="MODEL")
@click.argument("name", metavar="[FILE]", required=False)
@json_option
@pass_session
def gate_evidence(session: Session, reference: str, name: str | None) -> None:
    """List the files that the checks of the newest verdict on a version keep, or print FILE of them."""
    from penstock.flows.models.evidence.shown import evidence_files, read_evidence
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    if name is not None:
        click.echo(read_evidence(project, reference, name), nl=False)
        return
    found = evidence_files(project, reference)
    session.emit(
        [{"file": file, "check": check, "sha256": digest} for file, (check, digest) in found.items()],
        "\n".join(f"{file}  {check}" for file, (check, _) in found.items()) or "no check kept a file",
    )


@gate.command("approve")
@click.argument("reference", metavar="MODEL")
@click.option("--comment", default="", help="Why, for the record.")
@click.option("--withdraw", is_flag=True, help="Take your approval back.")
@json_option
@pass_session
def gate_approve(session: Session, reference: str, comment: str, withdraw: bool) -> None:
    """Approve a version in your name, for a gate that asks for people other than its author.

    Your name is that of the operating system's user; PENSTOCK_ACTOR and USER do not change it.
    """
    from dataclasses import asdict

    from penstock.flows.models.evidence.approving import decide_approval
    from penstock.registry.references import resolve_version
    from penstock.workspace import open_workspace, terminal_person

    project = open_workspace(session.directory)
    with project.database.read() as connection:
        version = resolve_version(connection, reference)
    person = terminal_person()
    if project.actor != person:
        session.note(f"note: {project.actor} is what variables say; in a terminal {person} approves.")
    standing = decide_approval(project, version, person, comment, withdraw=withdraw)
    verb = "withdrew the approval of" if withdraw else "approved"
    session.emit(
        {
            "version": version.ref,
            "actor": person,
            "approvals": [asdict(one) for one in standing.approvals],
            "lacking_approval": standing.lacking,
        },
        f"{person} {verb} {version.ref}."
        + (f" {standing.lacking[0].upper()}{standing.lacking[1:]}." if standing.lacking else ""),
    )


@gate.command("adopt")
@click.argument("reference", metavar="MODEL")
@json_option
@pass_session
def gate_adopt(session: Session, reference: str) -> None:
    """Vouch for the unsigned verdict on a version, made before verdicts were signed; your name stays on it."""
    from penstock.flows.models.proving import adopt_verdict
    from penstock.registry.references import resolve_version
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    with project.database.read() as connection:
        version = resolve_version(connection, reference)
    verdict = adopt_verdict(project, version)
    session.emit(
        {"verdict": verdict.id, "version": version.ref, "actor": project.actor},
        f"{project.actor} vouches for the verdict {verdict.id} on {version.ref}.",
    )
