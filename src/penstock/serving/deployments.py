"""Endpoints and their revisions: what each name serves now and has served before.

A revision is fixed once written, but for the name of a model that is renamed; an endpoint points to its current one.
Every change (deploy, canary step, rollback) appends a revision, planned on the one its author saw. Which serve process
really serves it is in `workers`.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.base.store.database import metadata

endpoints = sa.Table(
    "endpoints",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("name", sa.String(256), nullable=False, unique=True),
    sa.Column("model", sa.String(256), nullable=False),
    sa.Column("current_revision", sa.Integer, nullable=False),
)
revisions = sa.Table(
    "revisions",
    metadata,
    sa.Column("endpoint_id", sa.Integer, sa.ForeignKey("endpoints.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("model", sa.String(256), nullable=False),
    sa.Column("stable", sa.Integer, nullable=False),
    sa.Column("canary_version", sa.Integer),
    sa.Column("canary_percent", sa.Float),
    sa.Column("shadows", sa.JSON, nullable=False),
    sa.Column("steps", sa.JSON, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(256), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("previous", sa.Integer),
    sa.Column("cause", sa.JSON, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False, server_default="deployed"),
)
RevisionKind = Literal["deployed", "canary", "advanced", "promoted", "rolled_back", "shadowed"]
"""What made a revision: a person's or CI's deployment (whole or as a canary), a step of a rollout, its
end, a rollback, or other shadows beside versions that answer as before."""


class Canary(msgspec.Struct, frozen=True):
    """A model version that gets a share of the traffic; `percent` in (0, 100)."""

    version: int
    percent: float


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment state of an endpoint. `steps` are the rollout plan's percents, maybe none."""

    endpoint: str
    endpoint_id: int
    number: int
    model: str
    stable: int
    canary: Canary | None
    shadows: tuple[int, ...]
    steps: tuple[float, ...]
    created_ms: int
    actor: str
    reason: str
    previous: int | None
    cause: dict[str, Any]
    kind: RevisionKind = "deployed"

    @property
    def answering(self) -> tuple[int, ...]:
        """The versions that answer clients: the stable one, and a canary."""
        return tuple(dict.fromkeys((self.stable, *((self.canary.version,) if self.canary else ()))))

    @property
    def versions(self) -> tuple[int, ...]:
        """Every model version that takes part, the stable one first, each once."""
        canary = (self.canary.version,) if self.canary else ()
        return tuple(dict.fromkeys((self.stable, *canary, *self.shadows)))


class RevisionDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A revision before it has a number."""

    model: str
    stable: int
    canary: Canary | None = None
    shadows: tuple[int, ...] = ()
    steps: tuple[float, ...] = ()
    actor: str
    reason: str
    cause: dict[str, Any] = {}
    kind: RevisionKind = "deployed"


def append_revision(
    connection: sa.Connection, endpoint: str, draft: RevisionDraft, *, expected: int | None
) -> Revision:
    """Write the next revision and make it current, in the caller's transaction; the event is the caller's.

    Args:
        expected: the current revision the plan was made on; None creates the endpoint.

    Raises:
        Conflict: the current revision is another one (`serving.revision_moved`).
        Invalid: the canary's percent is not in (0, 100).
    """
    if draft.canary and not 0 < draft.canary.percent < 100:
        raise Invalid(
            f"a canary of {draft.canary.percent:g} % is not possible",
            code="serving.bad_canary",
            hint="choose a percent above 0 and below 100; without a canary the version gets everything",
        )
    number = (expected or 0) + 1
    endpoint_id = (
        _create(connection, endpoint, draft.model, number)
        if expected is None
        else _advance(connection, endpoint, draft.model, expected)
    )
    connection.execute(
        revisions.insert().values(
            endpoint_id=endpoint_id,
            number=number,
            model=draft.model,
            stable=draft.stable,
            canary_version=draft.canary.version if draft.canary else None,
            canary_percent=draft.canary.percent if draft.canary else None,
            shadows=list(draft.shadows),
            steps=list(draft.steps),
            created_ms=now_ms(),
            actor=draft.actor,
            reason=draft.reason,
            previous=expected,
            cause=draft.cause,
            kind=draft.kind,
        )
    )
    return get_revision(connection, endpoint, number)


def _create(connection: sa.Connection, endpoint: str, model: str, number: int) -> int:
    current = connection.scalar(sa.select(endpoints.c.current_revision).where(endpoints.c.name == endpoint))
    if current is not None:
        raise _moved(endpoint, None, current)
    try:
        done = connection.execute(
            endpoints.insert().values(name=endpoint, model=model, current_revision=number)
        )
    except sa.exc.IntegrityError:
        raise _moved(endpoint, None, 1) from None
    return int(done.inserted_primary_key[0])  # type: ignore[index]


def _advance(connection: sa.Connection, endpoint: str, model: str, expected: int) -> int:
    done = connection.execute(
        endpoints.update()
        .where(endpoints.c.name == endpoint, endpoints.c.current_revision == expected)
        .values(current_revision=expected + 1, model=model)
    )
    row = connection.execute(
        sa.select(endpoints.c.id, endpoints.c.current_revision).where(endpoints.c.name == endpoint)
    ).one_or_none()
    if row is None:
        raise _unknown(endpoint)
    if done.rowcount != 1:
        raise _moved(endpoint, expected, row.current_revision, get_revision(connection, endpoint))
    return int(row.id)


def _moved(endpoint: str, expected: int | None, current: int, newest: Revision | None = None) -> Conflict:
    was = "it did not exist" if expected is None else f"revision {expected} was current"
    by = (
        f": {newest.actor} made {newest.model}/{newest.stable} its stable version meanwhile" if newest else ""
    )
    if newest is not None and newest.canary is not None:
        by = f": {newest.actor} made {newest.model}/{newest.canary.version} its canary meanwhile"
    return Conflict(
        f"endpoint {endpoint} is at revision {current}, but the plan was made when {was}{by}",
        code="serving.revision_moved",
        hint=f"look at what is served now (penstock endpoint show {shlex.quote(endpoint)}), then run the same command again",
        endpoint=endpoint,
        current=current,
    )


def _unknown(endpoint: str) -> NotFound:
    return NotFound(
        f"there is no endpoint {endpoint!r}",
        code="serving.endpoint_unknown",
        hint="list them with `penstock endpoint list`",
        endpoint=endpoint,
    )


def get_revision(connection: sa.Connection, endpoint: str, number: int | None = None) -> Revision:
    """Return revision `number` of the endpoint, the current one without it.

    Raises:
        NotFound: no such endpoint or revision.
    """
    found = find_revision(connection, endpoint, number)
    if found is not None:
        return found
    if number is None or find_revision(connection, endpoint) is None:
        raise _unknown(endpoint)
    raise NotFound(
        f"endpoint {endpoint} has no revision {number}",
        code="serving.revision_unknown",
        hint=f"list them with `penstock endpoint history {shlex.quote(endpoint)}`",
        endpoint=endpoint,
        revision=number,
    )


def find_revision(connection: sa.Connection, endpoint: str, number: int | None = None) -> Revision | None:
    """Return a revision as `get_revision` does, or None."""
    wanted = endpoints.c.current_revision if number is None else number
    row = connection.execute(
        _select().where(endpoints.c.name == endpoint, revisions.c.number == wanted)
    ).one_or_none()
    return None if row is None else _revision(row)


def list_revisions(connection: sa.Connection, endpoint: str) -> list[Revision]:
    """Return every revision of the endpoint, newest first; empty when it does not exist."""
    query = _select().where(endpoints.c.name == endpoint).order_by(revisions.c.number.desc())
    return [_revision(row) for row in connection.execute(query)]


def list_revisions_of_versions(
    connection: sa.Connection, keys: Collection[tuple[str, int]]
) -> dict[tuple[str, int], list[Revision]]:
    """Return every revision of any endpoint that served each version, by model and number; by endpoint, newest first."""
    numbers, columns = {number for _, number in keys}, revisions.c
    serves = (
        columns.stable.in_(numbers)
        | columns.canary_version.in_(numbers)
        | (sa.cast(columns.shadows, sa.Text) != "[]")
    )
    query = _select().where(columns.model.in_({model for model, _ in keys}), serves)
    found: dict[tuple[str, int], list[Revision]] = {key: [] for key in keys}
    for row in connection.execute(query.order_by(endpoints.c.name, columns.number.desc())).all():
        revision = _revision(row)
        for number in revision.versions:
            if (revision.model, number) in found:
                found[revision.model, number].append(revision)
    return found


def list_endpoints(connection: sa.Connection) -> list[Revision]:
    """Return the current revision of every endpoint, by name."""
    query = _select().where(revisions.c.number == endpoints.c.current_revision).order_by(endpoints.c.name)
    return [_revision(row) for row in connection.execute(query)]


def rename_served(connection: sa.Connection, model: str, new_name: str, numbers: Collection[int]) -> None:
    """Let the revisions that served versions of a model call it by its new name.

    Args:
        numbers: the versions that the model has: a name that was given up before may mean another's too.
    """
    served = (revisions.c.model == model) & revisions.c.stable.in_(sorted(numbers))
    connection.execute(revisions.update().where(served).values(model=new_name))


def find_endpoint_name(connection: sa.Connection, endpoint_id: int) -> str | None:
    """Return the name of the endpoint that prediction ids call `endpoint_id`, or None."""
    name = connection.scalar(sa.select(endpoints.c.name).where(endpoints.c.id == endpoint_id))
    return None if name is None else str(name)


def _select() -> sa.Select[Any]:
    return sa.select(endpoints.c.name.label("endpoint"), revisions).join_from(
        endpoints, revisions, revisions.c.endpoint_id == endpoints.c.id
    )


def _revision(row: sa.Row[Any]) -> Revision:
    values = dict(row._mapping)
    version, percent = values.pop("canary_version"), values.pop("canary_percent")
    values["canary"] = None if version is None else Canary(version, percent)
    values["shadows"], values["steps"] = tuple(values["shadows"]), tuple(values["steps"])
    return Revision(**values)
