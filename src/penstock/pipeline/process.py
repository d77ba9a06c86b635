"""Run one shell command of a stage; nothing it started outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from penstock.base.process import die_with_parent

TERMINATE_GRACE_S = 5.0
SECRET = "PENSTOCK_SIGNING_KEY"
"""What no stage or test needs to know."""


def run_command(
    command: str, directory: Path, on_line: Callable[[str], None], variables: Mapping[str, str] | None = None
) -> int:
    """Run `command` with the shell in `directory` and return its exit code; `variables` join its environment.

    Standard output and error arrive at `on_line`, merged, a line at a time. The command runs in a process
    group of its own, which is ended when the caller is interrupted: first asked, after
    `TERMINATE_GRACE_S` forced.
    """
    added = [f"{name}={value}" for name, value in (variables or {}).items()]
    process = subprocess.Popen(
        ["/usr/bin/env", "-u", SECRET, *added, "/bin/sh", "-c", command],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509  (one system call, nothing that takes a lock)
        text=True,
        errors="replace",
    )
    try:
        if process.stdout is not None:
            for line in process.stdout:
                on_line(line.rstrip("\n"))
        return process.wait()
    except BaseException:
        end_group(process)
        raise
    finally:
        if process.stdout is not None:
            process.stdout.close()


def end_group(process: subprocess.Popen[str]) -> None:
    """End a process and everything it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + TERMINATE_GRACE_S
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
