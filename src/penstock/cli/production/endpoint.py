"""Commands on endpoints as they are: `endpoint list`, `show`, `history`, `apply`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from penstock.base.numbers import counted
from penstock.cli.output import Session, json_option, pass_session
from penstock.cli.tables import render_table

if TYPE_CHECKING:
    from penstock.flows.production.overview import EndpointView
    from penstock.monitoring.ruling import RuleView
    from penstock.serving.deployments import Revision


SHOWN = 5
ANSWERS = "the lines `server` tell what answers"
"""What a finding's next step is where it would lead to the command that shows it."""
"""Policies that are shown to a person."""


@click.group()
def endpoint() -> None:
    """List endpoints, show one or its history, apply what penstock.yaml says of them."""


@endpoint.command("list")
@json_option
@pass_session
def endpoint_list(session: Session) -> None:
    """List endpoints, what they serve, and which requests rules send where."""
    import msgspec

    from penstock.flows.production.policing import compare_file
    from penstock.flows.production.traffic.straying import notes_of
    from penstock.monitoring.ruling import find_rules, view_rules
    from penstock.serving.deployments import list_endpoints
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    with project.database.read() as connection:
        found = list_endpoints(connection)
        notes = notes_of(connection, found)
        kept = [find_rules(connection, revision.endpoint, revision.model) for revision in found]
    if project.settings_problem is None:
        for name, words in compare_file(project).items():
            notes[name] = (*notes.get(name, ()), words)
    rules = [
        None if one is None else view_rules(revision.model, one)
        for revision, one in zip(found, kept, strict=True)
    ]
    rows: list[tuple[object, ...]] = [_row(revision) for revision in found]
    header: tuple[str, ...] = ("endpoint", "revision", "stable", "canary", "since", "by")
    if any(one != [] for one in rules):
        header = (*header, "rules")
        rows = [(*row, _rules_text(one)) for row, one in zip(rows, rules, strict=True)]
    text = render_table(rows, header, none="No endpoints yet: penstock deploy")
    text = "\n".join([text, *(f"{name}: {one}" for name, told in notes.items() for one in told)])
    document = [
        {
            **document_of(revision),
            "rules": msgspec.to_builtins(one),
            "notes": notes.get(revision.endpoint, ()),
        }
        for revision, one in zip(found, rules, strict=True)
    ]
    session.emit(document, text)


def _rules_text(rules: list[RuleView] | None) -> str:
    if rules is None:
        return "cannot be read"
    return "; ".join(f"{one.when}: {one.ref}" for one in rules) or "-"


