"""Ask for credentials: Basic and Bearer, as MLflow's client and browsers send them.

Every request is asked, whatever its path, before anything is looked up; only `/health`, `/version`, the page to sign
in at and what it looks like answer everybody, and routes that take narrow tokens ask by themselves (`http/told.py`). A
browser that signed in shows its session's cookie. What the caller may then do is checked where the request is
understood (`http/mlflow/dispatch`, `http/mlflow/files/access`) and, for pages and the product's own API, by
`ReadsEverything`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.access.credentials import Authenticator
from penstock.access.sessions import Sessions
from penstock.access.users import User
from penstock.base.errors import Denied, PenstockError
from penstock.base.store.database import Database
from penstock.http.caller import Caller, caller_of, set_caller
from penstock.http.mlflow.errors import response_for
from penstock.http.mlflow.files.multipart import PART_ROUTE

SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
PUBLIC = frozenset({"/health", "/version", SIGN_IN, SIGN_OUT})
STATIC = "/static/"
"""What a page to sign in at looks like is no secret."""
COOKIE = "penstock_session"
MAX_KNOWN = 1024
UPLOADER = Caller("upload", User(name="upload", role="none", created_ms=0, password_hash=None))
"""Who sends parts: nobody who may do anything else."""
TOLD = {
    "POST": re.compile(r"/api/penstock/v1/(observations|endpoints/[^/]+/feedback)"),
    "GET": re.compile(r"/api/penstock/v1/endpoints/[^/]+/current"),
}
SERVICE = Caller("service", User(name="service", role="none", created_ms=0, password_hash=None))
"""Who tells of the calls of a service; its route asks for the credentials, which may be a narrow token."""
CHALLENGE = {"WWW-Authenticate": 'Basic realm="penstock", charset="UTF-8"'}


TurnAway = Callable[[Request, PenstockError], Awaitable[Response | None]]
"""What a person at a browser is answered who is not let through; None for a request that no person made."""


class Authenticate:
    """Let nobody through whose credentials are missing or wrong; a browser without any is led to sign in.

    Args:
        turn_away: what answers a browser that sent no credentials (`pages/turned_away.py`).
    """

    def __init__(
        self, app: ASGIApp, authenticator: Authenticator, sessions: Sessions, turn_away: TurnAway
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._sessions = sessions
        self._turn_away = turn_away

    def _identify(self, authorization: str) -> Caller:
        bearer = self._authenticator.identify(authorization)
        if bearer.token is not None and bearer.token.scopes is not None:
            raise Denied(
                "this token opens serve processes only",
                code="access.narrow_token",
                hint=f"penstock token create {shlex.quote(bearer.user.name)} makes one for everything its user may",
            )
        return Caller(f"person:{bearer.user.name}", bearer.user)

    def _by_session(self, scope: Scope) -> Caller | None:
        cookie = Request(scope).cookies.get(COOKIE)
        user = self._sessions.find(cookie) if cookie else None
        return None if user is None else Caller(f"person:{user.name}", user, is_session=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 without valid credentials; else note who calls and pass on."""
        if scope["type"] == "http" and _is_part(scope):
            set_caller(scope, UPLOADER)
        elif scope["type"] == "http" and _is_told(scope):
            set_caller(scope, SERVICE)
        elif scope["type"] == "http" and not _is_public(scope):
            headers = Headers(scope=scope)
            given = headers.get("authorization", "")
            try:
                caller = None if given else await run_in_threadpool(self._by_session, scope)
                if caller is None:
                    caller = await run_in_threadpool(self._identify, given)
            except PenstockError as error:
                is_person = not given and "text/html" in headers.get("accept", "")
                told = await self._turn_away(Request(scope, receive), error) if is_person else None
                await (told or _refusal(scope["path"], error))(scope, receive, send)
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


def _is_public(scope: Scope) -> bool:
    path = str(scope["path"])
    return path in PUBLIC or (scope["method"] in {"GET", "HEAD"} and path.startswith(STATIC))


def _is_part(scope: Scope) -> bool:
    """Say whether a request sends a part of an upload: MLflow's client sends no credentials with it.

    The upload's own secret stands in for them, and only who may write there was told it.
    """
    return bool(scope["method"] == "PUT" and scope["path"].startswith(f"{PART_ROUTE}/"))


def _is_told(scope: Scope) -> bool:
    """Say whether a request is a service's, whose credentials its own route asks for."""
    path = TOLD.get(scope["method"])
    return path is not None and path.fullmatch(scope["path"]) is not None


def _refusal(path: str, error: PenstockError) -> Response:
    answer = response_for(path, error)
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        answer.headers.update(CHALLENGE)
    return answer
