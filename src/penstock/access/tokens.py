"""Tokens: secrets that stand for a user, for programs.

A token is `penstock_<id>_<secret>` with 256 random bits. Only the SHA-256 of the secret is kept: what is drawn
at random needs no slow hash, so a token costs a request one look-up.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import shlex
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from penstock.access.scopes import SCOPES, Scope, parse_scope
from penstock.access.tables import tokens
from penstock.access.users import User, find_user, get_user
from penstock.base.clock import format_ms, now_ms
from penstock.base.errors import Denied, Invalid, NotFound
from penstock.base.store.events import record_event

PREFIX = "penstock_"
_FORM = re.compile(r"penstock_([0-9a-f]{16})_([\w-]{43})\Z", re.ASCII)


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a token; never its secret.

    With `scopes` it opens serve processes only, for these scopes, and for these `endpoints` where they are named.
    """

    id: str
    user: str
    created_ms: int
    revoked_ms: int | None
    scopes: tuple[Scope, ...] | None = None
    endpoints: tuple[str, ...] | None = None
    expires_ms: int | None = None
    used_ms: int | None = None

    def is_over(self, time_ms: int) -> bool:
        """Say whether it has ended by itself."""
        return self.expires_ms is not None and self.expires_ms <= time_ms

    def covers(self, scope: Scope, endpoint: str | None) -> bool:
        """Say whether it may be used for this; `endpoint` None is the process as a whole."""
        if self.scopes is None:
            return True
        return scope in self.scopes and (self.endpoints is None or endpoint in self.endpoints)


class Bearer(msgspec.Struct, frozen=True):
    """Whom credentials stand for, and by which token, if by one."""

    user: User
    token: Token | None = None


def create_token(
    connection: sa.Connection,
    user: str,
    actor: str,
    *,
    scopes: Sequence[Scope] = (),
    endpoints: Sequence[str] = (),
    expires_ms: int | None = None,
) -> tuple[Token, str]:
    """Make a token for a user and return it with its text, which is told this once.

    Args:
        scopes: what it is narrowed to; nothing is everything that the user may.
        endpoints: where; nothing is everywhere.
        expires_ms: when it ends; None: when it is revoked.

    Raises:
        NotFound: there is no such user.
        Invalid: endpoints are named without scopes, or one is no name.
    """
    get_user(connection, user)
    if endpoints and not scopes:
        raise Invalid(
            "endpoints are named and no scope: a token without scopes is not narrowed",
            code="access.no_scope",
            hint=f"--scope {SCOPES[0]}",
        )
    wrong = next((name for name in endpoints if not name or "," in name), None)
    if wrong is not None:
        raise Invalid(f"{wrong!r} is no endpoint's name", code="access.bad_endpoint")
    token = Token(
        id=secrets.token_hex(8),
        user=user,
        created_ms=now_ms(),
        revoked_ms=None,
        scopes=tuple(dict.fromkeys(scopes)) or None,
        endpoints=tuple(dict.fromkeys(endpoints)) or None,
        expires_ms=expires_ms,
    )
    secret = secrets.token_urlsafe(32)
    values = {
        **msgspec.structs.asdict(token),
        "scopes": token.scopes and ",".join(token.scopes),
        "endpoints": token.endpoints and ",".join(token.endpoints),
        "secret_hash": _hash(secret),
    }
    connection.execute(tokens.insert().values(**values))
    narrowed = f", only to {', '.join(token.scopes)}" if token.scopes else ""
    if expires_ms is not None:
        narrowed += f", until {format_ms(expires_ms)}"
    record_event(
        connection, "token.created", f"user:{user}", actor, f"made token {token.id} for {user}{narrowed}"
    )
    return token, f"{PREFIX}{token.id}_{secret}"


def list_tokens(connection: sa.Connection, user: str | None = None) -> list[Token]:
    """Return the tokens of one user or of all, oldest first."""
    columns = [tokens.c[name] for name in Token.__struct_fields__]
    query = sa.select(*columns).order_by(tokens.c.created_ms, tokens.c.id)
    if user is not None:
        query = query.where(tokens.c.user == user)
    return [_token(row) for row in connection.execute(query).mappings()]


def _token(row: sa.RowMapping) -> Token:
    values = {name: row[name] for name in Token.__struct_fields__}
    if values["scopes"] is not None:
        values["scopes"] = tuple(parse_scope(name) for name in values["scopes"].split(","))
    if values["endpoints"] is not None:
        values["endpoints"] = tuple(values["endpoints"].split(","))
    return Token(**values)


def revoke_token(connection: sa.Connection, text: str, actor: str) -> Token:
    """Revoke a token, named by its id or its text; one that is revoked stays so.

    Raises:
        NotFound: there is no such token.
    """
    form = _FORM.match(text)
    token_id = form.group(1) if form else text
    found = next((one for one in list_tokens(connection) if one.id == token_id), None)
    if found is None:
        raise NotFound("there is no such token", code="access.no_token", hint="penstock token list")
    if found.revoked_ms is None:
        found = msgspec.structs.replace(found, revoked_ms=now_ms())
        connection.execute(tokens.update().where(tokens.c.id == token_id).values(revoked_ms=found.revoked_ms))
        summary = f"revoked token {token_id} of {found.user}"
        record_event(connection, "token.revoked", f"user:{found.user}", actor, summary)
    return found


def find_bearer(connection: sa.Connection, text: str) -> Bearer | None:
    """Return whom a token stands for, or None where it is wrong, revoked or its user is gone.

    Raises:
        Denied: it has ended.
    """
    form = _FORM.match(text)
    if form is None:
        return None
    query = sa.select(tokens).where(tokens.c.id == form.group(1), tokens.c.revoked_ms.is_(None))
    row = connection.execute(query).mappings().first()
    if row is None or not hmac.compare_digest(str(row["secret_hash"]), _hash(form.group(2))):
        return None
    user = find_user(connection, str(row["user"]))
    if user is None:
        return None
    token = _token(row)
    if token.expires_ms is not None and token.is_over(now_ms()):
        raise Denied(
            f"token {token.id} of {user.name} ended on {format_ms(token.expires_ms)}",
            code="auth.expired",
            hint=f"penstock token create {shlex.quote(user.name)}",
        )
    return Bearer(user, token)


def note_use(connection: sa.Connection, token: Token) -> None:
    """Note that a token is used now."""
    connection.execute(tokens.update().where(tokens.c.id == token.id).values(used_ms=now_ms()))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
