"""Run several programs as one: they start together, and when one ends the others are ended too."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import NamedTuple

from penstock.base.process import die_with_parent

POLL_S = 0.1
GRACE_S = 40.0


class Ended(NamedTuple):
    """The first program to end by itself, which none should, and its exit code; a signal is negative."""

    name: str
    code: int

    @property
    def sentence(self) -> str:
        """Say how it ended."""
        if self.code >= 0:
            return f"{self.name} ended with exit code {self.code}"
        try:
            return f"{self.name} was ended by {signal.Signals(-self.code).name}"
        except ValueError:
            return f"{self.name} was ended by signal {-self.code}"


def run_together(commands: Mapping[str, Sequence[str]]) -> Ended | None:
    """Run the commands until one ends or this process is asked to stop; return None when it was asked.

    The others get SIGTERM then and `GRACE_S` to finish their work. Main thread only.
    """
    asked = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        asked.set()

    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    processes = {
        name: subprocess.Popen(list(command), start_new_session=True, preexec_fn=die_with_parent)  # noqa: PLW1509  (one thread runs here)
        for name, command in commands.items()
    }
    try:
        while not asked.is_set() and all(process.poll() is None for process in processes.values()):
            time.sleep(POLL_S)
        ended = [Ended(name, code) for name, one in processes.items() if (code := one.poll()) is not None]
        return None if asked.is_set() else ended[0]
    finally:
        _end(list(processes.values()))
        for number, handler in previous.items():
            signal.signal(number, handler)


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + GRACE_S
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
