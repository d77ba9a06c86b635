"""Approving a version, and taking that back. What an approval opens is in `proving`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from penstock.base.errors import Conflict, Denied, Refused
from penstock.flows.models.proving import VerdictRule
from penstock.project.project import Project
from penstock.registry.approvals import Approval, add_approval, list_approvals, person_of
from penstock.registry.entities import ModelVersion
from penstock.registry.gates.judge import DOORS

MAX_COMMENT = 500
PERSON = "person:"


@dataclass(frozen=True)
class Standing:
    """What people said of a version, and whether a gate asks them; `lacking` is what keeps doors shut, or empty."""

    approvals: tuple[Approval, ...]
    asked: bool
    lacking: str


def approval_standing(project: Project, connection: sa.Connection, version: ModelVersion) -> Standing:
    """Return how a version stands with people."""
    rule = VerdictRule(project.readable_settings, project.root, project.keys.trusted)
    asked = any(one.kind == DOORS for one in rule.gates_of(version.model))
    return Standing(
        list_approvals(connection, version, rule.keys),
        asked,
        rule.lacking_approval(connection, version) or "",
    )


def decide_approval(
    project: Project, version: ModelVersion, actor: str, comment: str = "", *, withdraw: bool = False
) -> Standing:
    """Approve a version in a person's name, or take that back; return how it stands then.

    Raises:
        Denied: nobody knows who the person is, or it is the author.
        Conflict: the same was said before, or there is nothing to take back.
        Refused: nobody knows what the version's files are.
    """
    require_approver(project, version, actor, withdraw=withdraw)
    with project.database.write() as connection:
        require_unsaid(
            list_approvals(connection, version, project.keys.trusted), version, actor, withdraw=withdraw
        )
        key = project.keys.signing_key()
        add_approval(connection, version, actor, comment[:MAX_COMMENT], key, withdrawn=withdraw)
        return approval_standing(project, connection, version)


def require_approver(project: Project, version: ModelVersion, actor: str, *, withdraw: bool = False) -> None:
    """Make sure that somebody may approve a version, or take that back; whoever has is asked by `require_unsaid`.

    Raises:
        Denied: nobody knows who the person is, or it is the author.
        Refused: nobody knows what the version's files are.
    """
    if not actor.startswith(PERSON) or not person_of(actor):
        raise Denied(
            f"only a person approves, and {actor} is none",
            code="gate.no_person",
            hint="sign in, or: penstock gate approve MODEL/N",
        )
    if not version.digest:
        raise Refused(
            f"nobody can say what {version.ref} is: its files are at {version.source}",
            code="gate.nothing_to_approve",
            hint="register the model with its files",
        )
    if not withdraw and person_of(actor) in map(person_of, authors_of(project, version)):
        raise Denied(
            f"{actor} made {version.ref}: somebody else approves it",
            code="gate.own_approval",
            hint=f"ask somebody else: penstock gate approve {shlex.quote(version.ref)}",
        )


def require_unsaid(
    before: Sequence[Approval], version: ModelVersion, actor: str, *, withdraw: bool = False
) -> None:
    """Make sure that what somebody is about to say is new.

    Args:
        before: what was said of the version.

    Raises:
        Conflict: the same was said before, or there is nothing to take back.
    """
    own = next((one for one in before if person_of(one.actor) == person_of(actor) and one.counts), None)
    if (own is None) == withdraw:
        raise Conflict(
            f"{actor} has not approved {version.ref}"
            if withdraw
            else f"{actor} approved {version.ref} already",
            code="gate.said_before",
            hint=f"penstock gate show {shlex.quote(version.ref)}",
        )


def authors_of(project: Project, version: ModelVersion) -> Sequence[str]:
    """Return who made a version: who registered it, and whom git names for its commit, where the repository is here."""
    commit = version.provenance.commit
    told = ""
    if commit is not None and (project.root / ".git").exists():
        told = project.git.run("log", "-1", "--format=%an%n%ae", commit, check=False)
    names = [line.strip() for line in told.splitlines() if line.strip()]
    return [version.actor, *names, *(one.partition("@")[0] for one in names if "@" in one)]
