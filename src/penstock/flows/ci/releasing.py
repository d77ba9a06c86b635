"""What becomes of versions that passed on the default branch: promoted, deployed, or given a first share of the traffic.

Nobody looks at such a release, so that a commit must not open the door itself: what is older than what is live, or has gates or
settings that let more out than those of what is live, is held for a person.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from penstock.flows.ci.accepting import find_accepted
from penstock.flows.ci.branches import is_within
from penstock.flows.ci.holding.data_files import list_changed_data
from penstock.flows.ci.holding.judged import (
    ChangedLimits,
    changed_limits,
    list_rejudged,
    list_renamed,
    list_unmade,
)
from penstock.flows.ci.holding.loosening import list_changed, list_loosened, settings_at
from penstock.flows.models.aliases import PromotionPlan, apply_move, plan_promotion
from penstock.flows.models.evidence.holds import record_hold
from penstock.flows.models.proving import VerdictRule, told_files
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import DeploymentPlan, write_deployment
from penstock.project.project import Project
from penstock.project.settings import ProjectSettings
from penstock.registry.aliases import list_last_moves
from penstock.registry.entities import CHAMPION, CheckResult, ModelVersion, Verdict
from penstock.registry.gates.loosening import as_asked, compare_gates
from penstock.registry.gates.settings import changed_code
from penstock.registry.verdicts import find_verdict, get_verdict
from penstock.registry.versions import get_version
from penstock.serving.deployments import find_revision


class _Live(NamedTuple):
    """A version that is live, the commit it went live with, and the verdict that allowed it."""

    version: ModelVersion
    commit: str | None
    verdict: Verdict | None


def why_held(tree: Project, versions: list[ModelVersion], commit: str) -> str | None:
    """Say why versions that passed do not go out unattended, and what to do; None where nothing speaks against it.

    Raises:
        Corrupt: a verdict of what is live cannot be read.
    """
    for version in versions:
        with tree.database.read() as connection:
            live = list(_live(connection, tree, version.model))
            rule = VerdictRule.of(tree)
            damaged = next(
                (
                    one.version.ref
                    for one in live
                    if one.verdict and rule.examine(connection, one.verdict).state == "damaged"
                ),
                None,
            )
        by_hand = f"promote by hand: penstock promote {shlex.quote(version.ref)}"
        for one in live:
            if one.commit and one.commit != commit and is_within(tree.git, commit, one.commit):
                told = f"commit {commit[:10]} is older than {one.commit[:10]}, with which {one.version.ref} went live"
                return f"{told}; {by_hand}"
        if damaged is not None:
            told = f"the verdict of {damaged}, which is live, was changed after it was signed"
            return f"{told}: penstock model verify {shlex.quote(damaged)}"
        loosened = _loosened(tree, version, live, commit)
        if loosened:
            accept = f"penstock ci accept {commit[:10]} --reason … lets it out with its next run"
            return f"{'; '.join(loosened)}; {accept}, or {by_hand}"
    return None


def gate_changes(tree: Project, model: str, commit: str) -> tuple[str, ...]:
    """Tell what a commit's gates lost against those that what is live was judged by, and what they ask otherwise."""
    with tree.database.read() as connection:
        live = list(_live(connection, tree, model))
        before = [_before(connection, tree, one, commit) for one in live]
    gates = tree.settings.gates_of(model)
    told = []
    for one in before:
        change = compare_gates(one.checks_of(model), gates)
        told += [change.loss] if change.loss else []
        limits = one.limits(tree, model)
        told += [f"lets more pass: {'; '.join(limits.looser)}"] if limits.looser else []
        changed = (*change.changed, *limits.other)
        told += [f"gate settings changed: {'; '.join(changed)}"] if changed else []
        code = changed_code(one.verdict.checks, tree.root) if one.verdict else ()
        data = one.changed_data(tree, model)
        code = tuple(name for name in code if name not in {*limits.files, *data})
        told += [f"the code of gates changed: {told_files(code)}"] if code else []
        told += [_told_data(data)] if data else []
        told += one.judged_otherwise(tree, model)
        settings = list_changed(one.settings, tree.settings) if one.settings is not None else ()
        told += [f"settings changed: {', '.join(settings)}"] if settings else []
    return tuple(dict.fromkeys(told))


