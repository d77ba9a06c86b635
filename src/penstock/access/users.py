"""Users: who may call a server that asks for credentials.

Functions work on the caller's connection, so that each change and its event are one transaction.
"""

from __future__ import annotations

import re
import shlex
from typing import Final

import msgspec
import sqlalchemy as sa

from penstock.access.passwords import hash_password
from penstock.access.roles import Role, parse_role
from penstock.access.tables import grants, tokens, users
from penstock.base.clock import now_ms
from penstock.base.errors import Conflict, Invalid, NotFound, Refused
from penstock.base.store.events import record_event

NAME = re.compile(r"[A-Za-z0-9][\w.@+-]{0,99}\Z", re.ASCII)
OWNER: Final = "owner"
"""The grant of who made something."""
REMOVED = "removed"
"""The role of a removed user: what he made stays his, so that nobody inherits the right to change it."""


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may call; `password_hash` is None for one who uses tokens only."""

    name: str
    role: Role
    created_ms: int
    password_hash: str | None


def add_user(connection: sa.Connection, name: str, role: Role, password: str | None, actor: str) -> User:
    """Add a user; one who was removed and comes back owns again what he made.

    Raises:
        Invalid: the name or password cannot be used.
        Conflict: there is such a user (`access.user.exists`).
    """
    if not NAME.match(name):
        raise Invalid(
            f"{name!r} cannot be a user's name",
            code="access.bad_name",
            hint="start with a letter or digit, then also . _ @ + - ; 100 characters at most",
        )
    kept = _row(connection, name)
    if kept is not None and kept.role != REMOVED:
        raise Conflict(
            f"there is a user {name!r} already",
            code="access.user.exists",
            hint=f"penstock user modify {shlex.quote(name)} --role {role}",
            user=name,
        )
    user = User(
        name=name,
        role=role,
        created_ms=now_ms(),
        password_hash=None if password is None else hash_password(password),
    )
    values = msgspec.structs.asdict(user)
    if kept is None:
        connection.execute(users.insert().values(**values))
    else:
        connection.execute(users.update().where(users.c.name == name).values(**values))
    _tell(connection, "user.added", name, actor, f"added {name} as {role}", after={"role": role})
    return user


def find_user(connection: sa.Connection, name: str) -> User | None:
    """Return a user, or None for one who is not there (any more)."""
    row = _row(connection, name)
    return None if row is None or row.role == REMOVED else _user(row)


def get_user(connection: sa.Connection, name: str) -> User:
    """Return a user.

    Raises:
        NotFound: there is none of this name.
    """
    user = find_user(connection, name)
    if user is None:
        raise NotFound(
            f"there is no user {name!r}", code="access.no_user", hint="penstock user list", user=name
        )
    return user


def list_users(connection: sa.Connection) -> list[User]:
    """Return every user, by name."""
    rows = connection.execute(sa.select(users).where(users.c.role != REMOVED).order_by(users.c.name))
    return [_user(row) for row in rows]


def modify_user(
    connection: sa.Connection, name: str, actor: str, *, role: Role | None = None, password: str | None = None
) -> User:
    """Change role or password; a running server knows it with the next request.

    Raises:
        NotFound: there is none of this name.
        Refused: nobody would be left who may administer.
    """
    before = get_user(connection, name)
    after = msgspec.structs.replace(
        before,
        role=role or before.role,
        password_hash=before.password_hash if password is None else hash_password(password),
    )
    if before.role == "admin" and after.role != "admin":
        _require_other_admin(connection, name)
    connection.execute(
        users.update().where(users.c.name == name).values(role=after.role, password_hash=after.password_hash)
    )
    done = [f"made {name} {after.role}"] if role else []
    if password is not None:
        done.append(f"gave {name} another password")
    if not done:
        return after
    what = " and ".join(done)
    _tell(connection, "user.modified", name, actor, what, {"role": before.role}, {"role": after.role})
    return after


def remove_user(connection: sa.Connection, name: str, actor: str) -> None:
    """Remove a user with all tokens and grants; what he made stays his, and admins can grant it to others.

    Raises:
        NotFound: there is none of this name.
        Refused: nobody would be left who may administer.
    """
    before = get_user(connection, name)
    if before.role == "admin":
        _require_other_admin(connection, name)
    connection.execute(tokens.delete().where(tokens.c.user == name))
    connection.execute(grants.delete().where(grants.c.user == name, grants.c.role != OWNER))
    connection.execute(users.update().where(users.c.name == name).values(role=REMOVED, password_hash=None))
    _tell(connection, "user.removed", name, actor, f"removed {name}", before={"role": before.role})


def has_admin(connection: sa.Connection) -> bool:
    """Say whether there is anybody who may administer."""
    return bool(connection.execute(sa.select(sa.exists().where(users.c.role == "admin"))).scalar())


def require_admin(connection: sa.Connection) -> None:
    """Check that there is somebody who can administer a server that asks for credentials.

    Raises:
        Refused: there is nobody.
    """
    if not has_admin(connection):
        raise Refused(
            "there is no user with the role admin, so nobody could use this server",
            code="access.no_admin",
            hint="penstock user add NAME --role admin && penstock token create NAME",
        )


def require_somebody(connection: sa.Connection) -> None:
    """Check that there is somebody whom a process that asks for credentials can answer.

    Raises:
        Refused: there is nobody.
    """
    if not connection.execute(sa.select(sa.exists().where(users.c.role != REMOVED))).scalar():
        raise Refused(
            "there is no user, so nobody would be answered",
            code="access.nobody",
            hint="penstock user add NAME --role admin && penstock token create NAME",
        )


def _require_other_admin(connection: sa.Connection, name: str) -> None:
    others = sa.exists().where(users.c.role == "admin", users.c.name != name)
    if not connection.execute(sa.select(others)).scalar():
        raise Refused(
            f"{name} is the only admin",
            code="access.last_admin",
            hint="add another first: penstock user add NAME --role admin",
            user=name,
        )


def _row(connection: sa.Connection, name: str) -> sa.Row[tuple[object, ...]] | None:
    return connection.execute(sa.select(users).where(users.c.name == name)).first()


def _user(row: sa.Row[tuple[object, ...]]) -> User:
    kept = row._mapping
    return User(
        name=str(kept["name"]),
        role=parse_role(str(kept["role"])),
        created_ms=int(kept["created_ms"]),
        password_hash=kept["password_hash"],
    )


def _tell(
    connection: sa.Connection,
    kind: str,
    name: str,
    actor: str,
    summary: str,
    before: dict[str, str] | None = None,
    after: dict[str, str] | None = None,
) -> None:
    record_event(connection, kind, f"user:{name}", actor, summary, before=before, after=after)
