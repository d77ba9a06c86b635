"""Errors of a regression without labels: a model of its loss, fitted on held-out rows, asked about live windows.

Direct loss estimation: where the held-out rows say that the model is off further, windows with more such rows are
expected to be worse. A window keeps bins and no rows, so the loss is a sum over columns (`penstock.stats.additive`), the
model's answer one of them. It sees what a change of the inputs does to the error; that the same inputs mean something
else (concept drift) it does not see. The same of classifiers is in `estimated`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import numpy as np
import numpy.typing as npt

from penstock.monitoring.bins import bins_of
from penstock.monitoring.estimating.loss_model import Loss, LossModel
from penstock.monitoring.profile import NumberColumn, Profile, TextColumn
from penstock.records.classes import PREDICTION
from penstock.stats.additive import fit_additive, held_out

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[np.generic]
NAME = "losses"
"""Under which it lies in `Profile.learned`."""
ROWS_MIN = 200
"""Fewer held-out rows do not tell where a model errs."""
ROWS_MAX = 50_000
"""Of more rows so many are taken, evenly: it takes seconds then, and a mean of that many is near enough."""


def keep_losses(reference: Profile, model: LossModel) -> None:
    """Keep a loss model with the reference that it was fitted over."""
    reference.learned = {**reference.learned, NAME: msgspec.msgpack.encode(model)}


def find_losses(reference: Profile | None) -> LossModel | None:
    """Return the loss model that a reference has; None where it has none, or one that cannot be read."""
    data = None if reference is None else reference.learned.get(NAME)
    try:
        return None if data is None else msgspec.msgpack.decode(data, type=LossModel)
    except msgspec.DecodeError:
        return None


def fit_losses(
    reference: Profile, columns: Mapping[str, Array], answers: Floats, labels: Floats
) -> LossModel | None:
    """Fit the losses of held-out rows over the bins of their reference; None where they are too few.

    Args:
        columns: `(n,)` values of the rows by feature.
        answers: `(n,)` what the model said of them.
        labels: `(n,)` the truth.
    """
    known = np.flatnonzero(np.isfinite(answers) & np.isfinite(labels))
    if len(known) < ROWS_MIN:
        return None
    if len(known) > ROWS_MAX:
        known = known[np.linspace(0, len(known) - 1, ROWS_MAX).astype(np.int64)]
    features = tuple(name for name in reference.column_names if name in columns)
    edges = np.unique(np.quantile(answers[known], np.arange(1, 20) / 20))
    places, sizes = [np.searchsorted(edges, answers[known], side="right")], [len(edges) + 1]
    for name in features:
        column = reference.column(name) or TextColumn()
        bins = bins_of(column)
        size = len(bins.counts(column)) + 1
        places.append(np.minimum(bins.places(columns[name][known]), size - 1))
        sizes.append(size)
    off = np.abs(answers[known] - labels[known])
    expected = held_out(places, sizes, off)
    return LossModel(
        features=features,
        edges=tuple(edges.tolist()),
        row_count=len(off),
        tail_ratio=_tail_ratio(off, expected),
        absolute=_fitted(places, sizes, off, expected),
        squared=_fitted(places, sizes, np.square(off), held_out(places, sizes, np.square(off))),
    )


def _tail_ratio(off: Floats, expected: Floats) -> float:
    alike = float(np.mean(np.square(np.maximum(expected, 0.0))))
    return max(1.0, math.sqrt(float(np.mean(np.square(off))) / alike)) if alike > 0 else 1.0


def _fitted(places: list[npt.NDArray[np.int64]], sizes: list[int], target: Floats, expected: Floats) -> Loss:
    left = target - expected
    fitted = fit_additive(places, sizes, target)
    spread = float(np.var(target))
    return Loss(
        base=fitted.base,
        steps=tuple(tuple(one.tolist()) for one in fitted.steps),
        deviation=float(np.std(left)),
        explained_ratio=max(0.0, 1 - float(np.var(left)) / spread) if spread > 0 else 0.0,
    )


def expected_errors(
    model: LossModel, reference: Profile, features: Profile, outputs: Profile
) -> dict[str, tuple[float, float]]:
    """Return mae and rmse that a window is expected to have, each with its standard error; nothing of no rows."""
    answered = outputs.column(PREDICTION)
    if not isinstance(answered, NumberColumn) or not answered.count or not features.row_count:
        return {}
    upto = answered.sketch.cdf(np.array(model.edges), inclusive=False) if model.edges else np.empty(0)
    shares = [np.diff(np.concatenate([[0.0], upto, [1.0]]))]
    for name in model.features:
        column, now = reference.column(name) or TextColumn(), features.column(name)
        counts = bins_of(column).counts(now if type(now) is type(column) else None)
        missing = max(0.0, features.row_count - float(counts.sum()))
        shares.append(np.append(counts, missing) / (float(counts.sum()) + missing))
    rows = (answered.count, model.row_count)
    mae, error = model.absolute.expected(shares, rows)
    mse, error_of_mse = model.squared.expected(shares, rows)
    rmse = max(math.sqrt(mse), model.tail_ratio * mae)  # a sum of steps may go below what no error can
    return {"mae": (mae, error), "rmse": (rmse, error_of_mse / (2 * rmse) if rmse else 0.0)}
