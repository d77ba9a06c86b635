"""Gates on tables and scores find what was planted, tell nothing of what was not, and agree with known libraries."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.calibration import calibration_curve
from sklearn.dummy import DummyClassifier
from sklearn.metrics import brier_score_loss, log_loss, mean_absolute_error, roc_auc_score

from penstock.registry.gates.kinds.calibration import calibration_error
from registry.gates.asking import Known, Scored, ask


def flights(count: int, seed: int = 0, shift: float = 0.0) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "hour": generator.integers(0, 24, count),
            "wind": generator.normal(10 + shift, 3, count),
            "carrier": generator.choice(["AA", "DL", "UA"], count),
            "y": generator.integers(0, 2, count),
        }
    )


# drift


def test_drift_is_told_of_what_moved_and_of_nothing_else(tmp_path: Path) -> None:
    before, same = flights(3000, 1), flights(2000, 2)
    cases = {
        "pass": same,
        "wind": flights(2000, 2, shift=3.0),
        "carrier": same.with_columns(
            carrier=pl.when(pl.col("carrier") == "AA").then(pl.lit("XX")).otherwise("carrier")
        ),
        "wind ": same.with_columns(wind=pl.lit("12,5")),
        "hour": same.with_columns(hour=pl.when(pl.col("wind") > 9).then(None).otherwise("hour")),
    }
    for worst, table in cases.items():
        found = ask("drift: {psi_max: 0.25}", root=tmp_path, tables={"reference": before, "test": table})
        assert found.status == ("pass" if worst == "pass" else "fail"), found.sentence
        assert worst.strip() in ("pass", found.evidence["columns"][0]["column"])
    lost = {"reference": before, "test": same.drop("wind")}
    found = ask("drift: {psi_max: 0.25}", root=tmp_path, tables=lost)
    assert (found.status, found.evidence["columns"][0]) == (
        "fail",
        {"column": "wind", "psi": "inf", "noise": 0.0, "is": "missing"},
    )
    ignored = ask("drift: {psi_max: 0.25, ignore: [wind]}", root=tmp_path, tables=lost)
    assert (ignored.status, ignored.n) == ("pass", 2000)


def test_the_index_is_that_of_its_definition_less_what_chance_adds(tmp_path: Path) -> None:
    before, now = flights(4000, 1), flights(4000, 2, shift=1.5)
    found = ask(
        "drift: {psi_max: 9, columns: [wind]}", root=tmp_path, tables={"reference": before, "test": now}
    )
    edges = np.quantile(before["wind"], np.linspace(0, 1, 11))
    edges[0], edges[-1] = -np.inf, np.inf
    shares = [(np.histogram(one["wind"], edges)[0] + 0.5) / 4005 for one in (before, now)]
    exact = float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
    assert found.evidence["columns"][0]["psi"] == pytest.approx(exact - 9 * (2 / 4000), abs=2e-3)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ([0.0], [-5.0]),  # a constant that falls
        ([0.0], [5.0]),
        ([7], [3]),
        ([0.0, 1.0, 0.0, 2.5], [-9.0, 1.0, -9.0, 2.5]),  # what was nothing is less than that
        ([0.0, 1.0], [0.0, 0.4]),  # a flag that became a share
        ([1.0, 1.0, 4.0, None], [0.5, 1.0, 4.0, None]),
    ],
)
def test_values_that_many_rows_shared_are_not_taken_for_what_lies_beside_them(
    tmp_path: Path, before: list[float | None], now: list[float | None]
) -> None:
    first, second = (pl.DataFrame({"x": (one * 1000)[:1000]}) for one in (before, now))
    asked = "drift: {psi_max: 0.25, columns: [x]}"
    same = ask(asked, root=tmp_path, tables={"reference": first, "test": first})
    assert (same.status, same.observed) == ("pass", 0.0)
    found = ask(asked, root=tmp_path, tables={"reference": first, "test": second})
    assert found.status == "fail", found.sentence


def test_drift_without_rows_or_tables_does_not_pass(tmp_path: Path) -> None:
    few = ask(
        "drift: {psi_max: 0.25}", root=tmp_path, tables={"reference": flights(50), "test": flights(500)}
    )
    assert (few.status, few.sentence) == ("error", "50 and 500 rows are too few, 100 are needed")
    assert ask("drift: {psi_max: 0.25}", root=tmp_path / "nowhere").status == "error"
    everything = ", ".join(flights(1).columns)
    both = {"reference": flights(500), "test": flights(500)}
    nothing = ask(f"drift: {{psi_max: 0.25, ignore: [{everything}]}}", root=tmp_path, tables=both)
    assert (nothing.status, nothing.sentence) == ("error", "there is no column to compare")


def test_a_column_that_is_ignored_must_be_one(tmp_path: Path) -> None:
    tables = {"reference": flights(500), "test": flights(500, 2, shift=3.0)}
    known = ask("drift: {psi_max: 0.25, ignore: [wind]}", root=tmp_path, tables=tables)
    assert known.status == "pass", known.sentence
    strange = ask("drift: {psi_max: 0.25, ignore: [wimd]}", root=tmp_path, tables=tables)
    assert strange.status == "error"
    assert "ignores 'wimd', which no table has" in strange.sentence
    compared = ask("drift: {psi_max: 0.25, columns: [wimd]}", root=tmp_path, tables=tables)
    assert compared.status == "error"
    assert "compares 'wimd', which the reference has no column of" in compared.sentence


# leakage


def test_leakage_is_told_of_shared_rows_telling_columns_and_a_future_that_was_trained_on(
    tmp_path: Path,
) -> None:
    train, test = flights(1000, 1), flights(400, 2)
    tables = {"reference": train, "test": test}
    assert ask("leakage: {}", root=tmp_path, tables=tables).status == "pass"
    shared = ask("leakage: {}", root=tmp_path, tables={**tables, "test": pl.concat([test, train.head(100)])})
    assert (shared.status, shared.observed) == ("fail", 0.2)
    assert (
        ask(
            "leakage: {max_overlap: 0.25}",
            root=tmp_path,
            tables={**tables, "test": pl.concat([test, train.head(100)])},
        ).status
        == "pass"
    )
    telling = {
        key: one.with_columns(after=one["y"] * 3.0 + 0.5 * one["wind"] / 30) for key, one in tables.items()
    }
    found = ask("leakage: {}", root=tmp_path, tables=telling)
    assert (found.status, "after alone tells the label" in found.sentence) == ("fail", True)
    for name in ("hour", "wind"):
        exact = roc_auc_score(test["y"], test[name])
        assert found.evidence["auc_alone"][name] == pytest.approx(max(exact, 1 - exact))
    coded = {
        key: one.with_columns(code=pl.when(one["y"] == 1).then(pl.lit("late")).otherwise(pl.lit("on time")))
        for key, one in tables.items()
    }
    assert (
        "code alone tells the label (ROC AUC 1.000)"
        in ask("leakage: {}", root=tmp_path, tables=coded).sentence
    )
    days = [date(2026, 1, 1 + index % 28) for index in range(1000)]
    timed = {
        "reference": train.with_columns(day=pl.Series(days)),
        "test": test.with_columns(day=pl.lit(date(2026, 1, 20))),
    }
    assert (
        "400 held-out rows are earlier" in ask("leakage: {time: day}", root=tmp_path, tables=timed).sentence
    )
    later = {**timed, "test": test.with_columns(day=pl.lit(date(2026, 2, 1)))}
    assert ask("leakage: {time: day}", root=tmp_path, tables=later).status == "pass"
    assert ask("leakage: {time: moment}", root=tmp_path, tables=timed).status == "error"


# slices


def test_a_slice_that_is_worse_is_named_and_small_ones_are_judged_by_nobody(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    test = flights(3000, 4).with_columns(
        carrier=pl.when(pl.col("hour") == 5).then(pl.lit("rare")).otherwise("carrier")
    )
    labels = test["y"].to_numpy().astype(float)
    noise = np.where(test["carrier"].to_numpy() == "UA", 2.5, 0.6)
    scores = labels + generator.normal(0, 1, 3000) * noise
    rows = Scored(labels, scores, test)
    asked = "slices: {columns: [carrier], metric: roc_auc, max_drop: 0.05, min_rows: 200}"
    found = ask(asked, root=tmp_path, tables={"test": test}, rows=rows)
    assert found.status == "fail"
    assert found.evidence["slices"][0]["slice"] == "carrier is UA"
    assert found.evidence["too_small"] == ["carrier is rare"]
    for one in found.evidence["slices"]:
        part = (test["carrier"] == one["slice"].removeprefix("carrier is ")).to_numpy()
        assert one["value"] == pytest.approx(roc_auc_score(labels[part], scores[part]))
    even = Scored(
        labels, labels + generator.normal(0, 1, 3000), test, champion=labels + generator.normal(0, 1, 3000)
    )
    both = asked.replace("max_drop: 0.05", "max_drop: 0.05, max_champion_drop: 0.05")
    assert ask(both, root=tmp_path, tables={"test": test}, rows=even).status == "pass"
    better = np.where(test["carrier"].to_numpy() == "DL", labels, labels + generator.normal(0, 1, 3000))
    against = Scored(labels, labels + generator.normal(0, 1, 3000), test, champion=better)
    assert "carrier is DL" in ask(both, root=tmp_path, tables={"test": test}, rows=against).sentence
    none = ask(asked.replace("200", "2000"), root=tmp_path, tables={"test": test}, rows=rows)
    assert (none.status, none.sentence) == ("error", "no slice has 2,000 rows that roc_auc can be told of")
    assert (
        ask(asked.replace("carrier", "captain"), root=tmp_path, tables={"test": test}, rows=rows).status
        == "error"
    )


def test_slices_of_one_skill_are_rarely_refused(tmp_path: Path) -> None:
    refused = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        test = pl.DataFrame({"part": generator.integers(0, 6, 1200)})
        labels = generator.integers(0, 2, 1200).astype(float)
        rows = Scored(labels, labels + generator.normal(0, 1, 1200), test)
        asked = "slices: {columns: [part], metric: roc_auc, max_drop: 0, resamples: 200, alpha: 0.05}"
        refused += ask(asked, root=tmp_path, tables={"test": test}, rows=rows).status == "fail"
    assert refused <= 8


# calibration and baseline


def test_calibration_is_what_scikit_learn_computes() -> None:
    generator = np.random.default_rng(5)
    scores = generator.uniform(0, 1, 5000)
    for skew in (0.0, 0.15):
        labels = (generator.uniform(0, 1, 5000) < np.clip(scores + skew, 0, 1)).astype(float)
        share, mean = calibration_curve(labels, scores, n_bins=15)
        counts = np.histogram(scores, np.linspace(0, 1, 16))[0]
        exact = float((counts * np.abs(share - mean)).sum() / 5000)
        found = ask(
            "calibration: {max_error: 0.05, max_brier: 0.4, resamples: 200}", rows=Scored(labels, scores)
        )
        assert found.observed == pytest.approx(exact)
        assert calibration_error(labels, scores, 15)[0] == pytest.approx(exact)
        assert found.evidence["brier"] == pytest.approx(brier_score_loss(labels, scores))
        assert found.status == ("pass" if skew == 0 else "fail")
        assert found.interval is not None
        assert found.interval[0] is not None
    assert ask("calibration: {max_error: 0.05}", rows=Scored(labels[:50], scores[:50])).status == "error"
    assert ask("calibration: {max_error: 0.05}", rows=Scored(labels, scores * 3)).status == "error"


def test_a_model_without_skill_does_not_beat_a_constant(tmp_path: Path) -> None:
    generator = np.random.default_rng(6)
    truth = (generator.uniform(0, 1, 2000) < 0.2).astype(float)
    train = pl.DataFrame({"y": truth[:1000]})
    tables = {"reference": train}
    labels = truth[1000:]
    good, blind = (
        np.clip(0.2 + 0.3 * (labels - 0.2), 0, 1),
        np.clip(generator.normal(0.2, 0.05, 1000), 0.01, 1),
    )
    dummy = DummyClassifier(strategy="prior").fit(np.zeros((1000, 1)), truth[:1000])
    exact = log_loss(labels, dummy.predict_proba(np.zeros((1000, 1)))[:, 1])
    asked = "baseline: {metric: log_loss, resamples: 300}"
    found = ask(asked, root=tmp_path, tables=tables, rows=Scored(labels, good))
    assert (found.status, found.evidence["baseline"]) == ("pass", pytest.approx(exact))
    assert ask(asked, root=tmp_path, tables=tables, rows=Scored(labels, blind)).status == "fail"
    number = ask(
        "baseline: {metric: mae, resamples: 300}", root=tmp_path, tables=tables, rows=Scored(labels, good)
    )
    assert number.evidence["baseline"] == pytest.approx(
        mean_absolute_error(labels, np.full(1000, np.median(truth[:1000])))
    )
    assert ask(asked, root=tmp_path, rows=Scored(labels, good)).status == "error"


def test_no_constant_is_learned_of_a_training_table_without_labels(tmp_path: Path) -> None:
    labels = np.arange(500) % 2.0
    rows = Scored(labels, np.clip(labels, 0.1, 0.9))
    for train, told in (
        (pl.DataFrame({"y": []}), "none of 0 rows of reference.parquet has a 'y'"),
        (pl.DataFrame({"y": [None] * 3}), "none of 3 rows of reference.parquet has a 'y'"),
        (pl.DataFrame({"y": [float("nan")] * 3}), "none of 3 rows of reference.parquet has a 'y'"),
        (pl.DataFrame({"z": [0, 1]}), "reference.parquet has no column 'y'"),
    ):
        found = ask(
            "baseline: {metric: brier, resamples: 300}", root=tmp_path, tables={"reference": train}, rows=rows
        )
        assert (found.status, told in found.sentence) == ("error", True), found.sentence


# origin and age


def test_what_is_not_known_of_the_origin_is_named() -> None:
    known = Known({}, None, 0)
    assert ask("provenance: {}", facts=known).status == "pass"
    lacking = Known({"clean tree": "files differ from the commit"}, None, 0)
    found = ask("provenance: {}", facts=lacking)
    assert (found.status, found.sentence) == ("fail", "clean tree: files differ from the commit")
    assert ask("provenance: {require: [commit, data]}", facts=lacking).status == "pass"
    assert ask("provenance: {}").status == "error"


def test_data_that_are_old_unknown_or_to_come_do_not_pass(tmp_path: Path) -> None:
    today = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1000)
    day = 86_400_000
    for data_ms, status in (
        (today - 10 * day, "pass"),
        (today - 40 * day, "fail"),
        ("nobody noted it", "fail"),
        (today + 9 * day, "fail"),
    ):
        assert ask("staleness: {max_days: 30}", facts=Known({}, data_ms, today)).status == status
    table = pl.DataFrame(
        {
            "day": [date(2026, 2, 20), date(2026, 1, 1)],
            "text": ["2026-02-20T10:00:00", "2025-12-31"],
            "n": ["x", "y"],
        }
    )
    for column, status in (("day", "pass"), ("text", "pass"), ("n", "error"), ("other", "error")):
        found = ask(
            f"staleness: {{max_days: 30, time: {column}}}",
            root=tmp_path,
            tables={"reference": table},
            facts=Known({}, None, today),
        )
        assert found.status == status, found.sentence
