"""Retrainings that the store says have started and not ended: which, of which commit, whose. Starts and ends none."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
import sqlalchemy as sa

from penstock.base.clock import format_ms
from penstock.base.errors import PenstockError
from penstock.base.store.events import Event, events
from penstock.flows.production.controlling.newer_data import newer_data
from penstock.monitoring.policies import find_policy
from penstock.project.project import Project

STARTED = "retrain.started"
ENDED = ("retrain.failed", "retrain.nothing", "retrain.finished")
"""How a retraining ends by itself: its commit was tried."""
LOST = "retrain.lost"


class RetrainingView(msgspec.Struct, frozen=True, kw_only=True):
    """A retraining that runs: since when, of which commit. `waiting` is a commit with newer data that is its turn after it, if any."""

    since_ms: int
    commit: str
    waiting: str = ""
    sentence: str


def view_retrainings(project: Project, endpoints: Collection[str]) -> dict[str, RetrainingView]:
    """Return the retrainings that run, by endpoint; one whose controller is gone counts until the next one tells so."""
    with project.database.read() as connection:
        found = list_under_way(connection, endpoints)
        policies = {name: find_policy(connection, name) for name in found}
    views = {}
    for name, started in found.items():
        commit = str(started.cause.get("commit", ""))
        policy = policies[name]
        settings = policy.settings.retrain if policy else None
        waiting = _newer_commit(project, commit, settings.rev) if settings else ""
        words = f"a retraining of {commit[:7]} runs since {format_ms(started.time_ms)}"
        words += f"; {waiting[:7]} has newer data and waits until it has ended" if waiting else ""
        views[name] = RetrainingView(since_ms=started.time_ms, commit=commit, waiting=waiting, sentence=words)
    return views


def _newer_commit(project: Project, commit: str, rev: str) -> str:
    """Return the commit that a revision names now where it holds newer data; empty without, and where git does not tell."""
    try:
        head = project.git.resolve(rev)
    except PenstockError:
        return ""
    return head if newer_data(project, commit, head) else ""


def list_under_way(connection: sa.Connection, endpoints: Collection[str]) -> dict[str, Event]:
    """Return the event by which a retraining started, by endpoint, of those that have one that was not told to have ended."""
    subjects = {f"endpoint:{one}": one for one in endpoints}
    newest = (
        sa.select(sa.func.max(events.c.id))
        .where(events.c.subject.in_(subjects), events.c.kind.in_((STARTED, *ENDED, LOST)))
        .group_by(events.c.subject)
    )
    query = sa.select(events).where(events.c.id.in_(newest), events.c.kind == STARTED)
    return {subjects[row["subject"]]: Event(**row) for row in connection.execute(query).mappings()}


def is_under_way(connection: sa.Connection, endpoint: str, started_id: int) -> bool:
    """Say whether the retraining of an event was not told to have ended."""
    found = list_under_way(connection, [endpoint]).get(endpoint)
    return found is not None and found.id == started_id
