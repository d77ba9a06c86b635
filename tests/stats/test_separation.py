from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from penstock.stats.separation import _area, scores_of, separate

Floats = np.ndarray


def separated(first: Floats, second: Floats, groups: Floats | None = None) -> tuple[float, float, list[int]]:
    rows = np.concatenate([first, second])
    is_second = np.arange(len(rows)) >= len(first)
    columns = [scores_of(rows[:, place]) for place in range(rows.shape[1])]
    found = separate(
        columns, list(range(rows.shape[1])), is_second, np.arange(len(rows)) if groups is None else groups
    )
    assert found is not None
    return found.area, found.error, [place for place, part in found.parts if part > 0.05]


def _together(rows: Floats) -> None:
    rows[:, 1] = 0.9 * rows[:, 0] + np.sqrt(1 - 0.81) * rows[:, 1]


def _wider(rows: Floats) -> None:
    rows[:, 4] *= 2.0


def _further(rows: Floats) -> None:
    rows[:, 3] += 1.0


def _opposite(rows: Floats) -> None:  # only the sign of the product of two columns tells
    rows[:, 6] = np.abs(rows[:, 6]) * np.sign(rows[:, 7])


@pytest.mark.parametrize(
    ("plant", "columns", "least"),
    [(_together, {0, 1}, 0.68), (_wider, {4}, 0.66), (_further, {3}, 0.72), (_opposite, {6, 7}, 0.70)],
)
def test_what_was_planted_is_found_with_the_columns_that_it_is_in(
    plant: Callable[[Floats], None], columns: set[int], least: float
) -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2000, 20)), rng.normal(size=(600, 20))
    plant(second)
    area, error, told = separated(first, second)
    assert area - 3 * error > 0.55 and area > least, (area, error)
    assert set(told) == columns


def test_how_well_they_are_told_apart_does_not_depend_on_whether_it_is_asked_by_what() -> None:
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(900, 6))
    rows[600:, 2] += 0.5
    columns = [scores_of(rows[:, place]) for place in range(6)]
    asked, plain = (
        separate(columns, list(range(6)), np.arange(900) >= 600, np.arange(900), tells_parts=tells)
        for tells in (True, False)
    )
    assert asked is not None and plain is not None
    assert asked.parts and not plain.parts
    assert (asked.area, asked.error) == (plain.area, plain.error)
    assert asked.scores.tolist() == plain.scores.tolist()


def test_samples_without_a_difference_are_near_a_half_within_their_errors() -> None:
    rng = np.random.default_rng(2)
    off = []
    for _ in range(40):
        first, second = rng.normal(size=(800, 10)), rng.normal(size=(300, 10))
        area, error, _ = separated(first, second)
        off.append((area - 0.5) / error)
    assert np.abs(off).max() < 4.0
    assert 0.4 < np.std(off) < 1.4
    assert abs(np.mean(off)) < 0.6


def test_rows_of_one_request_count_together() -> None:
    rng = np.random.default_rng(3)
    first = rng.normal(size=(600, 3))
    second = np.repeat(rng.normal(size=(30, 3)), 20, axis=0)  # 30 requests of 20 equal rows
    groups = np.concatenate([np.arange(600), 600 + np.repeat(np.arange(30), 20)])
    _, as_requests, _ = separated(first, second, groups)
    _, as_rows, _ = separated(first, second)
    assert as_requests > 1.5 * as_rows
    is_second = np.arange(604) >= 600
    columns = [scores_of(rng.normal(size=604))]
    assert separate(columns, [0], is_second, np.arange(604)) is None  # four requests make no five folds


def test_the_area_is_scikit_learns_with_ties_too() -> None:
    rng = np.random.default_rng(4)
    truth, scores = rng.random(500) < 0.3, rng.integers(0, 12, 500).astype(float)
    area, parts = _area(scores, truth)
    assert area == pytest.approx(roc_auc_score(truth, scores))
    assert parts[truth].mean() == pytest.approx(0.0, abs=1e-12)
    assert parts[~truth].mean() == pytest.approx(0.0, abs=1e-12)
