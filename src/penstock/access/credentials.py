"""Credentials as clients send them, Basic and Bearer, and whom they stand for."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections import OrderedDict
from concurrent.futures import Future
from threading import Lock

from penstock.access.passwords import is_password
from penstock.access.tokens import PREFIX, Bearer, Token, find_bearer, note_use
from penstock.access.users import find_user
from penstock.base.clock import now_ms
from penstock.base.errors import Denied, PenstockError
from penstock.base.store.database import Database
from penstock.base.threads import begin

MAX_KNOWN = 1024
NOTED_MS = 3_600_000
AGAIN_MS = 60_000
"""After this long what could not be noted is tried again."""


class Authenticator:
    """Finds the user that a request's credentials belong to. Thread-safe.

    A password that was right is remembered, together with the hash it matched, by a digest under a key of this
    process; so the slow check is done once, and a changed password or a removed user counts at once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._noted: dict[str, int] = {}
        self._noting: Future[None] | None = None
        self._lock = Lock()

    def identify(self, authorization: str) -> Bearer:
        """Return whom the credentials of an `Authorization` header stand for.

        Raises:
            Denied: credentials are missing (`auth.required`), wrong (`auth.wrong`) or of a token that ended (`auth.expired`).
        """
        scheme, _, value = authorization.partition(" ")
        if not authorization:
            raise Denied(
                "this server asks who you are",
                code="auth.required",
                hint="set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
            )
        bearer = None
        if scheme.lower() == "bearer":
            bearer = self._by_token(value.strip())
        elif scheme.lower() == "basic":
            bearer = self._by_pair(value.strip())
        if bearer is None:
            raise Denied(
                "the user, password or token is wrong",
                code="auth.wrong",
                hint="penstock token create NAME makes a new token",
            )
        return bearer

    def _by_token(self, token: str) -> Bearer | None:
        with self._database.read() as connection:
            bearer = find_bearer(connection, token)
        if bearer is not None and bearer.token is not None:
            self._note_use(bearer.token)
        return bearer

    def _note_use(self, token: Token) -> None:
        """Note the use once an hour, beside the request: nobody who asks waits for another who writes."""
        last_ms, time_ms = max(token.used_ms or 0, self._noted.get(token.id, 0)), now_ms()
        if time_ms - last_ms < NOTED_MS:
            return
        with self._lock:
            if self._noting is not None and not self._noting.done():
                return
            if len(self._noted) >= MAX_KNOWN:
                self._noted.clear()
            self._noted[token.id] = time_ms
            self._noting = begin("penstock-token-use", lambda: self._write_use(token, time_ms))

    def _write_use(self, token: Token, time_ms: int) -> None:
        """Note a use; a store that takes no writes now says so where something has to be written."""
        try:
            with self._database.write() as connection:
                note_use(connection, token)
        except PenstockError:
            self._noted[token.id] = time_ms - NOTED_MS + AGAIN_MS

    def _by_pair(self, encoded: str) -> Bearer | None:
        try:
            name, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return None
        if not colon or "\0" in name:
            return None
        if password.startswith(PREFIX):
            owner = self._by_token(password)
            return owner if owner is not None and name in {"", owner.user.name} else None
        with self._database.read() as connection:
            known = find_user(connection, name)
        kept = None if known is None else known.password_hash
        mark = hmac.digest(self._key, f"{name}\0{kept}\0{password}".encode(), hashlib.sha256)
        if known is not None and kept is not None and mark in self._known:
            return Bearer(known)
        if not is_password(kept, password) or known is None:
            return None
        with self._lock:
            self._known[mark] = None
            while len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        return Bearer(known)
