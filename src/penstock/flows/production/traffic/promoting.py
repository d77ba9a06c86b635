"""Plan to give a canary its next share of the traffic, or all of it; the controller and people go by the same rule."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from penstock.base.errors import Refused
from penstock.flows.models.proving import VerdictRule
from penstock.flows.production.revising import DeploymentPlan
from penstock.project.project import Project
from penstock.registry.states import require_not_rolled_back
from penstock.registry.versions import get_version
from penstock.serving.deployments import Canary, Revision, RevisionDraft, get_revision


def plan_promotion_of_canary(
    project: Project, endpoint: str, *, reason: str | None = None, actor: str | None = None
) -> DeploymentPlan:
    """Plan to give the canary of an endpoint all traffic, now; the alias goes along as it does at the last step.

    Args:
        actor: who does it, where that is not who the project acts for.

    Raises:
        NotFound: no such endpoint.
        Refused: it has no canary, or its version has no verdict that allows it, or was rolled back.
    """
    with project.database.read() as connection:
        revision = get_revision(connection, endpoint)
        if revision.canary is None:
            raise Refused(
                f"endpoint {endpoint} has no canary that could be promoted",
                code="serving.no_canary",
                hint=f"penstock deploy {shlex.quote(endpoint)} --model {shlex.quote(f'{revision.model}/N')} --canary 5",
            )
        version = revision.canary.version
        require_advanceable(connection, VerdictRule.of(project), revision.model, version)
    words = f"{endpoint} serves {revision.model}/{version}"
    return make_advance(
        revision,
        version,
        100.0,
        actor=actor or project.actor,
        reason=reason or f"{words}, decided by a person",
    )


def require_advanceable(connection: sa.Connection, rule: VerdictRule, model: str, number: int) -> None:
    """Make sure that a version may be given more traffic.

    Raises:
        NotFound: it was taken away.
        Refused: no verdict allows it, or it was rolled back.
    """
    version = get_version(connection, model, number)
    rule.let_out(connection, version, "be given more traffic")
    require_not_rolled_back(connection, version, "advanced")


def make_advance(
    revision: Revision,
    number: int,
    percent: float,
    *,
    actor: str,
    reason: str,
    cause: Mapping[str, Any] | None = None,
) -> DeploymentPlan:
    """Return the plan to give a revision's canary a share of the traffic; at 100 percent it is what is stable."""
    is_whole = percent >= 100
    ref = f"{revision.model}/{number}"
    draft = RevisionDraft(
        model=revision.model,
        stable=number if is_whole else revision.stable,
        canary=None if is_whole else Canary(number, percent),
        steps=() if is_whole else tuple(step for step in revision.steps if step > percent),
        shadows=revision.shadows,
        actor=actor,
        reason=reason,
        cause=dict(cause or {}),
        kind="promoted" if is_whole else "advanced",
    )
    summary = (
        f"{revision.endpoint} serves {ref}"
        if is_whole
        else f"{revision.endpoint} gives {ref} {percent:g} % of its traffic, "
        f"the rest stays with version {revision.stable}"
    )
    kind = "endpoint.deployed" if is_whole else "endpoint.canary"
    return DeploymentPlan(revision.endpoint, draft, revision, kind, summary)
