"""Run one shell command of a stage; nothing it started outlives it when it is ended."""

from __future__ import annotations

import codecs
import io
import locale
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from penstock.base.process import GUARD, shell_command
from penstock.pipeline.running.descendants import descendants, end_all, writers
from penstock.pipeline.running.survivors import ROOT, noted

TERMINATE_GRACE_S = 5.0
HELD_S = 2.0
"""How long the output of a command that has ended may stay open, with nothing in it, before that is told."""
LOOK_S = 0.5
"""How long nothing is printed before it is looked whether the command has ended."""
HELD = (
    "penstock: the command has ended, but what it started in the background holds its output: "
    "waiting for that (send its output to a file, or end it)"
)
CHUNK_BYTES = 1 << 16
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
        try:
            for line in _lines(process):
                on_line(line)
            code = process.wait()
            GUARD.end(process.pid)
            return code
        except BaseException:
            self.end()
            raise
        finally:
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


def _lines(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """Yield the lines that a process prints as they come, and what is told where it has ended and its output has not.

    Ends of lines are read as `open` reads them, so that what a progress bar draws anew is a line too. No thread waits for
    the end beside this one: at each stage, beginning one would wait for the interpreter while another stage is looked at.
    """
    if process.stdout is None:
        return
    output = process.stdout.fileno()
    encoded = codecs.getincrementaldecoder(locale.getpreferredencoding(False))("replace")
    decoder = io.IncrementalNewlineDecoder(encoded, translate=True)
    poll = select.poll()
    poll.register(output, select.POLLIN)
    held = _Held(process)
    begun: list[str] = []  # of a line that has not ended
    while True:
        if not poll.poll(held.wait_ms()):
            if held.is_due():
                yield HELD
            continue
        data = os.read(output, CHUNK_BYTES)
        *ended, rest = decoder.decode(data, final=not data).split("\n")
        for line in ended:
            yield "".join([*begun, line])
            begun.clear()
            held.note_line()
        if rest:
            begun.append(rest)
        if not data:
            break
    if begun:
        yield "".join(begun)


class _Held:
    """Knows when it is to be told that a command has ended and its output has not: once, `HELD_S` after the last line."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._ended_s: float | None = None
        self._line_s = 0.0
        self._is_told = False

    def note_line(self) -> None:
        """Note that a line was handed on: there may be more, and whoever reads is only slow."""
        self._line_s = time.monotonic()

    def wait_ms(self) -> float | None:
        """Return how long to wait for output until this is asked again; None is for ever."""
        if self._is_told:
            return None
        return LOOK_S * 1000 if self._ended_s is None else max(0.0, self._left_s(self._ended_s)) * 1000

    def is_due(self) -> bool:
        """Say, where nothing came meanwhile, whether to tell it now."""
        if self._ended_s is None:
            self._ended_s = time.monotonic() if self._process.poll() is not None else None
            return False
        self._is_told = self._left_s(self._ended_s) <= 0
        return self._is_told

    def _left_s(self, ended_s: float) -> float:
        return max(ended_s, self._line_s) + HELD_S - time.monotonic()


def run_command(name: str, command: str, root: Path, on_line: Callable[[str], None]) -> int:
    """Run `command` with the shell in `root` to its end and return its exit code; `on_line` gets each line.

    What it started is noted as that of a stage is: where this process is killed, it is ended later.
    """
    begun = Command(command, root, {ROOT: str(root)})
    with noted(root, name, begun.group):
        return begun.follow(on_line)
