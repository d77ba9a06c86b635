"""Whether a process of this machine still runs: what it left behind may be taken only when it does not."""

from __future__ import annotations

import os
from functools import cache

from penstock.base.digest import digest_bytes


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
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in {b"Z", b"X"}
    except (OSError, IndexError):
        return _is_there(pid)  # it may have gone while its file was read


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
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        return None


@cache
def _place() -> str:
    """Return what tells this boot of this machine, and this container on it, from others; empty where unknown."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
        return digest_bytes(f"{boot} {os.readlink('/proc/self/ns/pid')}".encode())[:16]
    except OSError:
        return ""
