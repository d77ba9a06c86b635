"""Who may call which method: whatever the credentials in the metadata allow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from penstock.access.scopes import Scope


class Admission(Protocol):
    """Decides whether credentials allow something."""

    def recall(self, authorization: str, scope: Scope, endpoint: str | None) -> str | None:
        """Return who was allowed this just now, without blocking; raises Unavailable as `admit`."""

    def admit(self, authorization: str, scope: Scope, endpoint: str | None) -> str:
        """Return who may do this.

        Args:
            authorization: the header or metadata of this name, empty without.
            endpoint: what it concerns, None for the process as a whole.

        Raises:
            Denied: the credentials are missing, wrong, or not enough.
            Unavailable: more requests came with them than may.
        """

    def hidden(self, authorization: str, endpoints: Iterable[str]) -> frozenset[str]:
        """Return the endpoints that who was admitted to the process as a whole may not see."""


class Doorkeeper:
    """Lets everybody in where nobody is asked, and else whom `admission` lets in."""

    def __init__(self, admission: Admission | None = None) -> None:
        self._admission = admission

    @property
    def is_open(self) -> bool:
        """Whether nobody is asked."""
        return self._admission is None

    def knows(self, authorization: str, scope: Scope, endpoint: str | None) -> bool:
        """Say whether this was allowed just now, without blocking; raises Unavailable as `admit`."""
        return self._admission is None or self._admission.recall(authorization, scope, endpoint) is not None

    def admit(self, authorization: str, scope: Scope, endpoint: str | None) -> None:
        """Return when the caller may do this.

        Raises:
            Denied: the caller may not.
            Unavailable: the caller sends too many requests.
        """
        if self._admission is not None:
            self._admission.admit(authorization, scope, endpoint)

    def hidden(self, authorization: str, endpoints: Iterable[str]) -> frozenset[str]:
        """Return the endpoints that the caller may not see."""
        return frozenset() if self._admission is None else self._admission.hidden(authorization, endpoints)
