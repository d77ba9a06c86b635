from __future__ import annotations

import datasketches
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.stats.sketches import (
    ITEM_CAPACITY,
    ITEM_MAX_CHARS,
    ORDERED_MIN,
    QUANTILE_K,
    ItemSketch,
    QuantileSketch,
)

numbers = st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), max_size=60)
RANKS = [0.0, 0.1, 0.5, 0.9, 1.0]


def sketch(values: list[float]) -> QuantileSketch:
    made = QuantileSketch()
    made.update(np.array(values, dtype=np.float64))
    return made


@given(numbers, numbers, numbers)
def test_a_merge_is_associative_and_commutative(a: list[float], b: list[float], c: list[float]) -> None:
    one = sketch(a).merged(sketch(b)).merged(sketch(c))
    other = sketch(c).merged(sketch(a).merged(sketch(b)))
    assert one.count == other.count == len(a) + len(b) + len(c)
    np.testing.assert_array_equal(one.quantiles(RANKS), other.quantiles(RANKS))


@given(numbers, numbers)
def test_a_merge_of_parts_is_the_sketch_of_the_whole_and_changes_neither(
    a: list[float], b: list[float]
) -> None:
    left, right = sketch(a), sketch(b)
    np.testing.assert_array_equal(left.merged(right).quantiles(RANKS), sketch(a + b).quantiles(RANKS))
    assert (left.count, right.count) == (len(a), len(b))


def test_merged_parts_of_a_big_table_stay_within_the_rank_error() -> None:
    rng = np.random.default_rng(7)
    values = rng.normal(size=100_000)
    merged = QuantileSketch()
    for part in np.array_split(values, 100):
        merged = merged.merged(sketch(part.tolist()))
    points = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
    np.testing.assert_allclose(merged.cdf(points), [0.05, 0.25, 0.5, 0.75, 0.95], atol=0.015)


@given(numbers)
def test_a_sketch_survives_its_bytes(values: list[float]) -> None:
    data = sketch(values).to_bytes()
    assert QuantileSketch.from_bytes(data).to_bytes() == data


def test_a_full_sketch_survives_its_bytes() -> None:
    data = sketch(list(range(50 * QUANTILE_K))).to_bytes()
    assert QuantileSketch.from_bytes(data).to_bytes() == data


@pytest.mark.parametrize("data", [b"", b"x", b"\x00" * 100])
def test_foreign_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a"):
        QuantileSketch.from_bytes(data)
    with pytest.raises(ValueError, match="not a"):
        ItemSketch.from_parts(5, 1, [], data)


counts = st.dictionaries(st.text(max_size=5), st.integers(1, 20), max_size=20)


def items(values: dict[str, int]) -> ItemSketch:
    made = ItemSketch()
    made.update(values)
    return made


@given(counts, counts)
def test_item_counts_add_up_exactly_while_they_are_few(a: dict[str, int], b: dict[str, int]) -> None:
    merged = items(a).merged(items(b))
    names = sorted({*a, *b})
    assert merged.counts(names) == [a.get(name, 0) + b.get(name, 0) for name in names]
    assert merged.count == sum(a.values()) + sum(b.values())
    assert round(merged.distinct) == len(names)


@given(counts)
def test_an_item_sketch_survives_its_bytes(a: dict[str, int]) -> None:
    parts = items(a).to_parts()
    again = ItemSketch.from_parts(*parts)
    assert again.to_parts() == parts
    assert again.top(5) == items(a).top(5)


def test_long_texts_do_not_fill_the_memory() -> None:
    made = items({"x" * 1_000_000: 1})
    assert made.top(1)[0][0] == "x" * ITEM_MAX_CHARS
    made.update({str(number): 1 for number in range(10_000)})
    assert len(made.to_parts()[2]) <= ITEM_CAPACITY


