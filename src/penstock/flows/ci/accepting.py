"""`penstock ci accept`: a person lets a commit's looser settings be those that later commits are compared with."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from penstock.base.errors import Invalid
from penstock.base.git import Git
from penstock.base.store.events import list_events, record_event
from penstock.flows.ci.branches import is_within
from penstock.flows.ci.holding.loosening import settings_at
from penstock.flows.models.evidence.holds import ACCEPTED
from penstock.project.places import SETTINGS_FILE
from penstock.project.project import Project
from penstock.project.worktree import require_git

KEPT = 200
"""So many acceptances are looked through, the newest first."""


class Accepted(NamedTuple):
    """A commit whose settings a person accepted, and who."""

    commit: str
    actor: str


def accept_commit(project: Project, revision: str, reason: str) -> Accepted:
    """Keep that a person accepts what a commit's settings let out; the next run of it, or of one after it, may release.

    Raises:
        NotFound: there is no such commit.
        Invalid: no reason is given, or the commit has no settings that can be read.
    """
    require_git(project)
    if not reason.strip():
        raise Invalid("an acceptance needs a reason", code="ci.no_reason", hint="--reason TEXT")
    commit = project.git.resolve(revision)
    if settings_at(project.git, commit) is None:
        raise Invalid(
            f"{SETTINGS_FILE} of commit {commit[:10]} cannot be read",
            code="ci.no_settings",
            hint=f"git show {commit[:10]}:./{SETTINGS_FILE}",
        )
    with project.database.write() as connection:
        record_event(
            connection,
            ACCEPTED,
            f"commit:{commit}",
            project.actor,
            f"{project.actor} accepted what the settings of commit {commit[:10]} let out: {reason.strip()}",
            cause={"commit": commit, "reason": reason.strip()},
        )
    return Accepted(commit, project.actor)


def find_accepted(connection: sa.Connection, git: Git, commit: str, since: str | None) -> str | None:
    """Return the newest accepted commit that a commit is or comes from, and that is not older than `since`; None for none."""
    for event in reversed(list_events(connection, kind=ACCEPTED, limit=KEPT)):
        accepted = str((event.cause or {}).get("commit", ""))
        is_older = bool(since) and since != accepted and is_within(git, accepted, str(since))
        if accepted and not is_older and is_within(git, accepted, commit):
            return accepted
    return None
