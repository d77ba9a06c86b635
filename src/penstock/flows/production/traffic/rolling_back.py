"""Plan to go back: take a canary away, or serve what was stable before."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from penstock.base.clock import format_ms
from penstock.base.errors import Invalid, Refused
from penstock.flows.models.evidence.refusals import require_reason, told_refusal
from penstock.flows.production.fitting import takeover_warnings
from penstock.flows.production.revising import DeploymentPlan
from penstock.flows.production.traffic.obstacles import find_obstacle
from penstock.monitoring.ruling import find_rules, kept_by_rules
from penstock.project.project import Project
from penstock.registry.entities import ModelVersion
from penstock.registry.states import find_rolled_back, list_barred, require_not_rolled_back
from penstock.registry.verdicts import glance_verdict
from penstock.registry.versions import get_version
from penstock.serving.deployments import Revision, RevisionDraft, get_revision, list_revisions

NONE_PASSED: Mapping[str, str] = MappingProxyType({})


def plan_rollback(
    project: Project,
    endpoint: str,
    *,
    to: int | None = None,
    reason: str | None = None,
    force: bool = False,
    actor: str | None = None,
) -> DeploymentPlan:
    """Plan to take a canary away; without one, to serve what was stable before, or in revision `to`.

    A version that was rolled back is gone back to only where `to` names its revision and a person answers for it; one
    that was deleted, or has no files any more, never.

    Args:
        force: go back to a version that was rolled back, which `to` names; `reason` says why it may.
        actor: who does it, where that is not who the project acts for.

    Raises:
        NotFound: no such endpoint or revision, or what is left to go back to cannot be served again.
        Refused: there is nothing earlier to go back to, or the version that `to` names was rolled back.
        Invalid: `force` without a reason, or without `to`.
    """
    require_reason(force, reason)
    if force and to is None:
        raise Invalid(
            "--force goes with --to: without it a rollback passes over what was rolled back",
            code="serving.force_without_revision",
            hint=f"penstock endpoint history {shlex.quote(endpoint)}, then --to REVISION --force --reason TEXT",
        )
    with project.database.read() as connection:
        current = get_revision(connection, endpoint)
        target = get_revision(connection, endpoint, to) if to is not None else None
        history = list_revisions(connection, endpoint)
        barred = list_barred(connection)
        rules = find_rules(connection, endpoint, current.model)
    passed: dict[str, str] = {}
    answered_for: ModelVersion | None = None
    if target is not None:
        stable, model = target.stable, target.model
        if (obstacle := find_obstacle(project, model, stable)) is not None:
            raise obstacle
        if (model, stable) != (current.model, current.stable):
            answered_for = _require_answered(project, model, stable, force=force)
    elif current.canary is not None:
        stable, model = current.stable, current.model
    else:
        now = (current.model, current.stable)
        earlier = (old for old in history if old.number < current.number)
        others = [old for old in earlier if (old.model, old.stable) != now]
        candidates = dict.fromkeys((old.model, old.stable) for old in others)
        open_ones = [one for one in candidates if one not in barred]
        obstacles = {one: find_obstacle(project, *one) for one in open_ones}
        found = next((one for one in open_ones if obstacles[one] is None), None)
        if found is None and (lost := next(filter(None, obstacles.values()), None)) is not None:
            raise lost
        if found is None:
            canaries = [old.canary.version for old in history if old.canary is not None]
            never = (
                f"no other version of endpoint {endpoint} was stable (version {canaries[-1]} was a canary)"
                if canaries
                else f"endpoint {endpoint} never served another version"
            )
            raise Refused(
                f"every other version that {endpoint} served was rolled back: there is nothing to go back to"
                if others
                else f"{never}: there is nothing to go back to",
                code="serving.nothing_before",
                hint=f"penstock endpoint history {shlex.quote(endpoint)}; --to REVISION --force --reason TEXT goes back to one all the same"
                if others
                else f"penstock endpoint history {shlex.quote(endpoint)}",
            )
        model, stable = found
        before = open_ones[: open_ones.index(found)]
        passed = {f"{one[0]}/{one[1]}": lost.message for one in before if (lost := obstacles[one])}
    plan = make_rollback(
        current, (model, stable), actor or project.actor, reason=reason, passed=passed, target=target
    )
    kept = (
        f"the policy of {endpoint} cannot be read: rules, if it has any, keep sending requests where they did"
        if rules is None
        else kept_by_rules(model, rules, (stable,))
    )
    gone = _not_back(target) if target is not None else ()
    is_same = (model, stable) == (current.model, current.stable)
    refused = () if is_same else _refused_since(project, model, stable)
    warnings = (*takeover_warnings(project, current, model, stable), *refused, *gone, *plan.warnings)
    return replace(plan, warnings=(*warnings, kept) if kept else warnings, answered_for=answered_for)


def _require_answered(project: Project, model: str, number: int, *, force: bool) -> ModelVersion | None:
    """Return the version that a person answers for; None where it was not rolled back, and nobody has to.

    Raises:
        Refused: it was rolled back, and nobody answers for it.
    """
    with project.database.read() as connection:
        version = get_version(connection, model, number)
        if not force:
            require_not_rolled_back(connection, version, "gone back to")
        return version if find_rolled_back(connection, version) is not None else None


def _refused_since(project: Project, model: str, number: int) -> tuple[str, ...]:
    """Say that the newest verdict on a version that is gone back to refuses it: a rollback asks no gate."""
    with project.database.read() as connection:
        version = get_version(connection, model, number)
        newest = glance_verdict(connection, model, version.digest)
    why = None if newest is None else told_refusal(version, newest)
    if newest is None or why is None:
        return ()
    return (
        f"{version.ref} is gone back to though {why} (judged {format_ms(newest.created_ms)}): a rollback asks no gate",
    )


def _back_words(
    current: Revision, model: str, stable: int, passed: Collection[str], target: Revision | None
) -> str:
    """Say what a rollback does."""
    is_same = (model, stable) == (current.model, current.stable)
    if current.canary is not None and is_same:
        return f"{current.endpoint} takes {model}/{current.canary.version} out, all traffic is with version {stable}"
    if is_same:
        return f"{current.endpoint} serves {model}/{stable} already: no version is taken back"
    if target is not None:
        return f"{current.endpoint} is back at {model}/{stable}, which was stable in revision {target.number}"
    since = f", since {', '.join(passed)} cannot be served again" if passed else ""
    return f"{current.endpoint} is back at {model}/{stable}{since}"


def make_rollback(
    current: Revision,
    to: tuple[str, int],
    actor: str,
    *,
    reason: str | None = None,
    cause: Mapping[str, Any] | None = None,
    passed: Mapping[str, str] = NONE_PASSED,
    target: Revision | None = None,
) -> DeploymentPlan:
    """Return the plan to serve a version alone in place of what is current; it says which version goes, and which shadows.

    Args:
        passed: versions that would come before it and cannot be served again, each with why; event and reason name them.
        target: the earlier revision that is asked for by its number.
    """
    model, stable = to
    summary = _back_words(current, model, stable, passed, target)
    evidence = {**(cause or {}), **({"passed_over": dict(passed)} if passed else {})}
    over = f" ({', '.join(passed)} passed over)" if passed else ""
    draft = RevisionDraft(
        model=model,
        stable=stable,
        actor=actor,
        reason=f"{reason}{over}" if reason else summary,
        cause=evidence,
        kind="rolled_back",
    )
    out = None
    if current.canary is not None and (current.model, current.canary.version) != to:
        out = current.canary.version
    elif (current.model, current.stable) != to:
        out = current.stable
    return DeploymentPlan(
        current.endpoint,
        draft,
        current,
        "endpoint.rolled_back",
        summary,
        out=out,
        warnings=_dropped_shadows(current, model, stable),
    )


def _not_back(target: Revision) -> tuple[str, ...]:
    """Say what else answered in a revision that is gone back to, and does not come back: only its stable version does."""
    gone = [f"{target.model}/{one}, a shadow then, does not come back" for one in target.shadows]
    canary = target.canary
    if canary is not None:
        ref = f"{target.model}/{canary.version}"
        gone.insert(0, f"{ref}, its canary with {canary.percent:g} % then, does not come back")
    return tuple(gone)


def _dropped_shadows(current: Revision, model: str, stable: int) -> tuple[str, ...]:
    gone = [f"{current.model}/{one}" for one in current.shadows if (current.model, one) != (model, stable)]
    if not gone:
        return ()
    again = "".join(f" --shadow {shlex.quote(ref)}" for ref in gone) if model == current.model else ""
    mend = (
        f"; penstock deploy {shlex.quote(current.endpoint)}{again} puts {'it' if len(gone) == 1 else 'them'} back"
        if again
        else ""
    )
    return (f"{', '.join(gone)} {'is a shadow' if len(gone) == 1 else 'are shadows'} no more{mend}",)
