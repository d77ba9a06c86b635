"""Noise in the inputs moves a value no further than its column's type goes, and takes none away."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from penstock.registry.gates.check import Evidence, Named
from penstock.registry.gates.judge import run_checks
from registry.gates.asking import NOTHING, gates


class Echo:
    """A model that answers what it was asked, and keeps it."""

    name, inputs = "the candidate", ("pixel", "level", "ratio")

    def __init__(self) -> None:
        self.asked: list[pl.DataFrame] = []

    def serve(self, frame: pl.DataFrame) -> Mapping[str, Any]:
        self.asked.append(frame)
        return {"prediction": frame["ratio"].fill_null(0).to_numpy()}


def test_noise_stays_within_whole_numbers_and_leaves_infinity_as_it_is(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "pixel": pl.Series([0, 255] * 100, dtype=pl.UInt8),
            "level": pl.Series([-128, 127] * 100, dtype=pl.Int8),
            "ratio": [0.0, 1.0, 2.0, float("inf")] * 50,
        }
    )
    frame.write_parquet(tmp_path / "test.parquet")
    model = Echo()
    evidence = Evidence(tmp_path, {}, NOTHING, named=Named(test="test.parquet"), candidate=model)  # type: ignore[arg-type]
    asked = "  - robustness: {noise: 0.05, max_changed: 0.9, missing: false}"
    (found,) = run_checks(gates(asked), evidence)
    assert found.status == "pass", found.sentence
    plain, noisy = model.asked
    assert noisy.schema == plain.schema
    assert noisy.null_count().row(0) == (0, 0, 0)
    assert (noisy["pixel"].min(), noisy["pixel"].max()) == (0, 255)
    assert (noisy["level"].min(), noisy["level"].max()) == (-128, 127)
    assert 0 < (noisy["pixel"] != plain["pixel"]).sum() < 200
    assert noisy["ratio"].is_infinite().sum() == 50
    assert (noisy["ratio"] != plain["ratio"]).sum() == 150


def test_answers_that_move_are_found_beside_an_infinite_one(tmp_path: Path) -> None:
    pl.DataFrame({"pixel": [0.0, 1.0] * 50}).write_parquet(tmp_path / "test.parquet")

    class Steep(Echo):
        """A model whose answers noise turns over, but for one."""

        inputs = ("pixel",)

        def serve(self, frame: pl.DataFrame) -> Mapping[str, Any]:
            found = 1000.0 * frame["pixel"].to_numpy() % 7
            found[0] = np.inf
            return {"prediction": found}

    evidence = Evidence(tmp_path, {}, NOTHING, named=Named(test="test.parquet"), candidate=Steep())  # type: ignore[arg-type]
    (found,) = run_checks(gates("  - robustness: {missing: false}"), evidence)
    assert found.status == "fail", found.sentence
