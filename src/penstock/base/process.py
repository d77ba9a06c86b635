"""This process, its files and its memory, and programs that it starts: what they find, and that they do not outlive it."""

from __future__ import annotations

import atexit
import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_PATHS = "/usr/local/bin:/usr/bin:/bin"
_FINDING = f'PATH="${{PATH:-{_PATHS}}}:$0"; export PATH; exec "$@"'
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """Ask the kernel to end this process when the one that forked it is gone, however it ended.

    For `preexec_fn` of a program that is started; does nothing where the kernel cannot. Source: prctl(2).
    """
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def inherited(variables: Mapping[str, str], without: Sequence[str] = ()) -> dict[str, str]:
    """Return the environment of a program that is started: this process's own, changed.

    The programs beside this interpreter are found too, as by `with_own_programs`. It is handed over as it is, where a
    shell in between would drop what it cannot name, such as the functions that bash exports.

    Args:
        variables: what it gets beside this process's own; they win.
        without: variables of this process that it does not get.
    """
    found = {name: text for name, text in os.environ.items() if name not in without}
    found["PATH"] = f"{found.get('PATH') or _PATHS}:{Path(sys.executable).parent}"
    return {**found, **variables}


def allow_open_files(wanted: int) -> int:
    """Let this process have so many files open, as far as it may allow that itself; return how many it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    most = wanted if hard == unlimited else min(wanted, hard)
    if soft != unlimited and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return wanted if soft == unlimited else soft


def keep_freed_memory(limit_bytes: int = 32 << 20, mapped_bytes: int = 4 << 20) -> None:
    """Keep up to `limit_bytes` that were freed for the next request, in place of returning them to the kernel.

    What streams comes in pieces, and for each of them glibc would ask for fresh pages, which the kernel clears
    one by one: an upload of 1 GiB to a server takes a third longer, a download of it uses up to five times as much
    of the kernel's time. Pieces from `mapped_bytes` on are mapped and given back as before. Nothing happens with
    another C library.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_M_TRIM_THRESHOLD, limit_bytes)
        set_option(_M_MMAP_THRESHOLD, mapped_bytes)


def with_own_programs(command: Sequence[str]) -> list[str]:
    """Return a command that also finds the programs beside this interpreter, such as `penstock` itself.

    They come last in `PATH`, so that nothing that is found without them is found elsewhere. The process that is
    started becomes the command: it has its number and its exit code.
    """
    return ["/bin/sh", "-c", _FINDING, str(Path(sys.executable).parent), *command]


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
    """Ends process groups when this process is gone, however: first asked, after 5 s forced. Thread-safe; a fork has its own.

    A small process beside this one does it, which reads a pipe that only this one holds. It is begun with the first
    program and serves all of them, so that a program costs a line in a pipe; one that asks the kernel for the same
    (`die_with_parent`) has to be a copy of this process first, which of a large one costs 10 ms.
    """

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
        """Close the pipe and know of nothing: in a fork, since what its parent began is its parent's, and at the end."""
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
atexit.register(GUARD.forget)  # with what is guarded still: that ends with this process


@contextmanager
def guarded(group: int) -> Iterator[None]:
    """Guard a process group for the block."""
    GUARD.begin(group)
    try:
        yield
    finally:
        GUARD.end(group)
