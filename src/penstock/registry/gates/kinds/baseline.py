"""`baseline`: the model is surely better than no model: than the mean of the labels, or the most frequent one."""

from __future__ import annotations

from dataclasses import asdict

import msgspec
import numpy as np

from penstock.base.errors import Invalid
from penstock.base.numbers import counted
from penstock.registry.gates.asking import weigh
from penstock.registry.gates.check import Evidence, Floats, Gate, MetricName, Outcome
from penstock.stats.significance import paired_bootstrap


class BaselineGate(msgspec.Struct, frozen=True, kw_only=True):
    """The metric of the model against that of a constant: the mean of the training labels (their median for `mae`).

    `train` is the table that the constant is learned from (default: the model's reference). The lower bound of the
    gain, by the paired bootstrap, lies above `min_gain`.
    """

    metric: MetricName
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
        Invalid: the rows cannot be scored, or the training table is not named, has no rows, or none of the label.
    """
    labels, scores, _ = evidence.held_out.scored(gate.metric)
    n = len(labels)
    if n < gate.min_rows:
        return Outcome("error", f"{n} held-out rows are too few, {gate.min_rows} are needed", n=n)
    constant = _constant(gate, evidence, labels)
    baseline = np.full(n, constant)
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
        f"{gate.metric} {found.candidate:.4f} against {found.baseline:.4f} of the constant {constant:.4g}, "
        f"a gain of {found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}], must be {words}",
        observed=found.difference,
        expected=words,
        n=n,
        interval=(found.low, found.high),
        evidence={**asdict(found), "constant": constant, "seed": gate.seed},
    )


def _constant(gate: BaselineGate, evidence: Evidence, labels: Floats) -> float:
    """Return what is answered to every row: learned from the training labels, of classes by name from the held-out ones."""
    label = evidence.require("label")
    name = gate.train or evidence.require("reference")
    frame = evidence.table(name)
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
    values = column.cast(float).to_numpy() if column.dtype.is_numeric() else labels
    return float(np.median(values) if gate.metric == "mae" else np.mean(values))


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
