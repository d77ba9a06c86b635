"""Opening files whose names come from a workspace, where a named pipe would be waited for without end."""

from __future__ import annotations

import errno
import os
import stat

from penstock.base.errors import Denied, Invalid, NotFound

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: str, *, follow_links: bool = True) -> int:
    """Return a descriptor to read a file, or the file that a link leads to; it never waits.

    Raises:
        NotFound: nothing is there.
        Denied: it cannot be read.
        Invalid: it is no regular file.
        OSError: it is a link that is not to be followed (`ELOOP`), or below something that is no directory.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags if follow_links else flags | os.O_NOFOLLOW)
    except PermissionError:
        raise Denied(f"no permission to read {path}", code="data.denied", hint=f"ls -l {path}") from None
    except FileNotFoundError:
        raise path_missing(path) from None
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket, or a device that is not there
            raise not_a_file(path, os.stat(path).st_mode) from None
        raise
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise not_a_file(path, mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def check_kind(path: str, mode: int) -> None:
    """Refuse what is neither a file nor a directory.

    Raises:
        Invalid: as said.
    """
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise not_a_file(path, mode)


def is_special(path: str | os.PathLike[str]) -> bool:
    """Say whether something is there, at the end of links, that is neither a file nor a directory."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def not_a_file(path: str, mode: int) -> Invalid:
    """Make the error for what holds no bytes to keep."""
    kind = _KINDS.get(stat.S_IFMT(mode), "something else")
    return Invalid(f"{path} is {kind}, not a file or directory", code="data.not_a_file", path=path)


def path_missing(path: str) -> NotFound:
    """Make the error for a path where nothing is."""
    return NotFound(f"{path} does not exist", code="data.path_missing", path=path)
