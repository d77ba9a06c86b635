"""Programs that are started: what they find, and that they do not outlive the process that started them."""

from __future__ import annotations

import ctypes
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
_PATH = 'PATH="${PATH:-/usr/local/bin:/usr/bin:/bin}:$0"; export PATH'
_FINDING = f'{_PATH}; exec "$@"'
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """Ask the kernel to end this process when the one that forked it is gone, however it ended.

    For `preexec_fn` of a program that is started; does nothing where the kernel cannot. Source: prctl(2).
    """
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def shell_command(text: str, variables: Mapping[str, str], without: Sequence[str] = ()) -> list[str]:
    """Return a command for the shell that also finds the programs beside this interpreter, as `with_own_programs` does.

    Args:
        variables: what it gets beside this process's own.
        without: variables that it does not get.
    """
    if not all(map(_NAME.fullmatch, (*variables, *without))):  # what no shell can export
        given = [f"{name}={value}" for name, value in variables.items()]
        taken = [word for name in without for word in ("-u", name)]
        return with_own_programs(["/usr/bin/env", *taken, *given, "/bin/sh", "-c", text])
    words = [
        _PATH,
        *(f"unset {name}" for name in without),
        *(f'{name}="${{{at}}}"; export {name}' for at, name in enumerate(variables, 2)),
        'exec /bin/sh -c "$1"',
    ]
    return ["/bin/sh", "-c", "; ".join(words), str(Path(sys.executable).parent), text, *variables.values()]


def with_own_programs(command: Sequence[str]) -> list[str]:
    """Return a command that also finds the programs beside this interpreter, such as `penstock` itself.

    They come last in `PATH`, so that nothing that is found without them is found elsewhere. The process that is
    started becomes the command: it has its number and its exit code.
    """
    return ["/bin/sh", "-c", _FINDING, str(Path(sys.executable).parent), *command]
