"""Write a revision with everything that belongs to it, in one transaction or not at all.

With it go its event, the endpoint's policy, what became of the version that a rollback takes out, the alias
that follows, and what is told of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import Corrupt
from penstock.base.store.events import record_event
from penstock.flows.models.aliases import AliasPolicy, apply_move, plan_move
from penstock.flows.models.evidence.refusals import answer_for
from penstock.flows.production.traffic.straying import find_later_move, serving_elsewhere
from penstock.monitoring.alerts import Subject, open_alert
from penstock.monitoring.policies import (
    PolicyBody,
    find_alerting,
    find_readable_policy,
    policy_or_none_yet,
    put_policy,
)
from penstock.monitoring.ruling import kept_by_rules
from penstock.monitoring.settings import AlertSettings, EndpointSettings
from penstock.project.project import Project
from penstock.registry.aliases import find_alias, move_alias
from penstock.registry.entities import AliasMove, ModelVersion
from penstock.registry.states import VersionState, add_state, find_rolled_back
from penstock.registry.verdicts import glance_verdict
from penstock.registry.versions import get_version
from penstock.serving.classes import Classes, Served, add_classes
from penstock.serving.deployments import Revision, RevisionDraft, append_revision
from penstock.serving.workers import list_alive, list_told_endpoints

ROLLED_BACK = "PenstockRolledBack"
PROMOTED = "PenstockPromoted"
OF_THE_VERSION = frozenset({"errors", "quality", "slices", "outputs"})
"""Kinds of breaches that say something of a version on whichever endpoint it is; latency and loading are of a place."""


@dataclass(frozen=True)
class DeploymentPlan:
    """The next revision of an endpoint and the one it was planned on.

    `policy` is what shall watch it from then on, None for what does already. `out` is the version that a
    rollback takes out. `answered_for` is a version that was rolled back or refused, and is deployed all the same.
    `warnings` say what will not be judged, or be refused. `classes` are those that classifiers among its versions know.
    `yields` says that the alias stays where somebody pointed it since the canary began; else a promotion moves it.
    """

    endpoint: str
    draft: RevisionDraft
    before: Revision | None
    kind: str
    summary: str
    policy: PolicyBody | None = None
    out: int | None = None
    answered_for: ModelVersion | None = None
    warnings: tuple[str, ...] = ()
    yields: bool = False
    classes: Mapping[int, Classes] = field(default_factory=dict)


def apply_deployment(project: Project, plan: DeploymentPlan) -> Revision:
    """Write the revision and its event in one transaction.

    Raises:
        Conflict: the endpoint moved since the plan was made.
    """
    with project.database.write() as connection:
        return write_deployment(connection, project, plan)


def preview_changes(connection: sa.Connection, plan: DeploymentPlan) -> list[str]:
    """Say in words everything that carrying a plan out changes; writes nothing."""
    policy = plan.policy or _followed(connection, plan, plan.draft)
    follows = _alias_that_follows(connection, plan, policy.endpoint)
    number = plan.before.number + 1 if plan.before else 1
    told = [f"{plan.summary} (revision {number})"]
    if plan.out is not None and plan.before is not None:
        ref = f"{plan.before.model}/{plan.out}"
        told.append(
            f"{ref} counts as rolled back: nothing deploys or promotes it until a person answers for it with --force --reason"
        )
        others = serving_elsewhere(connection, plan.endpoint, plan.before.model, plan.out)
        told += [f"{ref} stays on {', '.join(others)}, which nothing rolls back"] if others else []
    marked = find_rolled_back(connection, plan.answered_for) if plan.answered_for is not None else None
    if marked is not None and plan.answered_for is not None:
        told.append(
            f"{plan.answered_for.ref} counts as rolled back no more, though it {marked.whose(plan.answered_for)} {marked.sentence}"
        )
    if follows is not None:
        told.append(follows.words.removeprefix("; "))
    if plan.draft.kind == "promoted" and plan.before is not None:
        told.append(f"{plan.before.model}/{plan.before.stable} gets no traffic any more")
        alias = policy.endpoint.alias
        if alias is not None and alias[0] == plan.draft.model:
            current = find_alias(connection, *alias)
            if current is None or current.version != plan.draft.stable:
                was = f", {alias[0]}/{current.version} now" if current else ""
                told.append(f"{alias[0]}@{alias[1]}{was}, becomes {alias[0]}/{plan.draft.stable}")
    if not _is_served(connection, plan.endpoint):
        told.append("no serve process runs that would take it over: penstock serve starts one")
    return [*told, *plan.warnings]


def _followed(connection: sa.Connection, plan: DeploymentPlan, now: RevisionDraft | Revision) -> PolicyBody:
    """Return the policy that goes along with a revision.

    A rollback waits for none that cannot be read: the newest one that can be tells the alias.
    """
    try:
        return policy_or_none_yet(connection, plan.endpoint, now.model).body
    except Corrupt:
        if now.kind != "rolled_back":
            raise
    readable = find_readable_policy(connection, plan.endpoint)
    alerts = find_alerting(connection, plan.endpoint) or AlertSettings()
    endpoint = readable.settings if readable else EndpointSettings(model=now.model)
    return PolicyBody(endpoint=endpoint, alerts=alerts)


def _is_served(connection: sa.Connection, endpoint: str) -> bool:
    """Whether a serve process lives, or a service of the user's own answers for an endpoint."""
    alive = list_alive(connection, now_ms())
    return bool(alive) or endpoint in list_told_endpoints(connection)