def test_frequent_texts_survive_among_many_rare_ones_within_the_stated_error() -> None:
    rng = np.random.default_rng(9)
    merged = ItemSketch()
    for _ in range(20):
        rare = {str(number): 1 for number in rng.integers(0, 1_000_000, 1000).tolist()}
        merged = merged.merged(items({**rare, "often": 500}))
    assert merged.top(1)[0][0] == "often"
    assert 20 * 500 - merged.error <= merged.counts(["often"])[0] <= 20 * 500
    assert merged.error <= merged.count / ITEM_CAPACITY * 2
    assert merged.distinct == pytest.approx(20_000, rel=0.1)
    parts = merged.to_parts()
    assert ItemSketch.from_parts(*parts).to_parts() == parts


def test_the_bytes_of_a_sketch_are_read_as_the_sketch_reads_them() -> None:
    for count in (1, 2, 399, 5000, 200_000):
        kll = datasketches.kll_doubles_sketch(QUANTILE_K)
        kll.update(np.random.default_rng(count).normal(size=count))
        sample = QuantileSketch(kll).sample()
        assert sorted(zip(sample.values, sample.weights, strict=True)) == sorted(kll)
        assert sample.total == count


def test_texts_beyond_the_capacity_are_counted_by_hash_also_when_parts_were_exact() -> None:
    parts = []
    for start in (0, 400, 800):
        part = ItemSketch()
        part.update({f"t{index}": 2 for index in range(start, start + 400)})
        parts.append(part)
    whole = parts[0].merged(parts[1]).merged(parts[2])
    assert whole.error and whole.hashed is not None
    assert int(whole.hashed.bins.sum()) == whole.count == 2400
    again = ItemSketch.from_parts(*whole.to_parts())
    assert again.hashed is not None and again.hashed.to_parts() == whole.hashed.to_parts()
    old = ItemSketch.from_parts(*whole.to_parts()[:4])
    assert old.hashed is None and old.merged(parts[0]).hashed is None


def test_large_updates_stay_in_bounded_memory_and_within_the_rank_error_also_beside_small_ones() -> None:
    rng = np.random.default_rng(12)
    sketch, seen = QuantileSketch(), []
    for index in range(300):
        size = 300 if index % 10 == 0 else ORDERED_MIN
        seen.append(rng.normal(index / 100, 1, size))
        sketch.update(seen[-1])
    values = np.sort(np.concatenate(seen))
    assert sketch.count == len(values)
    points = np.quantile(values, np.arange(1, 200) / 200)
    truth = np.searchsorted(values, points, side="right") / len(values)
    assert np.abs(sketch.cdf(points) - truth).max() < 0.004
    again = QuantileSketch.from_bytes(sketch.to_bytes())
    assert again.count == sketch.count and again.to_bytes() == sketch.to_bytes()
    assert np.abs(again.merged(sketch).cdf(points) - truth).max() < 0.004
    assert len(sketch.sample().values) < 3 * 16 * 1000 + 4 * QUANTILE_K and len(sketch.to_bytes()) < 17_000


def test_a_sketch_that_grows_part_by_part_stays_as_small_as_one_and_within_the_rank_error() -> None:
    rng = np.random.default_rng(5)
    grown, seen = QuantileSketch(), []
    for index in range(200):
        seen.append(rng.normal(index / 100, 1, ORDERED_MIN if index % 20 == 0 else 700))
        part = QuantileSketch()
        part.update(seen[-1])
        before = grown.to_bytes(), part.to_bytes()
        following = grown.grown(part)
        assert (grown.to_bytes(), part.to_bytes()) == before, "an argument changed"
        grown = following
    values = np.sort(np.concatenate(seen))
    assert grown.count == len(values)
    points = np.quantile(values, np.arange(1, 200) / 200)
    truth = np.searchsorted(values, points, side="right") / len(values)
    assert np.abs(grown.cdf(points) - truth).max() < 0.0068
    assert len(grown.sample().values) < 4 * QUANTILE_K + 5 * 1000 and len(grown.to_bytes()) < 33_000
    again = QuantileSketch.from_bytes(grown.to_bytes())
    assert again.grown(sketch([1.0])).count == len(values) + 1
