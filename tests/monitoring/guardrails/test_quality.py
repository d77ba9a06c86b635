from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from monitoring.traffic import window
from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.limits import QualityLimit
from penstock.monitoring.guardrails.measured import Reference
from penstock.monitoring.guardrails.quality import (
    judge_against_bound,
    judge_against_offline,
    judge_against_rival,
)
from penstock.monitoring.quality.labels import score
from penstock.monitoring.quality.measures import Quality


def scored(rng: np.random.Generator, rows: int, effect: float, positives: float = 0.3) -> Quality:
    labels = (rng.random(rows) < positives).astype(float)
    shift = np.log(positives / (1 - positives)) - 0.3
    return Quality.of(1 / (1 + np.exp(-(rng.normal(size=rows) + effect * labels + shift))), labels)


def against_rival(ours: Quality, theirs: Quality, **limit: Any) -> Finding | None:
    settings = QualityLimit(**dict[str, Any](metric="roc_auc", max_drop=0.03) | limit)
    return next(judge_against_rival(settings, window("canary", quality=ours), window(quality=theirs)), None)


def against_offline(ours: Quality, reference: Reference, **limit: Any) -> Finding | None:
    settings = QualityLimit(**dict[str, Any](metric="roc_auc", max_drop=0.03) | limit)
    return next(judge_against_offline(settings, window(quality=ours), reference), None)


def test_a_worse_canary_is_found_and_an_equal_one_never() -> None:
    rng = np.random.default_rng(4)
    for _ in range(25):
        stable = scored(rng, 2000, 1.0)
        equal = against_rival(scored(rng, 400, 1.0), stable)
        worse = against_rival(scored(rng, 600, 0.0), stable)
        assert equal is not None and not equal.breached
        assert worse is not None and worse.breached


def test_a_true_drop_within_what_is_allowed_is_no_breach_however_many_labels_there_are() -> None:
    rng = np.random.default_rng(5)
    for rows in (1000, 20_000):
        for _ in range(4):
            found = against_rival(scored(rng, rows, 0.9), scored(rng, 5 * rows, 1.0), max_drop=0.05)
            assert found is not None and not found.breached


def test_a_drop_beyond_what_is_allowed_is_a_breach() -> None:
    rng = np.random.default_rng(6)
    found = against_rival(scored(rng, 5000, 0.5), scored(rng, 20_000, 1.0), max_drop=0.05)
    assert found is not None and found.breached and found.against is not None
    assert "surely more than the 0.05 that is allowed" in found.sentence


def test_a_version_that_is_worse_by_many_times_what_is_allowed_is_found_with_the_first_labels() -> None:
    rng = np.random.default_rng(7)
    truth = rng.normal(200_000, 50_000, 260)
    stable = score({"prediction": truth[:200] + rng.normal(0, 10_000, 200)}, truth[:200].tolist())
    broken = score({"prediction": truth[200:] + rng.normal(0, 80_000, 60)}, truth[200:].tolist())
    found = against_rival(broken, stable, metric="mae", max_drop=1000, min_labels=50)
    assert found is not None and found.breached
    better = against_rival(stable, broken, metric="mae", max_drop=1000, min_labels=50)
    assert better is not None and "within the 1000 that is allowed" in better.sentence


@pytest.mark.parametrize("factor", [3.0, 100.0, 1e4, 1e8, 1e30])
def test_the_worse_a_version_is_the_surer_it_is_found(factor: float) -> None:
    """An error without a bound carries its own standard error up with it, beyond every scale of the limit."""
    rng = np.random.default_rng(1)
    truth = rng.lognormal(3, 0.8, 1000)
    wrong = score({"prediction": truth * factor * np.exp(rng.normal(0, 0.1, 1000))}, truth.tolist())
    right = score({"prediction": truth * np.exp(rng.normal(0, 0.1, 1000))}, truth.tolist())
    for limit in ({"metric": "r2", "min": 0.5}, {"metric": "rmse", "max": 10}, {"metric": "mae", "max": 5}):
        settings = QualityLimit(**limit)
        assert next(judge_against_bound(settings, window(quality=wrong))).breached, limit
        assert not next(judge_against_bound(settings, window(quality=right))).breached
    for metric, max_drop in {"r2": 0.1, "rmse": 3, "mae": 0, "mape": 0.1}.items():
        found = against_rival(wrong, right, metric=metric, max_drop=max_drop)
        assert found is not None and found.breached, metric
    exact = Reference(metrics={"mae": 0.0})
    found = against_offline(wrong, exact, metric="mae", max_drop=0.0)
    assert found is not None and found.breached


@pytest.mark.parametrize("positives", [0.01, 0.005])
def test_few_positives_breach_nothing(positives: float) -> None:
    """20 labels a look; nothing is said of the area until there are ten positives on either side."""
    rng = np.random.default_rng(7)
    judged = breaches = 0
    for _ in range(12):
        ours, theirs = Quality(), scored(rng, 9000, 1.0, positives)
        for look in range(50):
            ours = ours.merge(scored(rng, 20, 1.0, positives))
            found = against_rival(ours, theirs, max_drop=0.03) if look % 5 == 4 else None
            judged += found is not None
            breaches += found is not None and found.breached
    assert breaches == 0
    assert judged < 12 * 10


