"""A path that a client wrote, made into one that may follow a prefix, or refused.

Decoding is repeated until nothing changes, as MLflow does, so that what an attacker encoded twice is seen for
what it is and what a client lists is what it can ask for.
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
_DRIVE = re.compile(r"[A-Za-z]:")


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


def parse_path(text: str) -> str:
    """Return the plain path that a client's text means; empty for the root.

    Empty and `.` parts are dropped.

    Raises:
        Invalid: it is absolute, climbs (`..`), names a drive or a scheme, or has a control character, a
            backslash, a `#`, broken UTF-8 or too many bytes (`artifacts.bad_path`).

    Example:
        >>> parse_path("1/r/artifacts/./a%20b/"), parse_path("")
        ('1/r/artifacts/a b', '')
    """
    text = _decode(text)
    parts = [part for part in text.split("/") if part not in {"", "."}]
    if text.startswith("/") or _FORBIDDEN.search(text) or (parts and ":" in parts[0]):
        raise bad_path()
    for part in parts:
        is_climb = part.partition(";")[0].strip() in {".", ".."}
        if is_climb or _DRIVE.match(part) or len(_encode(part)) > MAX_NAME_BYTES:
            raise bad_path()
    path = "/".join(parts)
    if len(_encode(path)) > MAX_PATH_BYTES:
        raise bad_path()
    return path


def _decode(text: str) -> str:
    for _ in range(MAX_DECODINGS):
        try:
            decoded = unquote(text, errors="strict")
        except UnicodeDecodeError:
            raise bad_path() from None
        if decoded == text:
            return text
        text = decoded
    raise bad_path()


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise bad_path() from None


def bad_path() -> Invalid:
    """Make the error for a path that is refused; it does not repeat the path."""
    return Invalid("Invalid path", code="artifacts.bad_path")


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
