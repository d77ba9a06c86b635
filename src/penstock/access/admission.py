"""Who may do what with a serve process: a user's role brings scopes, a token may narrow them.

What was allowed is remembered for a second, so that a flood of predictions is not one of look-ups; what is revoked
counts after that second at the latest. What concerns a process as a whole is told without the endpoints on whose model
the caller has the role `none`. While the store is away nobody can be looked up, and nobody revoked: who was allowed
something shortly before still is.
"""

from __future__ import annotations

import hashlib
import secrets
import shlex
import time
from collections.abc import Callable, Iterable
from threading import Lock
from typing import NamedTuple

from penstock.access.credentials import Authenticator
from penstock.access.grants import Access
from penstock.access.rates import Rates
from penstock.access.scopes import SCOPES_OF_ROLE, Scope
from penstock.base.clock import now_ms
from penstock.base.errors import Denied, Unavailable
from penstock.base.store.database import Database

REMEMBERED_S = 1.0
REMEMBERED_COUNT = 4096
AWAY_S = 600.0
"""So long after it was looked up something stays allowed while the store is away."""
_Key = tuple[bytes, Scope, str | None]


class _Allowed(NamedTuple):
    """What was allowed: until when it holds without a look, when it was looked at last, to whom, counted as what, and
    when the token ends."""

    until_s: float
    looked_s: float
    name: str
    caller: str
    ends_ms: int | None


class _Hidden(NamedTuple):
    """What was hidden from somebody, of which endpoints, and when it was looked at last."""

    looked_s: float
    of: frozenset[str]
    endpoints: frozenset[str]


