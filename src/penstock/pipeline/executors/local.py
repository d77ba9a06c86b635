"""Run tasks on this machine: a thread for each that runs, which waits for its command's process group."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path
from queue import SimpleQueue

from penstock.base.errors import PenstockError, Refused
from penstock.base.numbers import counted
from penstock.base.threads import begin
from penstock.pipeline.executors.role import Ended, Printed, Task, Tell
from penstock.pipeline.process import TERMINATE_GRACE_S, Command, end_commands
from penstock.pipeline.running.shells import shell_for
from penstock.pipeline.running.survivors import noted

_Work = SimpleQueue[tuple[object, Task, Tell] | None]


def open_local(_address: str | None) -> LocalExecutor:
    """Return an executor on this machine."""
    return LocalExecutor()


class LocalExecutor:
    """Runs each task at once; how many run is the caller's business."""

    name = "local"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[object, Command | None] = {}
        self._work: _Work = SimpleQueue()
        self._threads: set[Future[None]] = set()
        self._free_count = 0
        self._is_cancelled = False

    def check(self, task: Task) -> None:
        """Refuse what asks for more memory or graphics cards than the machine has.

        One that asks for more processors runs alone, and longer.
        """
        wanted = task.resources
        if wanted.memory_bytes > (memory := memory_of_machine()):
            have = f"{memory / 1e9:.1f} GB of memory"
        elif wanted.gpus and wanted.gpus > (count := count_gpus()):
            have = f"{counted(count, 'gpu')}"
        else:
            return
        raise infeasible(task, f"this machine has {have}")

    def submit(self, task: Task, tell: Tell) -> None:
        """Begin the task in a thread: one that has ended another task, where there is any (beginning one costs 6 ms)."""
        key = object()
        with self._lock:
            self._running[key] = None
            self._work.put((key, task, tell))
            if self._free_count:
                self._free_count -= 1
            else:
                work = self._work
                self._threads.add(begin("stages", lambda: self._take(work)))

    def cancel(self) -> None:
        """End every process group, and wait for the threads."""
        with self._lock:
            self._is_cancelled = True
            running, threads = dict(self._running), set(self._threads)
        self.close()
        end_commands(command for command in running.values() if command is not None)
        wait(threads, timeout=TERMINATE_GRACE_S)  # what left its group may keep the pipe open

    def close(self) -> None:
        """Let the threads end when they have nothing left to do."""
        with self._lock:
            for _ in self._threads:
                self._work.put(None)
            self._work, self._threads, self._free_count = SimpleQueue(), set(), 0

    def _take(self, work: _Work) -> None:
        while (given := work.get()) is not None:
            key, task, tell = given
            ended = self._run(key, task, tell)
            with self._lock:
                del self._running[key]
                self._free_count += work is self._work
            tell(ended)

    def _run(self, key: object, task: Task, tell: Tell) -> Ended:
        if self._is_cancelled:
            return Ended(task.name, "failed", detail="it was cancelled before it began")
        try:
            return run_task(
                task, lambda line: tell(Printed(task.name, line)), lambda command: self._note(key, command)
            )
        except (OSError, PenstockError) as error:
            return Ended(task.name, "failed", detail=str(error))

    def _note(self, key: object, command: Command) -> bool:
        """Note what runs now; say whether it may."""
        with self._lock:
            self._running[key] = command
            return not self._is_cancelled


def run_task(task: Task, say: Callable[[str], None], note: Callable[[Command], bool]) -> Ended:
    """Run a task's commands to their end, or to the first that fails, within the task's time.

    Args:
        say: is told each line.
        note: is told each command as it begins; it is ended at once where that says no.
    """
    clock = _Clock(task.timeout_s)
    shell = shell_for(task.variables)
    try:
        for text in task.commands:
            command = Command(text, task.root / task.directory, task.variables, shell)
            with noted(task.root, task.name, command.group):
                if not note(command):
                    command.end()
                clock.watch(command)
                code = command.follow(say)
            if clock.is_out:
                return Ended(task.name, "timed out", text, code)
            if code != 0:
                return Ended(task.name, "failed", text, code)
    finally:
        clock.stop()
    return Ended(task.name, "done")


class _Clock:
    """Ends the command that runs when the time of all of a task's commands together is up."""

    def __init__(self, limit_s: float | None) -> None:
        self.is_out = False
        self._command: Command | None = None
        self._timer = threading.Timer(limit_s, self._ring) if limit_s is not None else None
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()

    def watch(self, command: Command) -> None:
        """Take this one as what runs now."""
        self._command = command
        if self.is_out:
            command.end()

    def stop(self) -> None:
        """Let the time be; where it is up, wait until what it ends has ended."""
        if self._timer is not None:
            self._timer.cancel()
            if self.is_out:
                self._timer.join()

    def _ring(self) -> None:
        self.is_out = True
        command = self._command
        if command is not None:
            command.end()


def memory_of_machine() -> int:
    """Return how many bytes of memory this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def count_gpus() -> int:
    """Return how many graphics cards of NVIDIA's this machine has."""
    return len([one for one in Path("/dev").glob("nvidia[0-9]*") if one.name[6:].isdecimal()])


def infeasible(task: Task, have: str) -> Refused:
    """Return the error for a task that would wait for ever."""
    return Refused(
        f"stage `{task.name}` asks for {task.resources.told()}: {have}",
        code="pipeline.infeasible",
        hint="lower `meta.penstock.resources` of the stage, or run it where there is more: penstock repro --executor ray",
        stage=task.name,
    )
