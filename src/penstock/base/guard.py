"""A small process beside this one that ends the programs it began when it is gone, however it ended.

It reads a pipe that only this process holds. It is begun with the first program and serves all of them, so that a program
costs a line in a pipe; one that asked the kernel for the same in its own process (`prctl`) would need a copy of this process
for that, which costs a large one 10 ms for each program.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_READING = """\
trap '' INT HUP TERM QUIT
live=
while read -r what group; do
  case $what in
    +) live="$live $group" ;;
    -) left=; for one in $live; do [ "$one" = "$group" ] || left="$left $one"; done; live=$left ;;
  esac
done
for one in $live; do kill -TERM "-$one"; done
tries=0
while [ -n "$live" ] && [ $tries -lt 50 ]; do
  sleep 0.1
  tries=$((tries + 1))
  left=; for one in $live; do kill -0 "-$one" && left="$left $one"; done; live=$left
done
for one in $live; do kill -KILL "-$one"; done
"""


class Guard:
    """Ends process groups when this process is gone: first asked, after 5 s forced. Thread-safe; a fork has its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reader: subprocess.Popen[bytes] | None = None
        self._groups: set[int] = set()

    @property
    def pid(self) -> int | None:
        """The process id of what reads; None before anything was guarded."""
        return self._reader.pid if self._reader else None

    def prepare(self) -> None:
        """Begin what reads, where it is not there: called before a program begins, it is guarded as soon as it has."""
        with self._lock:
            self._ready()

    def begin(self, group: int) -> None:
        """Guard a process group, named by its number."""
        with self._lock:
            self._ready()
            self._groups.add(group)
            self._tell(f"+ {group}\n")

    def end(self, group: int) -> None:
        """Guard a group no more: it has ended, and its number may go to another."""
        with self._lock:
            if group in self._groups:
                self._groups.discard(group)
                self._tell(f"- {group}\n")

    def forget(self) -> None:
        """Let go of everything, in a process that was forked: what its parent began is its parent's."""
        reader, self._reader = self._reader, None
        self._lock, self._groups = threading.Lock(), set()
        if reader is not None:
            reader.returncode = 0  # it is no child of this process, which must not wait for it
            if reader.stdin is not None:
                with suppress(OSError):
                    reader.stdin.close()  # while it is open here, the reader does not see that the parent is gone

    def _ready(self) -> None:
        if self._reader is not None and self._reader.poll() is None:
            return
        if self._reader is not None and self._reader.stdin is not None:
            self._reader.stdin.close()
        self._reader = subprocess.Popen(
            ["/bin/sh", "-c", _READING],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )
        for group in self._groups:
            self._tell(f"+ {group}\n")

    def _tell(self, line: str) -> None:
        reader = self._reader
        if reader is not None and reader.stdin is not None:
            with suppress(BrokenPipeError):  # somebody ended it: the next program has a new one
                reader.stdin.write(line.encode())


GUARD = Guard()
"""The one of this process."""
os.register_at_fork(after_in_child=GUARD.forget)


@contextmanager
def guarded(group: int) -> Iterator[None]:
    """Guard a process group for the block."""
    GUARD.begin(group)
    try:
        yield
    finally:
        GUARD.end(group)