def _told_data(files: Sequence[str]) -> str:
    return f"data that a gate decides by {'is' if len(files) == 1 else 'are'} other than before: {told_files(files)}"


def hold(tree: Project, versions: list[ModelVersion], why: str, commit: str) -> None:
    """Keep in the log that versions passed and were not released."""
    with tree.database.write() as connection:
        for version in versions:
            record_hold(connection, version, why, commit, tree.actor)


class _Before(NamedTuple):
    """What a commit's settings are compared with: the verdict of what is live, and the settings before, where known.

    `is_accepted`: a person accepted these settings after that went live, and with them their gates.
    """

    verdict: Verdict | None
    settings: ProjectSettings | None
    is_accepted: bool
    commit: str | None
    """Whose settings they are."""

    def checks_of(self, model: str) -> Sequence[CheckResult]:
        """Return what was asked of a model."""
        if self.is_accepted and self.settings is not None:
            return [as_asked(one) for one in self.settings.gates_of(model)]
        return self.verdict.checks if self.verdict else ()

    def limits(self, tree: Project, model: str) -> ChangedLimits:
        """Return what became of the files that gates have limits in."""
        checks = self.verdict.checks if self.verdict and not self.is_accepted else ()
        return changed_limits(tree, self.commit, model, checks)

    def changed_data(self, tree: Project, model: str) -> tuple[str, ...]:
        """Return the data files of gates that are others."""
        checks = self.verdict.checks if self.verdict and not self.is_accepted else ()
        return list_changed_data(tree, self.commit, model, checks)

    def judged_otherwise(self, tree: Project, model: str) -> list[str]:
        """Return, in words, what of a model is looked at with other files or columns, or files that nothing makes."""
        if self.settings is None:
            return []
        changed = list_rejudged(self.settings, tree.settings, model)
        return [*changed, *list_unmade(tree, self.commit, model)]


def _before(connection: sa.Connection, tree: Project, live: _Live, commit: str) -> _Before:
    """Return what was before a commit: of a version whose own commit is not known here, what the commit before it says."""
    accepted = find_accepted(connection, tree.git, commit, live.commit)
    if accepted is not None:
        return _Before(live.verdict, settings_at(tree.git, accepted), True, accepted)
    for known in (live.commit, f"{commit}^"):
        settings = settings_at(tree.git, known)
        if settings is not None:
            return _Before(live.verdict, settings, False, known)
    return _Before(live.verdict, None, False, None)


def _loosened(tree: Project, version: ModelVersion, live: list[_Live], commit: str) -> list[str]:
    """Return what a commit lets out that those before did not, in words."""
    gates = tree.settings.gates_of(version.model)
    told: dict[str, None] = {}
    with tree.database.read() as connection:
        before = [_before(connection, tree, one, commit) for one in live]
        own = VerdictRule.of(tree).find(connection, version)
    for one in before:
        checks = one.checks_of(version.model)
        if loss := compare_gates(checks, gates).loss:
            told[loss] = None
        waived = [check.waiver for check in checks]
        for check in own.checks if own else ():
            if check.waiver is not None and check.waiver not in waived:
                told[f"it failed {check.kind} and a waiver by {check.waiver.by} lets it pass"] = None
        if looser := one.limits(tree, version.model).looser:
            told[f"lets more pass: {'; '.join(looser)}"] = None
        if data := one.changed_data(tree, version.model):
            told[_told_data(data)] = None
        told.update(dict.fromkeys(one.judged_otherwise(tree, version.model)))
        if one.settings is not None:
            told.update(dict.fromkeys(list_loosened(one.settings, tree.settings)))
            told.update(dict.fromkeys(list_renamed(one.settings, tree.settings, version.model)))
    return list(told)


