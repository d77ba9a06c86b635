"""What was made of stored rows is kept by their hashes, within a bound; the rows are let go."""

from __future__ import annotations

import sys
from collections.abc import Hashable
from functools import partial

from penstock.base.store.remembered import Remembered, key_of


def test_the_same_rows_are_asked_for_once_and_the_oldest_leaves() -> None:
    made: list[bytes] = []
    known = Remembered[int](2)

    def make(data: bytes) -> int:
        made.append(data)
        return ord(data)

    for data in (b"a", b"b", b"a", b"c", b"a", b"b"):
        assert known.get(key_of([data]), partial(make, data)) == ord(data)
    assert made == [b"a", b"b", b"c", b"b"]
    assert len(known) == 2


def test_the_bytes_of_rows_are_not_kept() -> None:
    data = bytes(50_000)
    before = sys.getrefcount(data)
    known = Remembered[int](8)
    assert known.get(key_of([data]), partial(len, data)) == len(data)
    assert (len(known), sys.getrefcount(data)) == (1, before)


def test_what_differs_has_another_key_and_bytes_are_not_in_it() -> None:
    many: list[list[Hashable]] = [[b"ab"], [b"a", b"b"], ["ab"], [b"ab", None], [1], ["1"], [], [b""], [None]]
    assert len({key_of(one) for one in many}) == len(many)
    assert key_of([bytes(50_000), 1]) == key_of([bytes(50_000), 1])
    assert not any(isinstance(one, bytes) for one in key_of([b"ab"]))
