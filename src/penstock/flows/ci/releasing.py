"""What becomes of versions that passed on the default branch: promoted, deployed, or given a first share of the traffic.

Nobody looks at such a release, so that a commit must not open the door itself: what is older than what is live, or has fewer
gates than that was judged by, is held for a person.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from penstock.base.store.events import record_event
from penstock.flows.ci.branches import is_within
from penstock.flows.models.aliases import apply_promotion, plan_promotion
from penstock.flows.models.proving import VerdictRule
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.project.project import Project
from penstock.registry.aliases import list_last_moves
from penstock.registry.entities import ModelVersion, Verdict
from penstock.registry.gates.loosening import GateChanges, compare_gates
from penstock.registry.verdicts import find_verdict, get_verdict
from penstock.registry.versions import get_version
from penstock.serving.deployments import find_revision

CHAMPION = "champion"
HELD = "ci.held"


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
        by_hand = f"promote by hand: penstock promote {version.ref}"
        for one in live:
            if one.commit and one.commit != commit and is_within(tree.git, commit, one.commit):
                told = f"commit {commit[:10]} is older than {one.commit[:10]}, with which {one.version.ref} went live"
                return f"{told}; {by_hand}"
        if damaged is not None:
            told = f"the verdict of {damaged}, which is live, was changed after it was signed"
            return f"{told}: penstock model verify {damaged}"
        loss = "; ".join(
            dict.fromkeys(change.loss for change in _changes(tree, version.model, live) if change.loss)
        )
        if loss:
            return f"{loss}; {by_hand}"
    return None


def gate_changes(tree: Project, model: str) -> tuple[str, ...]:
    """Tell what a commit's gates lost against those that what is live was judged by, and what they ask otherwise."""
    with tree.database.read() as connection:
        live = list(_live(connection, tree, model))
    told = []
    for change in _changes(tree, model, live):
        told += [change.loss] if change.loss else []
        told += [f"gate settings changed: {'; '.join(change.changed)}"] if change.changed else []
    return tuple(dict.fromkeys(told))


def hold(tree: Project, versions: list[ModelVersion], why: str, commit: str) -> None:
    """Keep in the log that versions passed and were not released."""
    with tree.database.write() as connection:
        for version in versions:
            record_event(
                connection,
                HELD,
                f"model:{version.ref}",
                tree.actor,
                f"{version.ref} passed and was not released: {why}",
                cause={"commit": commit, "digest": version.digest},
            )


def _changes(tree: Project, model: str, live: list[_Live]) -> list[GateChanges]:
    gates = tree.settings.gates_of(model)
    return [compare_gates(one.verdict.checks, gates) for one in live if one.verdict is not None]


def _live(connection: sa.Connection, tree: Project, model: str) -> Iterator[_Live]:
    """Yield the champion of a model, and what answers on the endpoints that a release of it would take over."""
    champion = None
    for move in list_last_moves(connection, model):
        if move.name == CHAMPION and move.version is not None:
            version = champion = get_version(connection, model, move.version, deleted=True)
            verdict = get_verdict(connection, move.verdict_id) if move.verdict_id else None
            yield _Live(version, (move.cause or {}).get("commit") or version.provenance.commit, verdict)
    for name, settings in tree.settings.endpoints.items():
        if settings.model.partition("@")[0].partition("/")[0] != model:
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


def release(tree: Project, versions: list[ModelVersion], reason: str, commit: str) -> list[str]:
    """Do what `ci.deploy` says, and return what was done, in sentences; doing it again does nothing.

    With `rollout` an endpoint that serves the model already gives the version the first share of its rollout; its alias
    follows when the version has won. What serves nothing yet serves it whole.

    Raises:
        Refused: a version may not be promoted or deployed.
        PenstockError: as `plan_promotion` and `plan_deployment`.
    """
    how = tree.settings.ci.deploy
    if how == "none":
        return []
    done = []
    for version in versions:
        shares = _shares(tree, version) if how in {"rollout", "full"} else {}
        if not any(share is not None for share in shares.values()):
            promotion = plan_promotion(tree, version.ref)
            if not promotion.changes_nothing:
                apply_promotion(tree, promotion, {"commit": commit})
                done.append(f"{version.ref} is champion")
        for endpoint, share in shares.items():
            plan = plan_deployment(tree, endpoint, version.ref, canary=share, reason=reason)
            draft = msgspec.structs.replace(plan.draft, cause={**plan.draft.cause, "commit": commit})
            plan = replace(plan, draft=draft)
            done.append(f"{plan.summary} (revision {apply_deployment(tree, plan).number})")
    return done


def _shares(tree: Project, version: ModelVersion) -> dict[str, float | None]:
    """Return the endpoints that are to serve a version, with its percent there; None for all of the traffic."""
    found: dict[str, float | None] = {}
    for name, settings in tree.settings.endpoints.items():
        if settings.model.partition("@")[0].partition("/")[0] != version.model:
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
