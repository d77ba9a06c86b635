"""Which versions watch an endpoint beside those that answer: named anew, kept or taken out, and what of it is told.

What shadows answered is in `penstock.flows.production.shadows`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from penstock.base.errors import Invalid, PenstockError
from penstock.flows.models.folders import RegistrySource
from penstock.flows.models.proving import require_intact
from penstock.flows.production.fitting import misfits
from penstock.flows.production.revising import DeploymentPlan
from penstock.project.project import Project
from penstock.records.signature import Signature
from penstock.registry.entities import ModelVersion
from penstock.registry.references import resolve_version
from penstock.serving.deployments import Revision, RevisionDraft, get_revision
from penstock.serving.faults import require_alive
from penstock.serving.loaders import load_model
from penstock.serving.matching import check_inputs
from penstock.serving.repository import LoadedModel, prove


@dataclass(frozen=True)
class Shadows:
    """The shadows of a revision; `beside` ends the summary of its plan, `warnings` say what they will not see."""

    numbers: tuple[int, ...]
    beside: str
    warnings: tuple[str, ...]


def plan_shadows(
    project: Project, endpoint: str, shadows: Sequence[str], *, reason: str | None = None
) -> DeploymentPlan:
    """Plan to let these versions, and no others, see what an endpoint is asked; those that answer stay as they are.

    Raises:
        NotFound: no such endpoint or version.
        Invalid: a shadow is of another model, answers itself, does not load, or requires inputs that clients do
            not send.
    """
    with project.database.read() as connection:
        before = get_revision(connection, endpoint)
    chosen = choose_shadows(project, endpoint, (before.model, before.answering), before, named=shadows)
    summary = f"{endpoint} serves what it did{chosen.beside}"
    draft = RevisionDraft(
        model=before.model,
        stable=before.stable,
        canary=before.canary,
        shadows=chosen.numbers,
        steps=before.steps,
        actor=project.actor,
        reason=reason or summary,
        kind="shadowed",
    )
    return DeploymentPlan(endpoint, draft, before, "endpoint.shadowed", summary, warnings=chosen.warnings)


def choose_shadows(
    project: Project,
    endpoint: str,
    answering: tuple[str, tuple[int, ...]],
    before: Revision | None,
    *,
    named: Sequence[str] | None,
    in_file: Sequence[str] = (),
) -> Shadows:
    """Return the shadows of an endpoint's next revision, each proved.

    Args:
        answering: the model, and the numbers of its versions that will answer, the stable one first.
        named: what somebody asks for, () for none; None: those in the file, and without such those there are.
        in_file: what penstock.yaml names.

    Raises:
        NotFound: no such version.
        Invalid: a shadow that is named is of another model, answers itself, does not load, or requires inputs that
            clients do not send. One that there is and that cannot go on is left out, which is told.
    """
    old = () if before is None else tuple(f"{before.model}/{number}" for number in before.shadows)
    is_kept = named is None and not in_file
    if is_kept:
        found, warnings = _keep(project, answering, before)
    else:
        found, warnings = _take(
            project, endpoint, answering, in_file if named is None else named, is_asked=named is not None
        )
    refs = list(found.values())
    gone = [ref for ref in old if ref not in refs]
    return Shadows(tuple(found), _words(refs, gone, is_kept=is_kept), tuple(warnings))


def _take(
    project: Project,
    endpoint: str,
    answering: tuple[str, tuple[int, ...]],
    references: Sequence[str],
    *,
    is_asked: bool,
) -> tuple[dict[int, str], list[str]]:
    """Return the versions that are named, by number, and what is told of them; one that cannot be a shadow is an error."""
    model, taken = answering
    stable = _stable_signature(project, answering) if references else None
    found: dict[int, str] = {}
    warnings: list[str] = []
    for version in _resolve(project, model, references):
        if version.number not in taken:
            warnings += _prove(project, version, stable)
            found[version.number] = version.ref
        elif is_asked:
            raise Invalid(
                f"{version.ref} cannot be a shadow on {endpoint}: it answers there itself",
                code="serving.answering_shadow",
                hint=f"name a version that does not answer: penstock endpoint show {shlex.quote(endpoint)}",
            )
        else:
            warnings.append(f"{version.ref} stands among traffic.shadows and answers itself: it is no shadow")
    return found, warnings


def _keep(
    project: Project, answering: tuple[str, tuple[int, ...]], before: Revision | None
) -> tuple[dict[int, str], list[str]]:
    """Return the shadows there are that can go on, by number; why another cannot is told."""
    model, taken = answering
    if before is None or before.model != model or not before.shadows:
        return {}, []
    stable = _stable_signature(project, answering)
    found: dict[int, str] = {}
    warnings: list[str] = []
    for number in before.shadows:
        if number in taken:
            continue
        try:
            [version] = _resolve(project, model, [f"{model}/{number}"])
            warnings += _prove(project, version, stable)
            found[number] = version.ref
        except PenstockError as error:
            warnings.append(f"{model}/{number} cannot stay a shadow: {error.message}")
    return found, warnings


def _stable_signature(project: Project, answering: tuple[str, tuple[int, ...]]) -> Signature | None:
    model, taken = answering
    return RegistrySource(project).fetch(model, taken[0]).signature


def _resolve(project: Project, model: str, references: Iterable[str]) -> list[ModelVersion]:
    found: dict[int, ModelVersion] = {}
    for reference in references:
        with project.database.read() as connection:
            version = resolve_version(connection, reference)
        if version.model != model:
            raise Invalid(
                f"{version.ref} cannot be a shadow of {model}: it is another model",
                code="serving.foreign_shadow",
                hint=f"name a version: {model}/{version.number}",
            )
        found[version.number] = version
    return list(found.values())


def _prove(project: Project, version: ModelVersion, stable: Signature | None) -> list[str]:
    """Let a version predict its example; return in words which requests will not fit it."""
    require_intact(project, version)
    files = RegistrySource(project).fetch(version.model, version.number)
    fits = [] if stable is None else misfits(version.ref, files.signature, stable)
    if stable is not None:
        check_inputs(version.ref, files.signature, stable)
    require_alive(files)
    prove(LoadedModel(files, load_model(files)), files)
    return [f"{one}: what does not fit is not shown to it" for one in fits]


def _words(shadows: list[str], gone: list[str], *, is_kept: bool) -> str:
    still = "still " if is_kept else ""
    place = "its shadow" if len(shadows) == 1 else "its shadows"
    beside = f", with {', '.join(shadows)} {still}in {place}" if shadows else ""
    return f"{beside}; no longer in its shadow: {', '.join(gone)}" if gone else beside
