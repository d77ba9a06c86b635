from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.errors import Corrupt
from penstock.monitoring.profile import NumberColumn, Profile, TextColumn

rows = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(-1000, 1000).map(float)),
        st.one_of(st.none(), st.sampled_from("abcd")),
    ),
    max_size=50,
)


def table(values: list[tuple[Any, Any]]) -> dict[str, np.ndarray]:
    texts = np.empty(len(values), dtype=object)
    texts[:] = [text for _, text in values]
    return {
        "number": np.array([np.nan if number is None else number for number, _ in values], dtype=float),
        "text": texts,
    }


@given(rows, rows, rows)
def test_merging_parts_in_any_order_gives_the_profile_of_the_table(a: Any, b: Any, c: Any) -> None:
    whole = Profile.of(table(a + b + c))
    for merged in (
        Profile.of(table(a)).merge(Profile.of(table(b))).merge(Profile.of(table(c))),
        Profile.of(table(c)).merge(Profile.of(table(b)).merge(Profile.of(table(a)))),
    ):
        assert merged.row_count == whole.row_count
        for name in whole.column_names:
            assert merged.missing_ratio(name) == pytest.approx(whole.missing_ratio(name))
        number, expected = merged.column("number"), whole.column("number")
        assert isinstance(number, NumberColumn)
        assert isinstance(expected, NumberColumn)
        assert (number.low, number.high, number.count) == (expected.low, expected.high, expected.count)
        assert number.total == pytest.approx(expected.total)
        text, wanted = merged.column("text"), whole.column("text")
        assert isinstance(text, TextColumn)
        assert isinstance(wanted, TextColumn)
        assert text.sketch.top(10) == wanted.sketch.top(10)


@given(rows, rows)
def test_a_merge_changes_neither_argument_even_when_its_result_is_updated(a: Any, b: Any) -> None:
    left, right = Profile.of(table(a)), Profile.of(table(b))
    before = left.digest, right.digest
    left.merge(right).update(table([(1.0, "z")]))
    Profile().merge(right).update(table([(1.0, "z")]))
    assert (left.digest, right.digest) == before


@given(rows)
def test_a_profile_survives_its_bytes_and_keeps_its_digest(a: Any) -> None:
    profile = Profile.of(table(a))
    again = Profile.from_bytes(profile.to_bytes())
    assert again.digest == profile.digest
    assert again.column_names == profile.column_names


def test_an_absent_column_counts_as_missing() -> None:
    profile = Profile.of({"a": np.arange(4.0)})
    profile.update({"b": np.arange(12.0)})
    assert profile.missing_ratio("a") == 0.75
    assert profile.missing_ratio("never") == 1.0


def test_infinities_are_missing_and_booleans_are_texts() -> None:
    profile = Profile.of({"a": np.array([1.0, np.inf, np.nan]), "b": np.array([True, True, False])})
    assert profile.missing_ratio("a") == pytest.approx(2 / 3)
    column = profile.column("b")
    assert isinstance(column, TextColumn)
    assert column.sketch.top(2) == [("true", 2), ("false", 1)]


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x93\x02\x00\x80", b"\x93\x01\x00\x81\xa1a\x92\xa1n\x01"])
def test_foreign_bytes_are_told_to_be_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        Profile.from_bytes(data)


def test_values_near_the_largest_number_leave_mean_and_deviation_finite() -> None:
    column = Profile.of({"x": np.array([1e308, 1e308, -1e308, 1.0])}).column("x")
    assert isinstance(column, NumberColumn)
    assert np.isfinite([column.mean, column.deviation, column.merged(column).deviation]).all()
    assert (column.low, column.high, column.count) == (-1e308, 1e308, 4)


@pytest.mark.parametrize(
    ("shift", "scale"), [(0.0, 1.0), (1e8, 1.0), (1e9, 1.0), (1.7e15, 60.0), (0.0, 1e-200)]
)
def test_the_deviation_of_values_far_from_zero_beside_it_is_right(shift: float, scale: float) -> None:
    rng = np.random.default_rng(1)
    values = shift + scale * rng.normal(size=6000)
    whole = Profile.of({"x": values}).column("x")
    parts = [Profile.of({"x": values[at : at + 300]}) for at in range(0, 6000, 300)]
    merged = Profile.from_bytes(reduce(Profile.merge, parts).to_bytes()).column("x")
    for column in (whole, merged):
        assert isinstance(column, NumberColumn)
        assert column.deviation == pytest.approx(
            np.sqrt(np.mean(np.square((values - shift) / scale))) * scale, rel=0.03
        )
    same = Profile.of({"x": np.full(3000, 0.1 + shift)}).column("x")
    assert isinstance(same, NumberColumn) and same.deviation == 0


def test_a_profile_grown_part_by_part_is_the_profile_of_the_table() -> None:
    rng = np.random.default_rng(3)
    edges = {"number": np.array([-1.0, 0.0, 1.0])}
    grown, seen = Profile(), []
    for size in (3, 400, 1, 5_000, 250):
        numbers = np.where(rng.random(size) < 0.1, np.nan, rng.normal(size=size).round(2))
        texts = np.array(rng.choice(["a", "b", None], size), dtype=object)
        part = Profile(edges=edges)
        part.update({"number": numbers, "text": texts})
        seen.append(numbers)
        grown = grown.grown(part)
    whole = np.concatenate(seen)
    present = whole[np.isfinite(whole)]
    number, text = grown.column("number"), grown.column("text")
    assert isinstance(number, NumberColumn) and isinstance(text, TextColumn) and number.marks is not None
    assert (grown.row_count, number.count) == (len(whole), len(present))
    assert (number.low, number.high) == (present.min(), present.max())
    assert number.total == pytest.approx(present.sum())
    below_at_between = [sum(present < -1), sum(present == -1), sum((present > -1) & (present < 0))]
    assert number.marks.counts[:3].tolist() == below_at_between
    assert number.marks.counts.sum() == len(present) and len(text.sketch.top(5)) == 2