@endpoint.command("show")
@click.argument("name", metavar="ENDPOINT")
@json_option
@pass_session
def endpoint_show(session: Session, name: str) -> None:
    """Show an endpoint's revision, its rules, the policy that watches it, and which serve processes run it."""
    import msgspec

    from penstock.base.clock import format_ms, now_ms
    from penstock.flows.models.admitting import gate_codes
    from penstock.flows.production.checking import policy_in_file
    from penstock.flows.production.overview import view_endpoint
    from penstock.flows.production.policing import compare_file
    from penstock.flows.production.shadows import list_shadows
    from penstock.monitoring.policies import differences, list_policy_steps, policy_or_none_yet
    from penstock.monitoring.ruling import view_rules
    from penstock.serving.deployments import get_revision
    from penstock.serving.workers import list_alive
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    with project.database.read() as connection:
        revision = get_revision(connection, name)
        policy = policy_or_none_yet(connection, name, revision.model)
        workers = list_alive(connection, now_ms())
        shadows = list_shadows(connection, revision)
        steps = list_policy_steps(connection, name)
        code = gate_codes(project, connection, revision.model, revision.answering)
    rules = view_rules(revision.model, policy.settings.traffic.rules)
    states = [(worker, worker.state_of(name, revision.number)) for worker in workers]
    view = view_endpoint(project, name)
    problem = project.settings_problem
    if problem is not None:
        session.note(f"the policy in the store holds; penstock.yaml is not used: {problem.message}")
    written = policy_in_file(project, name) if problem is None else None
    differs = written is not None and written.digest != policy.digest
    keys = differences(policy.body, written) if written is not None and differs else []
    # what differs is told key by key beside the policy
    notes = [one for one in view.notes if not differs or one != compare_file(project).get(name)]
    document = {
        **document_of(revision),
        "rules": msgspec.to_builtins(rules),
        "policy": {
            "number": policy.number,
            "created_ms": policy.created_ms,
            "actor": policy.actor,
            "endpoint": msgspec.to_builtins(policy.settings),
            "differs": keys,
            "history": msgspec.to_builtins(steps),
        },
        "refused": msgspec.to_builtins(view.refused),
        "labels": msgspec.to_builtins(view.labels),
        "health": view.health,
        "health_reason": view.health_reason,
        "unjudged": [one.sentence for one in view.findings if one.unjudged is not None],
        "open_breaches": msgspec.to_builtins(view.open_breaches),
        "undone": list(view.undone),
        "untold": list(view.untold),
        "notes": notes,
        "nobody_acts": view.nobody_acts,
        "retraining": msgspec.to_builtins(view.retraining),
        "gate_code": [
            {
                "version": one.version.ref,
                "is_compared": one.is_compared,
                "changed": list(one.changed),
                "absent": list(one.absent),
            }
            for one in code
        ],
        "shadow_differences": msgspec.to_builtins(shadows),
        "servers": [
            {
                "url": worker.url,
                "host": worker.host,
                "pid": worker.pid,
                "state": state.state if state else "pending",
                "message": state.message if state else "",
            }
            for worker, state in states
        ],
        "lost_servers": view.lost_servers,
    }
    lines = [
        f"endpoint  {revision.endpoint}, revision {revision.number}",
        f"stable    {revision.model}/{revision.stable}",
    ]
    if revision.canary:
        lines.append(
            f"canary    {revision.model}/{revision.canary.version}, {revision.canary.percent:g} % of the traffic"
        )
    lines += [
        *(f"rule      {one.when}: {one.ref}" for one in rules),
        *(f"shadow    {revision.model}/{one.version}: {one.sentence}" for one in shadows),
    ]
    lines += [f"gates     {one.sentence}" for one in code if one.sentence]
    lines.append(f"reason    {revision.reason}")
    lines.append(
        f"policy    {policy.number}, {counted(len(policy.settings.guardrails), 'guardrail')}"
        if policy.number
        else "policy    none: nothing is guarded"
    )
    lines += [
        f"          {one.number} since {format_ms(one.created_ms)} by {one.actor}"
        + (f": {', '.join(one.changes)}" if one.changes else "")
        for one in steps[:SHOWN]
    ]
    if len(steps) > SHOWN:
        lines.append(f"          and {len(steps) - SHOWN} before; --json shows them")
    lines += [
        f"          penstock.yaml says otherwise: {', '.join(keys) or 'no policy holds yet'}",
        f"          penstock endpoint apply {shlex.quote(name)}",
    ] * differs
    lines += [
        f"server    {worker.place}, process {worker.pid}: {state.state if state else 'not taken over yet'}"
        + (f": {state.message}" if state and state.message else "")
        for worker, state in states
    ]
    lines += [
        f"server    {place}: lost, it ended without a word and was seen last {format_ms(seen_ms)}"
        for place, seen_ms in view.lost_servers.items()
    ]
    lines += _judgement(view, notes)
    lines += (
        [] if states else ["server    none is running: penstock serve, unless a service of your own answers"]
    )
    session.emit(document, "\n".join(lines))


