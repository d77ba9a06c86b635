"""Signing in and out at a page, where the server asks who you are; programs send credentials with each request."""

from __future__ import annotations

import base64
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from penstock.access.credentials import Authenticator
from penstock.access.sessions import LONGEST_S, Sessions
from penstock.base.errors import Denied
from penstock.http.auth import COOKIE, SIGN_IN, SIGN_OUT
from penstock.http.bodies import read_body
from penstock.http.pages.render import Renderer
from penstock.http.pages.telling.formatting import cut

MAX_BODY = 10_000


def sign_in_routes(
    project_name: str, authenticator: Authenticator, sessions: Sessions, base: str = ""
) -> list[Route]:
    """Return the routes of the two; they ask for no credentials, and refuse forms of other sites like all others."""
    renderer = Renderer(project_name, base)

    async def sign_in(request: Request) -> Response:
        """GET asks; POST begins a session, or asks again."""
        if request.method != "POST":
            wanted = request.query_params.get("next", "/")
            place = safe_place(wanted)
            problem = (
                ""
                if wanted in {"", place}
                else f"You will come to the overview: {cut(wanted, 60)!r} is no page here."
            )
            return renderer.page("sign_in.html", next=place, problem=problem)
        form = parse_qs(
            (await read_body(request, MAX_BODY)).decode("utf-8", "replace"), keep_blank_values=True
        )
        name, password, place = (form.get(field, [""])[0] for field in ("name", "password", "next"))
        pair = base64.b64encode(f"{name}:{password}".encode()).decode()
        try:
            bearer = await run_in_threadpool(authenticator.identify, f"Basic {pair}")
            if bearer.token is not None and bearer.token.scopes is not None:
                raise Denied("this token opens serve processes only", code="access.narrow_token")
        except Denied as error:
            return renderer.page("sign_in.html", 401, next=safe_place(place), problem=error.message)
        sessions.end(request.cookies.get(COOKIE, ""))  # nobody is two people in one browser
        answer = RedirectResponse(f"{base}{safe_place(place)}", 303)
        answer.set_cookie(
            COOKIE,
            sessions.begin(bearer.user, password if bearer.token is not None else ""),
            max_age=int(LONGEST_S),
            path=base or "/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )
        return answer

    async def sign_out(request: Request) -> Response:
        """End the session of the browser that asks."""
        sessions.end(request.cookies.get(COOKIE, ""))
        answer = RedirectResponse(f"{base}{SIGN_IN}", 303)
        answer.delete_cookie(COOKIE, path=base or "/")
        return answer

    return [
        Route(SIGN_IN, sign_in, methods=["GET", "POST"]),
        Route(SIGN_OUT, sign_out, methods=["POST"]),
    ]


def safe_place(text: str) -> str:
    """Return a path of this server, whatever a link asked for.

    Example:
        >>> safe_place("/runs?order=x"), safe_place("//evil.example"), safe_place("https://evil.example")
        ('/runs?order=x', '/', '/')
    """
    is_ours = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()
    return text if is_ours and not text.startswith((SIGN_IN, SIGN_OUT)) else "/"
