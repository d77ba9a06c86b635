"""One policy for moving or deleting an alias, through whichever door: command line, CI, controller, MLflow's API.

A protected alias says what production runs. Where a project has gates, it moves only to a version that has a
passing verdict for exactly its content under the gates as they are now, and is not taken away. Without gates
(a server outside a project) nothing is asked, but every move is kept with time and actor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import NotFound, Refused
from penstock.project.project import Project
from penstock.project.settings import ProjectSettings
from penstock.registry.aliases import find_alias, list_aliases, move_alias
from penstock.registry.entities import Alias, AliasMove, ModelVersion, Verdict
from penstock.registry.gates.settings import GateEntry, settings_digest
from penstock.registry.names import check_alias
from penstock.registry.references import resolve_version
from penstock.registry.states import clear_state, require_not_rolled_back
from penstock.registry.verdicts import find_verdict
from penstock.registry.versions import get_version


@dataclass(frozen=True)
class AliasPolicy:
    """Which aliases are protected by which gates; a model may have gates of its own."""

    settings: ProjectSettings
    protected: frozenset[str]

    @classmethod
    def of(cls, settings: ProjectSettings) -> AliasPolicy:
        """Return a project's policy."""
        return cls(settings, frozenset(settings.protected_aliases))

    def gates_of(self, model: str) -> tuple[GateEntry, ...]:
        """Return the gates of a model."""
        return self.settings.gates_of(model)

    def protects(self, model: str, alias: str) -> bool:
        """Say whether an alias of a model moves only on a verdict."""
        return bool(self.gates_of(model)) and alias in self.protected


@dataclass(frozen=True)
class PromotionPlan:
    """To point an alias at a version; carries what it was planned on."""

    version: ModelVersion
    alias: str
    previous: int | None
    verdict: Verdict | None
    answered_for: str = ""
    """Why a version that was rolled back may be promoted all the same."""

    @property
    def changes_nothing(self) -> bool:
        """Whether the alias is there already."""
        return self.previous == self.version.number


def plan_promotion(
    project: Project, reference: str, alias: str = "champion", *, force_reason: str = ""
) -> PromotionPlan:
    """Plan to point `alias` at the version a reference means.

    Args:
        force_reason: why a version that was rolled back may be promoted all the same.

    Raises:
        NotFound: no such version.
        Invalid: it cannot be an alias.
        Refused: the policy does not allow it.
    """
    with project.database.read() as connection:
        version = resolve_version(connection, reference)
        return plan_move(connection, AliasPolicy.of(project.settings), version, alias, force_reason)


def plan_move(
    connection: sa.Connection,
    policy: AliasPolicy,
    version: ModelVersion,
    alias: str,
    force_reason: str = "",
) -> PromotionPlan:
    """Plan to point `alias` at a version; raises as `plan_promotion`."""
    check_alias(alias)
    if alias in policy.protected and not force_reason:
        require_not_rolled_back(connection, version, alias)
    current = find_alias(connection, version.model, alias)
    verdict = find_verdict(
        connection, version.model, version.digest, settings_digest(policy.gates_of(version.model))
    )
    if policy.protects(version.model, alias) and (verdict is None or not verdict.passed):
        other = find_verdict(connection, version.model, version.digest)
        raise _refusal(version, alias, verdict, other)
    return PromotionPlan(version, alias, current.version if current else None, verdict, force_reason)


def apply_promotion(project: Project, plan: PromotionPlan, cause: Mapping[str, Any] | None = None) -> None:
    """Move the alias, its history and the event in one transaction.

    Raises:
        Conflict: the alias moved since the plan was made.
    """
    with project.database.write() as connection:
        apply_move(connection, plan, project.actor, cause)


def apply_move(
    connection: sa.Connection, plan: PromotionPlan, actor: str, cause: Mapping[str, Any] | None = None
) -> None:
    """Carry a plan out in the caller's transaction; raises as `apply_promotion`."""
    version = plan.version
    if plan.answered_for:
        clear_state(connection, version, actor, plan.answered_for)
    move = AliasMove(
        model=version.model,
        name=plan.alias,
        version=version.number,
        previous=plan.previous,
        time_ms=now_ms(),
        actor=actor,
        verdict_id=plan.verdict.id if plan.verdict else None,
    )
    move_alias(connection, move, expected=plan.previous, cause={"digest": version.digest, **(cause or {})})


def delete_alias(project: Project, model: str, alias: str) -> None:
    """Take an alias away; its history stays.

    Raises:
        NotFound: there is no such alias.
        Refused: the alias is protected.
    """
    with project.database.write() as connection:
        if not drop_alias(connection, AliasPolicy.of(project.settings), (model, alias), project.actor):
            raise NotFound(
                f"there is no alias {model}@{alias}", code="registry.no_alias", hint="penstock model list"
            )


def drop_alias(connection: sa.Connection, policy: AliasPolicy, called: tuple[str, str], actor: str) -> bool:
    """Take an alias `(model, name)` away in the caller's transaction; False where there is none.

    Raises:
        Refused: the alias is protected.
    """
    model, alias = called
    current = find_alias(connection, model, alias)
    if current is None:
        return False
    require_free(connection, policy, current)
    move = AliasMove(
        model=model,
        name=alias,
        version=None,
        previous=current.version,
        time_ms=now_ms(),
        actor=actor,
        verdict_id=None,
    )
    move_alias(connection, move, expected=current.version)
    return True


def require_free(connection: sa.Connection, policy: AliasPolicy, alias: Alias) -> None:
    """Make sure that nobody relies on an alias. One that no verdict ever stood behind was never to be relied on.

    Raises:
        Refused: it is protected, and what it points at has passed a gate.
    """
    if not policy.protects(alias.model, alias.name):
        return
    version = get_version(connection, alias.model, alias.version, deleted=True)
    verdict = find_verdict(connection, alias.model, version.digest) if version.digest else None
    if verdict is not None and verdict.passed:
        raise Refused(
            f"{alias.model}@{alias.name} is protected: endpoints may serve it",
            code="registry.alias_protected",
            hint=f"penstock promote {alias.model}/N --alias {alias.name} points it elsewhere",
        )


def drop_aliases(
    connection: sa.Connection, policy: AliasPolicy, actor: str, *, model: str, version: int | None = None
) -> None:
    """Take every alias of a version, or of a whole model, away.

    Raises:
        Refused: one of them is protected.
    """
    for alias in list_aliases(connection, model, version):
        drop_alias(connection, policy, (model, alias.name), actor)


def _refusal(version: ModelVersion, alias: str, verdict: Verdict | None, other: Verdict | None) -> Refused:
    if not version.digest:
        reason = f"its files are at {version.source}, where nobody can say what they are"
    elif verdict is not None:
        failed = next(check for check in verdict.checks if check.status != "pass")
        reason = f"its gate refused it: {failed.sentence}"
    elif other is not None:
        reason = "the gates changed since it was judged"
    else:
        reason = "no gate has judged exactly this model"
    return Refused(
        f"{version.ref} cannot become {alias}: {reason}",
        code="gate.no_passing_verdict",
        hint=f"penstock gate run {version.ref}",
        model=version.model,
        version=version.number,
        digest=version.digest,
        verdict=verdict.id if verdict else None,
    )
