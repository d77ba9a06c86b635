"""Who a request comes from, and what he may do.

Without `--auth` nobody is asked: every request comes from `ANYBODY`, who may do everything.
"""

from __future__ import annotations

import shlex
from contextvars import ContextVar
from dataclasses import dataclass

import sqlalchemy as sa
from starlette.types import Scope

from penstock.access.grants import Access, own
from penstock.access.roles import Kind, Role, includes
from penstock.access.users import User
from penstock.base.errors import Denied

_KEY = "penstock.caller"
current_caller: ContextVar[Caller] = ContextVar("current_caller")
"""Who the request under way comes from, for what every page says."""


@dataclass(frozen=True)
class Caller:
    """Who asks: the name that the audit keeps, and the user, or None where nobody is asked."""

    actor: str
    user: User | None = None
    is_session: bool = False

    def may(self, connection: sa.Connection, kind: Kind, resource: str, role: Role = "reader") -> bool:
        """Say whether the caller has at least a role on one experiment (by id) or model (by name)."""
        return self.user is None or Access(connection, self.user).allows(kind, resource, role)

    def visible(
        self, connection: sa.Connection, kind: Kind, column: sa.ColumnElement[str]
    ) -> sa.ColumnElement[bool] | None:
        """Return the condition that keeps what the caller may read, or None where nothing is hidden."""
        return None if self.user is None else Access(connection, self.user).visible(kind, column)

    def require(self, connection: sa.Connection, kind: Kind, resource: str, role: Role) -> None:
        """Check a role on one experiment or model.

        Raises:
            Denied: the caller has less.
        """
        if self.user is not None and not self.may(connection, kind, resource, role):
            raise Denied(
                f"{self.user.name} may not do this: it needs the role {role} on {kind} {resource}",
                code="access.denied",
                hint=f"an admin can grant it: penstock user grant {shlex.quote(self.user.name)} {role} --{kind} {shlex.quote(resource)}",
            )

    def require_server(self, role: Role) -> None:
        """Check the user's role on the server as a whole.

        Raises:
            Denied: the caller has less.
        """
        if self.user is not None and not includes(self.user.role, role):
            raise Denied(
                f"{self.user.name} may not do this: it needs the role {role}",
                code="access.denied",
                hint=f"an admin can give it: penstock user modify {shlex.quote(self.user.name)} --role {role}",
            )

    def require_everything(self, connection: sa.Connection) -> None:
        """Check that the caller may read everything, for what shows several parts at once.

        Raises:
            Denied: something is hidden from the caller.
        """
        if self.user is not None and not Access(connection, self.user).reads_everything():
            raise Denied(
                f"{self.user.name} may not see this: it shows everything, and {self.user.name} may not read "
                "everything",
                code="access.denied",
                hint=f"penstock user show {shlex.quote(self.user.name)} lists what may be read",
            )

    def own(self, connection: sa.Connection, kind: Kind, resource: str) -> None:
        """Make the caller the owner of what he has just made."""
        if self.user is not None:
            own(connection, kind, resource, self.user.name)


ANYBODY = Caller("client")


def caller_of(scope: Scope) -> Caller:
    """Return who a request comes from."""
    caller: Caller = scope.get(_KEY, ANYBODY)
    return caller


def set_caller(scope: Scope, caller: Caller) -> None:
    """Note who a request comes from."""
    scope[_KEY] = caller
    current_caller.set(caller)
