"""Run one shell command of a stage; nothing it started outlives it when it is ended."""

from __future__ import annotations

import codecs
import io
import locale
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from penstock.base.process import GUARD, inherited
from penstock.base.running import name_process
from penstock.pipeline.running.descendants import FORCED_S, descendants, end_all, pauses, writers
from penstock.pipeline.running.shells import POSIX, told_where_missing
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
    """A shell command under way, in a process group of its own, with `variables` in its environment.

    `shell` are the words before the command's text. The process that is started is the shell.

    Raises:
        NotFound: the shell is not there (code `pipeline.no_shell`).
    """

    def __init__(
        self,
        text: str,
        directory: Path,
        variables: Mapping[str, str] | None = None,
        shell: Sequence[str] = POSIX,
    ) -> None:
        GUARD.prepare()
        with told_where_missing(shell):
            self._process = subprocess.Popen(
                [*shell, text],
                cwd=directory,
                env=inherited(variables or {}, without=(SECRET,)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        GUARD.begin(self._process.pid)
        self.name = name_process(self._process.pid)
        self.pipe = os.fstat(self._process.stdout.fileno()).st_ino if self._process.stdout else 0
        self._changed = threading.Condition()
        self._enders_count = 0
        self._is_over = False

    @property
    def group(self) -> int:
        """The number of its process group, which is its own."""
        return self._process.pid

    def follow(self, on_line: Callable[[str], None]) -> int:
        """Hand on its output, standard output and error merged, line by line; return its exit code.

        What it started in the background may hold its output when it has ended: that is waited for, and told in a line
        after `HELD_S`. When the caller is interrupted the command is ended. Where another thread ends it, returns when
        that is done: nothing that it started runs beside what comes next.
        """
        process = self._process
        try:
            for line in _lines(process):
                on_line(line)
            code = process.wait()
            with self._changed:
                self._changed.wait_for(lambda: not self._enders_count)
                self._is_over = True
            GUARD.end(process.pid)
            return code
        except BaseException:
            self.end()
            raise
        finally:
            if process.stdout is not None:
                process.stdout.close()

    def end(self) -> None:
        """End it and everything it started: see `end_commands`."""
        end_commands([self])

    @contextmanager
    def ending(self) -> Iterator[bool]:
        """Let `follow` not return for the block; say whether there is anything left to end."""
        with self._changed:
            self._enders_count += 1
            is_left = not self._is_over
        try:
            yield is_left
        finally:
            with self._changed:
                self._enders_count -= 1
                self._changed.notify_all()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to everything in its group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def has_ended(self) -> bool:
        """Say whether the command itself has ended; what it started may run."""
        return self._process.poll() is not None

    def note_ended(self) -> None:
        """Note that it and all it started were ended: its number may go to another."""
        with self._changed:
            self._is_over = self.has_ended()
        GUARD.end(self._process.pid)


def end_commands(commands: Iterable[Command]) -> None:
    """End commands and everything they started, all at once: first asked, after `TERMINATE_GRACE_S` forced.

    What left a command's group is found as what descends from it, is in its session, or holds its output: without that
    nobody waits for a line any more. It is asked when the commands have ended. Linux alone tells these; elsewhere it is
    the groups. Returns when all have ended, or the system does not end them within `FORCED_S`.
    """
    with ExitStack() as held:
        ending = [one for one in commands if held.enter_context(one.ending())]
        if not ending:
            return
        names, pipes = {one.name for one in ending}, {one.pipe for one in ending}
        apart = descendants(names)
        for one in ending:
            one.send(signal.SIGTERM)
        for _ in pauses(TERMINATE_GRACE_S):
            if all(one.has_ended() for one in ending):
                break
            apart |= descendants(names)
        for one in ending:
            one.send(signal.SIGSTOP)  # so that it begins nothing more
        apart |= descendants(names)
        for one in ending:
            one.send(signal.SIGKILL)
        for _ in pauses(FORCED_S):
            if all(one.has_ended() for one in ending):
                break
        end_all(apart | writers(pipes), TERMINATE_GRACE_S, lambda: writers(pipes))
        for one in ending:
            one.note_ended()


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
    """Run `command` with `/bin/sh` in `root` to its end and return its exit code; `on_line` gets each line.

    What it started is noted as that of a stage is: where this process is killed, it is ended later.
    """
    begun = Command(command, root, {ROOT: str(root)})
    with noted(root, name, begun.group):
        return begun.follow(on_line)
