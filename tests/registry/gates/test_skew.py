"""`skew`: features that are served otherwise than trained are told, and too little traffic is never a pass."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from penstock.base.errors import Unavailable
from penstock.registry.entities import CheckResult
from penstock.registry.gates.check import Evidence, Named, RecordedRequest
from penstock.registry.gates.judge import run_checks

from .asking import NOTHING, gates

DRAW = np.random.default_rng(5)


def features(count: int) -> pl.DataFrame:
    return pl.DataFrame(
        {"wind": DRAW.normal(10.0, 2.0, count), "carrier": DRAW.choice(["AA", "B6", "UA"], count)}
    )


@dataclass
class Traffic:
    """Requests of so many rows each."""

    rows: pl.DataFrame
    each: int = 1

    def recorded(self, endpoint: str | None, count: int) -> tuple[RecordedRequest, ...]:
        if not self.rows.height:
            raise Unavailable("no request is recorded", code="gate.no_payloads")
        parts = [self.rows[at : at + self.each] for at in range(0, self.rows.height, self.each)]
        return tuple(RecordedRequest("p", 1, 0, 0.0, part, {}) for part in parts[:count])


def ask(text: str, root: Path, traffic: Traffic | None, named: str | None = "train.parquet") -> CheckResult:
    evidence = Evidence(root, {}, NOTHING, named=Named(reference=named), traffic=traffic)
    return run_checks(gates(f"  - skew: {text}\n"), evidence)[0]


def test_features_that_are_served_otherwise_are_told(tmp_path: Path) -> None:
    features(4000).write_parquet(tmp_path / "train.parquet")
    same = features(1000)
    knots = same.with_columns(wind=pl.col("wind") * 0.514)
    asked = "{psi_max: 0.2}"
    assert ask(asked, tmp_path, Traffic(same)).status == "pass"
    found = ask(asked, tmp_path, Traffic(knots))
    assert found.status == "fail"
    assert "1 of 2 columns are served otherwise than trained; the worst, wind" in found.sentence
    lost = ask(asked, tmp_path, Traffic(same.drop("carrier")))
    assert (lost.status, "carrier, is missing" in lost.sentence) == ("fail", True)
    texts = ask(asked, tmp_path, Traffic(same.with_columns(wind=pl.col("wind").cast(pl.String))))
    assert "no number any more" in texts.sentence
    assert ask("{psi_max: 0.2, ignore: [wind]}", tmp_path, Traffic(knots)).status == "pass"
    mixed = pl.concat(
        [same.head(500), knots.head(500).with_columns(wind=pl.lit(None))], how="vertical_relaxed"
    )
    assert ask(asked, tmp_path, Traffic(mixed)).status == "fail"


def test_rows_of_one_request_are_one_where_chance_is_judged(tmp_path: Path) -> None:
    """A hundred callers who each ask about one thing a hundred times are no proof of a difference."""
    features(4000).write_parquet(tmp_path / "train.parquet")
    alike = features(30)[np.repeat(np.arange(30), 100)]
    assert ask("{psi_max: 0.05, min_requests: 30}", tmp_path, Traffic(alike, each=100)).status == "pass"
    assert ask("{psi_max: 0.05, min_requests: 30, requests: 3000}", tmp_path, Traffic(alike)).status == "fail"


def test_what_cannot_be_compared_does_not_pass(tmp_path: Path) -> None:
    features(400).write_parquet(tmp_path / "train.parquet")
    (tmp_path / "empty.csv").write_text("wind,carrier\n")
    asked = "{psi_max: 0.2}"
    for traffic, named in (
        (Traffic(features(50)), "train.parquet"),
        (Traffic(features(0)), "train.parquet"),
        (None, "train.parquet"),
        (Traffic(features(500)), None),
        (Traffic(features(500)), "gone.csv"),
        (Traffic(features(500)), "empty.csv"),
    ):
        assert ask(asked, tmp_path, traffic, named).status == "error"
    strange = ask("{psi_max: 0.2, ignore: [wimd]}", tmp_path, Traffic(features(500)))
    assert (strange.status, "wimd" in strange.sentence) == ("error", True)
