"""What became of a version in production: it was rolled back, or somebody took responsibility for it again.

A version that was rolled back is not promoted or deployed until a person says why it may: no verdict lifts the mark,
since gates had passed it before and production showed that they were not enough, and who sets gates can loosen them.
States are rows that are never changed; the newest one counts.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from penstock.base.clock import format_ms, now_ms
from penstock.base.errors import Refused
from penstock.base.store.events import record_event
from penstock.registry.entities import ModelVersion
from penstock.registry.tables import version_states, versions

State = Literal["rolled_back", "cleared"]
MOST_TOLD = 3
"""So many earlier rollbacks of a version are told in a sentence."""


class VersionState(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to a version. `cause` is the evidence: endpoint, revision, findings.

    `earlier` are the rollbacks of the version before this one, newest first, where it was read from the store.
    """

    model: str
    number: int
    digest: str
    state: State
    time_ms: int
    actor: str
    reason: str
    cause: dict[str, Any] = {}
    earlier: tuple[VersionState, ...] = ()

    @property
    def ref(self) -> str:
        """The name of the version that it happened to."""
        return f"{self.model}/{self.number}"

    @property
    def endpoint(self) -> str:
        """Where it was rolled back; empty where nothing says so."""
        return str(self.cause.get("endpoint", ""))

    @property
    def told_earlier(self) -> list[VersionState]:
        """Those rollbacks before this one that are told of, newest first, but that those with findings go before."""
        return sorted(self.earlier, key=lambda one: not one.cause.get("findings"))[:MOST_TOLD]

    @property
    def why(self) -> str:
        """The reason; of several rollbacks each with its endpoint, the newest first, then those that have findings."""
        if not self.earlier:
            return self.reason
        shown = self.told_earlier
        left_out = len(self.earlier) - len(shown)
        told = [f"{one.endpoint and f'on {one.endpoint} '}by {one.actor}: {one.reason}" for one in shown]
        more = f"; and {left_out} more" if left_out else ""
        return f"{self.placed}; before, {'; '.join(told)}{more}"

    @property
    def placed(self) -> str:
        """The reason of this rollback alone, with its endpoint."""
        return f"{self.reason} (on {self.endpoint})" if self.endpoint else self.reason

    @property
    def each(self) -> tuple[VersionState, ...]:
        """This rollback and those before it, each alone, newest first."""
        return (msgspec.structs.replace(self, earlier=()), *self.earlier)

    @property
    def sentence(self) -> str:
        """The state in words."""
        word = "rolled back" if self.state == "rolled_back" else "cleared"
        return f"{word} on {format_ms(self.time_ms)} by {self.actor}: {self.why}"

    def is_of(self, version: ModelVersion) -> bool:
        """Whether it happened to a version itself, not to another with the same files."""
        return (self.model, self.number) == (version.model, version.number)

    def whose(self, version: ModelVersion) -> str:
        """Return whose rollback it is, before the words `rolled back` of a version: `was`, or whose files it has."""
        return "was" if self.is_of(version) else f"has the files of {self.ref}, which was"

    def why_of(self, version: ModelVersion) -> str:
        """Return the reason that a version is not let out for, and whose files it has where it was not out itself."""
        return self.why if self.is_of(version) else f"it {self.whose(version)} rolled back: {self.why}"


def add_state(connection: sa.Connection, state: VersionState) -> None:
    """Write what happened to a version, in the caller's transaction; the event is the caller's."""
    values = msgspec.to_builtins(state)
    del values["earlier"]
    connection.execute(version_states.insert().values(values))


def list_rolled_back(
    connection: sa.Connection, model: str | None = None
) -> dict[tuple[str, int], VersionState]:
    """Return the versions that are rolled back now, by model and number: until a person clears them."""
    query = sa.select(version_states).order_by(version_states.c.id)
    if model is not None:
        query = query.where(version_states.c.model == model)
    newest: dict[tuple[str, int], VersionState] = {}
    before: dict[tuple[str, int], list[VersionState]] = {}
    for row in connection.execute(query).mappings():
        key = (row["model"], row["number"])
        if key in newest and newest[key].state == "rolled_back":
            before.setdefault(key, []).insert(0, newest[key])
        newest[key] = _state(row)
    return {
        key: msgspec.structs.replace(one, earlier=tuple(before.get(key, ())))
        for key, one in newest.items()
        if one.state == "rolled_back"
    }


