"""Run one shell command of a stage; nothing it started outlives it when it is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from penstock.base.process import GUARD, shell_command
from penstock.base.threads import begin
from penstock.pipeline.running.descendants import descendants, end_all, writers
from penstock.pipeline.running.survivors import ROOT, noted

TERMINATE_GRACE_S = 5.0
HELD_S = 2.0
"""How long the output of a command that has ended may stay open, with nothing in it, before that is told."""
SECRET = "PENSTOCK_SIGNING_KEY"
"""What no stage or test needs to know."""


class Command:
    """A shell command under way, in a process group of its own, with `variables` in its environment."""

    def __init__(self, text: str, directory: Path, variables: Mapping[str, str] | None = None) -> None:
        GUARD.prepare()
        self._process = subprocess.Popen(
            shell_command(text, variables or {}, without=(SECRET,)),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        GUARD.begin(self._process.pid)

    @property
    def group(self) -> int:
        """The number of its process group, which is its own."""
        return self._process.pid

    def follow(self, on_line: Callable[[str], None]) -> int:
        """Hand on its output, standard output and error merged, line by line; return its exit code.

        What it started in the background may hold its output when it has ended: that is waited for, and told in a line
        after `HELD_S`. When the caller is interrupted the command is ended.
        """
        process = self._process
        held = _Held(process, on_line)
        try:
            if process.stdout is not None:
                for line in process.stdout:
                    on_line(line.rstrip("\n"))
                    held.note_line()
            held.stop()
            code = process.wait()
            GUARD.end(process.pid)
            return code
        except BaseException:
            self.end()
            raise
        finally:
            held.stop()
            if process.stdout is not None:
                process.stdout.close()

    def ask_to_end(self) -> None:
        """Ask it and everything in its group to end; returns at once."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)

    def end(self) -> None:
        """End it and everything it started: first asked, after `TERMINATE_GRACE_S` forced.

        What left its group is found as what descends from it, or holds its output: without that nobody waits for a line
        any more. Linux alone tells these; elsewhere it is the group.
        """
        apart = descendants(self._process.pid) if self._process.poll() is None else set()
        self.ask_to_end()
        deadline = time.monotonic() + TERMINATE_GRACE_S
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        apart |= self._holders()
        end_all(apart, TERMINATE_GRACE_S)
        GUARD.end(self._process.pid)

    def _holders(self) -> set[str]:
        """Return the names of the processes that can write to its output."""
        output = self._process.stdout
        if output is None or output.closed:
            return set()
        with suppress(OSError, ValueError):  # it may be closed meanwhile
            return writers(os.fstat(output.fileno()).st_ino)
        return set()


class _Held:
    """Tells where a command has ended and its output has not."""

    def __init__(self, process: subprocess.Popen[str], on_line: Callable[[str], None]) -> None:
        self._process, self._on_line = process, on_line
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._line_s = 0.0
        begin(f"output of {process.pid}", self._watch)

    def note_line(self) -> None:
        """Note that a line was handed on: there may be more, and whoever reads is only slow."""
        self._line_s = time.monotonic()

    def stop(self) -> None:
        """Tell nothing any more."""
        with self._lock:
            self._stopped.set()

    def _watch(self) -> None:
        self._process.wait()
        ended_s = time.monotonic()
        while (left_s := max(ended_s, self._line_s) + HELD_S - time.monotonic()) > 0:
            if self._stopped.wait(left_s):
                return
        with self._lock:
            if not self._stopped.is_set():
                self._on_line(
                    "penstock: the command has ended, but what it started in the background holds its output: "
                    "waiting for that (send its output to a file, or end it)"
                )


def run_command(name: str, command: str, root: Path, on_line: Callable[[str], None]) -> int:
    """Run `command` with the shell in `root` to its end and return its exit code; `on_line` gets each line.

    What it started is noted as that of a stage is: where this process is killed, it is ended later.
    """
    begun = Command(command, root, {ROOT: str(root)})
    with noted(root, name, begun.group):
        return begun.follow(on_line)
