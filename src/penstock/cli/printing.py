"""Texts that others wrote, made fit to stand in one line of a terminal; and checks, a line each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.project.checks import Check

STATE_MARKS = {"ok": "ok", "missing": "--", "broken": "!!"}

# C0 and C1 controls, which move the cursor or end a line; the marks that turn the direction of writing;
# halves of characters, which no stream can encode
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def one_line(text: object) -> str:
    r"""Return a text with what a terminal would obey escaped.

    Example:
        >>> one_line("a\tb\x1b[2J")
        'a\\tb\\x1b[2J'
    """
    return _UNFIT.sub(lambda found: found.group().encode("unicode_escape").decode(), str(text))


def render_checks(checks: Sequence[Check]) -> str:
    """Return a line for each check: its mark, its part, what is known; below, the command that mends it."""
    width = max((len(check.part) for check in checks), default=0)
    lines = []
    for check in checks:
        lines.append(f"{STATE_MARKS[check.state]}  {check.part.ljust(width)}  {one_line(check.sentence)}")
        if check.hint and check.state != "ok":
            lines.append(f"{' ' * (width + 6)}{check.hint}")
    return "\n".join(lines)
