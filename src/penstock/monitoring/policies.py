"""Policies: what watches an endpoint and who is told, numbered and never changed, beside its revisions.

The newest one holds. The controller, every serve process, the command line and the pages read it here;
penstock.yaml is where it is written, not where it is read.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.digest import digest_value
from penstock.base.errors import Conflict, Corrupt
from penstock.base.numbers import counted
from penstock.base.store.database import metadata
from penstock.base.store.events import record_event
from penstock.monitoring.settings import (
    KEPT_MAX_DAYS,
    AlertSettings,
    EndpointSettings,
    MonitorSettings,
    PayloadSettings,
)

policies = sa.Table(
    "policies",
    metadata,
    sa.Column("endpoint", sa.String(256), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(256), nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
)


FOLLOWED_MS = 60_000
"""Within this time every serve process follows a new policy."""
UNREADABLE = "it cannot be read"
"""What is said in place of what a policy changed."""


class PolicyBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy says: the endpoint's own settings and where its alerts go."""

    endpoint: EndpointSettings
    alerts: AlertSettings = AlertSettings()

    @property
    def digest(self) -> str:
        """What tells two policies apart."""
        return digest_value(msgspec.to_builtins(self))


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy as it was written. `number` 0 is what holds before anybody wrote one: nothing is guarded."""

    endpoint: str
    number: int
    digest: str
    created_ms: int
    actor: str
    body: PolicyBody

    @property
    def settings(self) -> EndpointSettings:
        """How the endpoint is rolled out, watched and answered for."""
        return self.body.endpoint


KEEPS_NOTHING = MonitorSettings(
    feature_ratio=0.0, payloads=PayloadSettings(sample=0.0, keep_days=KEPT_MAX_DAYS)
)
"""How an endpoint is watched of which nobody knows how it is to be."""


@dataclass(frozen=True)
class HeldPolicies:
    """The policies that hold, by endpoint, and why those that this program cannot read were not."""

    readable: Mapping[str, Policy]
    unreadable: Mapping[str, Corrupt]


def find_policy(connection: sa.Connection, endpoint: str) -> Policy | None:
    """Return the policy that holds for an endpoint, or None.

    Raises:
        Corrupt: this program cannot read it (`monitoring.policy_unreadable`): damaged, or written by a newer one.
    """
    newest = _newest(connection, endpoint)
    return None if newest is None else _read(connection, endpoint, newest[0])


def find_readable_policy(connection: sa.Connection, endpoint: str) -> Policy | None:
    """Return the newest policy of an endpoint that this program can read: the one that holds, or one before it."""
    query = sa.select(policies.c.number).where(policies.c.endpoint == endpoint)
    for number in connection.execute(query.order_by(policies.c.number.desc())).scalars().all():
        try:
            return _read(connection, endpoint, number)
        except Corrupt:
            continue
    return None


def find_alerting(connection: sa.Connection, endpoint: str) -> AlertSettings | None:
    """Return where the alerts of an endpoint go, or None without a policy.

    A policy that cannot be read in all silences nobody: where its alerts alone can be read they hold, else those of
    the newest policy that can be read.
    """
    newest = _newest(connection, endpoint)
    if newest is None:
        return None
    where = (policies.c.endpoint == endpoint) & (policies.c.number == newest[0])
    try:
        body = connection.execute(sa.select(policies.c.body).where(where)).scalar_one()
        return msgspec.convert(body.get("alerts", {}), AlertSettings)
    except (ValueError, AttributeError):
        readable = find_readable_policy(connection, endpoint)
        return AlertSettings() if readable is None else readable.body.alerts


def find_monitor(connection: sa.Connection, endpoint: str) -> MonitorSettings:
    """Return how an endpoint is watched whose policy cannot be read in all: as that part of it says alone.

    Where that cannot be read either, no row is kept, since what it redacts is not known, and none goes.
    """
    newest = sa.select(policies.c.body).where(policies.c.endpoint == endpoint)
    try:
        body = connection.execute(newest.order_by(policies.c.number.desc()).limit(1)).scalar_one()
        return msgspec.convert(body["endpoint"].get("monitor", {}), MonitorSettings)
    except (LookupError, ValueError, TypeError, AttributeError):
        return KEEPS_NOTHING


def policy_or_none_yet(connection: sa.Connection, endpoint: str, model: str) -> Policy:
    """Return the policy that holds, or number 0, under which an endpoint serving `model` guards nothing."""
    body = PolicyBody(endpoint=EndpointSettings(model=model))
    return find_policy(connection, endpoint) or Policy(
        endpoint=endpoint, number=0, digest="", created_ms=0, actor="", body=body
    )


def list_policies(connection: sa.Connection) -> HeldPolicies:
    """Return the policy that holds for every endpoint that has one; one that cannot be read hides no other."""
    newest = sa.select(policies.c.endpoint, sa.func.max(policies.c.number).label("number"))
    last = newest.group_by(policies.c.endpoint).subquery()
    both = (policies.c.endpoint == last.c.endpoint) & (policies.c.number == last.c.number)
    try:
        rows = connection.execute(sa.select(policies).join(last, both)).mappings()
        return HeldPolicies({row["endpoint"]: _policy(row) for row in rows}, {})
    except (Corrupt, ValueError):  # a row whose JSON is damaged is no row at all
        numbers = connection.execute(sa.select(last)).all()
    readable: dict[str, Policy] = {}
    unreadable: dict[str, Corrupt] = {}
    for endpoint, number in numbers:
        try:
            readable[endpoint] = _read(connection, endpoint, number)
        except Corrupt as error:
            unreadable[endpoint] = error
    return HeldPolicies(readable, unreadable)


def policies_around(
    connection: sa.Connection, endpoint: str, time_ms: int, back_ms: int = FOLLOWED_MS
) -> list[Policy]:
    """Return the policies that serve processes may have followed at a moment, newest first.

    That is the one that held, and those that one replaced less than `back_ms` before; none that cannot be read.
    """
    query = sa.select(policies.c.number, policies.c.created_ms).where(
        policies.c.endpoint == endpoint, policies.c.created_ms <= time_ms
    )
    found: list[Policy] = []
    for number, created_ms in connection.execute(query.order_by(policies.c.number.desc())).all():
        with suppress(Corrupt):
            found.append(_read(connection, endpoint, number))
        if found and created_ms < time_ms - back_ms:
            break
    return found


class PolicyStep(msgspec.Struct, frozen=True, kw_only=True):
    """One policy in the history of an endpoint, with what it changed of the one before, in words."""

    number: int
    created_ms: int
    actor: str
    guardrail_count: int
    changes: tuple[str, ...]


def list_policy_steps(connection: sa.Connection, endpoint: str, limit: int = 50) -> list[PolicyStep]:
    """Return the newest `limit` policies of an endpoint, newest first; the first one holds.

    One that cannot be read says so in place of what it changed.
    """
    told = sa.select(policies.c.number, policies.c.created_ms, policies.c.actor)
    query = told.where(policies.c.endpoint == endpoint).order_by(policies.c.number.desc())
    rows = connection.execute(query.limit(limit + 1)).all()
    read = _read_all(connection, endpoint, [row.number for row in rows])
    steps = []
    for row, old in zip(rows, [*rows[1:], None][: len(rows)], strict=True):
        one, before = read.get(row.number), read.get(old.number) if old else None
        changes = [UNREADABLE] if one is None else differences(before.body if before else None, one.body)
        steps.append(
            PolicyStep(
                number=row.number,
                created_ms=row.created_ms,
                actor=row.actor,
                guardrail_count=len(one.settings.guardrails) if one else 0,
                changes=tuple(changes),
            )
        )
    return steps[:limit]


def _read_all(connection: sa.Connection, endpoint: str, numbers: list[int]) -> dict[int, Policy]:
    """Return those of an endpoint's policies that can be read, by number."""
    where = (policies.c.endpoint == endpoint) & policies.c.number.in_(numbers)
    try:
        return {
            row["number"]: _policy(row)
            for row in connection.execute(sa.select(policies).where(where)).mappings()
        }
    except (Corrupt, ValueError):
        found: dict[int, Policy] = {}
        for number in numbers:
            with suppress(Corrupt):
                found[number] = _read(connection, endpoint, number)
        return found


