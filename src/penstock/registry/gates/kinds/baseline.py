"""`baseline`: the model is surely better than no model: than the most frequent class, the classes' shares, the median."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from penstock.base.errors import Invalid
from penstock.base.numbers import counted
from penstock.records.classes import class_name
from penstock.registry.gates.asking import weigh
from penstock.registry.gates.check import Evidence, Floats, Gate, Outcome
from penstock.stats.metric_names import Compared
from penstock.stats.significance import paired_bootstrap

if TYPE_CHECKING:
    import polars as pl


class BaselineGate(msgspec.Struct, frozen=True, kw_only=True):
    """The metric of the model against that of one answer to every row, learned from the training labels.

    It is the most frequent class for accuracy, the classes' shares for log loss and Brier score, the median for `mae`.

    `train` is the table that the constant is learned from (default: the model's reference). The lower bound of the
    gain, by the paired bootstrap, lies above `min_gain`.
    """

    metric: Compared
    min_gain: float = 0.0
    train: str | None = None
    alpha: float = 0.05
    resamples: int = 1000
    min_rows: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.min_gain < 0 or not 0 < self.alpha < 1 or self.resamples < 100 or self.min_rows < 2:
            raise ValueError(
                "`min_gain` is at least 0, `alpha` in (0, 1), `resamples` at least 100, `min_rows` 2"
            )


def check_baseline(gate: BaselineGate, evidence: Evidence) -> Outcome:
    """Compare on the held-out rows.

    Raises:
        Invalid: the rows cannot be scored; the training table is not named, has no rows, or none of the label; a label is
            none of the model's classes, or for `mae` no number; the metric needs two classes and the rows are of one.
    """
    table = gate.train or evidence.require("reference")
    column = _training_labels(evidence.table(table), evidence.require("label"), table)
    if gate.metric == "mae":
        labels, scores = evidence.held_out.scored_alone("mae")
        constant = float(np.median(_numbers(column, table)))
        baseline, told = np.full(len(labels), constant), f"constant {constant:.4g}"
    else:
        training = Counter(class_name(one) for one in column.to_list())
        labels, scores, baseline, told = evidence.held_out.beside_constant(gate.metric, training, table)
    n = len(labels)
    if n < gate.min_rows:
        return Outcome("error", f"{n} held-out rows are too few, {gate.min_rows} are needed", n=n)
    if gate.metric == "roc_auc" and len(np.unique(labels)) < 2:
        raise Invalid(
            f"all {n} held-out rows are of one class, and roc_auc compares two",
            code="gate.one_class",
            hint="judge by rows of both classes",
        )
    found = paired_bootstrap(
        gate.metric,
        labels,
        scores,
        baseline,
        generator=np.random.default_rng(gate.seed),
        resample_count=gate.resamples,
        alpha=gate.alpha,
    )
    words = f"surely better by more than {gate.min_gain:g}"
    return Outcome(
        "pass" if found.low > gate.min_gain else "fail",
        f"{gate.metric} {found.candidate:.4f} against {found.baseline:.4f} of the {told}, "
        f"a gain of {found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}], must be {words}",
        observed=found.difference,
        expected=words,
        n=n,
        interval=(found.low, found.high),
        evidence={**asdict(found), "constant": told, "seed": gate.seed},
    )


def _training_labels(frame: pl.DataFrame, label: str, name: str) -> pl.Series:
    """Return the labels of the training table that are known."""
    if label not in frame.columns:
        raise Invalid(
            f"{name} has no column {label!r} to learn a constant from",
            code="gate.no_such_column",
            hint=f"its columns: {', '.join(frame.columns[:20])}",
            column=label,
        )
    column = frame[label].drop_nulls()
    column = column.drop_nans() if column.dtype.is_float() else column
    if not len(column):
        raise Invalid(
            f"none of {counted(frame.height, 'row')} of {name} has a {label!r} to learn a constant from",
            code="gate.no_training_label",
            hint="name a training table whose labels are known as `train:` of the baseline gate",
            column=label,
        )
    return column


def _numbers(column: pl.Series, table: str) -> Floats:
    numbers: Floats = column.cast(float, strict=False).fill_null(float("nan")).to_numpy()
    bad = int((~np.isfinite(numbers)).sum())
    if bad:
        raise Invalid(
            f"{bad} of {counted(len(numbers), 'label')} {column.name!r} of {table} are no finite numbers, as mae needs them",
            code="gate.bad_label",
            hint="leave such rows out where the table is made",
            column=column.name,
        )
    return numbers


GATE = Gate(
    settings=BaselineGate,
    check=check_baseline,
    title=lambda gate: gate.metric,
    tables=lambda gate: (gate.train,) if gate.train else (),
    weighed=weigh(
        metric="any",
        min_gain="lower",
        train="any",
        alpha="higher",
        min_rows="lower",
        resamples="lower",
        seed="any",
    ),
)