def test_an_unchanged_model_against_its_offline_metric_from_few_rows_is_no_breach() -> None:
    """One look with max_drop 0.03, the offline area from 300 held-out rows."""
    rng = np.random.default_rng(8)
    breaches = 0
    for _ in range(80):
        offline = scored(rng, 300, 1.0).roc_auc()
        live = scored(rng, 2000, 1.0)
        found = against_offline(live, Reference(metrics={"roc_auc": offline}, row_count=300))
        breaches += found is not None and found.breached
    assert breaches <= 2


def test_a_live_model_that_is_far_below_its_offline_metric_is_a_breach() -> None:
    rng = np.random.default_rng(9)
    found = against_offline(scored(rng, 2000, 0.0), Reference(metrics={"roc_auc": 0.76}))
    assert found is not None and found.breached
    assert (found.against, "its offline evaluation" in found.sentence) == (0.76, True)
    assert against_offline(scored(rng, 2000, 0.0), Reference()) is None


def test_many_rows_a_request_with_a_shared_effect_are_no_breach() -> None:
    rng = np.random.default_rng(10)

    def grouped(requests: int) -> Quality:
        rows = requests * 50
        labels = (rng.random(rows) < 0.3).astype(float)
        shared = np.repeat(rng.normal(0, 1.5, requests), 50)
        scores = 1 / (1 + np.exp(-(rng.normal(size=rows) + shared + labels)))
        outputs = {"probability": scores, "prediction": (scores > 0.5).astype(int)}
        return score(outputs, labels.tolist(), requests=np.repeat(np.arange(requests), 50).tolist())

    breaches = 0
    for _ in range(6):
        ours, theirs = grouped(40), grouped(200)
        for metric in ("brier", "roc_auc"):
            found = against_rival(ours, theirs, metric=metric, max_drop=0.03)
            breaches += found is not None and found.breached
    assert breaches == 0


def test_too_few_labels_give_no_finding() -> None:
    rng = np.random.default_rng(11)
    assert against_rival(scored(rng, 150, 0.0), scored(rng, 2000, 2.0)) is None
    assert against_rival(scored(rng, 2000, 0.0), scored(rng, 150, 2.0)) is None


def test_for_a_loss_a_rise_is_the_drop() -> None:
    rng = np.random.default_rng(12)
    found = against_offline(
        scored(rng, 3000, 0.0), Reference(metrics={"brier": 0.1}), metric="brier", max_drop=0.01
    )
    assert found is not None and found.breached
    numbers = score({"prediction": rng.normal(size=500)}, rng.normal(0, 3, 500).tolist())
    mae = against_offline(numbers, Reference(metrics={"mae": 0.5}), metric="mae", max_drop=0.1)
    assert mae is not None and mae.breached


def test_a_version_is_held_to_a_bound_whatever_it_is_compared_with() -> None:
    rng = np.random.default_rng(12)
    at_least = QualityLimit(metric="roc_auc", min=0.7)
    worse = next(judge_against_bound(at_least, window("canary", quality=scored(rng, 3000, 0.4))))
    assert worse.breached and (worse.name, worse.metric, worse.worst) == ("roc_auc_min", "roc_auc", 0.7)
    assert "surely beyond the least that is allowed, 0.7" in worse.sentence
    better = next(judge_against_bound(at_least, window(quality=scored(rng, 3000, 1.5))))
    assert not better.breached and not better.is_inconclusive
    few = next(judge_against_bound(at_least, window("canary", quality=scored(rng, 220, 0.62))))
    assert few.is_inconclusive and not few.breached, "no canary advances on it, and none is rolled back"
    assert not list(judge_against_bound(at_least, window(quality=scored(rng, 199, 0.4))))


def test_a_version_just_at_its_bound_is_no_breach_however_often_it_is_looked_at() -> None:
    rng = np.random.default_rng(13)
    limit, breaches = QualityLimit(metric="mae", max=8.0), 0
    for _ in range(60):
        seen = Quality()
        for _ in range(40):
            truth = rng.normal(100, 30, 50)
            noise = rng.normal(0, 8.0 * np.sqrt(np.pi / 2), 50)
            seen = seen.merge(score({"prediction": truth + noise}, truth.tolist()))
            found = next(judge_against_bound(limit, window(quality=seen)), None)
            breaches += found is not None and found.breached
    assert breaches <= 60 * 0.05 + 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"metric": "mae"},
        {"metric": "mae", "min": 3},
        {"metric": "roc_auc", "max": 0.7},
        {"metric": "roc_auc", "min": 0.7, "max_drop": 0.1},
        {"metric": "roc_auc", "min": 0.7, "against": "stable"},
    ],
)
def test_a_limit_that_says_nothing_clear_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"exactly one|may be is its|belongs to"):
        QualityLimit(**wrong)
