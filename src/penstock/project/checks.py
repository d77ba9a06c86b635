"""What is known of one part of a project: fit, not set up, or wrong. What `doctor` and `ci lint` print."""

from __future__ import annotations

from typing import Literal, NamedTuple

State = Literal["ok", "missing", "broken"]
"""`missing`: a part is not set up, the others work; `broken`: what is set up does not work."""


class Check(NamedTuple):
    """What is known of one part, and the command that mends it."""

    part: str
    state: State
    sentence: str
    hint: str | None = None