def write_deployment(connection: sa.Connection, project: Project, plan: DeploymentPlan) -> Revision:
    """Carry a plan out in the caller's transaction.

    Raises:
        Conflict: the endpoint or its alias moved since the plan was made.
        NotFound: the version to go back to was taken away.
        Refused: the alias may not move to the version that becomes stable.
    """
    actor = plan.draft.actor
    if plan.answered_for is not None:
        answer_for(connection, plan.answered_for, actor, plan.draft.reason)
    before = plan.before
    revision = append_revision(
        connection, plan.endpoint, plan.draft, expected=before.number if before else None
    )
    known = {Served(plan.endpoint, revision.number, number): one for number, one in plan.classes.items()}
    add_classes(connection, known)
    if plan.policy is not None:
        put_policy(connection, plan.endpoint, plan.policy, actor)
    policy = _followed(connection, plan, revision)
    follows = _alias_that_follows(connection, plan, policy.endpoint)
    answering = (revision.stable, revision.canary.version if revision.canary else None)
    kept = kept_by_rules(revision.model, policy.endpoint.traffic.rules, answering)
    besides = follows.words if follows else ""
    later = _later_move(connection, plan, policy.endpoint)
    if later is not None:
        besides += (
            f"; {later.model}@{later.name} stays at {later.model}/{later.version}, "
            f"where {later.actor} pointed it since the canary began"
        )
    if plan.out is not None and before is not None:
        others = serving_elsewhere(connection, plan.endpoint, before.model, plan.out)
        besides += f"; {before.model}/{plan.out} counts as rolled back" + (
            f", and stays on {', '.join(others)}" if others else ""
        )
    besides += f"; {kept}" if kept else ""
    event_id = record_event(
        connection,
        plan.kind,
        f"endpoint:{plan.endpoint}",
        actor,
        f"{plan.summary} (revision {revision.number}){besides}",
        cause=plan.draft.cause,
        before=_state(before),
        after=_state(revision),
    )
    cause = {**_named(revision, event_id), "reason": revision.reason}
    if plan.out is not None:
        _take_out(connection, plan, actor, {**plan.draft.cause, **cause})
    if follows is not None and follows.moves:
        _move(connection, follows, actor, {"rollback": cause})
    if plan.draft.kind == "promoted" and later is None:
        _promote(connection, project, revision, policy.endpoint, {"canary": plan.draft.cause, **cause})
    if plan.draft.kind == "promoted" or plan.out is not None:
        subject = Subject(
            name=PROMOTED if plan.out is None else ROLLED_BACK,
            endpoint=plan.endpoint,
            labels={"version": str(plan.out or revision.stable), "revision": str(revision.number)},
        )
        summary = f"{plan.summary}: {revision.reason}{besides}"
        webhooks = policy.alerts.webhooks
        open_alert(connection, subject, summary, webhooks, time_ms=now_ms(), event_id=event_id, is_kept=False)
    return revision