def list_barred(connection: sa.Connection, model: str | None = None) -> frozenset[tuple[str, int]]:
    """Return the versions that no rollback goes back to of itself: those rolled back now, and those with their files."""
    marked = list_rolled_back(connection, model)
    digests = {(one.model, one.digest) for one in marked.values() if one.digest}
    columns = versions.c
    query = sa.select(columns.model, columns.number, columns.digest).where(
        columns.digest.in_(sorted({digest for _, digest in digests}))
    )
    same = connection.execute(query).all() if digests else []
    return frozenset(marked) | {(row.model, row.number) for row in same if (row.model, row.digest) in digests}


def last_rolled_back_ms(connection: sa.Connection, model: str, number: int) -> int:
    """Return when a version was last rolled back, 0 when it never was: what was seen before has been acted on."""
    query = sa.select(sa.func.max(version_states.c.time_ms)).where(
        version_states.c.model == model,
        version_states.c.number == number,
        version_states.c.state == "rolled_back",
    )
    return connection.execute(query).scalar() or 0


def find_rolled_back(connection: sa.Connection, version: ModelVersion) -> VersionState | None:
    """Return why a version is rolled back now, or None when it is not; the same content is the same version."""
    return same_rolled_back(list_rolled_back(connection, version.model), version)


def same_rolled_back(
    found: Mapping[tuple[str, int], VersionState], version: ModelVersion
) -> VersionState | None:
    """Return why a version is among those rolled back, itself or under another number of its model; or None."""
    same = [
        one
        for one in found.values()
        if version.digest and (one.model, one.digest) == (version.model, version.digest)
    ]
    newest = max(same, key=lambda one: one.time_ms, default=None)
    return found.get((version.model, version.number)) or newest


def require_not_rolled_back(connection: sa.Connection, version: ModelVersion, what: str) -> None:
    """Make sure that a version was not rolled back.

    Args:
        what: what is refused, as `deployed`.

    Raises:
        Refused: it was, and nobody has answered for it since.
    """
    found = find_rolled_back(connection, version)
    if found is not None:
        raise Refused(
            f"{version.ref} cannot be {what}: it {found.whose(version)} {found.sentence}",
            code="registry.rolled_back",
            hint=f"penstock promote {shlex.quote(version.ref)} --force --reason TEXT, or a deploy or a rollback --to with them, says why it may; judging it "
            "again does not lift the mark, a new version has none",
            model=version.model,
            version=version.number,
        )


def clear_state(connection: sa.Connection, version: ModelVersion, actor: str, reason: str) -> None:
    """Take a version's rollback back because a person answers for it; nothing happens when there is none.

    The same files under other numbers of the model are cleared with it: they are the same version.
    """
    marked = list_rolled_back(connection, version.model)
    found = same_rolled_back(marked, version)
    if found is None:
        return
    cause: Mapping[str, Any] = {"rolled_back": msgspec.to_builtins(found)}
    same = {number for (_, number), one in marked.items() if one.digest == found.digest and found.digest}
    for number in sorted({found.number, version.number} | same):
        state = VersionState(
            model=version.model,
            number=number,
            digest=found.digest,
            state="cleared",
            time_ms=now_ms(),
            actor=actor,
            reason=reason,
            cause=dict(cause),
        )
        add_state(connection, state)
    record_event(
        connection,
        "model.cleared",
        f"model:{version.ref}",
        actor,
        f"{version.ref} may be deployed again though it was rolled back: {reason}",
        cause=cause,
    )


def _state(row: Any) -> VersionState:
    return msgspec.convert({str(key): value for key, value in row.items() if key != "id"}, VersionState)
