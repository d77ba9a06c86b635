"""Whether a process of this machine still runs: what it left behind may be taken only when it does not."""

from __future__ import annotations

import os
from functools import cache
from typing import NamedTuple

from penstock.base.digest import digest_bytes

_ENDED = frozenset({b"Z", b"X"})


class Seen(NamedTuple):
    """A process at one moment: its name (see `name_process`), the numbers of its parent and of its session's leader."""

    name: str
    parent: int
    session: int


def is_running(pid: int) -> bool:
    """Say whether a process is there and has not ended; one that only waits to be collected has.

    Works without `/proc` too, where an ended process counts until its parent collects it; so does another
    user's process that `/proc` hides.

    Example:
        >>> is_running(os.getpid()), is_running(0), is_running(1 << 80)
        (True, False, False)
    """
    if pid <= 0 or not _is_there(pid):  # numbers below one mean groups
        return False
    fields = _stat(pid)
    return fields[0] not in _ENDED if fields else _is_there(pid)  # it may have gone while its file was read


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # another user's
    return True


def name_process(pid: int | None = None) -> str:
    """Return a name for a process, this one by default, that no other one has: its number, when it began, where it runs.

    `PID.BEGAN.PLACE`; the last two are empty where `/proc` does not tell them.
    """
    pid = os.getpid() if pid is None else pid
    return f"{pid}.{_began(pid) or ''}.{_place()}"


def look_at(pid: int) -> Seen | None:
    """Return what one look at a process tells; None where it has ended, or cannot be told from a later one of its number.

    Source: proc(5), fields 4, 6 and 22 of `stat`.
    """
    fields, place = _stat(pid), _place()
    if not (fields and place) or fields[0] in _ENDED:
        return None
    return Seen(f"{pid}.{fields[19].decode()}.{place}", int(fields[1]), int(fields[3]))


def has_ended(name: str) -> bool:
    """Say whether the process of a name (see `name_process`) is known to have ended.

    False where that cannot be told: it ran on another machine, in another container, or before `/proc` told.

    Example:
        >>> has_ended(name_process()), has_ended("1.5.elsewhere"), has_ended("no name")
        (False, False, False)
    """
    pid, _, rest = name.partition(".")
    began, _, place = rest.partition(".")
    if not (began and place and place == _place() and pid.isascii() and pid.isdigit()):
        return False
    return not is_running(int(pid)) or _began(int(pid)) != began


def is_from_here(name: str) -> bool:
    """Say whether the process of a name began on this machine, in this container, since it started.

    Example:
        >>> is_from_here("1.5.elsewhere")
        False
    """
    place = name.partition(".")[2].partition(".")[2]
    return bool(place) and place == _place()


def _began(pid: int) -> str | None:
    """Return when a process began, in ticks since the machine did. Source: proc(5), field 22 of `stat`."""
    fields = _stat(pid)
    return fields[19].decode() if fields else None


def _stat(pid: int) -> list[bytes] | None:
    """Return the fields of `stat` from the third, the state, on; None where it cannot be read."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields if len(fields) >= 20 else None


@cache
def _place() -> str:
    """Return what tells this boot of this machine, and this container on it, from others; empty where unknown."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
        return digest_bytes(f"{boot} {os.readlink('/proc/self/ns/pid')}".encode())[:16]
    except OSError:
        return ""
