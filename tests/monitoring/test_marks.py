"""Exact counts at a reference's edges: they add up, survive the store, and give the exact index."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest

from penstock.monitoring.bins import NumberBins, edges_of
from penstock.monitoring.drift import compare
from penstock.monitoring.marks import Marks
from penstock.monitoring.profile import NumberColumn, Profile
from penstock.monitoring.variation import reference_profile
from penstock.stats.distances import population_stability


def numbers(profile: Profile) -> NumberColumn:
    column = profile.column("x")
    assert isinstance(column, NumberColumn)
    return column


def counted(reference: Profile, values: np.ndarray, parts: int = 4) -> Profile:
    made = []
    for index in range(parts):
        made.append(Profile(edges=edges_of(reference)))
        made[-1].update({"x": values[index::parts]})
    return reduce(Profile.merge, (Profile.from_bytes(one.to_bytes()) for one in made))


def test_counts_are_below_at_and_between_the_edges_and_add_up() -> None:
    marks = Marks.at(np.array([1.0, 2.0]))
    marks.update(np.array([0.0, 1.0, 1.0, 1.5, 2.0, 3.0, 4.0]))
    assert marks.counts.tolist() == [1, 2, 1, 1, 2]
    read = Marks.unpack(*marks.pack())
    both = read.merged(marks)
    assert both is not None and both.counts.tolist() == [2, 4, 2, 2, 4]
    assert marks.merged(Marks.at(np.array([1.0, 3.0]))) is None
    ordered = Marks.at(np.array([1.0, 2.0]))
    ordered.update_ordered(np.array([0.0, 1.0, 1.0, 1.5, 2.0, 3.0, 4.0]))
    assert ordered.counts.tolist() == marks.counts.tolist()
    with pytest.raises(ValueError, match="not known"):
        read.update_ordered(np.array([1.0]))
    with pytest.raises(ValueError, match="not known"):
        read.update(np.array([1.0]))


def test_an_index_is_exact_also_where_a_bin_is_nearly_empty() -> None:
    rng = np.random.default_rng(21)
    draws = {
        "hard edge": lambda shift, count: rng.uniform(shift, 1 + shift, count),
        "heavy tail": lambda shift, count: rng.lognormal(shift, 1, count),
        "ties": lambda shift, count: rng.poisson(3 + shift, count).astype(float),
    }
    for name, draw in draws.items():
        before, now = draw(0.0, 50_000), draw(0.1, 20_000)
        reference = Profile.from_bytes(reference_profile({"x": before}).to_bytes())
        bins = NumberBins(numbers(reference))
        width = len(bins.counts(numbers(reference)))
        exact = population_stability(*(np.bincount(bins.places(one), minlength=width).astype(float) for one in (before, now)))  # fmt: skip
        (found,) = compare(reference, counted(reference, now))
        assert found.psi == pytest.approx(exact, abs=0.005), name


def test_values_counted_at_other_edges_are_estimated_as_before() -> None:
    rng = np.random.default_rng(22)
    reference = reference_profile({"x": rng.normal(size=5000)})
    other = reference_profile({"x": rng.normal(3, 1, 5000)})
    now = rng.normal(0.5, 1, 5000)
    (exact,), (estimated,) = (compare(reference, counted(one, now)) for one in (reference, other))
    assert estimated.psi == pytest.approx(exact.psi, abs=0.02)
    assert estimated.noise > exact.noise
    mixed = counted(reference, now).merge(counted(other, now))
    assert numbers(mixed).marks is None
    assert numbers(counted(reference, now).merge(Profile())).marks is not None


def test_rows_in_bunches_are_no_drift_however_large_the_window() -> None:
    rng = np.random.default_rng(23)

    def bunches(count: int) -> np.ndarray:
        return np.repeat(rng.normal(size=count // 50), 50)

    for _ in range(6):
        reference = reference_profile({"x": bunches(20_000)})
        (found,) = compare(reference, counted(reference, bunches(200_000)))
        assert found.psi <= found.noise
        assert (found.ks or 0.0) <= found.ks_noise