@dataclass(frozen=True)
class _Follows:
    """The endpoint's alias, which points at what is taken out, and where it goes, if it does."""

    model: str
    alias: str
    previous: int
    version: int
    moves: bool
    others: tuple[str, ...] = ()
    """Other endpoints that the version which is taken out is stable on."""

    @property
    def words(self) -> str:
        served = f"{', '.join(self.others)} {'serves' if len(self.others) == 1 else 'serve'} {self.model}/{self.previous}"
        if self.moves:
            though = f", though {served}" if self.others else ""
            return f"; {self.model}@{self.alias} goes along to {self.model}/{self.version}{though}"
        since = f", since {served}" if self.others else ""
        return f"; {self.model}@{self.alias} stays at {self.model}/{self.previous}{since}"


def _alias_that_follows(
    connection: sa.Connection, plan: DeploymentPlan, settings: EndpointSettings
) -> _Follows | None:
    if plan.out is None or settings.alias is None or plan.before is None:
        return None
    model, alias = settings.alias
    current = find_alias(connection, model, alias)
    if current is None or (model, current.version) != (plan.before.model, plan.out):
        return None
    others = tuple(serving_elsewhere(connection, plan.endpoint, model, plan.out))
    # a person's reason may be of this endpoint alone; a breach is of the version, wherever it is served
    told = {one["kind"] for one in plan.draft.cause.get("findings", ())}
    is_of_version = not others or bool(told & OF_THE_VERSION)
    moves = settings.rollout.alias == "follow" and plan.draft.model == model and is_of_version
    return _Follows(model, alias, current.version, plan.draft.stable, moves, others)


def _later_move(
    connection: sa.Connection, plan: DeploymentPlan, settings: EndpointSettings
) -> AliasMove | None:
    if not plan.yields or plan.before is None or settings.alias is None:
        return None
    return find_later_move(connection, plan.before, settings.alias)


def _move(connection: sa.Connection, follows: _Follows, actor: str, cause: Mapping[str, Any]) -> None:
    version = get_version(connection, follows.model, follows.version)
    verdict = glance_verdict(connection, version.model, version.digest)
    move = AliasMove(
        model=version.model,
        name=follows.alias,
        version=version.number,
        previous=follows.previous,
        time_ms=now_ms(),
        actor=actor,
        verdict_id=verdict.id if verdict else None,
    )
    move_alias(connection, move, expected=follows.previous, cause=cause)


def _take_out(connection: sa.Connection, plan: DeploymentPlan, actor: str, cause: dict[str, Any]) -> None:
    if plan.before is None or plan.out is None:
        return
    version = get_version(connection, plan.before.model, plan.out, deleted=True)
    state = VersionState(
        model=version.model,
        number=version.number,
        digest=version.digest,
        state="rolled_back",
        time_ms=now_ms(),
        actor=actor,
        reason=plan.draft.reason,
        cause=cause,
    )
    add_state(connection, state)
    record_event(
        connection, "model.rolled_back", f"model:{version.ref}", actor,
        f"{version.ref} was rolled back: {plan.draft.reason}", cause=cause,
    )  # fmt: skip


def _promote(
    connection: sa.Connection,
    project: Project,
    revision: Revision,
    settings: EndpointSettings,
    cause: Mapping[str, Any],
) -> None:
    if settings.alias is None or settings.alias[0] != revision.model:
        return
    version = get_version(connection, revision.model, revision.stable)
    promotion = plan_move(connection, AliasPolicy.of(project), version, settings.alias[1])
    if not promotion.changes_nothing:
        apply_move(connection, promotion, revision.actor, cause)


def _named(revision: Revision, event_id: int) -> dict[str, Any]:
    return {"endpoint": revision.endpoint, "revision": revision.number, "event": event_id}


def _state(revision: Revision | None) -> dict[str, Any]:
    if revision is None:
        return {}
    state: dict[str, Any] = {"revision": revision.number, "model": revision.model, "stable": revision.stable}
    if revision.canary is not None:
        state |= {"canary": revision.canary.version, "percent": revision.canary.percent}
    return state
