"""One policy for moving or deleting an alias, through whichever door: command line, CI, controller, MLflow's API.

A protected alias says what production runs. Where a project has gates, it moves only to a version that has a
verdict that allows it (`flows/models/proving`), its files as they were judged, and is not taken away. Without a
penstock.yaml the gates are not known: a model that was ever judged is then asked for a verdict that passed. Where no
gates are set, what gates that were refused stays refused until a person answers for it. Otherwise
nothing is asked without gates (a server outside a project), but every move is kept with time and actor.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import Corrupt, NotFound, Refused
from penstock.flows.models.evidence.refusals import answer_for, told_refusal
from penstock.flows.models.proving import VerdictRule, require_intact
from penstock.project.places import SETTINGS_FILE
from penstock.project.project import Project
from penstock.registry.aliases import find_alias, list_aliases, move_alias
from penstock.registry.entities import Alias, AliasMove, ModelVersion, Verdict
from penstock.registry.names import check_alias
from penstock.registry.references import resolve_version
from penstock.registry.states import require_not_rolled_back
from penstock.registry.verdicts import find_verdict
from penstock.registry.versions import get_version


@dataclass(frozen=True)
class AliasPolicy:
    """Which aliases are protected, and the rule of verdicts that they move by; a model may have gates of its own."""

    rule: VerdictRule
    protected: frozenset[str]
    followed: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Model and alias that an endpoint of penstock.yaml follows, deployed or not, with the endpoint's name."""

    @classmethod
    def of(cls, project: Project) -> AliasPolicy:
        """Return a project's policy."""
        settings = project.settings
        followed = {one.alias: name for name, one in settings.endpoints.items() if one.alias is not None}
        return cls(VerdictRule.of(project), frozenset(settings.protected_aliases), followed)

    def protects(self, model: str, alias: str) -> bool:
        """Say whether an alias of a model moves only on a verdict."""
        return bool(self.rule.gates_of(model)) and alias in self.protected


@dataclass(frozen=True)
class PromotionPlan:
    """To point an alias at a version; carries what it was planned on."""

    version: ModelVersion
    alias: str
    previous: int | None
    verdict: Verdict | None
    answered_for: str = ""
    """Why a version that was rolled back, or refused by gates that are gone, may be promoted all the same."""
    says_what_runs: bool = False
    """Whether the alias is one of the project's protected ones."""
    has_gates: bool = True
    """Whether gates are set for the model now."""

    @property
    def changes_nothing(self) -> bool:
        """Whether the alias is there already, and nobody says why it may be."""
        return self.is_there and not self.answered_for

    @property
    def is_there(self) -> bool:
        """Whether the alias points at the version already."""
        return self.previous == self.version.number

    @property
    def warnings(self) -> tuple[str, ...]:
        """Say in words that nothing was checked of what shall run in production, where that is so."""
        if not self.says_what_runs:
            return ()
        if self.verdict is None:
            return (f"{self.version.ref} was judged by no gate: write `gates:` into {SETTINGS_FILE}",)
        if not self.verdict.checks:
            return (f"{self.version.ref}: {self.verdict.summary}",)
        if self.has_gates:
            return ()
        why = told_refusal(self.version, self.verdict) or f"it passed those that were: {self.verdict.summary}"
        return (f"{self.version.ref}: no gates are set for it now; {why}",)


def plan_promotion(
    project: Project, reference: str, alias: str = "champion", *, force_reason: str = ""
) -> PromotionPlan:
    """Plan to point `alias` at the version a reference means.

    Args:
        force_reason: why a version that was rolled back, or refused by gates that are gone, may be promoted all the same.

    Raises:
        NotFound: no such version.
        Invalid: it cannot be an alias.
        Refused: the policy does not allow it.
    """
    policy = AliasPolicy.of(project)
    with project.database.read() as connection:
        version = resolve_version(connection, reference)
        plan = plan_move(connection, policy, version, alias, force_reason)
    if policy.protects(version.model, alias):
        require_intact(project, version)
    return plan


def check_files(project: Project, policy: AliasPolicy, model: str, number: int, alias: str) -> None:
    """Check a version's stored files before a protected alias is moved to it; before the transaction, since it takes long.

    Raises:
        Refused: they are not those that were registered.
    """
    if not policy.protects(model, alias):
        return
    with project.database.read() as connection:
        version = get_version(connection, model, number)
    require_intact(project, version)


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
    rule, says_what_runs = policy.rule, alias in policy.protected
    verdict = (
        rule.let_out(connection, version, f"become {alias}", is_answered_for=bool(force_reason))
        if says_what_runs
        else rule.find(connection, version)
    )
    previous = current.version if current else None
    has_gates = bool(rule.gates_of(version.model))
    return PromotionPlan(version, alias, previous, verdict, force_reason, says_what_runs, has_gates)


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
        answer_for(connection, version, actor, plan.answered_for)
    if plan.is_there:
        return
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
        if not drop_alias(connection, AliasPolicy.of(project), (model, alias), project.actor):
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
    """Make sure that nobody relies on an alias: neither a declared endpoint nor who goes by the gates.

    One that no verdict, passing or not, ever stood behind was never to be relied on, unless an endpoint follows it.

    Raises:
        Refused: it is protected.
    """
    if alias.name not in policy.protected:
        return
    endpoint = policy.followed.get((alias.model, alias.name))
    is_judged = policy.protects(alias.model, alias.name) and _was_judged(connection, alias)
    if endpoint is None and not is_judged:
        return
    why = "endpoints may serve it" if endpoint is None else f"endpoint {endpoint} follows it"
    raise Refused(
        f"{alias.model}@{alias.name} is protected: {why}; point it at another version instead",
        code="registry.alias_protected",
        hint=f"penstock promote {shlex.quote(f'{alias.model}/N')} --alias {shlex.quote(alias.name)} points it elsewhere; `protected_aliases` and "
        f"`endpoints` in {SETTINGS_FILE} say what is protected",
    )


def _was_judged(connection: sa.Connection, alias: Alias) -> bool:
    version = get_version(connection, alias.model, alias.version, deleted=True)
    try:
        return find_verdict(connection, alias.model, version.digest) is not None
    except Corrupt:
        return True


def drop_aliases(
    connection: sa.Connection, policy: AliasPolicy, actor: str, *, model: str, version: int | None = None
) -> None:
    """Take every alias of a version, or of a whole model, away.

    Raises:
        Refused: one of them is protected.
    """
    for alias in list_aliases(connection, model, version):
        drop_alias(connection, policy, (model, alias.name), actor)
