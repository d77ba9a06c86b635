"""Run one shell command of a stage; nothing it started outlives it when it is ended."""

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


class Command:
    """A shell command under way, in a process group of its own, with `variables` in its environment."""

    def __init__(self, text: str, directory: Path, variables: Mapping[str, str] | None = None) -> None:
        added = [f"{name}={value}" for name, value in (variables or {}).items()]
        self._process = subprocess.Popen(
            ["/usr/bin/env", "-u", SECRET, *added, "/bin/sh", "-c", text],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509  (one system call, nothing that takes a lock)
            text=True,
            errors="replace",
        )

    @property
    def group(self) -> int:
        """The number of its process group, which is its own."""
        return self._process.pid

    def follow(self, on_line: Callable[[str], None]) -> int:
        """Hand on its output, standard output and error merged, line by line; return its exit code.

        When the caller is interrupted the command is ended.
        """
        process = self._process
        try:
            if process.stdout is not None:
                for line in process.stdout:
                    on_line(line.rstrip("\n"))
            return process.wait()
        except BaseException:
            self.end()
            raise
        finally:
            if process.stdout is not None:
                process.stdout.close()

    def ask_to_end(self) -> None:
        """Ask it and everything it started to end; returns at once."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)

    def end(self) -> None:
        """End it and everything it started: first asked, after `TERMINATE_GRACE_S` forced."""
        self.ask_to_end()
        deadline = time.monotonic() + TERMINATE_GRACE_S
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def run_command(
    command: str, directory: Path, on_line: Callable[[str], None], variables: Mapping[str, str] | None = None
) -> int:
    """Run `command` with the shell in `directory` to its end and return its exit code; `on_line` gets each line."""
    return Command(command, directory, variables).follow(on_line)
