"""Groups' rates agree with fairlearn on the same data, and what cannot be judged never passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from fairlearn import metrics as fairlearn

from penstock.base.errors import Invalid
from penstock.registry.entities import CheckResult
from registry.gates.asking import Scored, ask, gates

CASES = {
    "demographic_parity": (
        fairlearn.demographic_parity_difference,
        fairlearn.demographic_parity_ratio,
    ),
    "equalized_odds": (fairlearn.equalized_odds_difference, fairlearn.equalized_odds_ratio),
    "equal_opportunity": (
        fairlearn.equal_opportunity_difference,
        fairlearn.equal_opportunity_ratio,
    ),
}


def people(count: int = 1200, bias: float = 0.0, seed: int = 0) -> tuple[pl.DataFrame, Scored]:
    generator = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "sex": generator.choice(["f", "m"], count, p=[0.4, 0.6]),
            "old": generator.choice([True, False], count),
            "y": generator.integers(0, 2, count),
        }
    )
    labels = frame["y"].to_numpy().astype(float)
    noise = generator.normal(0, 0.3, count)
    scores = np.clip(0.3 + 0.4 * labels + noise + bias * (frame["sex"] == "m").to_numpy(), 0, 1)
    return frame, Scored(labels, scores, frame)


def judge(text: str, root: Path, frame: pl.DataFrame, rows: Scored) -> CheckResult:
    return ask(f"fairness: {{{text}}}", root=root, tables={"test": frame}, rows=rows)


def test_differences_and_ratios_are_those_of_fairlearn(tmp_path: Path) -> None:
    frame, rows = people(bias=0.1)
    selected = (rows.candidate_scores() >= 0.5).astype(int)
    for columns in (["sex"], ["sex", "old"]):
        for metric, (difference, ratio) in CASES.items():
            found = judge(
                f"columns: [{', '.join(columns)}], metric: {metric}, max_difference: 0.9",
                tmp_path,
                frame,
                rows,
            )
            given = {"sensitive_features": pd.DataFrame(frame.select(columns).to_dict(as_series=False))}
            assert found.evidence["difference"] == pytest.approx(
                difference(rows.labels(), selected, **given)
            ), (columns, metric)
            assert found.evidence["ratio"] == pytest.approx(ratio(rows.labels(), selected, **given))
            assert found.status == "pass"
            assert found.interval is not None
            assert found.interval[0] <= found.interval[1]


def test_a_planted_bias_is_refused_and_named(tmp_path: Path) -> None:
    frame, rows = people(bias=0.3)
    for limit in ("max_difference: 0.1", "min_ratio: 0.8"):
        found = judge(f"columns: [sex], {limit}", tmp_path, frame, rows)
        assert found.status == "fail"
        assert "where sex is f" in found.sentence
    fair, even = people(bias=0.0)
    assert judge("columns: [sex], max_difference: 0.1", tmp_path, fair, even).status == "pass"


def test_small_groups_are_told_and_too_few_are_an_error(tmp_path: Path) -> None:
    frame, rows = people(400)
    rare = frame.with_columns(
        pl.when(pl.int_range(pl.len()) < 5).then(pl.lit("x")).otherwise(pl.col("sex")).alias("sex")
    )
    scored = Scored(rows.labels(), rows.candidate_scores(), rare)
    found = judge("columns: [sex], max_difference: 0.5", tmp_path, rare, scored)
    assert "too small to judge: sex is x" in found.sentence
    assert found.evidence["too_small"] == ["sex is x"]
    one = frame.with_columns(pl.lit("f").alias("sex"))
    alone = Scored(rows.labels(), rows.candidate_scores(), one)
    assert judge("columns: [sex], max_difference: 0.5", tmp_path, one, alone).status == "error"


def test_groups_that_are_alike_are_both_named(tmp_path: Path) -> None:
    frame, rows = people(400)
    alike = frame.with_columns(
        sex=pl.when(pl.int_range(pl.len()) < 200).then(pl.lit("f")).otherwise(pl.lit("m"))
    )
    half = np.arange(400) % 2.0
    found = judge("columns: [sex], max_difference: 0.5", tmp_path, alike, Scored(rows.labels(), half, alike))
    assert "is 0.500 where sex is f and 0.500 where sex is m" in found.sentence


def test_a_rate_that_is_nothing_by_nothing_is_not_judged(tmp_path: Path) -> None:
    frame, rows = people()
    nobody = Scored(rows.labels(), rows.candidate_scores() * 0.1, frame)
    for metric, (_, ratio) in CASES.items():
        for limit in ("min_ratio: 0.8", "max_difference: 0.1"):
            found = judge(f"columns: [sex], metric: {metric}, {limit}", tmp_path, frame, nobody)
            assert found.status == "error", (metric, limit)
            whose = " of theirs" if metric == "demographic_parity" else " of a positive row of theirs"
            assert f"is 0 in every group, since no score{whose} is at least 0.5" in found.sentence
        theirs = ratio(rows.labels(), np.zeros(len(frame), int), sensitive_features=frame["sex"].to_numpy())
        assert np.isnan(theirs), metric
    without = np.where((frame["sex"] == "f").to_numpy(), 0.0, rows.labels())
    for metric in ("equalized_odds", "equal_opportunity"):
        found = judge(
            f"columns: [sex], metric: {metric}, max_difference: 0.9",
            tmp_path,
            frame,
            Scored(without, rows.candidate_scores(), frame),
        )
        assert found.status == "error", found.sentence


def test_a_model_turned_round_is_not_said_to_select_nobody(tmp_path: Path) -> None:
    frame, rows = people()
    turned = Scored(rows.labels(), 1 - rows.labels(), frame)
    found = judge("columns: [sex], metric: equal_opportunity, max_difference: 0.1", tmp_path, frame, turned)
    assert (found.status, found.sentence) == (
        "error",
        "cannot be judged: the true positive rate is 0 in every group, since no score of a positive row of theirs is at "
        "least 0.5: a model that selects none of the positive rows treats nobody alike",
    )


def test_a_group_without_positives_among_others_is_no_small_one(tmp_path: Path) -> None:
    frame, rows = people(900)
    three = frame.with_columns(pl.Series("sex", np.array(["f", "m", "d"])[np.arange(900) % 3]))
    labels = np.where((three["sex"] == "d").to_numpy(), 0.0, rows.labels())
    scored = Scored(labels, rows.candidate_scores(), three)
    found = judge(
        "columns: [sex], metric: equalized_odds, max_difference: 0.9, min_rows: 20", tmp_path, three, scored
    )
    assert found.status == "error"
    assert "no row is positive where sex is d, so there is no true positive rate" in found.sentence


def test_a_model_that_selects_nobody_wrongly_is_judged(tmp_path: Path) -> None:
    frame, rows = people()
    exact = Scored(rows.labels(), rows.labels(), frame)
    found = judge("columns: [sex], metric: equalized_odds, min_ratio: 0.8", tmp_path, frame, exact)
    assert found.status == "pass", found.sentence


def test_labels_of_more_classes_cannot_be_judged(tmp_path: Path) -> None:
    frame, rows = people(300)
    many = Scored(np.arange(300) % 3.0, rows.candidate_scores(), frame)
    assert judge("columns: [sex], max_difference: 0.5", tmp_path, frame, many).status == "error"


def test_a_check_that_cannot_fail_is_refused() -> None:
    for text in (
        "columns: [sex]",
        "columns: [], max_difference: 0.1",
        "columns: [a], max_difference: 1",
        "columns: [a], min_ratio: 0",
    ):
        with pytest.raises(Invalid):
            gates(f"  - fairness: {{{text}}}")