def _judgement(view: EndpointView, notes: Sequence[str]) -> list[str]:
    """Return how an endpoint is, what is not judged, and what is wanted and not done."""
    told = dict.fromkeys(one.sentence for one in view.findings if one.unjudged is not None)
    here = f"penstock endpoint show {shlex.quote(view.name)} tells what answers"
    return [
        *([f"refused   {view.refused_sentence}"] if view.refused else []),
        *([f"labels    {view.labels.sentence}"] if view.labels else []),
        f"health    {view.health}{': ' if view.health_reason else ''}{view.health_reason.replace(here, ANSWERS)}",
        *(f"unjudged  {one.replace(here, ANSWERS)}" for one in told if one != view.health_reason),
        *(f"open      {one.sentence}" for one in view.open_breaches),
        *(f"undone    {one}" for one in view.undone),
        *(f"alerts    {one}" for one in view.untold),
        *(f"note      {one}" for one in notes),
        *([f"retrain   {view.retraining.sentence}"] if view.retraining else []),
        *([f"acts      {view.nobody_acts}"] if view.nobody_acts else []),
    ]


@endpoint.command("history")
@click.argument("name", metavar="ENDPOINT")
@json_option
@pass_session
def endpoint_history(session: Session, name: str) -> None:
    """List an endpoint's revisions, newest first."""
    from penstock.serving.deployments import get_revision, list_revisions
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    with project.database.read() as connection:
        get_revision(connection, name)
        found = list_revisions(connection, name)
    rows = [(*_row(revision)[1:], revision.reason) for revision in found]
    text = render_table(rows, ("revision", "stable", "canary", "since", "by", "reason"))
    session.emit([document_of(revision) for revision in found], text)


@endpoint.command("apply")
@click.argument("name", metavar="[ENDPOINT]", required=False)
@click.option("--dry-run", is_flag=True, help="Say what would change.")
@json_option
@pass_session
def endpoint_apply(session: Session, name: str | None, dry_run: bool) -> None:
    """Make what penstock.yaml says of its endpoints (or of one) their policy: guardrails, rollout, alerts."""
    from penstock.flows.production.policing import apply_policies, compare_file, plan_policies
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    changes = plan_policies(project, name)
    written = {} if dry_run else {one.endpoint: one.number for one in apply_policies(project, changes)}
    lines = []
    for one in changes:
        for warning in one.warnings:
            session.note(f"warning: {warning}")
        number = one.before.number if one.before else 0
        what = ", ".join(one.changes) or "the first one"
        if one.changes_nothing:
            lines.append(f"{one.endpoint}: policy {number} holds already.")
        elif dry_run:
            lines.append(f"{one.endpoint}: would get policy {number + 1}: {what}.")
        else:
            lines.append(f"{one.endpoint}: policy {written[one.endpoint]} holds now: {what}.")
    session.note(project.settings.retention.sentence)
    for endpoint_name, words in compare_file(project).items() if name is None and not dry_run else ():
        session.note(f"{endpoint_name}: {words}")
    document = [
        {
            "endpoint": one.endpoint,
            "policy": written.get(one.endpoint, one.before.number if one.before else 0),
            "applied": one.endpoint in written,
            "changes": one.changes,
            "warnings": one.warnings,
        }
        for one in changes
    ]
    session.emit(
        document,
        "\n".join(lines)
        or "No deployed endpoint stands in penstock.yaml: write it under `endpoints:` there.",
    )


def _row(revision: Revision) -> tuple[object, ...]:
    from penstock.base.clock import format_ms

    canary = (
        f"{revision.model}/{revision.canary.version} {revision.canary.percent:g} %"
        if revision.canary
        else "-"
    )
    return (
        revision.endpoint,
        revision.number,
        f"{revision.model}/{revision.stable}",
        canary,
        format_ms(revision.created_ms),
        revision.actor,
    )


def document_of(revision: Revision) -> dict[str, Any]:
    """Return a revision as JSON."""
    import msgspec

    document: dict[str, Any] = msgspec.to_builtins(revision)
    return document
