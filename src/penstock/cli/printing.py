"""Texts that others wrote, made fit to stand in one line of a terminal."""

from __future__ import annotations

import re

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
