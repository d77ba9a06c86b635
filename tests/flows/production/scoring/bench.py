"""The sample project with an endpoint of its own for batches, and a table of flights to score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from penstock.flows.models.folders import RegistrySource
from penstock.flows.models.tables import table_inputs
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.flows.production.scoring.scoring import Request, Scored, score_batch
from penstock.monitoring.windows import Window, list_windows, merge_windows
from penstock.serving.loaders import load_model
from projects import Sample, rows


@dataclass
class Bench:
    """The sample project with an endpoint `late` of its own, and a table of flights to score."""

    sample: Sample
    folder: Path

    def __call__(self, source: str = "in.csv", target: str = "out.parquet", **more: Any) -> Scored:
        more = {"model": "late/1", "part_rows": 300, **more}
        request = Request(source=source, target=target, directory=self.folder, **more)
        return score_batch(self.sample.project, request)

    def window(self, endpoint: str = "late") -> Window:
        with self.sample.project.database.read() as connection:
            return merge_windows(list_windows(connection, endpoint))

    def counted(self) -> int:
        """Return how many rows the store knows of."""
        with self.sample.project.database.read() as connection:
            return sum(one.request_count for one in list_windows(connection, "late"))

    @property
    def expected(self) -> np.ndarray[Any, Any]:
        """What the model itself says of the table."""
        model = load_model(RegistrySource(self.sample.project).fetch("late", 1))
        frame = pl.read_csv(self.folder / "in.csv")
        return model.predict(table_inputs(model.signature, frame), frame.height)["probability"]


@pytest.fixture
def bench(released_root: Path, tmp_path: Path) -> Iterator[Bench]:
    sample = Sample.copy(released_root, tmp_path / "project")
    apply_deployment(sample.project, plan_deployment(sample.project, "late", "late/1"))
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "in.csv").write_text(rows(1000, seed=5))
    yield Bench(sample, folder)
    sample.close()


def read(path: Path) -> pl.DataFrame:
    """Return what a job wrote."""
    readers = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson}
    return readers[path.suffix](path) if path.suffix else pl.read_parquet(path / "*.parquet")