def put_policy(connection: sa.Connection, endpoint: str, body: PolicyBody, actor: str) -> Policy | None:
    """Write a policy with its event in the caller's transaction; None when the one that holds says the same.

    It takes the place of one that cannot be read too, which is how that is mended.

    Raises:
        Conflict: another one was written at the same moment.
    """
    held, digest = _newest(connection, endpoint) or (0, "")
    unread = why_unreadable(connection, endpoint)
    if digest == body.digest and not unread:
        return None
    before = None if unread or not held else _read(connection, endpoint, held)
    number = held + 1
    row = {
        "endpoint": endpoint,
        "number": number,
        "digest": body.digest,
        "created_ms": now_ms(),
        "actor": actor,
        "body": msgspec.to_builtins(body),
    }
    try:
        connection.execute(policies.insert().values(row))
    except sa.exc.IntegrityError:
        raise Conflict(
            f"the policy of {endpoint} was changed at the same moment",
            code="monitoring.policy_moved",
            hint=f"penstock endpoint show {shlex.quote(endpoint)}",
        ) from None
    changes = [f"it replaces {held}, which could not be read"] if unread else []
    changes += differences(before.body if before else None, body)
    record_event(
        connection,
        "policy.applied",
        f"endpoint:{endpoint}",
        actor,
        f"policy {number} of {endpoint} holds now" + (f": {', '.join(changes)}" if changes else ""),
        before={"policy": held} if held else {},
        after={"policy": number, "digest": body.digest},
    )
    return _policy(row)


