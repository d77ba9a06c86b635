"""What is shown of an endpoint's retraining: one that runs, a version that waits to go out, or what keeps one from beginning."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import msgspec
import sqlalchemy as sa

from penstock.base.clock import format_ms
from penstock.base.errors import PenstockError
from penstock.base.store.events import Event, list_events
from penstock.flows.production.controlling.made import Made, list_waiting
from penstock.flows.production.controlling.newer_data import newer_data
from penstock.flows.production.controlling.retraining import Running
from penstock.flows.production.controlling.under_way import (
    ENDED,
    FINISHED,
    HINDERED,
    LOST,
    REFUSED,
    STARTED,
    WAITING,
    list_under_way,
    newest_of,
)
from penstock.monitoring.policies import find_readable_policy
from penstock.project.project import Project
from penstock.serving.deployments import find_revision, list_endpoints


class RetrainingView(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to say of a retraining: since when, of which commit, empty where it has none.

    `state` says whether one runs, a version waits to go out, or one was hindered from beginning. `waiting` is a commit
    with newer data that is its turn after the one that runs, if any.
    """

    since_ms: int
    commit: str
    waiting: str = ""
    sentence: str
    state: Literal["runs", "waits", "hindered"] = "runs"


def view_retrainings(project: Project, endpoints: Collection[str]) -> dict[str, RetrainingView]:
    """Return what there is to say of retrainings, by endpoint; one whose controller is gone counts as running until the next one tells so."""
    with project.database.read() as connection:
        found = list_under_way(connection, endpoints)
        policies = {name: find_readable_policy(connection, name) for name in found}
        views = {
            **_view_hindered(connection, endpoints),
            **_view_waiting(connection, list_waiting(connection, endpoints)),
        }
    for name, started in found.items():
        commit = str(started.cause.get("commit", ""))
        policy = policies[name]
        settings = policy.settings.retrain if policy else None
        waiting = _newer_commit(project, commit, settings.rev) if settings else ""
        words = f"a retraining of {commit[:7]} runs since {format_ms(started.time_ms)}"
        words += f"; {waiting[:7]} has newer data and waits until it has ended" if waiting else ""
        views[name] = RetrainingView(since_ms=started.time_ms, commit=commit, waiting=waiting, sentence=words)
    return views


def list_outcomes(project: Project, running: Running | None) -> list[str]:
    """Return in words what became of retrainings at a look: what was told of the one that it began, and what waits."""
    told: list[Event] = []
    with project.database.read() as connection:
        names = [one.endpoint for one in list_endpoints(connection)]
        if running is not None:
            subject = f"endpoint:{running.endpoint}"
            told = list_events(connection, subject=subject, after_id=running.started_id)
    lines = [f"{running.endpoint}: {one.summary}" for one in told] if running is not None else []
    views = view_retrainings(project, names)
    return list(dict.fromkeys([*lines, *(f"{name}: {one.sentence}" for name, one in views.items())]))


def _view_hindered(connection: sa.Connection, endpoints: Collection[str]) -> dict[str, RetrainingView]:
    """Return what kept the last retraining that was called for from being started, where one is still asked for."""
    newest = newest_of(connection, endpoints, (STARTED, *ENDED, LOST, WAITING, REFUSED, HINDERED))
    return {
        name: _view("hindered", event, f"{event.summary} (told {format_ms(event.time_ms)})")
        for name, event in newest.items()
        if event.kind == HINDERED
        and event.cause.get("version") is None
        and (policy := find_readable_policy(connection, name)) is not None
        and policy.settings.retrain is not None
    }


def _view_waiting(connection: sa.Connection, made: dict[str, Made]) -> dict[str, RetrainingView]:
    """Return what waits to go out, with what it waits for."""
    newest = newest_of(connection, made, (FINISHED, HINDERED))
    finished = newest_of(connection, made, (FINISHED,))
    views = {}
    for name, one in made.items():
        revision = find_revision(connection, name)
        words = f"{one.ref}, which the retraining made, waits to go out"
        if revision is not None and revision.canary is not None:
            words += f" until the canary {revision.model}/{revision.canary.version} has ended"
        elif newest[name].kind == HINDERED:
            words = newest[name].summary
        views[name] = _view("waits", finished[name], words)
    return views


def _view(state: Literal["waits", "hindered"], event: Event, sentence: str) -> RetrainingView:
    commit = str(event.cause.get("commit", ""))
    return RetrainingView(since_ms=event.time_ms, commit=commit, sentence=sentence, state=state)


def _newer_commit(project: Project, commit: str, rev: str) -> str:
    """Return the commit that a revision names now where it holds newer data; empty without, and where git does not tell."""
    try:
        head = project.git.resolve(rev)
    except PenstockError:
        return ""
    return head if newer_data(project, commit, head) else ""
