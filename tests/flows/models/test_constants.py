"""`baseline` compares a classifier with what no model is needed for, whatever its classes are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss

import penstock
from penstock.flows.models.candidates import Candidate
from penstock.flows.models.evidence.held_out import HeldOutTable
from penstock.flows.models.folders import files_of_folder
from penstock.project.settings import ModelSettings
from penstock.registry.entities import CheckResult, Manifest
from penstock.registry.gates.check import Evidence, Named
from penstock.registry.gates.judge import run_checks
from registry.gates.asking import gates


def judged(
    root: Path, model: Any, test: pl.DataFrame, train: pl.DataFrame, metric: str, kind: str = "baseline"
) -> CheckResult:
    """Return what one check says of a saved model on real tables."""
    test.write_parquet(root / "test.parquet")
    train.write_parquet(root / "train.parquet")
    if not (root / "m").is_dir():
        penstock.save_model(model, str(root / "m"), train.select("x"))
    settings = ModelSettings(name="m", path="m", test="test.parquet", label="y", reference="train.parquet")
    held_out = HeldOutTable(
        root,
        Candidate(settings, root / "m", Manifest(())),
        files_of_folder(root / "m", "m", 0, "d1"),
        None,
    )
    named = Named(label="y", test="test.parquet", reference="train.parquet")
    asked = f"  - {kind}: {{metric: {metric}, resamples: 100}}"
    if kind == "fairness":
        asked = "  - fairness: {columns: [x], max_difference: 0.1}"
    (found,) = run_checks(gates(asked), Evidence(root, {}, held_out, named=named))
    return found


def table(classes: list[Any], shares: list[float], count: int, seed: int, skill: float = 1.0) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    code = generator.choice(len(classes), count, p=shares)
    return pl.DataFrame(
        {"x": skill * code + generator.normal(0, 0.3, count), "y": [classes[one] for one in code]}
    )


@pytest.mark.parametrize("classes", [[0, 1, 2], ["a", "b", "c"], [1, 2], ["no", "yes"], [False, True]])
def test_the_constant_is_that_of_a_dummy_classifier_whatever_the_classes(
    tmp_path: Path, classes: list[Any]
) -> None:
    shares = [0.2, 0.1, 0.7] if len(classes) == 3 else [0.3, 0.7]
    train, test = table(classes, shares, 800, 1), table(classes, shares, 500, 2)
    model = LogisticRegression(C=100).fit(train.select("x"), train["y"].to_numpy())
    dummy = DummyClassifier(strategy="prior").fit(train.select("x"), train["y"].to_numpy())
    chances = dummy.predict_proba(test.select("x"))
    exact = {
        "accuracy": accuracy_score(test["y"], dummy.predict(test.select("x"))),
        "log_loss": log_loss(test["y"], chances),
    }
    if len(classes) == 2:
        exact |= {"brier": brier_score_loss(test["y"] == classes[1], chances[:, 1]), "roc_auc": 0.5}
    for metric, number in exact.items():
        found = judged(tmp_path, model, test, train, metric)
        assert found.status == "pass", found.sentence
        assert found.evidence["baseline"] == pytest.approx(number), found.sentence


def test_a_model_of_three_classes_that_guesses_does_not_pass(tmp_path: Path) -> None:
    train, test = (table([0, 1, 2], [0.8, 0.1, 0.1], 900, seed, skill=0.0) for seed in (1, 2))
    blind = LogisticRegression(class_weight="balanced").fit(train.select("x"), train["y"].to_numpy())
    found = judged(tmp_path, blind, test, train, "accuracy")
    assert (found.status, "of the constant answer 0" in found.sentence) == ("fail", True), found.sentence


def test_labels_that_are_none_of_the_models_classes_are_an_error(tmp_path: Path) -> None:
    train, test = table([0, 1], [0.5, 0.5], 600, 1), table([0, 1], [0.5, 0.5], 300, 2)
    model = LogisticRegression().fit(train.select("x"), train["y"].to_numpy())
    infinite = train.with_columns(y=pl.when(pl.col("x") > 1).then(float("inf")).otherwise(pl.col("y")))
    mixed = train.with_columns(y=pl.when(pl.col("x") > 1).then(pl.lit("x")).otherwise(pl.col("y").cast(str)))
    turned = {"train": train.with_columns(y=pl.col("y") + 1), "test": test.with_columns(y=pl.col("y") + 1)}
    for rows, learned, told in (
        (turned["test"], turned["train"], "label 'y' has '2', which is none of the classes 0, 1"),
        (test, turned["train"], "label 'y' of train.parquet has '2', which is none of the classes 0, 1"),
        (test, infinite, "label 'y' of train.parquet has 'inf'"),
        (test, mixed, "label 'y' of train.parquet has 'x'"),
        (test.clear(), train, "test.parquet has no rows to judge by"),
    ):
        for metric in ("accuracy", "log_loss"):
            found = judged(tmp_path, model, rows, learned, metric)
            assert (found.status, told in found.sentence) == ("error", True), found.sentence
    one = judged(tmp_path, model, test.filter(pl.col("y") == 1), train, "roc_auc")
    assert (one.status, "held-out rows are of one class" in one.sentence) == ("error", True), one.sentence
    none = judged(tmp_path, model, test.clear(), train, "", kind="fairness")
    assert (none.status, "test.parquet has no rows" in none.sentence) == ("error", True), none.sentence
    fair = judged(tmp_path, model, test, train.with_columns(pl.col("y") == 1), "brier")
    assert (fair.status, fair.evidence["constant"]) == ("pass", f"constant {train['y'].mean():.4g}")


def test_a_regression_needs_finite_numbers(tmp_path: Path) -> None:
    train, test = (
        table([0, 1], [0.5, 0.5], 400, seed).with_columns(y=pl.col("x") * 2 + 1) for seed in (1, 2)
    )
    model = LinearRegression().fit(train.select("x"), train["y"].to_numpy())
    assert judged(tmp_path, model, test, train, "mae").status == "pass"
    infinite = pl.when(pl.col("x") > 1).then(float("inf")).otherwise(pl.col("y")).alias("y")
    mixed = pl.when(pl.col("x") > 1).then(pl.lit("n/a")).otherwise(pl.col("y").cast(str)).alias("y")
    for rows, learned, told in (
        (test, train.with_columns(infinite), "'y' of train.parquet are no finite numbers"),
        (test, train.with_columns(mixed), "'y' of train.parquet are no finite numbers"),
        (test.with_columns(infinite), train, "of 400 rows of test.parquet have an infinite 'y'"),
    ):
        found = judged(tmp_path, model, rows, learned, "mae")
        assert (found.status, told in found.sentence) == ("error", True), found.sentence
