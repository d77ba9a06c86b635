"""Programs that checks begin: without the signing key, in a group of their own, ended with the check or with this process."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from penstock.base.process import GUARD, guarded
from penstock.registry.gates.check import Evidence

SECRET = "PENSTOCK_SIGNING_KEY"
ROOT = "DVC_ROOT"
"""The variable by which what a program started is known when its group has lost its leader."""


def without_key(root: Path, command: Sequence[str]) -> list[str]:
    """Return a command that does not get the key that verdicts are signed with, and knows the tree's root."""
    return ["/usr/bin/env", "-u", SECRET, f"{ROOT}={root}", *command]


@contextmanager
def begun(
    evidence: Evidence, name: str, command: Sequence[str], output: int | IO[Any], fds: Sequence[int] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in the tree's root for the block; it and all of its group have ended after it, also where it raises.

    Where this process is killed its guard ends the group; where that was killed too, the next run that `evidence.guard` is
    for does.

    Args:
        output: where its output and errors go, as of `subprocess.Popen`.
        fds: descriptors that it inherits.
    """
    GUARD.prepare()
    process = subprocess.Popen(
        command,
        cwd=evidence.root,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        pass_fds=fds,
        start_new_session=True,
    )
    try:
        with guarded(process.pid), evidence.guard(name, process.pid):
            try:
                yield process
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    finally:
        if process.stdout is not None:
            process.stdout.close()
