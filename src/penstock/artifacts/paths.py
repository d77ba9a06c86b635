"""A path that a client wrote, made into one that may follow a prefix, or refused.

A path comes here decoded as often as it was encoded: once where it stood in an address, never where a program
passed it. It stays as it is then, so that `a%20b` and `a b` are two files; but what would climb if somebody
decoded it once more is refused, as what an attacker encoded twice.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

from penstock.base.errors import Invalid

MAX_PATH_BYTES = 900  # an S3 key has at most 1024, prefix included
MAX_NAME_BYTES = 255  # of one part, on every usual file system
MAX_DECODINGS = 10
_FORBIDDEN = re.compile("[\\x00-\\x1f\\x7f\\\\#\ufffd]")  # U+FFFD is what a decoder makes of broken UTF-8
_DRIVE = re.compile(r"[A-Za-z]:\Z")


class ArtifactRoot(NamedTuple):
    """The folder of one run or logged model, which holds its artifacts."""

    experiment: str
    kind: str
    owner: str

    @property
    def path(self) -> str:
        """The folder's path."""
        between = "models/" if self.kind == "model" else ""
        return f"{self.experiment}/{between}{self.owner}/artifacts"


def parse_path(text: str, *, inside: bool = False) -> str:
    """Return the plain path that a client's text means; empty for the root.

    Empty and `.` parts are dropped.

    Args:
        inside: whether it is read below a folder that is known already; a name with a colon may come first then.

    Raises:
        Invalid: it is absolute, climbs (`..`), names a drive or a scheme, or has a control character, a
            backslash, a `#`, broken UTF-8 or too many bytes (`artifacts.bad_path`).

    Example:
        >>> parse_path("1/r/artifacts/./a%20b/"), parse_path(""), parse_path("t:1.txt", inside=True)
        ('1/r/artifacts/a%20b', '', 't:1.txt')
    """
    problem = _problem(text, inside)
    if problem is None and "%" in text:
        problem = (
            "when its percent signs are decoded, " + hidden if (hidden := _hidden(text, inside)) else None
        )
    if problem is not None:
        raise bad_path(problem)
    return "/".join(_parts(text))


def _parts(text: str) -> list[str]:
    return [part for part in text.split("/") if part not in {"", "."}]


def _problem(text: str, inside: bool) -> str | None:
    """Return why a path is refused, or None."""
    if text.startswith("/"):
        return "it is absolute"
    character = _FORBIDDEN.search(text)
    if character is not None:
        return f"a name cannot hold {character.group()!a}"
    parts = _parts(text)
    if parts and (parts[0].endswith(":") if inside else ":" in parts[0]):
        return "it begins with a scheme or a drive (':')"
    if not all(_encode(part) for part in parts):
        return "a name is not UTF-8"
    for part in parts:
        if part.partition(";")[0].strip() in {".", ".."}:
            return "it climbs ('..')"
        if _DRIVE.match(part):
            return "it names a drive (':')"
        if len(_encode(part)) > MAX_NAME_BYTES:
            return f"a name has more than {MAX_NAME_BYTES} bytes"
    if len(_encode("/".join(parts))) > MAX_PATH_BYTES:
        return f"it has more than {MAX_PATH_BYTES} bytes"
    return None


def _hidden(text: str, inside: bool) -> str | None:
    """Return why what a path hides behind percent signs is refused, or None."""
    for _ in range(MAX_DECODINGS):
        decoded = unquote(text, errors="replace")
        if decoded == text:
            return None
        text = decoded
        problem = _problem(text, inside)
        if problem is not None:
            return problem
    return "there is no end to them"


def _encode(text: str) -> bytes:
    """Return a text's bytes; none for one with half a character."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return b""


def bad_path(reason: str = "") -> Invalid:
    """Make the error for a path that is refused; it does not repeat the path."""
    return Invalid(f"Invalid path: {reason}" if reason else "Invalid path", code="artifacts.bad_path")


def artifact_root_of(path: str) -> ArtifactRoot | None:
    """Return the artifact root that a plain path is or lies in, or None.

    Example:
        >>> artifact_root_of("1/models/m-2/artifacts/MLmodel")
        ArtifactRoot(experiment='1', kind='model', owner='m-2')
        >>> artifact_root_of("1/r2/secrets") is None
        True
    """
    match path.split("/"):
        case [experiment, "models", owner, "artifacts", *_]:
            return ArtifactRoot(experiment, "model", owner)
        case [experiment, owner, "artifacts", *_] if owner != "models":
            return ArtifactRoot(experiment, "run", owner)
    return None
