"""Processes that a command started and that left its process group: who they are, and their end. Linux tells them.

A process is called as `base.running` names it, so that its number is not taken for that of another one that came later.
**Source**: proc(5), `stat` (field 4, the parent), `fd` and `fdinfo` (`flags`, octal).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from penstock.base.running import has_ended, name_process

PROC = Path("/proc")


def descendants(pid: int) -> set[str]:
    """Return the names of the processes that descend from one, without it, as long as their parents live."""
    children: dict[int, list[int]] = {}
    for one in _processes():
        with suppress(OSError, IndexError, ValueError):
            parent = int((PROC / str(one) / "stat").read_bytes().rpartition(b")")[2].split()[1])
            children.setdefault(parent, []).append(one)
    found, waiting = set(), [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found |= {name_process(one) for one in below}
        waiting += below
    return found


def writers(pipe: int) -> set[str]:
    """Return the names of the processes, but this one, that can write to a pipe of that inode."""
    link = f"pipe:[{pipe}]"
    return {name_process(one) for one in _processes() if one != os.getpid() and _can_write(one, link)}


def end_all(names: Iterable[str], grace_s: float) -> None:
    """End these processes: first asked, after `grace_s` forced; what another user began is left."""
    left = _send(names, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = {name for name in left if not has_ended(name)}
    _send(left, signal.SIGKILL)


def _send(names: Iterable[str], number: signal.Signals) -> set[str]:
    """Send a signal to those that run; return which got it."""
    found = set()
    for name in names:
        if not has_ended(name):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(int(name.partition(".")[0]), number)
                found.add(name)
    return found


def _processes() -> Iterator[int]:
    names = os.listdir(PROC) if PROC.is_dir() else []
    return (int(name) for name in names if name.isdecimal())


def _can_write(pid: int, link: str) -> bool:
    place = PROC / str(pid)
    with suppress(OSError):
        for number in os.listdir(place / "fd"):
            with suppress(OSError, StopIteration):
                if os.readlink(place / "fd" / number) == link:
                    lines = (place / "fdinfo" / number).read_text().splitlines()
                    flags = next(line for line in lines if line.startswith("flags:"))
                    if int(flags.split()[1], 8) & os.O_ACCMODE:
                        return True
    return False