class Admission:
    """See the module. Thread-safe.

    Args:
        model_of: the model of an endpoint, whose grants hold for the endpoint; None for an endpoint unknown.
        clock_s: a clock that never goes back.
        rates: what each caller may send a second; None for as much as it wants.
    """

    def __init__(
        self,
        database: Database,
        model_of: Callable[[str], str | None],
        clock_s: Callable[[], float] = time.monotonic,
        rates: Rates | None = None,
    ) -> None:
        self._database = database
        self._model_of = model_of
        self._clock_s = clock_s
        self._rates = rates
        self._authenticator = Authenticator(database)
        self._salt = secrets.token_bytes(16)
        self._allowed: dict[_Key, _Allowed] = {}
        self._hidden: dict[bytes, _Hidden] = {}
        self._lock = Lock()

    def recall(self, authorization: str, scope: Scope, endpoint: str | None) -> str | None:
        """Return who was allowed this within the last second; None says nothing. Never blocks.

        Raises:
            Unavailable: the caller sends more than its rate (`serving.rate_exceeded`).
        """
        found = self._allowed.get(self._key(authorization, scope, endpoint))
        if found is None or found.until_s <= self._clock_s():
            return None
        self._count(found.caller)
        return found.name

    def give_back(self, authorization: str, scope: Scope, endpoint: str | None) -> None:
        """Take back that a request was counted by `recall`: it is asked about once more."""
        found = self._allowed.get(self._key(authorization, scope, endpoint))
        if found is not None and self._rates is not None:
            self._rates.give_back(found.caller)

    def _count(self, caller: str) -> None:
        if self._rates is not None:
            self._rates.take(caller)

    def admit(self, authorization: str, scope: Scope, endpoint: str | None) -> str:
        """Return the name of the user whose credentials allow this.

        Args:
            authorization: the header or metadata of this name, empty without.
            endpoint: what it concerns, None for the process as a whole.

        Raises:
            Denied: the credentials are missing or wrong (`auth.required`, `auth.wrong`), or not enough.
            Unavailable: the caller sends more than its rate (`serving.rate_exceeded`), or the store is away and the caller was
                not allowed this shortly before.
        """
        known = self.recall(authorization, scope, endpoint)
        if known is not None:
            return known
        key = self._key(authorization, scope, endpoint)
        looked_s = self._clock_s()
        try:
            name, caller, ends_ms = self._look(authorization, scope, endpoint)
        except Denied:
            with self._lock:
                self._allowed.pop(key, None)
            raise
        except Unavailable:
            before = self._allowed.get(key)
            if before is None or before.looked_s + AWAY_S <= looked_s or _is_over(before.ends_ms):
                raise
            name, caller, looked_s, ends_ms = before.name, before.caller, before.looked_s, before.ends_ms
        with self._lock:
            if len(self._allowed) >= REMEMBERED_COUNT:
                self._allowed.clear()
            self._allowed[key] = _Allowed(self._clock_s() + REMEMBERED_S, looked_s, name, caller, ends_ms)
        self._count(caller)
        return name

    def hidden(self, authorization: str, endpoints: Iterable[str]) -> frozenset[str]:
        """Return the endpoints that who was admitted to the process as a whole may not see: `none` holds on their model.

        Raises:
            Denied: the credentials are missing or wrong.
            Unavailable: the store is away, and these endpoints were not looked at shortly before.
        """
        mark, asked, now_s = self._mark(authorization), frozenset(endpoints), self._clock_s()
        before = self._hidden.get(mark)
        try:
            found = self._look_for_hidden(authorization, asked)
        except Unavailable:
            if before is None or before.looked_s + AWAY_S <= now_s or not asked <= before.of:
                raise
            return before.endpoints & asked
        with self._lock:
            if len(self._hidden) >= REMEMBERED_COUNT:
                self._hidden.clear()
            self._hidden[mark] = _Hidden(now_s, asked, found)
        return found

    def _look_for_hidden(self, authorization: str, asked: frozenset[str]) -> frozenset[str]:
        user = self._authenticator.identify(authorization).user
        with self._database.read() as connection:
            if Access(connection, user).reads_everything():
                return frozenset()
        models = {name: self._model_of(name) for name in asked}
        with self._database.read() as connection:
            access = Access(connection, user)
            unseen = {
                model
                for model in models.values()
                if model is not None and not access.allows("model", model, "reader")
            }
        return frozenset(name for name, model in models.items() if model in unseen)

    def _look(self, authorization: str, scope: Scope, endpoint: str | None) -> tuple[str, str, int | None]:
        """Return whose credentials allow this, by the user's name and as what is counted, and when the token ends.

        Raises:
            Denied: they do not.
            Unavailable: the store cannot be reached.
        """
        bearer = self._authenticator.identify(authorization)
        name, place = bearer.user.name, f" on {endpoint}" if endpoint else ""
        if bearer.token is not None and not bearer.token.covers(scope, endpoint):
            raise Denied(
                f"this token may not do this: it lacks the scope {scope}{place}",
                code="access.denied",
                hint=f"penstock token create {shlex.quote(name)} --scope {scope}"
                + (f" --endpoint {endpoint}" if endpoint else ""),
            )
        model = None if endpoint is None else self._model_of(endpoint)
        with self._database.read() as connection:
            role = bearer.user.role if model is None else Access(connection, bearer.user).role("model", model)
        if scope not in SCOPES_OF_ROLE[role]:
            needed = next(one for one, scopes in SCOPES_OF_ROLE.items() if scope in scopes)
            raise Denied(
                f"{name} may not do this: the scope {scope}{place} needs the role {needed}",
                code="access.denied",
                hint=f"an admin can grant it: penstock user grant {shlex.quote(name)} {needed} --model {shlex.quote(model)}"
                if model
                else f"an admin can give it: penstock user modify {shlex.quote(name)} --role {needed}",
            )
        if bearer.token is None:
            return name, f"user {name}", None
        return name, f"token {bearer.token.id}", bearer.token.expires_ms

    def _key(self, authorization: str, scope: Scope, endpoint: str | None) -> _Key:
        return self._mark(authorization), scope, endpoint

    def _mark(self, authorization: str) -> bytes:
        return hashlib.blake2b(authorization.encode(), key=self._salt, digest_size=16).digest()


def _is_over(ends_ms: int | None) -> bool:
    return ends_ms is not None and ends_ms <= now_ms()
