"""What is kept of exchanges: the window they belong to, what that window knows of them, their predictions.

The same for what a serve process answers, what a service of the user's own told, and what a batch job scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from penstock.flows.production.live.joining import watched
from penstock.flows.production.live.room import Missed
from penstock.monitoring.guardrails.blocks import count_runs
from penstock.monitoring.labels import is_nonfinite
from penstock.monitoring.latency import LatencyHistogram
from penstock.monitoring.profile import Profile
from penstock.monitoring.settings import MonitorSettings
from penstock.monitoring.windows import Window, WindowKey
from penstock.serving.matching import iterate_columns
from penstock.serving.predictions import Prediction, encode_columns
from penstock.serving.recorder import Exchange
from penstock.serving.traffic import position

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


def prediction_of(one: Exchange, key: WindowKey, monitor: MonitorSettings) -> Prediction:
    """Return what is kept of an answer; its features only where it is in the sample."""
    is_sampled = position(one.counter + SAMPLE_SHIFT) < monitor.feature_ratio
    return Prediction(
        id=one.id,
        version=one.version,
        endpoint=one.endpoint,
        revision=one.revision,
        route=one.route,
        window_start_s=key.start_s,
        outputs=encode_columns(one.outputs),
        row_count=one.row_count,
        features=encode_columns(one.inputs) if is_sampled else None,
    )


def summarise(
    key: WindowKey, observations: Sequence[Exchange], monitor: MonitorSettings, edges: Edges | None
) -> Window:
    """Return what exchanges of one window, in the order they came, say of it.

    Args:
        edges: where the features of the version are counted exactly; None: sketches alone.
    """
    latency = LatencyHistogram()
    latency.update([one.latency_s for one in observations])
    features, outputs = Profile(edges=edges), Profile()
    features.update(watched([one.inputs for one in observations]), sum(one.row_count for one in observations))
    answered = [one for one in observations if one.error is None]
    stacked = watched([one.outputs for one in answered])
    outputs.update(
        {**stacked, **watched([one.differences for one in answered])},
        sum(one.row_count for one in answered),
    )
    odd_rows = [0] * len(observations)
    if any(is_nonfinite(values).any() for values in stacked.values()):
        odd_rows = [_nonfinite_rows(one) for one in observations]
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


def _nonfinite_rows(one: Exchange) -> int:
    """Return in how many rows some output is no finite number."""
    found = [is_nonfinite(values) for _, values in iterate_columns(one.outputs)]
    return int(np.any(found, axis=0).sum()) if found else 0