def differences(before: PolicyBody | None, after: PolicyBody) -> list[str]:
    """Say where two policies differ, by key; addresses of webhooks are not told, they may hold secrets.

    Example:
        >>> one = PolicyBody(endpoint=EndpointSettings(model="m@champion"))
        >>> differences(None, one), differences(one, one)
        ([], [])
    """
    if before is None:
        return []
    old, new = _flat(msgspec.to_builtins(before)), _flat(msgspec.to_builtins(after))
    count = len(before.endpoint.guardrails), len(after.endpoint.guardrails)
    if count[0] != count[1]:
        return [*_but_guardrails(old, new), f"{counted(count[1], 'guardrail')} instead of {count[0]}"]
    names = [
        name for name in [*old, *(key for key in new if key not in old)] if old.get(name) != new.get(name)
    ]
    return _told(old, new, names)


def _but_guardrails(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    names = [name for name in {**old, **new} if not name.startswith("endpoint.guardrails")]
    return _told(old, new, [name for name in names if old.get(name) != new.get(name)])


def _told(old: dict[str, Any], new: dict[str, Any], names: list[str]) -> list[str]:
    return [
        f"{name.removeprefix('endpoint.')}"
        + ("" if name.startswith("alerts.") else f" {_word(old.get(name))} → {_word(new.get(name))}")
        for name in names
    ]


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and value:
        items = value.items()
    elif isinstance(value, list | tuple) and value and isinstance(value[0], dict):
        items = {str(index): item for index, item in enumerate(value)}.items()
    else:
        return {name: value}
    flat: dict[str, Any] = {}
    for key, item in items:
        flat |= _flat(item, f"{name}.{key}" if name else str(key))
    return flat


def _word(value: Any) -> str:
    if value is None:
        return "unset"
    return f"{value:g}" if isinstance(value, float) else str(value)


def why_unreadable(connection: sa.Connection, endpoint: str) -> str:
    """Say why the policy that holds for an endpoint cannot be read; empty where it can, and where there is none."""
    try:
        find_policy(connection, endpoint)
    except Corrupt as error:
        return error.message
    return ""


def _newest(connection: sa.Connection, endpoint: str) -> tuple[int, str] | None:
    """Return the number and the digest of the policy that holds, without reading it."""
    query = sa.select(policies.c.number, policies.c.digest).where(policies.c.endpoint == endpoint)
    row = connection.execute(query.order_by(policies.c.number.desc()).limit(1)).first()
    return None if row is None else (row[0], row[1])


def _read(connection: sa.Connection, endpoint: str, number: int) -> Policy:
    where = (policies.c.endpoint == endpoint) & (policies.c.number == number)
    try:
        return _policy(connection.execute(sa.select(policies).where(where)).mappings().one())
    except ValueError as error:
        raise _unreadable(endpoint, number, error) from error


def _policy(row: Any) -> Policy:
    try:
        return msgspec.convert({str(key): value for key, value in row.items()}, Policy)
    except ValueError as error:  # of msgspec too
        raise _unreadable(row["endpoint"], row["number"], error) from error


def _unreadable(endpoint: str, number: int, error: ValueError) -> Corrupt:
    return Corrupt(
        f"policy {number} of {endpoint} cannot be read: {error}; it is damaged, or a newer Penstock wrote it",
        code="monitoring.policy_unreadable",
        hint="bring all programs that use the store to one version, or write the policy anew: "
        f"penstock endpoint apply {shlex.quote(endpoint)}",
    )
