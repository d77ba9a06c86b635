r"""Git's patterns as git matches them: one line of an ignore file to a function of a path's bytes.

Differs from a glob of Python's in all corners: `**` only counts as whole component, or right behind the text before
the first wildcard; `[!a]`, `[^a]`, ranges, `[[:alpha:]]` (of ASCII) and `\` inside of sets; what can never match
(a lone backslash at the end, an open set, a class that is none) is no error. Names are bytes: `?` is one byte.

Source: git, wildmatch.c and dir.c (`parse_path_pattern`, `match_basename`, `match_pathname`), and gitignore(5).
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable

Match = Callable[[bytes], bool]
_SPECIAL = frozenset(b"*?[\\")
_NEVER = rb"(?!)"
_CLASSES = {
    b"alnum": string.ascii_letters + string.digits,
    b"alpha": string.ascii_letters,
    b"blank": " \t",
    b"cntrl": "".join(map(chr, (*range(32), 127))),
    b"digit": string.digits,
    b"graph": "".join(map(chr, range(33, 127))),
    b"lower": string.ascii_lowercase,
    b"print": "".join(map(chr, range(32, 127))),
    b"punct": string.punctuation,
    b"space": " \t\n\r",
    b"upper": string.ascii_uppercase,
    b"xdigit": string.hexdigits,
}


def match_name(pattern: bytes) -> Match:
    """Return the test of a pattern without a slash, for a name without one."""
    plain = _plain_length(pattern)
    if plain == len(pattern):
        return pattern.__eq__
    if pattern[:1] == b"*" and _plain_length(pattern[1:]) == len(pattern) - 1:
        ending = pattern[1:]
        return lambda name: name.endswith(ending)
    return _compiled(_to_regex(pattern, in_path=False))


def match_path(pattern: bytes) -> Match:
    """Return the test of a pattern with a slash, for a path below the file's directory."""
    body = pattern.removeprefix(b"/")
    plain = _plain_length(body)
    if plain == len(body):
        return body.__eq__
    return _compiled(re.escape(body[:plain]) + _to_regex(body[plain:], in_path=True))


def _plain_length(pattern: bytes) -> int:
    return next((at for at, byte in enumerate(pattern) if byte in _SPECIAL), len(pattern))


def _compiled(regex: bytes) -> Match:
    test = re.compile(regex, re.DOTALL).fullmatch
    return lambda name: test(name) is not None


def _to_regex(pattern: bytes, *, in_path: bool) -> bytes:
    """Return what a pattern from its first wildcard on means, as a regular expression of bytes."""
    made, at = [], 0
    inside = rb"[^/]" if in_path else rb"."
    while at < len(pattern):
        byte = pattern[at : at + 1]
        if byte == b"*":
            end = at
            while pattern[end : end + 1] == b"*":
                end += 1
            part, at = _stars(pattern, at, end, inside) if in_path else (rb".*", end)
        elif byte == b"?":
            part, at = inside, at + 1
        elif byte == b"[":
            part, at = _set(pattern, at + 1, in_path=in_path)
        elif byte == b"\\":
            part, at = (re.escape(pattern[at + 1 : at + 2]) or _NEVER), at + 2
        else:
            part, at = re.escape(byte), at + 1
        made.append(part)
    return b"".join(made)


def _stars(pattern: bytes, start: int, end: int, inside: bytes) -> tuple[bytes, int]:
    """Return what a run of stars in a path means, and where the pattern goes on."""
    is_component = start == 0 or pattern[start - 1 : start] == b"/"
    rest = pattern[end:]
    if end - start < 2 or not is_component or not (rest[:1] in {b"", b"/"} or rest[:2] == b"\\/"):
        return inside + rb"*", end
    if rest[:1] == b"/":
        return rb"(?:.*/)?", end + 1
    return rb".*", end


def _set(pattern: bytes, at: int, *, in_path: bool) -> tuple[bytes, int]:
    """Return what a set means, from behind its bracket, and where the pattern goes on; an open one never matches."""
    negated = pattern[at : at + 1] in {b"!", b"^"}
    at += negated
    chosen: set[int] = set()
    before = 0  # the byte that a range may start from
    first = True
    while first or pattern[at : at + 1] != b"]":
        first = False
        member = _member(pattern, at, before)
        if member is None:
            return _NEVER, len(pattern)
        more, before, at = member
        chosen |= more
    allowed = (set(range(256)) - chosen) if negated else chosen
    allowed -= {0x2F} if in_path else set()
    listed = b"".join(re.escape(bytes([byte])) for byte in sorted(allowed))
    return (b"[" + listed + b"]" if listed else _NEVER), at + 1


def _member(pattern: bytes, at: int, before: int) -> tuple[set[int], int, int] | None:
    """Return the bytes that one member of a set adds, where a range may start from now, and where the set goes on.

    None where the set can never match.
    """
    byte, ahead = pattern[at : at + 1], pattern[at + 1 : at + 2]
    if byte == b"-" and before and ahead not in {b"", b"]"}:
        at += 1 + (ahead == b"\\")
        return (set(range(before, pattern[at] + 1)), 0, at + 1) if at < len(pattern) else None
    if byte == b"[" and ahead == b":":
        close = pattern.find(b"]", at + 2)
        if close < 0:
            return None
        if close - at >= 3 and pattern[close - 1 : close] == b":":  # else it is no class after all
            members = _CLASSES.get(pattern[at + 2 : close - 1])
            return (set(map(ord, members)), 0, close + 1) if members is not None else None
    if byte == b"\\":
        at, byte = at + 1, ahead
    return ({byte[0]}, byte[0], at + 1) if byte else None
