"""Plan a deployment: checked against the registry, the gates and the policy; nothing is written here."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

import msgspec

from penstock.base.errors import Invalid, Refused
from penstock.flows.models.evidence.refusals import require_reason
from penstock.flows.models.folders import RegistrySource
from penstock.flows.models.proving import VerdictRule, require_intact
from penstock.flows.production.checking import check_guardrails, check_rules, policy_in_file, tell_other_model
from penstock.flows.production.fitting import REFUSED, check_takeover, misfits
from penstock.flows.production.revising import DeploymentPlan
from penstock.flows.production.traffic.shadowing import choose_shadows
from penstock.monitoring.policies import policy_or_none_yet
from penstock.monitoring.ruling import kept_by_rules
from penstock.project.places import SETTINGS_FILE
from penstock.project.project import Project
from penstock.records.signature import Signature
from penstock.registry.entities import ModelVersion
from penstock.registry.references import resolve_version
from penstock.registry.states import require_not_rolled_back
from penstock.serving.deployments import Canary, Revision, RevisionDraft, find_revision
from penstock.serving.faults import require_alive
from penstock.serving.loaders import load_model
from penstock.serving.matching import check_inputs
from penstock.serving.repository import LoadedModel, prove

ENDPOINT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def plan_deployment(
    project: Project,
    endpoint: str,
    reference: str,
    *,
    canary: float | None = None,
    reason: str | None = None,
    force: bool = False,
    shadows: Sequence[str] | None = None,
    is_fixed: bool = False,
) -> DeploymentPlan:
    """Plan to serve a version: for all traffic, or for `canary` percent beside what is stable now.

    The version's files are verified and the model is loaded once, so that what cannot be served is
    refused here. What penstock.yaml says of the endpoint becomes its policy.

    Args:
        force: deploy a version that was rolled back, one that gates refused which are gone, or one that requires what clients do
            not send; `reason` says why it may.
        shadows: versions that see the traffic and answer none of it, and no others do; None: those of penstock.yaml,
            and where it names none, those that there are.
        is_fixed: let a canary keep its percent until somebody changes it, as in a comparison of two versions.

    Raises:
        NotFound: no such version.
        Refused: it has no passing verdict that is proof though the project has gates, it was rolled back, or the
            artifact store has not the files that were registered.
        Invalid: the model does not load or fails its self-test, the percent is wrong, it requires
            inputs that clients do not send, or a canary has nothing to stand beside; a guardrail names what
            the version does not have.
        Corrupt: its files are not the registered ones.
    """
    check_endpoint_name(endpoint)
    require_reason(force, reason)
    with project.database.read() as connection:
        version = resolve_version(connection, reference)
        before = find_revision(connection, endpoint)
        rule = VerdictRule.of(project)
        try:
            if not force:
                require_not_rolled_back(connection, version, "deployed")
            rule.let_out(connection, version, "be deployed", is_answered_for=force)
        except Refused as error:
            raise error if shadows is None else _refused_with_shadows(endpoint, shadows, error) from None
    require_intact(project, version)  # a copy that is here says nothing of what other hosts will load
    files = RegistrySource(project).fetch(version.model, version.number)
    require_alive(files)
    loaded = LoadedModel(files, load_model(files))
    prove(loaded, files)
    policy = policy_in_file(project, endpoint)
    outputs = frozenset(column.name for column in loaded.signature.outputs)
    warnings = check_guardrails(
        project, endpoint, policy.endpoint if policy else None, version, outputs, is_canary=canary is not None
    )
    if canary is None:
        warnings += check_takeover(project, before, version.ref, loaded.signature, force=force)
        summary = f"{endpoint} serves {version.ref}"
        draft = RevisionDraft(
            model=version.model, stable=version.number, actor=project.actor, reason=reason or summary
        )
        kind = "endpoint.deployed"
    else:
        draft, summary, unfit = _canary_draft(
            project, endpoint, (version, loaded.signature), before, (canary, reason)
        )
        warnings += unfit
        if is_fixed:
            draft = msgspec.structs.replace(draft, steps=())
        kind = "endpoint.canary"
    answering = (draft.stable, *((draft.canary.version,) if draft.canary else ()))
    chosen = choose_shadows(
        project,
        endpoint,
        (version.model, answering),
        before,
        named=shadows,
        in_file=policy.endpoint.traffic.shadows if policy else (),
    )
    draft = msgspec.structs.replace(draft, shadows=chosen.numbers)
    warnings += chosen.warnings
    summary += chosen.beside
    with project.database.read() as connection:
        held = policy_or_none_yet(connection, endpoint, version.model)
    watched, where = (policy, SETTINGS_FILE) if policy else (held.body, f"policy {held.number}")
    warnings = (*tell_other_model(endpoint, watched.endpoint, version, where), *warnings)
    rules = watched.endpoint.traffic.rules
    warnings += check_rules(project, rules, version.model, draft.stable)
    kept = kept_by_rules(version.model, rules, answering)
    return DeploymentPlan(
        endpoint,
        draft,
        before,
        kind,
        summary,
        policy=policy,
        answered_for=version if force else None,
        warnings=(*warnings, kept) if kept else warnings,
        classes={version.number: tuple(loaded.classes)} if loaded.classes else {},
    )


def _refused_with_shadows(endpoint: str, shadows: Sequence[str], error: Refused) -> Refused:
    """Return a refusal that also says what became of the shadows which the same command named."""
    named = "".join(f" --shadow {shlex.quote(one)}" for one in shadows) or " --no-shadow"
    return Refused(
        f"{error.message}; nothing of this was done: the shadows of {endpoint} stay as they are",
        code=error.code,
        hint=f"{error.hint}; penstock deploy {shlex.quote(endpoint)}{named}, without --model and --canary, changes the shadows alone",
        **error.fields,
    )


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


def _canary_draft(
    project: Project,
    endpoint: str,
    candidate: tuple[ModelVersion, Signature],
    before: Revision | None,
    how: tuple[float, str | None],
) -> tuple[RevisionDraft, str, tuple[str, ...]]:
    """Return the draft, what it does in words, and which requests the candidate will refuse."""
    percent, reason = how
    version, inputs = candidate
    if before is None or before.model != version.model:
        raise Invalid(
            f"endpoint {endpoint} serves nothing a canary of {version.model} could stand beside",
            code="serving.no_stable",
            hint=f"penstock deploy {shlex.quote(endpoint)} --model {shlex.quote(f'{version.model}@champion')}",
        )
    if before.stable == version.number:
        raise Invalid(
            f"{version.ref} is stable on {endpoint} already",
            code="serving.already_stable",
            hint=f"penstock endpoint show {shlex.quote(endpoint)}",
        )
    stable = RegistrySource(project).fetch(before.model, before.stable)
    check_inputs(version.ref, inputs, stable.signature)
    unfit = tuple(f"{one}: {REFUSED}" for one in misfits(version.ref, inputs, stable.signature))
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
        kind="canary",
    )
    return draft, summary, unfit
