"""Carry a decision out: evidence, events, alerts and the action, in one transaction or not at all.

Only who holds the controller's lease writes. What was decided on another revision than the current one is
a conflict, and leaves nothing behind.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec
import sqlalchemy as sa

from penstock.base.errors import Conflict, PenstockError, Unavailable
from penstock.base.store.events import record_event
from penstock.base.store.outside import told_outside
from penstock.flows.models.proving import VerdictRule
from penstock.flows.production.controlling.deciding import (
    FAILED,
    Advance,
    Decision,
    Opening,
    RollBack,
    evidence_of,
    subject_of,
)
from penstock.flows.production.revising import write_deployment
from penstock.flows.production.traffic.obstacles import find_obstacle
from penstock.flows.production.traffic.promoting import make_advance, require_advanceable
from penstock.flows.production.traffic.rolling_back import make_rollback
from penstock.flows.production.watching import Observation
from penstock.monitoring.alerts import Subject, close_alert, mark_clean, open_alert
from penstock.monitoring.findings import add_findings
from penstock.monitoring.lease import Lease
from penstock.project.project import Project
from penstock.serving.deployments import get_revision


def carry_out(project: Project, lease: Lease, seen: Observation, decision: Decision) -> None:
    """Write a decision. An action that is refused is told with its reason, and everything else is written.

    Raises:
        Conflict: the endpoint moved, or another controller acts.
        Unavailable: the store cannot be reached.
    """
    try:
        _write(project, lease, seen, decision)
    except (Conflict, Unavailable):
        raise
    except PenstockError as error:
        if decision.action is None:
            raise
        failed = _failed(seen, decision.action, error)
        known = {one.fingerprint for one in seen.history.alerts}
        openings = decision.openings
        if failed.subject.fingerprint not in known:
            openings = (*openings, failed)
        rest = replace(decision, action=None, openings=openings)
        if rest.writes:
            _write(project, lease, seen, rest)


def _write(project: Project, lease: Lease, seen: Observation, decision: Decision) -> None:
    with project.database.write() as connection:
        lease.require(connection)
        current = get_revision(connection, seen.endpoint)
        if current.number != seen.revision.number:
            raise Conflict("the endpoint moved", code="serving.revision_moved")
        _tell_breaches(connection, project, seen, decision)
        _tell_the_rest(connection, project, seen, decision)
        if isinstance(decision.action, RollBack):
            _roll_back(connection, project, seen, decision.action)
        elif isinstance(decision.action, Advance):
            _advance(connection, project, seen, decision.action)


def _tell_breaches(
    connection: sa.Connection, project: Project, seen: Observation, decision: Decision
) -> None:
    """Write new breaches with one event for all, and an alert for each."""
    if not decision.news:
        return
    first = decision.news[0]
    others = dict.fromkeys(f"{one.kind} of {one.name} ({one.route})" for one in decision.news[1:])
    more = f"; and {', '.join(others)}" if others else ""
    ids = add_findings(connection, decision.news)
    event_id = record_event(
        connection,
        "guardrail.breached",
        f"endpoint:{seen.endpoint}",
        project.actor,
        f"{seen.endpoint} {first.route} ({seen.revision.model}/{first.version}): {first.sentence}{more}",
        cause={
            "revision": seen.revision.number,
            "policy": seen.policy.number,
            "findings": evidence_of(decision.news),
            "finding_ids": ids,
        },
    )
    for finding in decision.news:
        summary = f"{seen.endpoint} ({seen.revision.model}/{finding.version}): {finding.sentence}"
        open_alert(
            connection,
            subject_of(finding),
            summary,
            seen.policy.body.alerts.webhooks,
            time_ms=seen.time_ms,
            event_id=event_id,
        )


def _tell_the_rest(
    connection: sa.Connection, project: Project, seen: Observation, decision: Decision
) -> None:
    webhooks, subject = seen.policy.body.alerts.webhooks, f"endpoint:{seen.endpoint}"
    for alert_id, clean_ms in decision.marks:
        mark_clean(connection, alert_id, clean_ms)
    for closing in decision.closings:
        close_alert(connection, closing.alert.id, webhooks, time_ms=seen.time_ms)
        what = " ".join(closing.alert.labels[key] for key in ("route", "kind", "name") if key in closing.alert.labels)  # fmt: skip
        record_event(
            connection,
            "alert.resolved",
            subject,
            project.actor,
            f"«{closing.alert.words}» of {seen.endpoint} is over ({what or 'all of it'}): {closing.reason}",
            cause={"alert": closing.alert.id, "since_ms": closing.alert.starts_ms},
        )
    for opening in decision.openings:
        event_id = record_event(
            connection, opening.event, subject, project.actor, opening.summary, cause=opening.cause
        )
        open_alert(
            connection, opening.subject, opening.summary, webhooks, time_ms=seen.time_ms, event_id=event_id
        )


def _roll_back(connection: sa.Connection, project: Project, seen: Observation, action: RollBack) -> None:
    """Write the evidence, then what it led to."""
    cause = {
        "findings": evidence_of(action.findings),
        "finding_ids": add_findings(connection, action.findings),
        "seen_revision": seen.revision.number,
        "policy": seen.policy.number,
    }
    plan = make_rollback(
        seen.revision,
        (action.model, action.stable),
        project.actor,
        reason=action.reason,
        cause=cause,
        passed=action.passed,
    )
    obstacle = None if seen.revision.canary else find_obstacle(project, action.model, action.stable)
    if obstacle is not None:
        raise obstacle
    write_deployment(connection, project, plan)


def _advance(connection: sa.Connection, project: Project, seen: Observation, action: Advance) -> None:
    """Give the canary its next share; the whole of it with the alias."""
    revision = seen.revision
    require_advanceable(connection, VerdictRule.of(project), revision.model, action.version)
    plan = make_advance(
        revision,
        action.version,
        action.percent,
        actor=project.actor,
        reason=action.reason,
        cause={**action.evidence, "policy": seen.policy.number},
    )
    write_deployment(connection, project, replace(plan, yields=action.percent >= 100))


def _failed(seen: Observation, action: RollBack | Advance, error: PenstockError) -> Opening:
    is_rollback = isinstance(action, RollBack)
    word = "is not rolled back" if is_rollback else "does not advance its canary"
    labels = {"action": "rollback" if is_rollback else "advance", "revision": str(seen.revision.number)}
    return Opening(
        Subject(name=FAILED, endpoint=seen.endpoint, labels=labels),
        "endpoint.not_rolled_back" if is_rollback else "rollout.held",
        f"{seen.endpoint} {word}: {told_outside(error).message}",
        {
            "code": error.code,
            "wanted": action.reason,
            "fields": msgspec.to_builtins(error.fields, enc_hook=str),
        },
    )
