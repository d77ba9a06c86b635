from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.stats.hashed import HashedTexts

counts = st.dictionaries(st.text(max_size=8), st.integers(1, 9), max_size=30)


def of(values: dict[str, int]) -> HashedTexts:
    made = HashedTexts()
    made.update(values)
    return made


def many(prefix: str, count: int, weight: int = 1) -> dict[str, int]:
    return {f"{prefix}{index}": weight for index in range(count)}


@given(counts, counts, counts)
def test_merging_is_associative_and_commutative(
    a: dict[Any, Any], b: dict[Any, Any], c: dict[Any, Any]
) -> None:
    left = of(a).merged(of(b)).merged(of(c))
    right = of(c).merged(of(b).merged(of(a)))
    assert left.to_parts() == right.to_parts()
    assert int(left.bins.sum()) == sum(a.values()) + sum(b.values()) + sum(c.values())


def test_a_merge_of_many_texts_is_the_sample_of_all() -> None:
    whole = of(many("a", 3000) | many("b", 3000))
    halves = of(many("a", 3000)).merged(of(many("b", 3000)))
    assert whole.to_parts() == halves.to_parts()
    assert len(whole.sample) == 512


def test_the_share_of_unseen_texts_is_told_from_samples() -> None:
    known = of(many("a", 5000, weight=10))
    unseen, looked = of(many("a", 5000)).unseen_in(known)
    assert (unseen, looked > 100) == (0, True)
    unseen, looked = of(many("b", 2000)).unseen_in(known)
    assert unseen == looked > 10
    assert known.new_ratio == 0.0
    assert of(many("a", 5000)).new_ratio == 1.0


def test_counts_survive_their_parts() -> None:
    made = of(many("a", 2000))
    assert HashedTexts.from_parts(made.to_parts()).to_parts() == made.to_parts()
    with pytest.raises(ValueError):
        HashedTexts.from_parts([[1, 2], "7", []])
