"""One gate entry, asked of tables and scores that a test gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penstock.base.settings import parse_settings
from penstock.flows.models.evidence.answers import Answers, class_names, compare_with_constant
from penstock.project.settings import ProjectSettings
from penstock.registry.entities import CheckResult
from penstock.registry.gates.check import Evidence, Facts, Floats, Named
from penstock.registry.gates.judge import run_checks
from penstock.registry.gates.settings import GateEntry


def gates(text: str) -> tuple[GateEntry, ...]:
    return parse_settings(f"project: p\ngates:\n{text}", ProjectSettings, "penstock.yaml").gates


class Scored:
    """Held-out rows with scores that were made elsewhere; the table gives the groups."""

    def __init__(
        self,
        labels: Floats,
        scores: Floats,
        frame: pl.DataFrame | None = None,
        champion: Floats | None = None,
        classes: tuple[Any, ...] | None = None,
    ) -> None:
        self._classes = classes
        self._labels, self._scores, self._frame, self._champion = labels, scores, frame, champion
        self.champion = None if champion is None else "m/1"

    def labels(self) -> Floats:
        return self._labels

    def candidate_scores(self) -> Floats:
        return self._scores

    def champion_scores(self) -> Floats | None:
        return self._champion

    def of_classes(self, metric: str) -> None:
        return None

    def scored(self, metric: str) -> tuple[Floats, Floats, Floats | None]:
        return self._labels, self._scores, self._champion

    def scored_alone(self, metric: str) -> tuple[Floats, Floats]:
        return self._labels, self._scores

    def beside_constant(
        self, metric: str, training: Mapping[str, int], table: str
    ) -> tuple[Floats, Floats, Floats, str]:
        ours = Answers({"probability": self._scores}, self._classes)
        return compare_with_constant(ours, class_names(self._labels), training, metric, "y", table)

    def require_columns(self, *names: str) -> None:
        assert self._frame is None or set(names) <= set(self._frame.columns)

    def groups(self, column: str) -> NDArray[np.int64]:
        assert self._frame is not None
        found = np.unique(self._frame[column].cast(pl.String).fill_null("").to_numpy(), return_inverse=True)[
            1
        ]
        return found.astype(np.int64)


NOTHING = Scored(np.empty(0), np.empty(0))


@dataclass
class Known:
    """Facts of a candidate."""

    missing: dict[str, str]
    data_ms: int | str
    today_ms: int

    def missing_provenance(self) -> dict[str, str]:
        return self.missing

    def data_time_ms(self) -> int | str:
        return self.data_ms

    def now_ms(self) -> int:
        return self.today_ms


def ask(
    text: str,
    *,
    root: Path = Path(),
    tables: dict[str, pl.DataFrame] | None = None,
    rows: Scored = NOTHING,
    facts: Facts | None = None,
) -> CheckResult:
    """Return what one check says; tables called test, reference and others are written below `root` first."""
    for name, frame in (tables or {}).items():
        frame.write_parquet(root / f"{name}.parquet")
    held = {key: f"{key}.parquet" for key in ("test", "reference") if tables and key in tables}
    named = Named(label="y", test=held.get("test"), reference=held.get("reference"))
    evidence = Evidence(root, {}, rows, named=named, facts=facts)
    (found,) = run_checks(gates(f"  - {text}"), evidence)
    return found
