"""Roles: what somebody may do, to everything or to one experiment or model.

Each role includes those before it. `none` sees nothing, `reader` reads, `writer` also logs and registers,
`admin` also deletes, renames and grants.
"""

from __future__ import annotations

from typing import Literal, get_args

from penstock.base.errors import Invalid

Role = Literal["none", "reader", "writer", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
Kind = Literal["experiment", "model"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def includes(role: Role, wanted: Role) -> bool:
    """Say whether a role allows what another allows.

    Example:
        >>> includes("writer", "reader"), includes("reader", "writer")
        (True, False)
    """
    return ROLES.index(role) >= ROLES.index(wanted)


def parse_role(text: str) -> Role:
    """Return the role of a name.

    Raises:
        Invalid: there is none (`access.bad_role`).
    """
    for role in ROLES:
        if role == text:
            return role
    raise Invalid(
        f"there is no role {text!r}", code="access.bad_role", hint=f"roles are {', '.join(ROLES)}", role=text
    )
