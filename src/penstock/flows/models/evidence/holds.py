"""Releases that CI held: versions that passed and wait for a person, until they, or newer ones of their model, go out.

Why a commit is held is decided in `flows/ci/releasing`; here it is kept, and found again by whoever tells of a version.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

import msgspec
import sqlalchemy as sa

from penstock.base.store.events import Event, events, list_events, record_event
from penstock.registry.entities import CHAMPION, ModelVersion
from penstock.registry.references import list_former_names, list_present_names
from penstock.registry.tables import alias_moves
from penstock.registry.tables import versions as version_rows
from penstock.serving.deployments import revisions

HELD = "ci.held"
ACCEPTED = "ci.accepted"
KEPT = 200
"""So many holds are known, the newest."""
AGAIN = 1000
"""So many events are read again: one that was written at the same time as others may come to sight after them."""
_NOT_RELEASED = " passed and was not released: "


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A version that CI did not release: why, in words that name the next step; `accepted_by` is who accepted its commit since."""

    model: str
    number: int
    commit: str
    why: str
    time_ms: int
    accepted_by: str = ""

    @property
    def ref(self) -> str:
        """The version's name: `model/number`."""
        return f"{self.model}/{self.number}"

    @property
    def waits(self) -> bool:
        """Whether a person has to decide: not where its commit is only on a branch that is never released."""
        return "penstock " in self.why

    @property
    def command(self) -> str:
        """What a person types next, who lets it out; empty where nobody has to."""
        if not self.waits:
            return ""
        commit = self.commit[:10]
        if self.accepted_by:
            return f"penstock ci run --rev {commit} --deploy"
        if "penstock ci accept" in self.why:
            return f"penstock ci accept {commit} --reason …"
        return f"penstock promote {shlex.quote(self.ref)}"

    @property
    def sentence(self) -> str:
        """Say what it waits for."""
        if self.accepted_by:
            return f"CI held {self.ref}; {self.accepted_by} accepted commit {self.commit[:10]} since, and its next run releases it"
        return f"CI held {self.ref}: {self.why}"


def record_hold(connection: sa.Connection, version: ModelVersion, why: str, commit: str, actor: str) -> None:
    """Write that a version passed and was not released, in the caller's transaction."""
    record_event(
        connection,
        HELD,
        f"model:{version.ref}",
        actor,
        f"{version.ref}{_NOT_RELEASED}{why}",
        cause={"commit": commit, "digest": version.digest},
    )


def list_holds(connection: sa.Connection, versions: Sequence[ModelVersion]) -> dict[tuple[str, int], Hold]:
    """Return the newest hold of each version that has not gone out since, by model and number."""
    former = list_former_names(connection, [(one.model, one.number) for one in versions])
    subjects = [
        f"model:{name}/{one.number}"
        for one in versions
        for name in (one.model, *former[one.model, one.number])
    ]
    query = sa.select(events).where(events.c.subject.in_(subjects), events.c.kind == HELD)
    rows = connection.execute(query.order_by(events.c.id)).mappings()
    newest = {one.subject: one for one in (Event(**row) for row in rows)}
    found = [_hold(connection, one) for one in sorted(newest.values(), key=lambda one: one.id)]
    latest = {(one.model, one.number): one for one in found}
    return {key: one for key, one in latest.items() if not _went_out(connection, one)}


class Waiting:
    """The holds of a store that still wait; the log is read once, and then what came since."""

    def __init__(self) -> None:
        self._seen = 0
        self._known: dict[str, Event] = {}

    def find(self, connection: sa.Connection) -> list[Hold]:
        """Return what waits for a person, the newest first; not what a newer version of its model has replaced."""
        for event in list_events(connection, kind=HELD, after_id=max(0, self._seen - AGAIN), limit=KEPT):
            self._known[event.subject] = event
        self._seen = connection.scalar(sa.select(sa.func.max(events.c.id))) or 0
        newest = sorted(self._known.values(), key=lambda one: one.id, reverse=True)[:KEPT]
        holds = [_hold(connection, one) for one in newest]
        return [
            one
            for one in holds
            if one.waits and _is_kept(connection, one) and not _went_out(connection, one, or_newer=True)
        ]


def _hold(connection: sa.Connection, event: Event) -> Hold:
    called, _, number = event.subject.removeprefix("model:").rpartition("/")
    key = (called, int(number))
    commit = str(event.cause.get("commit", ""))
    accepted: Iterable[Event] = list_events(
        connection, subject=f"commit:{commit}", kind=ACCEPTED, after_id=event.id, limit=1
    )
    return Hold(
        model=list_present_names(connection, [key])[key],
        number=int(number),
        commit=commit,
        why=event.summary.partition(_NOT_RELEASED)[2] or event.summary,
        time_ms=event.time_ms,
        accepted_by=next((one.actor for one in accepted), ""),
    )


def _is_kept(connection: sa.Connection, hold: Hold) -> bool:
    columns = version_rows.c
    query = sa.select(columns.number).where(
        columns.model == hold.model, columns.number == hold.number, columns.deleted_ms.is_(None)
    )
    return connection.execute(query).first() is not None


def _went_out(connection: sa.Connection, hold: Hold, *, or_newer: bool = False) -> bool:
    """Say whether a version became champion or answered since it was held, or one after it did."""

    def meant(column: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
        return column >= hold.number if or_newer else column == hold.number

    moved = sa.select(alias_moves.c.id).where(
        alias_moves.c.model == hold.model,
        alias_moves.c.name == CHAMPION,
        alias_moves.c.time_ms >= hold.time_ms,
        meant(alias_moves.c.version),
    )
    served = sa.select(revisions.c.number).where(
        revisions.c.model == hold.model,
        revisions.c.created_ms >= hold.time_ms,
        sa.or_(meant(revisions.c.stable), meant(revisions.c.canary_version)),
    )
    return any(connection.execute(query.limit(1)).first() is not None for query in (moved, served))
