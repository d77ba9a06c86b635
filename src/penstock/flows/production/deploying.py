"""Deploy and roll back: plans made on the revision they saw, applied with their event or not at all."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from penstock.base.clock import now_ms
from penstock.base.errors import Conflict, Invalid, NotFound, Refused
from penstock.base.store.events import record_event
from penstock.flows.models.folders import RegistrySource
from penstock.project.project import Project
from penstock.registry.entities import ModelVersion
from penstock.registry.gates.settings import settings_digest
from penstock.registry.references import resolve_version
from penstock.registry.verdicts import find_verdict
from penstock.serving.deployments import (
    Canary,
    Revision,
    RevisionDraft,
    append_revision,
    find_revision,
    get_revision,
    list_revisions,
)
from penstock.serving.loaders import load_model
from penstock.serving.repository import LoadedModel, check_inputs, prove
from penstock.serving.workers import list_workers

WORKER_ALIVE_MS = 5_000
ENDPOINT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class DeploymentPlan:
    """The next revision of an endpoint and the one it was planned on."""

    endpoint: str
    draft: RevisionDraft
    before: Revision | None
    kind: str
    summary: str


def plan_deployment(
    project: Project, endpoint: str, reference: str, *, canary: float | None = None, reason: str | None = None
) -> DeploymentPlan:
    """Plan to serve a version: for all traffic, or for `canary` percent beside what is stable now.

    The version's files are verified and the model is loaded once, so that what cannot be served is
    refused here.

    Raises:
        NotFound: no such version.
        Refused: it has no passing verdict though the project has gates.
        Invalid: the model does not load or fails its self-test, the percent is wrong, or a canary has
            nothing to stand beside or requires inputs that clients do not send.
        Corrupt: its files are not the registered ones.
    """
    check_endpoint_name(endpoint)
    with project.database.read() as connection:
        version = resolve_version(connection, reference)
        before = find_revision(connection, endpoint)
        gates = project.settings.gates
        verdict = find_verdict(connection, version.model, version.digest, settings_digest(gates))
    if gates and (verdict is None or not verdict.passed):
        raise Refused(
            f"{version.ref} cannot be deployed: no passing verdict for it under the gates as they are now",
            code="gate.no_passing_verdict",
            hint="penstock gate run, on the commit that made it",
            model=version.model,
            version=version.number,
        )
    files = RegistrySource(project).fetch(version.model, version.number)
    prove(LoadedModel(files, load_model(files)), files)
    if canary is None:
        summary = f"{endpoint} serves {version.ref}"
        draft = RevisionDraft(
            model=version.model, stable=version.number, actor=project.actor, reason=reason or summary
        )
        return DeploymentPlan(endpoint, draft, before, "endpoint.deployed", summary)
    return _plan_canary(project, endpoint, version, before, (canary, reason))


def check_endpoint_name(name: str) -> str:
    """Return an endpoint's name when it can stand in a URL and a label.

    Raises:
        Invalid: it cannot.
    """
    if not ENDPOINT_NAME.fullmatch(name):
        raise Invalid(
            f"{name!r} cannot be an endpoint's name",
            code="serving.bad_endpoint_name",
            hint="use 1 to 128 letters, digits, dots, dashes and underscores, a letter or digit first",
        )
    return name


def _plan_canary(
    project: Project,
    endpoint: str,
    version: ModelVersion,
    before: Revision | None,
    how: tuple[float, str | None],
) -> DeploymentPlan:
    percent, reason = how
    if before is None or before.model != version.model:
        raise Invalid(
            f"endpoint {endpoint} serves nothing a canary of {version.model} could stand beside",
            code="serving.no_stable",
            hint=f"penstock deploy {endpoint} --model {version.model}@champion",
        )
    if before.stable == version.number:
        raise Invalid(
            f"{version.ref} is stable on {endpoint} already",
            code="serving.already_stable",
            hint=f"penstock endpoint show {endpoint}",
        )
    source = RegistrySource(project)
    check_inputs(
        version.ref,
        source.fetch(version.model, version.number).signature,
        source.fetch(before.model, before.stable).signature,
    )
    settings = project.settings.endpoints.get(endpoint)
    steps = tuple(step for step in settings.rollout.steps if step > percent) if settings else ()
    summary = f"{endpoint} gives {version.ref} {percent:g} % of its traffic, the rest stays with version {before.stable}"
    draft = RevisionDraft(
        model=version.model,
        stable=before.stable,
        canary=Canary(version.number, percent),
        steps=steps,
        actor=project.actor,
        reason=reason or summary,
    )
    return DeploymentPlan(endpoint, draft, before, "endpoint.canary", summary)


def plan_rollback(
    project: Project,
    endpoint: str,
    *,
    to: int | None = None,
    reason: str | None = None,
    cause: dict[str, Any] | None = None,
) -> DeploymentPlan:
    """Plan to take a canary away; without one, to serve what was stable before, or revision `to`.

    Raises:
        NotFound: no such endpoint or revision.
        Refused: there is nothing earlier to go back to.
    """
    with project.database.read() as connection:
        current = get_revision(connection, endpoint)
        target = get_revision(connection, endpoint, to) if to is not None else None
        history = list_revisions(connection, endpoint)
    if target is not None:
        stable, model = target.stable, target.model
        summary = f"{endpoint} is back at revision {target.number}: {model}/{stable}"
    elif current.canary is not None:
        stable, model = current.stable, current.model
        summary = (
            f"{endpoint} takes {model}/{current.canary.version} out, all traffic is with version {stable}"
        )
    else:
        other = next(
            (old for old in history if old.number < current.number and old.stable != current.stable), None
        )
        if other is None:
            raise Refused(
                f"endpoint {endpoint} never served another version: there is nothing to go back to",
                code="serving.nothing_before",
                hint=f"penstock endpoint history {endpoint}",
            )
        stable, model = other.stable, other.model
        summary = f"{endpoint} is back at {model}/{stable}"
    draft = RevisionDraft(
        model=model, stable=stable, actor=project.actor, reason=reason or summary, cause=cause or {}
    )
    return DeploymentPlan(endpoint, draft, current, "endpoint.rolled_back", summary)


def apply_deployment(project: Project, plan: DeploymentPlan) -> Revision:
    """Write the revision and its event in one transaction.

    Raises:
        Conflict: the endpoint moved since the plan was made.
    """
    before = plan.before
    with project.database.write() as connection:
        revision = append_revision(
            connection, plan.endpoint, plan.draft, expected=before.number if before else None
        )
        record_event(
            connection,
            plan.kind,
            f"endpoint:{plan.endpoint}",
            project.actor,
            f"{plan.summary} (revision {revision.number})",
            cause=plan.draft.cause,
            before=_state(before),
            after=_state(revision),
        )
    return revision


def wait_until_served(project: Project, revision: Revision, timeout_s: float) -> int:
    """Wait until every live serve process took the revision over; return how many there are.

    Raises:
        Invalid: a process could not load it (its words are in the message).
        Conflict: another revision came in the meantime.
        NotFound: a process did not answer within `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        with project.database.read() as connection:
            workers = list_workers(connection, now_ms() - WORKER_ALIVE_MS)
            current = get_revision(connection, revision.endpoint)
        if current.number != revision.number:
            raise Conflict(
                f"revision {revision.number} of {revision.endpoint} was replaced by {current.number}",
                code="serving.revision_moved",
                hint=f"penstock endpoint history {revision.endpoint}",
            )
        states = [worker.state_of(revision.endpoint, revision.number) for worker in workers]
        for state in states:
            if state is not None and state.state == "failed":
                raise Invalid(
                    f"revision {revision.number} of {revision.endpoint} could not be loaded: {state.message}",
                    code="serving.model_does_not_load",
                    hint=f"penstock rollback {revision.endpoint}",
                )
        if all(state is not None for state in states):
            return len(states)
        if time.monotonic() > deadline:
            raise NotFound(
                f"a serve process did not take revision {revision.number} of {revision.endpoint} over in {timeout_s:g} s",
                code="serving.not_taken_over",
                hint="look at the output of penstock serve",
            )
        time.sleep(0.05)


def _state(revision: Revision | None) -> dict[str, Any]:
    if revision is None:
        return {}
    state: dict[str, Any] = {"revision": revision.number, "model": revision.model, "stable": revision.stable}
    if revision.canary is not None:
        state |= {"canary": revision.canary.version, "percent": revision.canary.percent}
    return state
