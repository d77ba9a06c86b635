"""Processes that a command started and that left its process group: who they are, and their end. Linux tells them.

A process is called as `base.running` names it, so that its number is not taken for that of another one that came later.
**Source**: proc(5), `fd` and `fdinfo` (`flags`, octal).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import suppress
from pathlib import Path

from penstock.base.running import look_at

PROC = Path("/proc")
FORCED_S = 10.0
"""How long the system may take to end what is forced to."""


def descendants(names: Iterable[str]) -> set[str]:
    """Return the names of the processes that descend from these, without them, as long as their parents live.

    What is in a session that one of them began is among them also when its parent, or that one, has ended.
    """
    roots = set(names)
    if not roots:
        return set()
    seen = {pid: one for pid in _processes() if (one := look_at(pid))}
    below: dict[int, set[int]] = {}
    for pid, one in seen.items():
        for above in (one.parent, one.session):
            below.setdefault(above, set()).add(pid)
    numbers = {_number(name): name for name in roots}
    found = {pid for pid, name in numbers.items() if pid not in seen or seen[pid].name == name}
    waiting = list(found)
    while waiting:
        new = below.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return {seen[pid].name for pid in found if pid in seen} - roots


def writers(pipes: Iterable[int]) -> set[str]:
    """Return the names of the processes, but this one, that can write to a pipe of these inodes."""
    links = {f"pipe:[{pipe}]" for pipe in pipes}
    found = set()
    for pid in _processes():
        one = look_at(pid) if pid != os.getpid() else None
        if one and _can_write(pid, links) and _runs(one.name):  # else a later one of its number was looked at
            found.add(one.name)
    return found


def pauses(limit_s: float) -> Iterator[None]:
    """Yield at once, then after pauses that grow to a quarter of a second, the last time when `limit_s` is over."""
    deadline, pause_s = time.monotonic() + limit_s, 0.01
    yield
    while (left_s := deadline - time.monotonic()) > 0:
        time.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * 1.5, 0.25)
        yield


def end_all(names: Iterable[str], grace_s: float, find: Callable[[], set[str]] = set) -> None:
    """End processes and all that they begin meanwhile: first asked, after `grace_s` forced; returns when they have ended.

    What they begin when they are asked has the same time and is not asked: it may be what ends them well. What another
    user began is left.

    Args:
        find: returns the names of others that are forced to end with them.
    """
    known = _send(names, signal.SIGTERM)
    for _ in pauses(grace_s):
        known |= descendants(known)
        if not any(map(_runs, known)):
            break
    _force(known, find)


def _force(known: set[str], find: Callable[[], set[str]]) -> None:
    """Kill processes, and what they began, until none is found: one that is stopped first begins no other meanwhile."""
    deadline = time.monotonic() + FORCED_S
    while time.monotonic() < deadline:
        stopped: set[str] = set()
        try:
            known = known | find() | descendants(known)
            while (new := _send(known - stopped, signal.SIGSTOP)) and time.monotonic() < deadline:
                stopped |= new
                known = known | find() | descendants(known)
        finally:
            _send(known, signal.SIGKILL)  # also where it is interrupted: nothing stays stopped
        if not stopped:
            return
        time.sleep(0.01)


def _send(names: Iterable[str], number: signal.Signals) -> set[str]:
    """Send a signal to those that run; return which got it."""
    found = set()
    for name in names:
        if _runs(name):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(_number(name), number)
                found.add(name)
    return found


def _runs(name: str) -> bool:
    one = look_at(_number(name))
    return one is not None and one.name == name


def _number(name: str) -> int:
    return int(name.partition(".")[0])


def _processes() -> Iterator[int]:
    names = os.listdir(PROC) if PROC.is_dir() else []
    return (int(name) for name in names if name.isdecimal())


def _can_write(pid: int, links: Set[str]) -> bool:
    place = PROC / str(pid)
    with suppress(OSError):
        for number in os.listdir(place / "fd"):
            with suppress(OSError, StopIteration):
                if os.readlink(place / "fd" / number) in links:
                    lines = (place / "fdinfo" / number).read_text().splitlines()
                    flags = next(line for line in lines if line.startswith("flags:"))
                    if int(flags.split()[1], 8) & os.O_ACCMODE:
                        return True
    return False
