"""Sessions of people who signed in at a page: kept in the memory of one process, and over after a while.

A session is 256 random bits in a cookie; only their digest is kept. It ends when its user signs out, is idle for an
hour, after twelve hours, with a changed password or a revoked token, with the user, and with the process.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from threading import Lock

import sqlalchemy as sa

from penstock.access.tokens import find_bearer
from penstock.access.users import User, find_user
from penstock.base.errors import Denied
from penstock.base.store.database import Database

IDLE_S, LONGEST_S = 3600.0, 43_200.0
MOST = 4096


@dataclass(frozen=True)
class _Session:
    name: str
    password_hash: str | None
    token: str
    begun_s: float
    used_s: float


class Sessions:
    """Who signed in. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._open: OrderedDict[bytes, _Session] = OrderedDict()
        self._lock = Lock()

    def begin(self, user: User, token: str = "") -> str:
        """Return what a browser shows from now on to be this user.

        Args:
            token: what was given in place of a password; it must go on to be one of the user's.
        """
        secret, now_s = secrets.token_urlsafe(32), time.monotonic()
        with self._lock:
            self._open[_digest(secret)] = _Session(user.name, user.password_hash, token, now_s, now_s)
            while len(self._open) > MOST:
                self._open.popitem(last=False)
        return secret

    def find(self, secret: str) -> User | None:
        """Return the user of a session that goes on, as the store has the user now; or None."""
        key, now_s = _digest(secret), time.monotonic()
        with self._lock:
            known = self._open.get(key)
            if known is None:
                return None
            if now_s - known.used_s > IDLE_S or now_s - known.begun_s > LONGEST_S:
                del self._open[key]
                return None
            self._open[key] = replace(known, used_s=now_s)
        with self._database.read() as connection:
            user = find_user(connection, known.name)
            is_revoked = bool(known.token) and not _is_valid(connection, known.token)
        if user is None or is_revoked or user.password_hash != known.password_hash:
            self.end(secret)
            return None
        return user

    def end(self, secret: str) -> None:
        """End a session; nothing happens when there is none."""
        with self._lock:
            self._open.pop(_digest(secret), None)


def _is_valid(connection: sa.Connection, token: str) -> bool:
    try:
        return find_bearer(connection, token) is not None
    except Denied:
        return False


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
