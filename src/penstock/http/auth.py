"""Ask for credentials: Basic and Bearer, as MLflow's client and browsers send them.

Every request is asked, whatever its path, before anything is looked up; only `/health` and `/version` answer
everybody. What the caller may then do is checked where the request is understood (`http/mlflow/dispatch`,
`http/mlflow/files/access`) and, for pages and the product's own API, by `ReadsEverything`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections import OrderedDict
from http import HTTPStatus
from threading import Lock

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.access.passwords import is_password
from penstock.access.tokens import PREFIX, find_owner
from penstock.access.users import User, find_user
from penstock.base.errors import Denied, PenstockError
from penstock.base.store.database import Database
from penstock.http.caller import Caller, caller_of, set_caller
from penstock.http.mlflow.errors import response_for
from penstock.http.mlflow.files.multipart import PART_ROUTE

PUBLIC = frozenset({"/health", "/version"})
MAX_KNOWN = 1024
UPLOADER = Caller("upload", User(name="upload", role="none", created_ms=0, password_hash=None))
"""Who sends parts: nobody who may do anything else."""
CHALLENGE = {"WWW-Authenticate": 'Basic realm="penstock", charset="UTF-8"'}


class Authenticator:
    """Finds the user that a request's credentials belong to. Thread-safe.

    A password that was right is remembered, together with the hash it matched, by a digest under a key of this
    process; so the slow check is done once, and a changed password or a removed user counts at once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._lock = Lock()

    def identify(self, headers: Headers) -> Caller:
        """Return the caller.

        Raises:
            Denied: credentials are missing (`auth.required`) or wrong (`auth.wrong`).
        """
        header = headers.get("authorization", "")
        scheme, _, value = header.partition(" ")
        if not header:
            raise Denied(
                "this server asks who you are",
                code="auth.required",
                hint="set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
            )
        user = None
        if scheme.lower() == "bearer":
            user = self._by_token(value.strip())
        elif scheme.lower() == "basic":
            user = self._by_pair(value.strip())
        if user is None:
            raise Denied(
                "the user, password or token is wrong",
                code="auth.wrong",
                hint="penstock token create NAME makes a new token",
            )
        return Caller(f"person:{user.name}", user)

    def _by_token(self, token: str) -> User | None:
        with self._database.read() as connection:
            return find_owner(connection, token)

    def _by_pair(self, encoded: str) -> User | None:
        try:
            name, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return None
        if not colon or "\0" in name:
            return None
        if password.startswith(PREFIX):
            owner = self._by_token(password)
            return owner if owner is not None and name in {"", owner.name} else None
        with self._database.read() as connection:
            user = find_user(connection, name)
        kept = None if user is None else user.password_hash
        mark = hmac.digest(self._key, f"{name}\0{kept}\0{password}".encode(), hashlib.sha256)
        if kept is not None and mark in self._known:
            return user
        if not is_password(kept, password):
            return None
        with self._lock:
            self._known[mark] = None
            while len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        return user


class Authenticate:
    """Let nobody through whose credentials are missing or wrong."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 without valid credentials; else note who calls and pass on."""
        if scope["type"] == "http" and _is_part(scope):
            set_caller(scope, UPLOADER)
        elif scope["type"] == "http" and scope["path"] not in PUBLIC:
            try:
                caller = await run_in_threadpool(self._authenticator.identify, Headers(scope=scope))
            except PenstockError as error:
                await _refusal(scope["path"], error)(scope, receive, send)
                return
            set_caller(scope, caller)
        await self._app(scope, receive, send)


class ReadsEverything:
    """Let only those through from whom nothing is hidden."""

    def __init__(self, app: ASGIApp, database: Database) -> None:
        self._app = app
        self._database = database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or raise what denies."""
        caller = caller_of(scope)
        if caller.user is not None:
            await run_in_threadpool(self._check, caller)
        await self._app(scope, receive, send)

    def _check(self, caller: Caller) -> None:
        with self._database.read() as connection:
            caller.require_everything(connection)


def _is_part(scope: Scope) -> bool:
    """Say whether a request sends a part of an upload: MLflow's client sends no credentials with it.

    The upload's own secret stands in for them, and only who may write there was told it.
    """
    return bool(scope["method"] == "PUT" and scope["path"].startswith(f"{PART_ROUTE}/"))


def _refusal(path: str, error: PenstockError) -> Response:
    answer = response_for(path, error)
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        answer.headers.update(CHALLENGE)
    return answer
