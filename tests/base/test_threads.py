from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from penstock.base import threads


def test_a_thread_behind_others_rests_while_it_works_and_not_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rests: list[float] = []
    monkeypatch.setattr(
        threads, "time", SimpleNamespace(thread_time=itertools.count().__next__, sleep=rests.append)
    )
    threads.give_way()
    assert rests == [], "only who works behind others rests"
    with threads.behind_others():
        for _ in range(3 * threads.RESTS_MAX):
            threads.give_way()
    assert rests == [threads.REST_S] * threads.RESTS_MAX
    threads.give_way()
    assert len(rests) == threads.RESTS_MAX
