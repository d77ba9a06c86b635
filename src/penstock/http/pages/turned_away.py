"""What a browser is answered that is not let through: a page to sign in at, which leads back to where one was.

Programs are answered as `http/auth.py` says. A form that came too late is not carried out later: who signs in sees its
preview again, with what was written in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from penstock.base.errors import Denied, PenstockError
from penstock.http.auth import SIGN_IN, TurnAway
from penstock.http.bodies import read_body
from penstock.http.pages.decisions.forms import MAX_BODY, MAX_REASON
from penstock.http.pages.problems import PROGRAM_PATHS, page_exception_handlers
from penstock.http.pages.render import Renderer

TOO_LATE = (
    "Nobody is signed in here any more, so nothing was changed. "
    "Sign in, and send the form once more: what you wrote is kept."
)


def build_turn_away(project_name: str, base: str = "") -> TurnAway:
    """Return what answers a browser without credentials, or while nobody can be asked who he is."""
    renderer = Renderer(project_name, base)
    show_problem = page_exception_handlers(project_name, base)[PenstockError]

    async def answer(request: Request, error: PenstockError) -> Response | None:
        if not isinstance(error, Denied):  # the store is away: signing in would not help
            return await show_problem(request, error)
        if request.method == "GET":
            query = str(request.url.query)
            place = _written(request.scope["path"]) + (f"?{query}" if query else "")
            return RedirectResponse(f"{base}{SIGN_IN}?next={quote(place, safe='')}", 303)
        if request.method != "POST" or request.url.path.startswith(PROGRAM_PATHS):
            return None
        try:
            sent = parse_qs((await read_body(request, MAX_BODY)).decode("utf-8", "replace"))
        except PenstockError:  # no form of ours is so large
            sent = {}
        place = place_again(request.scope["path"], {name: values[0] for name, values in sent.items()})
        return renderer.page("sign_in.html", 401, next=place, problem=TOO_LATE)

    return answer


def place_again(path: str, sent: Mapping[str, str]) -> str:
    """Return the page that a form was sent from, with what was written in it.

    Example:
        >>> place_again("/endpoints/delay/rollback", {"to": "3", "reason": "too slow", "revision": "4"})
        '/endpoints/delay/rollback?to=3&reason=too+slow'
        >>> place_again("/models/late/2/approve", {"comment": ""}), place_again("/sign-up", {})
        ('/models/late/2', '/')
    """
    section, verb = path.strip("/").partition("/")[0], path.rpartition("/")[2]
    kept = {
        ("endpoints", "rollback"): ("to", "reason"),
        ("endpoints", "promote"): ("reason",),
        ("models", "promote"): ("alias", "reason"),
        ("models", "approve"): ("comment",),
    }.get((section, verb))
    if kept is None:
        return "/"
    page = _written(path.removesuffix("/approve"))
    query = urlencode({name: sent[name][:MAX_REASON] for name in kept if sent.get(name)})
    return f"{page}?{query}" if query else page


def _written(path: str) -> str:
    """Return a path, which is read already, as an address writes it."""
    return quote(path, safe="/@")
