"""Quality without labels: what a window's probabilities say of it, and how far that was off where labels came.

Only classifiers of two classes: of more, a window does not keep which probabilities were of one row. It holds as long
as the probabilities are calibrated, which labels tell; a model whose input changed so that the same input means
something else (concept drift) is not found by it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import msgspec
import numpy as np

from penstock.monitoring.profile import NumberColumn, Profile
from penstock.monitoring.quality import Quality
from penstock.monitoring.quality_counts import BINS, NONE
from penstock.records.classes import PROBABILITY
from penstock.stats.estimation import estimate_performance

ROWS_MIN = 100
"""Fewer rows are not estimated from."""
POINTS = 1000
OFF = 0.05
"""Calibration error that is surely exceeded where probabilities are no longer taken for calibrated."""
LABELS_MIN = 200


class Estimated(msgspec.Struct, frozen=True, kw_only=True):
    """What quality is without labels: each metric with the standard error that the labels would give it.

    `gaps` say by how much the estimate for rows that have labels was above what their labels said. `calibration` is
    `unchecked` with too few labels, `good`, or `off`: then the estimate is not to be trusted. `calibration_error` is the
    mean gap of probability and truth, None where it is unchecked.
    """

    metrics: dict[str, tuple[float, float]]
    row_count: int
    calibration: Literal["unchecked", "good", "off"] = "unchecked"
    calibration_error: float | None = None
    gaps: dict[str, float] = {}

    @property
    def sentence(self) -> str:
        """Say it in words."""
        parts = [
            f"{name} {value:.3f} ± {2 * error:.3f}" for name, (value, error) in sorted(self.metrics.items())
        ]
        said = f"{', '.join(parts)}, estimated from {self.row_count} rows without labels"
        if self.calibration_error is None:
            return f"{said}; not checked: too few labels say whether the probabilities are calibrated"
        gaps = ", ".join(f"{name} by {gap:+.3f}" for name, gap in sorted(self.gaps.items()))
        was = f"; where labels came it was off: {gaps}" if gaps else ""
        if self.calibration == "off":
            return (
                f"{said}; not to be trusted: the probabilities are off by {self.calibration_error:.3f}{was}"
            )
        return f"{said}; the probabilities are calibrated within {self.calibration_error:.3f}{was}"


def estimate(outputs: Profile, quality: Quality | None = None) -> Estimated | None:
    """Return the estimate for a window's outputs; None without enough probabilities of two classes.

    Args:
        quality: what labels said of the same version, for the check.
    """
    column = outputs.column(PROBABILITY)
    if not isinstance(column, NumberColumn) or column.count < ROWS_MIN or column.low < 0 or column.high > 1:
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


def _finite(found: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    return {name: pair for name, pair in found.items() if all(map(math.isfinite, pair))}
