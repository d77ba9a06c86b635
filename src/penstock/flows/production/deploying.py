"""Plan a deployment: checked against the registry, the gates and the policy; nothing is written here."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from penstock.base.errors import Invalid
from penstock.flows.models.folders import RegistrySource
from penstock.flows.models.proving import VerdictRule, require_intact
from penstock.flows.production.checking import check_guardrails, policy_in_file
from penstock.flows.production.fitting import check_takeover
from penstock.flows.production.revising import DeploymentPlan
from penstock.monitoring.policies import policy_or_none_yet
from penstock.monitoring.ruling import kept_by_rules
from penstock.project.project import Project
from penstock.records.signature import Signature
from penstock.registry.entities import ModelVersion
from penstock.registry.references import resolve_version
from penstock.registry.states import require_not_rolled_back
from penstock.serving.deployments import Canary, Revision, RevisionDraft, find_revision, get_revision
from penstock.serving.loaders import load_model
from penstock.serving.repository import LoadedModel, check_inputs, prove

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
        force: deploy a version that was rolled back, or one that requires what clients do not send; `reason` says why it may.
        shadows: versions that see the traffic and answer none of it; None: those of penstock.yaml.
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
    if force and not reason:
        raise Invalid("--force needs a reason", code="serving.no_reason", hint="--force --reason TEXT")
    with project.database.read() as connection:
        version = resolve_version(connection, reference)
        before = find_revision(connection, endpoint)
        rule = VerdictRule.of(project)
        if not force:
            require_not_rolled_back(connection, version, "deployed", rule.holds(connection))
        if rule.gates_of(version.model):
            rule.require(connection, version, "be deployed")
    require_intact(project, version)  # a copy that is here says nothing of what other hosts will load
    files = RegistrySource(project).fetch(version.model, version.number)
    loaded = LoadedModel(files, load_model(files))
    prove(loaded, files)
    policy = policy_in_file(project, endpoint)
    if shadows is None:
        shadows = policy.endpoint.traffic.shadows if policy else ()
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
        draft, summary = _canary_draft(
            project, endpoint, (version, loaded.signature), before, (canary, reason)
        )
        if is_fixed:
            draft = msgspec.structs.replace(draft, steps=())
        kind = "endpoint.canary"
    numbers, beside = _shadows(project, version.model, files.signature, shadows)
    taken = {draft.stable, draft.canary.version if draft.canary else 0}
    draft = msgspec.structs.replace(draft, shadows=tuple(one for one in numbers if one not in taken))
    summary += beside
    with project.database.read() as connection:
        watched = policy or policy_or_none_yet(connection, endpoint, version.model).body
    answering = (draft.stable, draft.canary.version if draft.canary else None)
    kept = kept_by_rules(version.model, watched.endpoint.traffic.rules, answering)
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


def plan_shadows(
    project: Project, endpoint: str, shadows: Sequence[str], *, reason: str | None = None
) -> DeploymentPlan:
    """Plan to let versions see what an endpoint is asked, and leave those that answer as they are.

    Raises:
        NotFound: no such endpoint or version.
        Invalid: a shadow is of another model, does not load, or requires inputs that clients do not send.
    """
    with project.database.read() as connection:
        before = get_revision(connection, endpoint)
    stable = RegistrySource(project).fetch(before.model, before.stable)
    numbers, beside = _shadows(project, before.model, stable.signature, shadows)
    answering = {before.stable, before.canary.version if before.canary else 0}
    summary = f"{endpoint} serves what it did{beside}"
    draft = RevisionDraft(
        model=before.model,
        stable=before.stable,
        canary=before.canary,
        shadows=tuple(one for one in numbers if one not in answering),
        steps=before.steps,
        actor=project.actor,
        reason=reason or summary,
        kind=before.kind,
    )
    return DeploymentPlan(endpoint, draft, before, "endpoint.shadowed", summary)


def _shadows(
    project: Project, model: str, stable: Signature, references: Sequence[str]
) -> tuple[tuple[int, ...], str]:
    """Return the versions that references name, each proved, and how a summary ends that names them."""
    found = []
    for reference in references:
        with project.database.read() as connection:
            version = resolve_version(connection, reference)
        if version.model != model:
            raise Invalid(
                f"{version.ref} cannot be a shadow of {model}: it is another model",
                code="serving.foreign_shadow",
                hint=f"name a version: {model}/{version.number}",
            )
        require_intact(project, version)
        files = RegistrySource(project).fetch(version.model, version.number)
        check_inputs(version.ref, files.signature, stable)
        prove(LoadedModel(files, load_model(files)), files)
        found.append(version.number)
    numbers = tuple(dict.fromkeys(found))
    if not numbers:
        return (), ""
    named = ", ".join(f"{model}/{number}" for number in numbers)
    return numbers, f", with {named} in {'its shadow' if len(numbers) == 1 else 'its shadows'}"


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
) -> tuple[RevisionDraft, str]:
    percent, reason = how
    version, inputs = candidate
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
    stable = load_model(RegistrySource(project).fetch(before.model, before.stable))
    check_inputs(version.ref, inputs, stable.signature)
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
    return draft, summary
