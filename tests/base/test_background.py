"""What is done in the background goes on after failures, tells them, and ends when it is asked to."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from penstock.base.background import AGAIN_S, Background, Trouble
from penstock.base.errors import Invalid, Unavailable
from penstock.base.threads import begin

WAIT_S = 30.0
NEVER_S = 1e6


class Turns:
    """Turns that do what they are told, one after the other, and say when the last was reached."""

    def __init__(self, *told: Callable[[], None]) -> None:
        self.told, self.count, self.reached = list(told), 0, threading.Event()

    def __call__(self) -> None:
        self.count += 1
        if self.count >= len(self.told):
            self.reached.set()
        if self.count <= len(self.told):
            self.told[self.count - 1]()


def fail(error: Exception) -> Callable[[], None]:
    def turn() -> None:
        raise error

    return turn


def test_a_failed_turn_is_told_once_and_the_next_ones_are_made(caplog: pytest.LogCaptureFixture) -> None:
    away, defect = fail(Unavailable("the store is away", code="a.b", hint="")), fail(KeyError("defect"))
    turns = Turns(away, away, defect, lambda: None, lambda: None)
    background = Background("t", turns, 0.0, failing="looking failed")
    with caplog.at_level(logging.INFO):
        background.start()
        assert turns.reached.wait(WAIT_S)
        background.stop()
    told = [(one.levelname, one.message) for one in caplog.records]
    assert told == [
        ("WARNING", "looking failed: the store is away"),
        ("ERROR", "looking failed"),
        ("INFO", "looking failed: no longer"),
    ]
    assert background.problem is None


def test_a_failure_that_lasts_is_said_again_seldom(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 5_000.0
    monkeypatch.setattr("penstock.base.background.time.monotonic", lambda: now_s)
    trouble = Trouble("data wait")
    for _ in range(int(AGAIN_S) + 10):
        trouble.tell(Unavailable("the disk is full", code="a.b", hint=""))
        now_s += 1
    assert [one.message for one in caplog.records] == ["data wait: the disk is full"] * 2


def test_a_turn_waits_for_its_time_or_to_be_woken() -> None:
    turns = Turns(lambda: None)
    background = Background("t", turns, NEVER_S, failing="f")
    background.start()
    background.wake()
    assert turns.reached.wait(WAIT_S)
    background.stop()
    assert turns.count == 1


def test_the_first_turn_can_be_made_at_once_and_stopping_finishes_it() -> None:
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def turn() -> None:
        begun.set()
        go_on.wait(WAIT_S)
        done.set()

    background = Background("t", turn, NEVER_S, failing="f", at_once=True)
    background.start()
    assert begun.wait(WAIT_S)
    stopping = begin("stop", background.stop)
    assert not background.problem and not done.is_set()
    go_on.set()
    stopping.result(WAIT_S)
    assert done.is_set() and background.is_stopping


def test_it_can_be_stopped_before_it_started_and_from_within() -> None:
    Background("t", lambda: None, 0.0, failing="f").stop()
    ended = threading.Event()

    def turn() -> None:
        background.stop()
        ended.set()

    background = Background("t", turn, 0.0, failing="f")
    background.start()
    assert ended.wait(WAIT_S)
    background.stop()


def test_one_piece_of_work_gives_its_result_or_its_failure() -> None:
    assert begin("t", lambda: 3).result(WAIT_S) == 3
    with pytest.raises(Invalid, match="no"):
        begin("t", fail(Invalid("no", code="a.b", hint=""))).result(WAIT_S)
