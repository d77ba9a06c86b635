"""A command's output is handed on to its end, and what holds it open is told."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from penstock.base.running import is_running
from penstock.pipeline import process
from penstock.pipeline.process import Command, run_command


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


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
@pytest.mark.parametrize(
    "leaving",
    [
        "setsid sleep 300 & echo $! > left; echo begun; wait",  # a child in a session of its own
        "(setsid sh -c 'echo $$ > left; exec sleep 300' &); until [ -s left ]; do sleep 0.02; done; "
        "echo begun; sleep 300",  # whose parent is gone: it is known by the output that it holds
        "setsid sh -c 'trap \"\" TERM; echo $$ > left; while :; do sleep 1; done' & "
        "until [ -s left ]; do sleep 0.02; done; echo begun; wait",  # that does not end when asked
    ],
)
def test_what_left_the_group_of_a_command_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaving: str
) -> None:
    monkeypatch.setattr(process, "TERMINATE_GRACE_S", 0.2)
    command = Command(leaving, tmp_path)
    ending: list[threading.Thread] = []

    def say(line: str) -> None:
        if line == "begun":
            ending.append(threading.Thread(target=command.end))
            ending[0].start()

    assert command.follow(say) != 0  # ends though what left held the output
    ending[0].join()
    assert not is_running(int((tmp_path / "left").read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
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
