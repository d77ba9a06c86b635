"""A process that ended is known as ended, with and without `/proc`; one that cannot be looked at counts as running."""

from __future__ import annotations

import os
import subprocess

import pytest

from penstock.base import running
from penstock.base.running import has_ended, is_running, name_process


def refuse(*_args: object) -> None:
    raise FileNotFoundError


def test_an_ended_process_is_known_also_before_its_parent_collects_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    for has_proc in (True, False):
        if not has_proc:
            monkeypatch.setattr(running, "open", refuse, raising=False)
        assert is_running(process.pid) and is_running(os.getpid())
    monkeypatch.undo()
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it ended, and nobody collected it
    assert not is_running(process.pid)
    process.wait()
    monkeypatch.setattr(running, "open", refuse, raising=False)
    assert not is_running(process.pid)


def test_another_user_s_process_is_running(monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", deny)
    monkeypatch.setattr(running, "open", refuse, raising=False)
    assert is_running(4)


def test_numbers_that_name_no_process_are_not_running() -> None:
    assert not any(map(is_running, (0, -1, 1 << 62, 1 << 80)))


def test_a_named_process_has_ended_only_when_that_can_be_seen() -> None:
    mine = name_process()
    pid, began, place = mine.split(".")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, name_process().encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        name = stream.read()
    os.waitpid(child, 0)
    assert has_ended(name) and not has_ended(mine)
    assert has_ended(f"{pid}.{int(began) + 1}.{place}"), "the number was given to another process"
    for unknown in (f"{pid}..{place}", f"{pid}.{began}.", f"{1 << 22}.{began}.elsewhere", "host:12:ab", ""):
        assert not has_ended(unknown)


def test_one_that_goes_while_it_is_looked_at_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def kill(pid: int, _signal: int) -> None:
        asked.append(pid)
        if len(asked) > 1:
            raise ProcessLookupError

    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(running, "open", refuse, raising=False)
    assert not is_running(4711)
