"""The error tree: causes, not parts.

Two tables elsewhere turn a cause into an exit code (`penstock.cli.output`) and an HTTP status
(`penstock.http.errors`); nothing here knows either.
"""

from __future__ import annotations

import errno
import os
import re
import shlex

_STACK = re.compile(
    r"^\s*(?:stack ?trace|traceback \(most recent|\[bt\]|c\+\+ exception with)", re.IGNORECASE | re.MULTILINE
)
NO_ROOM_BYTES = 64 << 10
READ_CHARACTERS = 4000
"""Of what foreign code says, so much is looked at."""
_PATH = re.compile(
    r"(?<![\w:/.~-])(?P<top>(?P<drive>[A-Za-z]:)?[/\\][\w.+@~-]+)(?:[/\\][\w.+@~-]+)*[/\\](?=[\w.+@~-])"
)
_LINE = re.compile(r"[\w+@~-]+(?:\.\w+)+:\d")


class PenstockError(Exception):
    """Something went wrong that a user can understand and act on.

    Args:
        message: one sentence that names the thing it concerns.
        code: stable dotted name of the case, `part.case`, for programs.
        hint: the next command to try, or what to change.
        fields: what it concerns (path, line, name), for `--json`.
    """

    def __init__(self, message: str, *, code: str, hint: str | None = None, **fields: object) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint
        self.fields = fields


class NotFound(PenstockError):
    """What was named does not exist."""


class NotARepository(NotFound):
    """The directory is not inside a penstock (DVC) repository."""


class Conflict(PenstockError):
    """Somebody else holds it, or it changed since the plan was made."""


class Invalid(PenstockError):
    """The input is wrong: a setting, a file, a request."""


class Corrupt(PenstockError):
    """Stored bytes do not match their digest or format."""


class Unavailable(PenstockError):
    """A remote, server or program cannot be reached now; a retry may help."""


class Denied(PenstockError):
    """The caller may not do this."""


class Refused(PenstockError):
    """A gate or a policy said no."""


def is_disk_full(error: OSError) -> bool:
    """Say whether what could not be written found no room on its disk, or beyond a quota."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT}


def disk_full(place: str | os.PathLike[str], why: str = "") -> Unavailable:
    """Return the one error for a disk without room: what was to be written, and how to go on."""
    path = os.fspath(place)
    folder = path if os.path.isdir(path) else os.path.dirname(path) or "."
    return Unavailable(
        f"writing to {path} failed: {why or os.strerror(errno.ENOSPC)}",
        code="os.disk_full",
        hint=f"df -h {shlex.quote(folder)}; make room, then run the same command again",
        path=path,
    )


def has_no_room(place: str | os.PathLike[str]) -> bool:
    """Say whether the disk under a file or directory is full now, for words that do not say why a write failed."""
    try:
        found = os.statvfs(place)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < NO_ROOM_BYTES or bool(found.f_files and not found.f_favail)


def _full_place() -> str:
    """Return which of the directories that a program writes to unasked has no room; the working directory if none."""
    here = os.getcwd()
    return next((place for place in (here, "/tmp", os.path.expanduser("~")) if has_no_room(place)), here)


def told_of_system(error: OSError) -> PenstockError:
    """Return what the system refused, such as a full disk, as an error with its place and what to look at."""
    if is_disk_full(error):
        return disk_full(str(error.filename or _full_place()), error.strerror or "")
    place = f"{error.filename}: " if error.filename else ""
    return PenstockError(
        f"{place}{error.strerror or error}",
        code="os.failed",
        hint="check that the path exists, its permissions and the free space",
    )


def is_panic(error: BaseException) -> bool:
    """Say whether a library written in Rust gave up, as polars may; Python does not count that as an exception."""
    return type(error).__module__ == "pyo3_runtime"


def described(error: BaseException) -> str:
    """Return the kind of what foreign code raised and its words, cut at 500 characters; its text may raise in turn.

    The stack that a library adds, and the folders of files, are the log's: the words may be told to anybody. What only
    looks like a path, such as the address of a route, stays.

    Example:
        >>> described(ValueError("/opt/lib/tree.h:29: no such category\\nStack trace:\\n  [bt] (0) /opt/lib/x.so"))
        'ValueError: tree.h:29: no such category'
    """
    try:
        text = str(error)[:READ_CHARACTERS]
    except Exception:  # noqa: BLE001 - a class of the model's own
        return type(error).__name__
    stack = _STACK.search(text)
    words = _PATH.sub(_without_folder, text[: stack.start()] if stack else text).strip()
    return f"{type(error).__name__}: {words[:500]}"


def _without_folder(path: re.Match[str]) -> str:
    """Leave a folder out where it is one: of a drive, in a folder that this machine has at its root, of a line of source."""
    is_place = path["drive"] or os.path.isdir(path["top"]) or _LINE.match(path.string, path.end())
    return "" if is_place else path[0]
