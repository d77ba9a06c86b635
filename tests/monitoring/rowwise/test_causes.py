from __future__ import annotations

import numpy as np
import pytest

from penstock.monitoring.rowwise.causes import Cause, Untold, explain
from penstock.monitoring.rowwise.labelled import LabelledRows

Floats = np.ndarray


def _sigmoid(values: Floats) -> Floats:
    return 1 / (1 + np.exp(-values))


def rows(
    rng: np.random.Generator, count: int, *, hard: float = 0.2, turned: bool = False, far: float = 0.0
) -> LabelledRows:
    """Return rows of a model that is sure of easy rows and knows nothing of hard ones; `turned` turns the relation."""
    is_hard = rng.random(count) < hard
    x = rng.normal(size=count) + far
    logit = np.where(is_hard, 0.0, 3.0 * x)
    labels = (rng.random(count) < _sigmoid(np.where(turned & ~is_hard, -0.5 * logit, logit))).astype(int)
    return LabelledRows(
        columns={
            "kind": np.where(is_hard, "hard", "easy").astype(object),
            "x": x,
            "noise": rng.normal(size=count),
        },
        outputs={"prediction": (logit > 0).astype(np.int64), "probability": _sigmoid(logit)},
        labels=labels.tolist(),
        requests=rng.integers(0, 2**31, count),
        times_s=np.arange(count),
        classes=(0, 1),
    )


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc"])
def test_a_drop_is_told_as_what_was_planted(metric: str) -> None:
    rng = np.random.default_rng(1)
    before = rows(rng, 1200)
    moved = explain(before, rows(rng, 900, hard=0.85), metric)
    assert isinstance(moved, Cause) and moved.verdict == "covariate", moved
    assert moved.features[0] == "kind" and abs(moved.concept) < moved.covariate / 2
    assert moved.sentence.startswith("brier was " if metric == "roc_auc" else "accuracy was ")
    assert "other rows are asked about (most: kind" in moved.sentence
    turned = explain(before, rows(rng, 900, turned=True), metric)
    assert isinstance(turned, Cause) and turned.verdict == "concept", turned
    assert turned.features == () and "a model trained on new labels is needed" in turned.sentence
    assert turned.covariate + turned.concept == pytest.approx(turned.drop)
    both = explain(before, rows(rng, 1200, hard=0.6, turned=True), metric)
    assert isinstance(both, Cause) and both.verdict in {"both", "concept"} and both.concept > 0.05, both


def test_rows_where_no_earlier_ones_were_are_not_told_apart() -> None:
    rng = np.random.default_rng(2)
    found = explain(rows(rng, 1000), rows(rng, 600, far=-8.0, turned=True), "accuracy")
    assert isinstance(found, Untold) or found.verdict == "unclear", found


def test_without_a_drop_nothing_is_told_and_few_rows_are_not_looked_at() -> None:
    rng = np.random.default_rng(3)
    for _ in range(30):
        found = explain(rows(rng, 600), rows(rng, 400), "accuracy")
        assert isinstance(found, Untold) and "not surely worse" in found.sentence
    few = explain(rows(rng, 100), rows(rng, 900, turned=True), "accuracy")
    assert isinstance(few, Untold)
    assert few.sentence == "not told: 100 of 150 early labelled rows whose features are kept"
    better = explain(rows(rng, 900, turned=True), rows(rng, 900), "accuracy")
    assert isinstance(better, Untold)


def test_what_is_planted_is_seldom_taken_for_the_other() -> None:
    rng = np.random.default_rng(4)
    wrong = 0
    for _ in range(12):
        moved = explain(rows(rng, 800), rows(rng, 500, hard=0.8), "accuracy")
        turned = explain(rows(rng, 800), rows(rng, 500, turned=True), "accuracy")
        wrong += isinstance(moved, Cause) and moved.verdict in {"concept", "both"}
        wrong += isinstance(turned, Cause) and turned.verdict in {"covariate", "both"}
    assert wrong <= 1


def test_numbers_are_explained_too() -> None:
    rng = np.random.default_rng(5)

    def numbers(count: int, hard: float, off: float) -> LabelledRows:
        is_hard = rng.random(count) < hard
        x = rng.normal(size=count)
        truth = x + off + rng.normal(size=count) * np.where(is_hard, 5.0, 0.5)
        return LabelledRows(
            columns={"hard": is_hard.astype(float), "x": x},
            outputs={"prediction": x},
            labels=truth.tolist(),
            requests=rng.integers(0, 2**31, count),
            times_s=np.arange(count),
        )

    moved = explain(numbers(1000, 0.1, 0.0), numbers(800, 0.7, 0.0), "rmse")
    assert isinstance(moved, Cause) and (moved.metric, moved.verdict) == ("mae", "covariate")
    turned = explain(numbers(1000, 0.1, 0.0), numbers(800, 0.1, 3.0), "mae")
    assert isinstance(turned, Cause) and turned.verdict == "concept"