def _live(connection: sa.Connection, tree: Project, model: str) -> Iterator[_Live]:
    """Yield the champion of a model, and what answers on the endpoints that a release of it would take over."""
    champion = None
    for move in list_last_moves(connection, model):
        if move.name == CHAMPION and move.version is not None:
            version = champion = get_version(connection, model, move.version, deleted=True)
            verdict = get_verdict(connection, move.verdict_id) if move.verdict_id else None
            yield _Live(version, (move.cause or {}).get("commit") or version.provenance.commit, verdict)
    for name, settings in tree.settings.endpoints.items():
        if settings.model_name != model:
            continue
        revision = find_revision(connection, name)
        if revision is None:
            continue
        for number in dict.fromkeys(
            (revision.stable, *((revision.canary.version,) if revision.canary else ()))
        ):
            version = get_version(connection, revision.model, number, deleted=True)
            newest = revision.canary.version if revision.canary else revision.stable
            commit = revision.cause.get("commit") if number == newest else None
            is_champion = champion is not None and champion.ref == version.ref
            verdict = None if is_champion else find_verdict(
                connection, version.model, version.digest, until_ms=revision.created_ms
            )  # fmt: skip
            yield _Live(version, commit or (None if is_champion else version.provenance.commit), verdict)
    if champion is None:
        yield from _former(connection, tree)


def _former(connection: sa.Connection, tree: Project) -> Iterator[_Live]:
    """Yield what aliases of models say that penstock.yaml no longer has: a model without a champion may be one of them, renamed."""
    declared = {one.name for one in tree.settings.all_models}
    for move in list_last_moves(connection):
        if move.model in declared or move.version is None:
            continue
        version = get_version(connection, move.model, move.version, deleted=True)
        commit = (move.cause or {}).get("commit") or version.provenance.commit
        settings = settings_at(tree.git, commit)
        if settings is not None and any(one.name == move.model for one in settings.all_models):
            verdict = get_verdict(connection, move.verdict_id) if move.verdict_id else None
            yield _Live(version, commit, verdict)


class _Plans(NamedTuple):
    """What a version's release changes, planned before anything is."""

    promotion: PromotionPlan | None
    deployments: list[DeploymentPlan]


def release(tree: Project, versions: list[ModelVersion], reason: str, commit: str) -> list[str]:
    """Do what `ci.deploy` says in one transaction, and return what was done, in sentences; doing it again does nothing.

    With `rollout` an endpoint that serves the model already gives the version the first share of its rollout; its alias
    follows when the version has won. What serves nothing yet serves it whole.

    Raises:
        Refused: a version may not be promoted or deployed.
        Conflict: an alias or endpoint moved meanwhile.
        PenstockError: as `plan_promotion` and `plan_deployment`.
    """
    if tree.settings.ci.deploy == "none":
        return []
    plans = [_plans(tree, version, reason, commit) for version in versions]
    if not any(one.promotion or one.deployments for one in plans):
        return []
    done = []
    with tree.database.write() as connection:  # a kill leaves no champion that its endpoints do not serve
        for promotion, deployments in plans:
            if promotion is not None:
                apply_move(connection, promotion, tree.actor, {"commit": commit})
                done.append(f"{promotion.version.ref} is champion")
            for one in deployments:
                done.append(f"{one.summary} (revision {write_deployment(connection, tree, one).number})")
    return done


def _plans(tree: Project, version: ModelVersion, reason: str, commit: str) -> _Plans:
    shares = _shares(tree, version) if tree.settings.ci.deploy in {"rollout", "full"} else {}
    deployments = []
    for endpoint, share in shares.items():
        plan = plan_deployment(tree, endpoint, version.ref, canary=share, reason=reason)
        draft = msgspec.structs.replace(plan.draft, cause={**plan.draft.cause, "commit": commit})
        deployments.append(replace(plan, draft=draft))
    if any(share is not None for share in shares.values()):
        return _Plans(None, deployments)
    promotion = plan_promotion(tree, version.ref)
    return _Plans(None if promotion.changes_nothing else promotion, deployments)


def _shares(tree: Project, version: ModelVersion) -> dict[str, float | None]:
    """Return the endpoints that are to serve a version, with its percent there; None for all of the traffic."""
    found: dict[str, float | None] = {}
    for name, settings in tree.settings.endpoints.items():
        if settings.model_name != version.model:
            continue
        with tree.database.read() as connection:
            revision = find_revision(connection, name)
        serves = revision is not None and revision.model == version.model
        if serves and revision is not None and version.number in revision.versions:
            continue
        first = settings.rollout.steps[0]
        is_shared = serves and tree.settings.ci.deploy == "rollout" and first < 100
        found[name] = first if is_shared else None
    return found
