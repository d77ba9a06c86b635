"""Scopes: what somebody may do with a serve process, and which role brings which.

A role brings scopes; a token may be narrowed to some of them, for all endpoints or for named ones. It then opens
serve processes only, never the tracking server.
"""

from __future__ import annotations

from typing import Literal, get_args

from penstock.access.roles import Role
from penstock.base.errors import Invalid

Scope = Literal["infer", "feedback", "load", "metrics"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
SCOPES_OF_ROLE: dict[Role, frozenset[Scope]] = {
    "none": frozenset(),
    "reader": frozenset({"infer", "metrics"}),
    "writer": frozenset({"infer", "metrics", "feedback"}),
    "admin": frozenset(SCOPES),
}
"""Labels can bring about a rollback, so reading does not include them."""


def parse_scope(text: str) -> Scope:
    """Return the scope of a name.

    Raises:
        Invalid: there is none (`access.bad_scope`).
    """
    for scope in SCOPES:
        if scope == text:
            return scope
    raise Invalid(
        f"there is no scope {text!r}",
        code="access.bad_scope",
        hint=f"scopes are {', '.join(SCOPES)}",
        scope=text,
    )
