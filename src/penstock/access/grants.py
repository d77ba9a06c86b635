"""Grants: what a user may do to one experiment or model, and who owns it.

A user's role holds for everything, with two exceptions. Who makes an experiment or a model owns it: he is its
admin, and others read it, if their role is reader or more, and do not change it. And a grant for one experiment
or model replaces the role there, up or down to `none`; it never ends that somebody owns it, which is given up by
its own name. An admin may do everything.
"""

from __future__ import annotations

import shlex
from typing import Literal

import msgspec
import sqlalchemy as sa

from penstock.access.roles import Kind, Role, includes, parse_role
from penstock.access.tables import grants
from penstock.access.users import OWNER, User, get_user
from penstock.base.errors import Conflict, NotFound
from penstock.base.store.database import upsert
from penstock.base.store.events import record_event


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A user's role on one experiment (by id) or model (by name)."""

    user: str
    kind: Kind
    resource: str
    role: Role | Literal["owner"]


class Access:
    """What one user may do, as one state of the store says; made anew for each request."""

    def __init__(self, connection: sa.Connection, user: User) -> None:
        self._connection = connection
        self._user = user

    def role(self, kind: Kind, resource: str) -> Role:
        """Return the user's role on one experiment or model."""
        if self._user.role == "admin":
            return "admin"
        found = self._connection.execute(
            sa.select(grants.c.user, grants.c.role).where(
                grants.c.kind == kind, grants.c.resource == resource
            )
        ).all()
        own = next((role for user, role in found if user == self._user.name), None)
        if own is not None:
            return "admin" if own == OWNER else parse_role(own)
        is_owned = any(role == OWNER for _, role in found)
        return "reader" if is_owned and includes(self._user.role, "reader") else self._user.role

    def allows(self, kind: Kind, resource: str, wanted: Role) -> bool:
        """Say whether the user has at least a role on one experiment or model."""
        return includes(self.role(kind, resource), wanted)

    def visible(self, kind: Kind, column: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
        """Return the condition on a column of resources that keeps those that the user may read."""
        here = (grants.c.user == self._user.name, grants.c.kind == kind, grants.c.resource == column)
        if self._user.role == "admin":
            return sa.true()
        if includes(self._user.role, "reader"):
            return ~sa.exists().where(*here, grants.c.role == "none")
        return sa.exists().where(*here, grants.c.role != "none")

    def reads_everything(self) -> bool:
        """Say whether there is nothing the user may not read."""
        if self._user.role == "admin":
            return True
        hidden = sa.exists().where(grants.c.user == self._user.name, grants.c.role == "none")
        return (
            includes(self._user.role, "reader") and not self._connection.execute(sa.select(hidden)).scalar()
        )


def own(connection: sa.Connection, kind: Kind, resource: str, user: str) -> None:
    """Make a user the one owner of what he has just made; what was granted under this name before is gone."""
    connection.execute(grants.delete().where(grants.c.kind == kind, grants.c.resource == resource))
    connection.execute(grants.insert().values(user=user, kind=kind, resource=resource, role=OWNER))


def rename_resource(connection: sa.Connection, kind: Kind, before: str, after: str) -> None:
    """Let grants follow a model to its new name."""
    connection.execute(grants.delete().where(grants.c.kind == kind, grants.c.resource == after))
    connection.execute(
        grants.update().where(grants.c.kind == kind, grants.c.resource == before).values(resource=after)
    )


def set_grant(connection: sa.Connection, grant: Grant, actor: str) -> bool:
    """Give a user a role on one experiment or model, in place of what he had there.

    Returns:
        Whether anything changed: an owner is admin already, and stays the owner.

    Raises:
        NotFound: there is no such user.
        Conflict: the user owns it, and a grant of less would leave it without an owner (`access.owner`).
    """
    get_user(connection, grant.user)
    if owns(connection, grant.user, grant.kind, grant.resource):
        if grant.role == "admin":
            return False
        raise _owner(grant.user, grant.kind, grant.resource)
    statement = upsert(connection.dialect.name, grants).values(**msgspec.structs.asdict(grant))
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[grants.c.user, grants.c.kind, grants.c.resource], set_={"role": grant.role}
        )
    )
    summary = f"granted {grant.user} {grant.role} on {grant.kind} {grant.resource}"
    record_event(connection, "grant.set", f"user:{grant.user}", actor, summary)
    return True


def remove_grant(connection: sa.Connection, user: str, kind: Kind, resource: str, actor: str) -> None:
    """Take a grant away; the user's role holds again.

    Raises:
        NotFound: there is no such user or grant.
        Conflict: the user has no grant there, but owns it (`access.owner`).
    """
    get_user(connection, user)
    if owns(connection, user, kind, resource):
        raise _owner(user, kind, resource)
    done = connection.execute(grants.delete().where(*_there(user, kind, resource)))
    if not done.rowcount:
        raise NotFound(
            f"{user} has no grant on {kind} {resource}",
            code="access.no_grant",
            hint=f"penstock user show {shlex.quote(user)}",
        )
    summary = f"took {user}'s grant on {kind} {resource} away"
    record_event(connection, "grant.removed", f"user:{user}", actor, summary)


def disown(connection: sa.Connection, user: str, kind: Kind, resource: str, actor: str) -> None:
    """Let nobody own what a user owns: roles hold there from now on, so every writer may change it.

    Raises:
        NotFound: there is no such user, or he does not own it.
    """
    get_user(connection, user)
    if not owns(connection, user, kind, resource):
        raise NotFound(
            f"{user} does not own {kind} {resource}",
            code="access.not_owner",
            hint=f"penstock user show {shlex.quote(user)}",
        )
    connection.execute(grants.delete().where(*_there(user, kind, resource)))
    summary = f"let {kind} {resource} be owned by nobody, where {user} owned it: every writer may change it"
    record_event(connection, "grant.removed", f"user:{user}", actor, summary)


def owns(connection: sa.Connection, user: str, kind: Kind, resource: str) -> bool:
    """Say whether a user owns one experiment or model."""
    query = sa.select(grants.c.role).where(*_there(user, kind, resource))
    return connection.execute(query).scalar() == OWNER


def list_grants(connection: sa.Connection, user: str) -> list[Grant]:
    """Return a user's grants, by kind and resource."""
    query = sa.select(grants).where(grants.c.user == user).order_by(grants.c.kind, grants.c.resource)
    return [
        Grant(
            user=row.user,
            kind=row.kind,
            resource=row.resource,
            role=OWNER if row.role == OWNER else parse_role(row.role),
        )
        for row in connection.execute(query)
    ]


def _there(user: str, kind: Kind, resource: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (grants.c.user == user, grants.c.kind == kind, grants.c.resource == resource)


def _owner(user: str, kind: Kind, resource: str) -> Conflict:
    return Conflict(
        f"{user} owns {kind} {resource}, and is its admin without a grant",
        code="access.owner",
        hint=f"leave it to every writer first: penstock user revoke {shlex.quote(user)} --{kind} "
        f"{shlex.quote(resource)} --ownership",
    )
