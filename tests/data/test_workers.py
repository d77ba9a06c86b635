"""Forked workers: the same answer as one process, and errors that come home."""

from __future__ import annotations

import os

import pytest

from penstock.base.errors import NotFound, Unavailable
from penstock.data.workers import MIN_ITEMS, map_forked


def test_results_come_back_in_order() -> None:
    items = list(range(MIN_ITEMS * 3 + 1))
    assert map_forked(items, lambda part: [-item for item in part]) == [-item for item in items]


def test_an_error_in_a_child_is_raised_here() -> None:
    def work(part):  # type: ignore[no-untyped-def]
        if MIN_ITEMS - 1 in part:
            raise NotFound("no such thing", code="x.y", hint="look", path="p")
        return list(part)

    with pytest.raises(NotFound, match="no such thing") as caught:
        map_forked(range(MIN_ITEMS), work)
    assert (caught.value.code, caught.value.hint, caught.value.fields) == ("x.y", "look", {"path": "p"})


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor: nothing is forked")
def test_a_child_that_dies_is_told() -> None:
    here = os.getpid()

    def work(part):  # type: ignore[no-untyped-def]
        if os.getpid() != here:
            os.kill(os.getpid(), 9)
        return list(part)

    with pytest.raises(Unavailable, match="died"):
        map_forked(range(MIN_ITEMS), work)
