"""What a form of a page sends. Whether it comes from a page of ours is checked before (`http/hosts.py`)."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.requests import Request

from penstock.base.errors import Invalid
from penstock.http.bodies import read_body
from penstock.http.caller import ANYBODY, caller_of

MAX_BODY = 10_000
MAX_REASON = 500


async def read_form(request: Request, *names: str) -> dict[str, str]:
    """Return the first value of each named field, empty where it was not sent."""
    form = parse_qs((await read_body(request, MAX_BODY)).decode("utf-8", "replace"))
    return {name: form.get(name, [""])[0].strip() for name in names}


def whole_number(text: str, what: str) -> int:
    """Return the number that a field says.

    Raises:
        Invalid: it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Invalid(f"{what} is a whole number, not {text[:40]!r}", code="http.bad_parameter")
    return int(text)


def actor_of(request: Request) -> str:
    """Return who clicked, as the audit names it; `page` where nobody is asked who he is."""
    actor = caller_of(request.scope).actor
    return actor if actor != ANYBODY.actor else "page"
