"""How many requests each caller may send a second."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.access.rates import ENTRIES, Rates
from penstock.base.errors import Unavailable


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def taken(rates: Rates, caller: str, count: int) -> int:
    """Return how many of so many requests are let through."""
    passed = 0
    for _ in range(count):
        try:
            rates.take(caller)
        except Unavailable:
            continue
        passed += 1
    return passed


def test_a_second_of_requests_may_come_at_once_and_then_only_as_time_passes(tmp_path: Path) -> None:
    for folder in (None, str(tmp_path)):
        clock = Clock()
        rates = Rates(10, folder, clock)
        assert taken(rates, "ada", 50) == 10
        assert taken(rates, "bob", 1) == 1, "another caller has a rate of its own"
        clock.now_s += 0.35
        assert taken(rates, "ada", 50) == 3
        clock.now_s += 60
        assert taken(rates, "ada", 50) == 10, "what was not used is not saved up"


def test_who_comes_too_soon_is_told_when_to_come_back() -> None:
    clock = Clock()
    rates = Rates(0.1, None, clock)
    rates.take("ada")
    with pytest.raises(Unavailable, match=r"more than 0\.1 requests a second") as told:
        rates.take("ada")
    wait_s = told.value.fields["retry_after_s"]
    assert (told.value.code, wait_s) == ("serving.rate_exceeded", 10)
    clock.now_s += wait_s
    rates.take("ada")


def test_processes_on_one_port_share_what_a_caller_has_left(tmp_path: Path) -> None:
    clock = Clock()
    first, second = (Rates(20, str(tmp_path), clock) for _ in range(2))
    assert [taken(one, "ada", 15) for one in (first, second, first)] == [15, 5, 0]
    assert taken(second, "bob", 30) == 20


def test_more_callers_than_there_is_room_for_are_let_through_and_never_refused_for_others() -> None:
    rates = Rates(2, None, Clock())
    assert sum(taken(rates, f"token {number}", 1) for number in range(4 * ENTRIES)) == 4 * ENTRIES
