"""Programs that are started: what they find, and that they do not outlive the process that started them."""

from __future__ import annotations

import ctypes
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
_FINDING = 'PATH="${PATH:-/usr/local/bin:/usr/bin:/bin}:$0"; export PATH; exec "$@"'
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """Ask the kernel to end this process when the one that forked it is gone, however it ended.

    For `preexec_fn` of a program that is started; does nothing where the kernel cannot. Source: prctl(2).
    """
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def allow_open_files(wanted: int) -> int:
    """Let this process have so many files open, as far as it may allow that itself; return how many it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    most = wanted if hard == unlimited else min(wanted, hard)
    if soft != unlimited and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return wanted if soft == unlimited else soft


def with_own_programs(command: Sequence[str]) -> list[str]:
    """Return a command that also finds the programs beside this interpreter, such as `penstock` itself.

    They come last in `PATH`, so that nothing that is found without them is found elsewhere. The process that is
    started becomes the command: it has its number and its exit code.
    """
    return ["/bin/sh", "-c", _FINDING, str(Path(sys.executable).parent), *command]
