"""Laws of the three-way merge."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.data.formats.merging import merge, merge_trees

SIDES = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3), max_size=5)


@given(SIDES, SIDES)
def test_what_one_side_left_alone_becomes_the_other(base: dict[str, int], side: dict[str, int]) -> None:
    assert merge(base, base, side).values == side
    assert merge(base, side, base).values == side
    assert merge(base, side, side).values == side
    assert merge(base, side, base).conflicts == merge(base, side, side).conflicts == ()


@given(SIDES, SIDES, SIDES)
def test_sides_can_be_swapped_where_nothing_conflicts(
    base: dict[str, int], ours: dict[str, int], theirs: dict[str, int]
) -> None:
    one, other = merge(base, ours, theirs), merge(base, theirs, ours)
    assert set(one.conflicts) == set(other.conflicts)
    for key in {*one.values, *other.values} - set(one.conflicts):
        assert one.values.get(key) == other.values.get(key)


@given(SIDES, SIDES, SIDES)
def test_a_conflict_is_a_key_that_has_three_faces(
    base: dict[str, int], ours: dict[str, int], theirs: dict[str, int]
) -> None:
    expected = {
        key
        for key in {*base, *ours, *theirs}
        if (ours.get(key) != theirs.get(key) and base.get(key) not in (ours.get(key), theirs.get(key)))
        or ((key in ours) != (key in theirs) and base.get(key) not in (ours.get(key), theirs.get(key)))
    }
    assert set(merge(base, ours, theirs).conflicts) == expected


def test_a_file_here_and_a_directory_there_is_a_conflict() -> None:
    assert merge_trees({}, {"a": "1"}, {"a/b": "2"}).conflicts == ("a",)
