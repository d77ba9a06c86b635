"""Quality without labels: what a window's probabilities say of it, and how far that was off where labels came.

Of classifiers only those of two classes: of more, a window does not keep which probabilities were of one row. It holds
as long as the probabilities are calibrated, which labels tell. Of regressions the errors that a model of its loss expects
(`losses`), held to the labels that came. A model whose input changed so that the same input means something else (concept
drift) is not found by either.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import msgspec
import numpy as np

from penstock.base.numbers import counted
from penstock.monitoring.estimating.loss_model import LossModel
from penstock.monitoring.estimating.losses import expected_errors
from penstock.monitoring.profile import NumberColumn, Profile, TextColumn
from penstock.monitoring.quality.counts import BINS, NONE
from penstock.monitoring.quality.measures import Quality
from penstock.monitoring.quality.useless import SLACK
from penstock.records.classes import PROBABILITY
from penstock.stats.estimation import estimate_performance

ROWS_MIN = 100
"""Fewer rows are not estimated from."""
POINTS = 1000
OFF = 0.05
"""Calibration error that is surely exceeded where probabilities are no longer taken for calibrated."""
LABELS_MIN = 200
FAR = 3.0
"""Standard errors, and `OFF_RATIO` of the truth, by which an expected error may differ from what labels say."""
OFF_RATIO = 0.1


class Estimated(msgspec.Struct, frozen=True, kw_only=True):
    """What quality is without labels: each metric with the standard error that the labels would give it.

    `gaps` say by how much the estimate for rows that have labels was above what their labels said. `calibration` is
    `unchecked` with too few labels, `good`, or `off`: then the estimate is not to be trusted. `calibration_error` is the
    mean gap of probability and truth, None where it is unchecked; of a regression, the share of the truth by which the
    expected mean absolute error is off.
    """

    metrics: dict[str, tuple[float, float]]
    row_count: int
    calibration: Literal["unchecked", "good", "off"] = "unchecked"
    calibration_error: float | None = None
    gaps: dict[str, float] = {}
    method: Literal["probabilities", "losses"] = "probabilities"

    @property
    def sentence(self) -> str:
        """Say it in words."""
        parts = [
            f"{name} {value:.3f} ± {2 * error:.3f}" for name, (value, error) in sorted(self.metrics.items())
        ]
        said = f"{', '.join(parts)}, estimated from {counted(self.row_count, 'row')} without labels"
        if self.method == "losses":
            return said + self._held_to_labels()
        if self.calibration_error is None:
            return f"{said}; not checked: too few labels say whether the probabilities are calibrated"
        gaps = ", ".join(f"{name} by {gap:+.3f}" for name, gap in sorted(self.gaps.items()))
        was = f"; where labels came it was off: {gaps}" if gaps else ""
        if self.calibration == "off":
            return (
                f"{said}; not to be trusted: the probabilities are off by {self.calibration_error:.3f}{was}"
            )
        return f"{said}; the probabilities are calibrated within {self.calibration_error:.3f}{was}"

    def _held_to_labels(self) -> str:
        if self.calibration_error is None:
            return "; not checked: too few labels came"
        gaps = ", ".join(f"{name} by {gap:+.3f}" for name, gap in sorted(self.gaps.items()))
        trust = "not to be trusted: " if self.calibration == "off" else ""
        return f"; {trust}where labels came it was off: {gaps}"


def estimate_errors(
    model: LossModel,
    reference: Profile,
    window: tuple[Profile, Profile],
    quality: Quality | None = None,
    held: tuple[Profile, Profile] | None = None,
) -> Estimated | None:
    """Return the errors that are expected of a regression; None without enough answers.

    Args:
        reference: the profile that the losses were fitted over.
        window: what the window knows of features and of outputs.
        quality: what labels said of the same version, for the check.
        held: what is known of features and outputs of the rows that the labels are of; None: they are the window's.
    """
    metrics = _finite(expected_errors(model, reference, *window))
    column = window[1].column("prediction")
    if not metrics or column is None or column.count < ROWS_MIN:
        return None
    found = Estimated(metrics=metrics, row_count=column.count, method="losses")
    if quality is None or quality.label_count < LABELS_MIN:
        return found
    expected = metrics if held is None else _finite(expected_errors(model, reference, *held))
    if not expected:
        return found
    truth = {name: quality.metric(name) for name in expected}
    gaps = {name: expected[name][0] - value for name, (value, _) in truth.items() if math.isfinite(value)}
    mae, error = truth["mae"]
    if not math.isfinite(mae) or mae <= 0:
        return msgspec.structs.replace(found, gaps=gaps)
    chance = FAR * math.hypot(expected["mae"][1], error if math.isfinite(error) else 0.0)
    is_off = abs(gaps["mae"]) > max(chance, OFF_RATIO * mae)
    return msgspec.structs.replace(
        found,
        calibration="off" if is_off else "good",
        calibration_error=abs(gaps["mae"]) / mae,
        gaps=gaps,
    )


def estimate(outputs: Profile, quality: Quality | None = None) -> Estimated | None:
    """Return the estimate for a window's outputs; None without enough probabilities of two classes.

    Args:
        quality: what labels said of the same version, for the check.
    """
    column = outputs.column(PROBABILITY)
    if not isinstance(column, NumberColumn) or column.count < ROWS_MIN or why_not_estimated(outputs):
        return None
    ranks = ((np.arange(POINTS) + 0.5) / POINTS).tolist()
    scores = np.clip(np.asarray(column.sketch.quantiles(ranks), dtype=np.float64), 0.0, 1.0)
    weights = np.full(POINTS, column.count / POINTS)
    found = Estimated(metrics=_finite(estimate_performance(scores, weights)), row_count=column.count)
    if quality is None or quality.fine is NONE or int(quality.fine.sum()) < LABELS_MIN:
        return found
    of_labelled = quality.fine.sum(axis=0).astype(np.float64)
    middles = (np.arange(BINS) + 0.5) / BINS
    said = _finite(estimate_performance(middles, of_labelled))
    truth = {name: quality.metric(name)[0] for name in said}
    off, error = quality.metric("calibration_error")
    is_off = math.isfinite(off) and off - 2 * (error if math.isfinite(error) else 0.0) > OFF
    return msgspec.structs.replace(
        found,
        calibration="off" if is_off else "good" if math.isfinite(off) else "unchecked",
        calibration_error=off if math.isfinite(off) else None,
        gaps={name: said[name][0] - value for name, value in truth.items() if math.isfinite(value)},
    )


def why_not_estimated(outputs: Profile) -> str:
    """Return why nothing is estimated from a window's probabilities, where they are at fault; else nothing."""
    column = outputs.column(PROBABILITY)
    if isinstance(column, NumberColumn) and column.count and (column.low < -SLACK or column.high > 1 + SLACK):
        return f"not told: some probabilities are outside 0 to 1 (from {column.low:.4g} to {column.high:.4g})"
    if isinstance(column, TextColumn) and column.count:
        return "not told: some probabilities are texts"
    return ""


def _finite(found: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    return {name: pair for name, pair in found.items() if all(map(math.isfinite, pair))}
