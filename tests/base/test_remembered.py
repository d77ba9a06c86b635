"""What was made of stored rows is kept by their digest, within a bound; the rows are let go."""

from __future__ import annotations

import gc
import weakref
from functools import partial

from penstock.base.store.remembered import DIGEST_BYTES, Remembered, digest_of


class Row:
    """A value that can be watched."""


def test_the_same_rows_are_asked_for_once_and_the_oldest_leaves() -> None:
    made: list[bytes] = []
    known = Remembered[int](2)

    def make(data: bytes) -> int:
        made.append(data)
        return ord(data)

    for data in (b"a", b"b", b"a", b"c", b"a", b"b"):
        assert known.get(digest_of([data]), partial(make, data)) == ord(data)
    assert made == [b"a", b"b", b"c", b"b"]
    assert len(known) == 2


def test_the_rows_are_not_kept() -> None:
    row = Row()
    known = Remembered[int](8)
    assert known.get(digest_of([row]), partial(id, row)) == id(row)
    gone = weakref.ref(row)
    del row
    gc.collect()
    assert gone() is None


def test_what_differs_in_any_way_has_another_digest() -> None:
    many = ([b"ab"], [b"a", b"b"], ["ab"], [b"ab", None], [1], ["1"], [1.0], [], [b""], [None])
    digests = [digest_of(one) for one in many]
    assert len(set(digests)) == len(many)
    assert {len(one) for one in digests} == {DIGEST_BYTES}
