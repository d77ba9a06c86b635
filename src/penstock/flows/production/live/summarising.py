"""What is kept of exchanges: the window they belong to, what that window knows of them, their predictions.

The same for what a serve process answers, what a service of the user's own told, and what a batch job scored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.flows.production.live.room import Missed
from penstock.flows.production.live.stacking import watched
from penstock.monitoring.guardrails.blocks import count_runs
from penstock.monitoring.latency import LatencyHistogram
from penstock.monitoring.profile import Profile
from penstock.monitoring.quality.useless import is_useless, useless_rows
from penstock.monitoring.rowwise.outliers import Marking
from penstock.monitoring.rowwise.redaction import is_redacted
from penstock.monitoring.settings import MonitorSettings
from penstock.monitoring.windows import Window, WindowKey
from penstock.serving.classes import Classes
from penstock.serving.loaders.model import Array, Columns
from penstock.serving.matching import iterate_columns
from penstock.serving.predictions.encoding import encode_columns, encode_each
from penstock.serving.predictions.stored import Answers, Prediction
from penstock.serving.recorder import Exchange
from penstock.serving.traffic import position, positions

SAMPLE_SHIFT = 0x51ED2701
"""Moves the feature sample away from the traffic split, which follows the same sequence."""
Edges = Mapping[str, npt.NDArray[np.float64]]


def window_start_s(time_ms: int, monitor: MonitorSettings) -> int:
    """Return when the window begins that a moment is in, in seconds since the epoch."""
    return time_ms // 1000 // monitor.window_s * monitor.window_s


def key_of(one: Exchange, monitor: MonitorSettings) -> WindowKey:
    """Return the window of an exchange."""
    start_s = window_start_s(one.time_ms, monitor)
    return WindowKey(one.endpoint, start_s, one.revision, one.version, one.route)


def unredacted(columns: Columns, monitor: MonitorSettings) -> Columns:
    """Return columns without those that are not to be kept by row."""
    names = monitor.redacted
    return {name: one for name, one in columns.items() if not is_redacted(name, names)} if names else columns


def is_sampled(counter: int, monitor: MonitorSettings) -> bool:
    """Whether the features of the answer with this running number are kept."""
    return position(counter + SAMPLE_SHIFT) < monitor.feature_ratio


def prediction_of(one: Exchange, key: WindowKey, monitor: MonitorSettings) -> Prediction:
    """Return what is kept of an answer; its features only where it is in the sample."""
    return Prediction(
        id=one.id,
        version=one.version,
        endpoint=one.endpoint,
        revision=one.revision,
        route=one.route,
        window_start_s=key.start_s,
        outputs=encode_columns(one.outputs),
        row_count=one.row_count,
        features=encode_columns(unredacted(one.inputs, monitor))
        if is_sampled(one.counter, monitor)
        else None,
        slices=slices_of(dict(iterate_columns(one.inputs)), monitor) if monitor.slices else None,
    )


def answers_of(exchanges: Sequence[Exchange], key: WindowKey, monitor: MonitorSettings) -> Answers:
    """Return what is kept of answers of one window, in their order: of each what `prediction_of` says, at once."""
    features: list[bytes | None] = [None] * len(exchanges)
    spots = positions([one.counter + SAMPLE_SHIFT for one in exchanges])
    sampled = np.flatnonzero(spots < monitor.feature_ratio).tolist()
    kept = encode_each([unredacted(exchanges[place].inputs, monitor) for place in sampled])
    for place, packed in zip(sampled, kept, strict=True):
        features[place] = packed
    slices: list[bytes | None] = [None] * len(exchanges)
    if monitor.slices:
        slices = [slices_of(dict(iterate_columns(one.inputs)), monitor) for one in exchanges]
    ids, row_counts = [one.id for one in exchanges], [one.row_count for one in exchanges]
    outputs = encode_each([one.outputs for one in exchanges])
    return Answers(
        version=key.version,
        endpoint=key.endpoint,
        revision=key.revision,
        route=key.route,
        window_start_s=key.start_s,
        rows=list(zip(ids, outputs, row_counts, features, slices, strict=True)),
    )


def slices_of(columns: Columns, monitor: MonitorSettings) -> bytes | None:
    """Return what is kept of every answer for quality by slice: the features that are named, as far as it has them."""
    known = unredacted(columns, monitor)
    kept = {one.feature: known[one.feature] for one in monitor.slices if one.feature in known}
    return encode_columns(kept) if kept else None


def summarise(
    key: WindowKey,
    observations: Sequence[Exchange],
    monitor: MonitorSettings,
    edges: Edges | None,
    classes: Classes | None = None,
) -> Window:
    """Return what exchanges of one window, in the order they came, say of it.

    Args:
        edges: where the features of the version are counted exactly; None: sketches alone.
        classes: those of the version, where it is not sure that it answers no others.
    """
    latency = LatencyHistogram()
    latency.update([one.latency_s for one in observations])
    features, outputs = Profile(edges=edges), Profile()
    asked = watched([one.inputs for one in observations])
    features.update(asked, sum(one.row_count for one in observations))
    answered = [one for one in observations if one.error is None]
    stacked = watched([one.outputs for one in answered])
    outputs.update(
        {**stacked, **watched([one.differences for one in answered])},
        sum(one.row_count for one in answered),
    )
    odd_rows = [0] * len(observations)
    if classes is not None or any(_may_be_useless(name, values) for name, values in stacked.items()):
        odd_rows = [_useless_count(one, classes) for one in observations]
    borne = monitor.nonfinite_max_ratio
    odd = [rows > borne * one.row_count for rows, one in zip(odd_rows, observations, strict=True)]
    return Window(
        key=key,
        window_s=monitor.window_s,
        request_count=len(observations),
        error_count=len(observations) - len(answered),
        error_run_count=count_runs([one.error is not None for one in observations]),
        row_count=features.row_count,
        latency=latency,
        features=features,
        outputs=outputs,
        nonfinite_count=sum(odd),
        nonfinite_run_count=count_runs(odd),
        nonfinite_row_count=sum(odd_rows),
        **_outliers(asked, features.row_count, edges),
    )


def summarise_missed(key: WindowKey, missed: Missed, monitor: MonitorSettings) -> Window:
    """Return what is known of requests that there was no room for."""
    return Window(
        key=key,
        window_s=monitor.window_s,
        request_count=missed.request_count,
        error_count=missed.error_count,
        error_run_count=None if missed.error_count else 0,
        dropped_count=missed.dropped_count,
    )


@dataclass(frozen=True)
class ScoredRows:
    """Rows that a batch job asked a model about, in their order.

    `inputs` are of all rows, `outputs` of those that were answered, at the places `answered`.
    """

    inputs: dict[str, Array]
    outputs: dict[str, Array]
    answered: npt.NDArray[np.int64]
    row_count: int
    seconds: float

    @property
    def answered_count(self) -> int:
        """How many rows were answered."""
        return len(self.answered)

    @property
    def answered_inputs(self) -> dict[str, Array]:
        """The inputs of the rows that were answered."""
        if self.answered_count == self.row_count:
            return self.inputs
        return {name: values[self.answered] for name, values in self.inputs.items()}


class RowsSummary:
    """What rows of a batch job say of a window: each is a request, which took its share of the model's time.

    Rows come in any number of bunches, in their order. Not thread-safe.
    """

    def __init__(self, monitor: MonitorSettings, edges: Edges | None) -> None:
        self._monitor, self._edges = monitor, edges
        self._latency = LatencyHistogram()
        self._features, self._outputs = Profile(edges=edges), Profile()
        self._counts: Counter[str] = Counter()

    def add(self, scored: ScoredRows) -> None:
        """Add rows."""
        failed = np.ones(scored.row_count, dtype=np.bool_)
        failed[scored.answered] = False
        if scored.row_count:
            self._latency.update_same(scored.seconds / scored.row_count, scored.row_count)
        asked = dict(iterate_columns(scored.inputs))
        self._features.update(asked, scored.row_count)
        answers = dict(iterate_columns(scored.outputs))
        self._outputs.update(answers, scored.answered_count)
        odd = useless_rows(answers)
        odd_count = int(odd.sum())
        self._counts.update(
            request_count=scored.row_count,
            error_count=int(failed.sum()),
            error_run_count=_run_count(failed),
            nonfinite_row_count=odd_count,
            **_outliers(asked, scored.row_count, self._edges),
        )
        if odd_count and self._monitor.nonfinite_max_ratio < 1:
            self._counts.update(nonfinite_count=odd_count, nonfinite_run_count=_run_count(odd))

    def window(self, key: WindowKey) -> Window:
        """Return what was added as a window."""
        return Window(
            key=key,
            window_s=self._monitor.window_s,
            row_count=self._features.row_count,
            latency=self._latency,
            features=self._features,
            outputs=self._outputs,
            **dict[str, Any](self._counts),
        )


def _outliers(columns: Mapping[str, Array], row_count: int, edges: Edges | None) -> dict[str, Any]:
    """Return how many rows were scored, and how many of them are outliers, in how many runs."""
    model = edges.outliers if isinstance(edges, Marking) else None
    if model is None or not row_count:
        return {}
    found = model.is_outlier(columns, row_count)
    return {
        "scored_row_count": row_count,
        "outlier_row_count": int(found.sum()),
        "outlier_run_count": _run_count(found),
    }


def _run_count(flags: npt.NDArray[np.bool_]) -> int:
    """Return in how many runs the flags come that are set."""
    return int(flags[:1].sum() + (flags[1:] & ~flags[:-1]).sum())


def _may_be_useless(name: str, values: Array) -> bool:
    """Whether some value may be none: as texts, numbers of some answers beside texts of others cannot be told."""
    return values.dtype.kind in "US" or bool(is_useless(name, values).any())


def _useless_count(one: Exchange, classes: Classes | None) -> int:
    """Return how many rows of an answer are none."""
    return int(useless_rows(dict(iterate_columns(one.outputs)), classes).sum())
