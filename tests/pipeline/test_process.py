"""A command's output is handed on to its end, and what holds it open is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from patience import PATIENCE_S, wait_until
from penstock.base.running import is_running
from penstock.base.threads import begin
from penstock.pipeline import process
from penstock.pipeline.executors.local import LocalExecutor, run_task
from penstock.pipeline.executors.role import Task
from penstock.pipeline.process import Command, run_command

linux = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")


def test_what_holds_the_output_of_a_command_that_has_ended_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "HELD_S", 0.01)
    lines: list[str] = []
    holding = "(until [ -e go ]; do sleep 0.02; done; echo late) & echo begun"

    def say(line: str) -> None:
        lines.append(line)
        if "in the background" in line:
            (tmp_path / "go").touch()

    assert run_command("it", holding, tmp_path, say) == 0
    assert lines[0] == "begun" and "holds its output" in lines[1] and lines[2] == "late"
    lines.clear()
    monkeypatch.setattr(process, "HELD_S", 60.0)
    assert run_command("it", "echo a; exit 3", tmp_path, say) == 3
    assert lines == ["a"]


WRITTEN = "until [ -s left ]; do sleep 0.02; done; echo begun"
STUBBORN = "setsid sh -c 'trap \"\" TERM; echo $$ >> left; while :; do sleep 1; done'"
BEGINS_ANEW = "setsid sh -c 'trap : TERM; while :; do sleep 300 & echo $! >> left; wait; done'"

OWN_GROUP = 'import os; os.setpgid(0, 0); open("left", "w").write(str(os.getpid())); os.execlp("sleep", "sleep", "300")'


def left_running(folder: Path) -> list[str]:
    """Return which of the processes that are written down still run."""
    return [pid for pid in (folder / "left").read_text().split() if is_running(int(pid))]


@linux
@pytest.mark.parametrize(
    "leaving",
    [
        "setsid sleep 300 & echo $! > left; echo begun; wait",  # a child in a session of its own
        f"(setsid sh -c 'echo $$ > left; exec sleep 300' &); {WRITTEN}; sleep 300",  # that lost its parent: it holds the output
        f"{STUBBORN} & {WRITTEN}; wait",  # that does not end when asked
        f"{STUBBORN} >/dev/null 2>&1 & {WRITTEN}; sleep 300",
        f"{BEGINS_ANEW} & {WRITTEN}; wait",  # that begins others when asked
        f"{BEGINS_ANEW} >/dev/null 2>&1 & {WRITTEN}; wait",
        # the command itself does so: beside itself, and before it ends
        f"trap 'setsid sleep 300 >/dev/null 2>&1 & echo $! >> left' TERM; echo $$ > left; {WRITTEN}; "
        "while :; do sleep 0.02; done",
        # in a group of its own in the command's session, with a parent that ended
        f"({sys.executable} -c '{OWN_GROUP}' >/dev/null 2>&1 &); {WRITTEN}; sleep 300",
        # a child of what lost its parent
        "(sh -c 'setsid sh -c \"echo \\$\\$ > left; exec sleep 300\" >/dev/null 2>&1 & wait' >/dev/null 2>&1 &); "
        f"{WRITTEN}; sleep 300",
    ],
)
def test_what_left_the_group_of_a_command_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaving: str
) -> None:
    monkeypatch.setattr(process, "TERMINATE_GRACE_S", 0.2)
    command = Command(leaving, tmp_path)
    ending: list[Future[None]] = []

    def say(line: str) -> None:
        if line == "begun":
            ending.append(begin("ending", command.end))

    following = begin("following", lambda: command.follow(say))
    wait_until(lambda: ending != [])
    ending[0].result(PATIENCE_S)
    assert left_running(tmp_path) == []
    assert following.result(PATIENCE_S) != 0


class Bell(threading.Thread):
    """Stands in for a timer: its time is up when it is told."""

    told = threading.Event()

    def __init__(self, _limit_s: float, ring: Callable[[], None]) -> None:
        super().__init__()
        self._ring = ring

    def run(self) -> None:
        self.told.wait(PATIENCE_S)
        self._ring()

    def cancel(self) -> None:
        self.told.set()


@linux
@pytest.mark.parametrize("leaving", [STUBBORN, BEGINS_ANEW, "setsid sh -c 'echo $$ > left; exec sleep 300'"])
def test_a_task_whose_time_is_up_has_not_ended_before_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaving: str
) -> None:
    monkeypatch.setattr(process, "TERMINATE_GRACE_S", 0.2)
    monkeypatch.setattr(threading, "Timer", Bell)
    monkeypatch.setattr(Bell, "told", threading.Event())
    task = Task("it", (f"{leaving} >/dev/null 2>&1 & {WRITTEN}; sleep 300",), tmp_path, timeout_s=1.0)
    ended = run_task(task, lambda _line: Bell.told.set(), lambda _command: True)
    assert ended.ending == "timed out"
    assert left_running(tmp_path) == []


@linux
def test_commands_that_are_cancelled_together_are_asked_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "TERMINATE_GRACE_S", PATIENCE_S)
    executor = LocalExecutor()
    names = ("a", "b", "c")
    asked = " && ".join(f"[ -e {name}.asked ]" for name in names)
    for name in names:
        waiting = f"touch {name}.asked; until {asked}; do sleep 0.02; done; touch {name}.well; exit"
        leaving = f"setsid sh -c 'trap \"{waiting}\" TERM; touch {name}.begun; while :; do sleep 0.02; done'"
        executor.submit(Task(name, (f"{leaving} & wait",), tmp_path), lambda _: None)
    wait_until(lambda: all((tmp_path / f"{name}.begun").exists() for name in names))
    executor.cancel()
    assert [name for name in names if not (tmp_path / f"{name}.well").exists()] == []


@linux
def test_a_number_that_another_pipe_has_by_then_does_not_tell_whose_output_is_held(tmp_path: Path) -> None:
    command = Command("sleep 300", tmp_path)
    other = subprocess.Popen(["sleep", "300"], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None and command._process.stdout is not None
        os.dup2(other.stdout.fileno(), command._process.stdout.fileno())
        command.end()
        assert other.poll() is None
    finally:
        other.kill()
        other.communicate()
        command._process.communicate()


def test_a_command_that_has_ended_is_not_ended_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    followed, ended = Command("true", tmp_path), Command("sleep 300", tmp_path)
    assert followed.follow(lambda _line: None) == 0
    ended.end()
    sent: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda group, _number: sent.append(group))
    followed.end()
    ended.end()
    assert sent == [], "the number may be another one's"
    assert ended.follow(lambda _line: None) == -signal.SIGTERM


@linux
def test_only_who_writes_to_the_output_of_a_command_is_ended_with_it(tmp_path: Path) -> None:
    other = Command("setsid sleep 300 & wait", tmp_path)
    reader = subprocess.Popen(["sleep", "300"], stdin=subprocess.DEVNULL)
    try:
        command = Command("(setsid sleep 300 &); sleep 300", tmp_path)
        command.end()
        command.follow(lambda _line: None)
        assert is_running(other.group)
        assert reader.poll() is None
    finally:
        other.end()
        other.follow(lambda _line: None)
        reader.kill()
        reader.wait()
