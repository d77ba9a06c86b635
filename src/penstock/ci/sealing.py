"""A written file that tells whether anybody edited it since: its second line has the digest of all the others.

It is no protection: who edits the file can write another digest. It is there so that `ci init` may replace its own.
"""

from __future__ import annotations

import re

from penstock.base.digest import digest_bytes

_LINE = re.compile(r"^(?:#|//) Digest of the other lines: ([0-9a-f]{64})\n", re.MULTILINE)


def seal_text(text: str) -> str:
    """Return a text, whose first line is a comment, with its digest as the second one."""
    first, _, rest = text.partition("\n")
    return f"{first}\n{first.split(' ')[0]} Digest of the other lines: {digest_bytes(text.encode())}\n{rest}"


def is_unedited(text: str) -> bool:
    """Return whether a text is one of `seal_text`, byte by byte."""
    found = _LINE.search(text)
    if found is None:
        return False
    return digest_bytes((text[: found.start()] + text[found.end() :]).encode()) == found[1]
